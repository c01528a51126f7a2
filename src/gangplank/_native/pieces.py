"""Arrays in host memory as flat pieces: small ones joined, in batches that threads share.

Large contiguous arrays stay where they lie; small ones and strided ones are copied, a few MiB at a
time.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gangplank._native.stored_array import is_window

Piece = tuple[int, NDArray[Any]]
"""The number of a group, and some values of it."""

# Arrays of fewer values are copied together: to copy them takes 5 µs, to call a kernel 10 µs.
SMALL = 1 << 15
TOGETHER = 1 << 16

# No more copies than that wait to be counted.
COPIED_BYTES = 1 << 23

# Nor are more bytes of files mapped: they count as memory of the process, also of many cores.
MAPPED_BYTES = 1 << 25


def flat(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Each array as flat native ones: itself if it is contiguous, else copies of 64 Ki values."""
    for group, array in pieces:
        if _is_plain(array):
            yield group, array.ravel(order="K")
        else:
            # NumPy's type stubs do not know the flag "contig".
            for block in np.nditer(  # type: ignore[call-overload]
                array,
                flags=["external_loop", "buffered", "zerosize_ok"],
                op_flags=[["readonly", "contig", "aligned", "nbo"]],
                order="K",
                buffersize=1 << 16,
            ):
                yield group, block.copy()  # of a buffer that the next block overwrites


def joined(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The pieces, small ones of a group and a dtype that follow one another as one copy."""
    small: list[NDArray[Any]] = []
    values, of_small = 0, (0, None)
    for group, array in pieces:
        kind: tuple[int, Any] = group, array.dtype
        if small and (kind != of_small or values >= TOGETHER):
            yield of_small[0], np.concatenate(small)
            small, values = [], 0
        if array.size >= SMALL:
            yield group, array
        else:
            of_small = kind
            small.append(array)
            values += array.size
    if small:
        yield of_small[0], np.concatenate(small)


def _is_plain(array: NDArray[Any]) -> bool:
    flags = array.flags
    return flags.aligned and array.dtype.isnative and (flags.c_contiguous or flags.f_contiguous)


def batches(pieces: Iterable[Piece], size: int) -> Iterator[list[Piece]]:
    """The pieces in lists of some `size` values, or of fewer where they take up memory."""
    batch: list[Piece] = []
    values = copied = mapped = 0
    for group, array in pieces:
        batch.append((group, array))
        values += array.size
        copied += array.nbytes if array.flags.owndata else 0
        mapped += array.nbytes if is_window(array) else 0
        if values >= size or copied >= COPIED_BYTES or mapped >= MAPPED_BYTES:
            yield batch
            batch, values, copied, mapped = [], 0, 0, 0
    if batch:
        yield batch


def shares_of(batch: list[Piece], threads: int, block: int) -> list[list[Piece]]:
    """The values of a batch in one share for each thread, of about the same size.

    No block of so many values of an array is parted.
    """
    if threads <= 1:
        return [batch]
    total = sum(values.size for _, values in batch)
    shares: list[list[Piece]] = [[] for _ in range(threads)]
    begin = 0
    for group, values in batch:
        for i, share in enumerate(shares):
            start, stop = (
                max(total * k // threads - begin, 0) // block * block for k in (i, i + 1)
            )
            part = values[start : stop if i + 1 < threads else None]
            if part.size:
                share.append((group, part))
        begin += values.size
    return shares
