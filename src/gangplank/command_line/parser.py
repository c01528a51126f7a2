"""The whole command line."""

import argparse
from typing import Any

import gangplank
from gangplank.command_line import dashboard, demo, gateway, histogram, rules
from gangplank.command_line.command import needing


def parser() -> argparse.ArgumentParser:
    """A parser of `gangplank COMMAND`, whose options have what carries the command out: `run`."""
    parser = argparse.ArgumentParser("gangplank", description=gangplank.__doc__)
    parser.add_argument("--version", action="version", version=gangplank.__version__)
    parser.add_argument(
        "--print-completion",
        action=_Completion,
        choices=("bash", "zsh"),
        help="print a script that completes commands and options in this shell",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (demo, histogram, gateway, dashboard, rules):
        command.add(commands)
    return parser


class _Completion(argparse.Action):
    """Prints the script, and ends."""

    def __call__(self, parser: argparse.ArgumentParser, *arguments: Any) -> None:
        with needing("cli"):
            import shtab
        _, shell, _ = arguments
        print(shtab.complete(parser, shell))
        parser.exit()
