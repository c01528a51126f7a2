"""Arrays that stay in a file, of which only some pieces are in memory at a time."""

import math
import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class StoredArray:
    """An array in a file.

    Attributes:
        dtype: of its values.
        shape: how many there are along each axis.
        read: gives its values as flat arrays, one after another. A piece leaves the memory, and a
            window of the file is unmapped, when nobody has it any more.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    read: Callable[[], Iterator[NDArray[Any]]]

    @property
    def size(self) -> int:
        """How many values it has."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """How many bytes they are."""
        return self.size * self.dtype.itemsize


def is_window(array: NDArray[Any]) -> bool:
    """Whether `array` is a view of a file that is mapped into memory."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, memoryview) and isinstance(base.obj, mmap.mmap)
