"""The command line: ``gangplank COMMAND`` or ``python -m gangplank COMMAND``."""

import contextlib
import io
import os
import sys

import gangplank
from gangplank.command_line import MissingError, parser, separated


def main(arguments: list[str] | None = None) -> int:
    """Runs the command that `arguments` name, those of the process by default.

    Returns:
        The exit status: 0, or 1 where the command could not do its work. Of a command line that is
        wrong the parser exits, with 2.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # its encoding may have no blocks to draw with
    try:
        options = parser().parse_args(separated(sys.argv[1:] if arguments is None else arguments))
        status: int = options.run(options) or 0
        if sys.stdout:
            sys.stdout.flush()
    except (ValueError, gangplank.PushError, MissingError) as error:
        return _fail(error)
    except OSError as error:
        return _fail_to_write(error)
    except KeyboardInterrupt:
        return _fail("interrupted")
    return status


def _fail_to_write(error: OSError) -> int:
    """Tells of an error of the system, unless it is that who reads the standard output has gone."""
    # What is left in its buffer must not fail once more when Python ends.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1 if isinstance(error, BrokenPipeError) else _fail(error)


def _fail(reason: object) -> int:
    print(f"gangplank: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
