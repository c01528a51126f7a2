"""Where a command writes what it has made."""

import sys
from pathlib import Path


def write(text: str, output: str | None) -> None:
    """Writes a text.

    Arguments:
        text: what to write.
        output: the file; the standard output if None.

    Raises:
        ValueError: the file cannot be written.
        OSError: the standard output takes no more, or there is none.
    """
    if output is None:
        if sys.stdout is None:
            raise OSError("There is no standard output. Name a file with --output.")
        sys.stdout.write(text)
        return
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ValueError(
            f"--output must be a file that can be written. Received {output!r}: {error.strerror}."
        ) from error
