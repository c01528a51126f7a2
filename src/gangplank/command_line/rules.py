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
        help="a run is silent after so long without a push (default: 300)",
    )
    rules.add_argument(
        "--patience",
        type=int,
        metavar="EPOCHS",
        default=10,
        help="after so many without a better loss a run makes no progress, and without a better "
        "loss of the validation it overfits (default: 10)",
    )
    rules.add_argument(
        "--dead-share",
        type=float,
        metavar="SHARE",
        default=0.9,
        help="a layer is dead if this share of its finite weights, or more, is zero (default: 0.9)",
    )
    rules.add_argument(
        "--slow-after",
        type=float,
        metavar="SECONDS",
        default=1.0,
        help="a served model is slow if one of 20 calls takes longer (default: 1)",
    )
    rules.add_argument(
        "--failed-share",
        type=float,
        metavar="SHARE",
        default=0.05,
        help="a served model fails if this share of its calls, or more, fails or is rejected "
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
