"""`gangplank dashboard`."""

import argparse
from typing import Any

from gangplank.command_line.command import FILE, add_command, fail, needing
from gangplank.commands.output import write


def add(commands: Any) -> None:
    """Adds the command."""
    dashboard = add_command(
        commands,
        "dashboard",
        _run,
        summary="write a Grafana dashboard",
        description="Writes a Grafana dashboard of training runs and of served models, as JSON.",
        examples="gangplank dashboard --output gangplank.json",
    )
    add_output(dashboard)
    dashboard.add_argument(
        "--run-label",
        metavar="LABEL",
        default="run",
        help="the label of a grouping_key that tells the runs of a job apart (default: run)",
    )


def add_output(command: Any) -> None:
    """Adds the option of a command that writes one text."""
    output = command.add_argument(
        "--output", metavar="FILE", help="where to write it, not to stdout"
    )
    output.complete = FILE


def _run(options: argparse.Namespace) -> None:
    with needing("monitoring"):
        from gangplank.monitoring import dashboard_json
    try:
        write(dashboard_json(options.run_label), options.output)
    except ValueError as error:
        fail(options, error)
