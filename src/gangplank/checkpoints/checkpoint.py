"""What is in a checkpoint, and what to raise where it is none."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gangplank import _native


class CheckpointError(ValueError):
    """A file is no checkpoint that can be read. One line says which file, and what is wrong."""


def path_in_words(path: Path | str) -> str:
    """A path, quoted where it has what a terminal takes for a command, or more than one line."""
    words = str(path)
    return words if words.isprintable() else repr(words)


@dataclass
class Checkpoint:
    """The weights in a file.

    Attributes:
        arrays: by name, those that can be counted, as `gangplank.weights_histogram` takes them.
            Mappings may be nested.
        left_out: by name, what cannot be counted, and why.
    """

    arrays: dict[str, Any] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, array: _native.StoredArray) -> None:
        """Adds an array, or leaves it out where its dtype cannot be counted."""
        if _native.is_countable(array.dtype.name):
            self.arrays[name] = array
        else:
            self.left_out[name] = f"its dtype is {array.dtype.name}"
