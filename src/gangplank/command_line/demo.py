"""`gangplank demo`."""

import argparse
from typing import Any

from gangplank.command_line.command import add_command, needing, pushgateway


def add(commands: Any) -> None:
    """Adds the command."""
    demo = add_command(
        commands,
        "demo",
        _run,
        summary="train a convnet on handwritten digits and push its metrics",
        description="Trains a convnet on handwritten digits, evaluates it, and pushes its metrics "
        "and the histogram of its weights to a gateway.",
        examples="gangplank demo --serve",
    )
    where = demo.add_mutually_exclusive_group()
    where.add_argument(
        "--gateway", metavar="ADDRESS", help="push to this Pushgateway, not to an embedded one"
    )
    where.add_argument(
        "--serve", action="store_true", help="keep the embedded gateway up until Ctrl-C"
    )


def _run(options: argparse.Namespace) -> None:
    pushgateway(options, "gateway", "digits")  # a wrong address is told of before TensorFlow loads
    with needing("demo"):
        from gangplank.commands import demo
    demo.run(options.gateway, serve=options.serve)
