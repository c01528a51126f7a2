"""What all commands have in common: help with examples, and words for what is wrong or missing."""

import argparse
import contextlib
import textwrap
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from gangplank.extras import how_to_install

if TYPE_CHECKING:
    from gangplank.publishing import Pushgateway

T = TypeVar("T")

FILE = {"bash": "_shtab_compgen_files", "zsh": "_files"}
"""As an argument's attribute ``complete``: shells complete it as the name of a file."""

Run = Callable[[argparse.Namespace], int | None]
"""Carries a command out, and gives its exit status, 0 by default."""


class MissingError(Exception):
    """A package is not installed that a command needs."""


def add_command(
    commands: Any, name: str, run: Run, *, summary: str, description: str, examples: str
) -> Any:
    """Adds a command, without its arguments.

    Arguments:
        commands: the parser's, of argparse.
        name: what one types.
        run: is given the options; of them, `fail` ends with a message and the exit status 2.
        summary: what it does, in a line.
        description: the same in whole sentences.
        examples: lines that stand in the help as they are.

    Returns:
        The command's parser.
    """
    command = commands.add_parser(
        name,
        help=summary,
        description=textwrap.fill(description, 79),
        epilog=f"For instance:\n\n{textwrap.indent(textwrap.dedent(examples), '  ')}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.set_defaults(run=run, fail=command.error)
    return command


def checked(convert: Callable[[str], T]) -> Callable[[str], T]:
    """What argparse converts an argument with, so that it shows the message of a ValueError."""

    def checked(text: str) -> T:
        try:
            return convert(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return checked


def fail(options: argparse.Namespace, error: ValueError, **options_of: str) -> NoReturn:
    """Ends with the exit status 2 and the message of an error about an argument.

    The message begins with the argument's name, which is told as it was typed.

    Arguments:
        options: of the command.
        error: what is wrong.
        options_of: the options of arguments that have another name than these.
    """
    name, _, rest = str(error).partition(" ")
    name = options_of.get(name, name)
    if name in vars(options):
        name = f"--{name.replace('_', '-')}"
    options.fail(f"{name} {rest}")
    raise AssertionError("a parser ends the process")


def pushgateway(options: argparse.Namespace, option: str, job: str) -> "Pushgateway | None":
    """The job's group on the gateway whose address `option` has; None where it has none."""
    address = getattr(options, option)
    if address is None:
        return None
    from gangplank.publishing import Pushgateway

    try:
        return Pushgateway(address, job)
    except ValueError as error:
        fail(options, error, pgw_addr=option)


def missing(error: ModuleNotFoundError, extra: str) -> MissingError:
    """What to do where a module cannot be imported that an extra has."""
    return MissingError(f"{error}. Install what the {extra} needs: {how_to_install(extra)}")


@contextlib.contextmanager
def needing(extra: str) -> Iterator[None]:
    """Says what to install where a module cannot be imported in the block."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise missing(error, extra) from error
