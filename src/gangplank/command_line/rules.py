"""`gangplank rules`."""

import argparse
from typing import Any

from gangplank.command_line.command import add_command, fail, needing
from gangplank.command_line.dashboard import add_output
from gangplank.commands.output import write


def add(commands: Any) -> None:
    """Adds the command."""
    rules = add_command(
        commands,
        "rules",
        _run,
        summary="write rules of Prometheus",
        description="Writes recording and alerting rules of Prometheus, as YAML, for its "
        "rule_files.",
        examples="gangplank rules --patience 20 --output rules.yml",
    )
    add_output(rules)
    rules.add_argument(
        "--silent-after",
        type=float,
        metavar="SECONDS",
        default=300.0,
        help="without a push, after which a run is silent (default: 300)",
    )
    rules.add_argument(
        "--patience",
        type=int,
        metavar="EPOCHS",
        default=10,
        help="without a better loss, after which a run makes no progress, or without a better "
        "loss of the validation, after which it overfits (default: 10)",
    )
    rules.add_argument(
        "--dead-share",
        type=float,
        metavar="SHARE",
        default=0.9,
        help="of zeros among its weights, from which on a layer is dead (default: 0.9)",
    )
    rules.add_argument(
        "--slow-after",
        type=float,
        metavar="SECONDS",
        default=1.0,
        help="which one of 20 calls takes where a served model is slow (default: 1)",
    )
    rules.add_argument(
        "--failed-share",
        type=float,
        metavar="SHARE",
        default=0.05,
        help="of a served model's calls that fail, or are rejected, from which on to tell of it "
        "(default: 0.05)",
    )


def _run(options: argparse.Namespace) -> None:
    with needing("monitoring"):
        from gangplank.monitoring import rules_yaml
    try:
        rules = rules_yaml(
            silent_after=options.silent_after,
            patience=options.patience,
            dead_share=options.dead_share,
            slow_after=options.slow_after,
            failed_share=options.failed_share,
        )
        write(rules, options.output)
    except ValueError as error:
        fail(options, error)
