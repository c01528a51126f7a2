"""`gangplank gateway`."""

import argparse
from typing import Any

from gangplank.checked_values import checked_port
from gangplank.command_line.command import add_command, checked


def add(commands: Any) -> None:
    """Adds the command."""
    gateway = add_command(
        commands,
        "gateway",
        _run,
        summary="serve a gateway for development, with a page that shows runs live",
        description="Serves the embedded gateway on 127.0.0.1 until Ctrl-C: trainings push to it, "
        "and its page shows them live in a browser.",
        examples="""\
            gangplank gateway --port 9091

            and in a script:

            gangplank.TrainTestExporter("127.0.0.1:9091", "mnist")""",
    )
    gateway.add_argument(
        "--port",
        type=checked(_port),
        default=9091,
        help="the port; 0 takes any free one (default: 9091)",
    )


def _run(options: argparse.Namespace) -> None:
    from gangplank.commands import gateway

    gateway.run(options.port)


def _port(text: str) -> int:
    return checked_port(int(text) if text.isdecimal() else text)
