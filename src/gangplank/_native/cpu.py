"""Counting arrays in host memory: which kernel, how many threads, and what has to be copied.

Large contiguous arrays are counted where they lie; small ones and strided ones are copied, a few
MiB at a time.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gangplank._native import edges as bounds_in_dtype
from gangplank._native.edges import Bounds, Count, Edges, Totals
from gangplank._native.host_memory import Piece
from gangplank._native.measured import Measured
from gangplank._native.moments import BLOCK, EXPLICIT, CountAndSum, Rows, moments_of
from gangplank._native.numpy_kernel import numpy_kernel
from gangplank._native.stored_array import is_window

Kernel = Callable[[Edges], Count]

Measurement = Callable[[NDArray[Any]], tuple[Totals | None, Rows | None]]
"""Gives what is wanted of values: their totals, their moments or both."""

CORES = os.cpu_count() or 1

# Two threads are faster from 2 to 4 million values on: to start them takes about as long as to
# count one million (benchmarks/test_kernels.py). None is kept: a fork finds no pool half alive.
VALUES_A_THREAD = 2_000_000

# To load numba takes from 0.2 s on, and 0.9 s if nothing is compiled (benchmarks/test_promises.py);
# NumPy counts so many values in 0.02 s. Whoever counts more is likely to go on counting.
LOAD_NUMBA_AFTER = 5_000_000

# Comparing is faster up to some 25 magnitudes or edges of 4 bytes, 50 of 2 and so on, above that
# looking up (benchmarks/test_kernels.py).
MAGNITUDES_UP_TO_BYTES = 96
EDGES_UP_TO_BYTES = 104

# Arrays of fewer values are copied together: to copy them takes 5 µs, to call a kernel 10 µs.
SMALL = 1 << 15
TOGETHER = 1 << 16

# So many values at a time are read twice, to be counted and then summed, or are converted first: of
# float32 they stay in a cache meanwhile, and are few beside what a user's arrays have.
TWICE = 1 << 19

# So many are read once at a time: a counter of 4 bytes in `lane_kernel` is full after sixteen times
# as many.
MOST = 1 << 30

# No more copies than that wait to be counted.
COPIED_BYTES = 1 << 23

# Nor are more bytes of files mapped: they count as memory of the process, also of many cores.
MAPPED_BYTES = 1 << 25

_values_without_numba = 0


def measure(
    pieces: Iterable[Piece],
    bounds: Bounds | None,
    groups: Sequence[Measured],
    *,
    has_moments: bool = False,
    kernel: Kernel | None = None,
    threads: int | None = None,
) -> None:
    """Adds to each of `groups` what it has: counts, unless `bounds` are None, and moments.

    `kernel` and `threads` are chosen by size if not given.
    """
    pool_size = threads or CORES
    # Its threads start when they are first used.
    with ThreadPoolExecutor(pool_size) as pool:
        for batch in _batches(_together(_flat(pieces)), pool_size * VALUES_A_THREAD):
            size = sum(values.size for _, values in batch)
            chosen, most_threads = choose_for(size) if kernel is None else (kernel, 1)
            parts = threads or min(most_threads, size // VALUES_A_THREAD)
            shares = _shares(batch, parts, BLOCK if has_moments else 1)
            dtypes = {values.dtype for _, values in batch}
            ways = {dtype: _measurement(chosen, bounds, dtype, has_moments) for dtype in dtypes}
            others = [pool.submit(_measured, share, ways) for share in shares[1:]]
            own = _measured(shares[0], ways)
            for group, totals, rows in chain(own, *(other.result() for other in others)):
                groups[group].add(totals, rows)
            batch.clear()
            shares.clear()


def count(
    arrays: Iterable[NDArray[Any]],
    bounds: Bounds,
    moments: list[Rows] | None = None,
    *,
    kernel: Kernel | None = None,
    threads: int | None = None,
) -> tuple[NDArray[np.int64], int]:
    """The counts a bucket and the number of NaN; the moments are added to `moments`, if given."""
    measured = Measured()
    pieces = ((0, array) for array in arrays)
    has_moments = moments is not None
    measure(pieces, bounds, [measured], has_moments=has_moments, kernel=kernel, threads=threads)
    if moments is not None:
        moments += measured.rows
    return measured.counts(bounds)


# A run counts with the same bounds, time and again, in the few dtypes of its model.
@lru_cache(maxsize=32)
def _measurement(
    kernel: Kernel, bounds: Bounds | None, dtype: np.dtype[Any], has_moments: bool
) -> tuple[Measurement, int]:
    """How to measure values of `dtype`, and how many of them at a time."""
    unsigned = f"u{dtype.itemsize}"
    if bounds is None:
        sums = _sums_by(kernel)
        return lambda values: (None, sums(values)), MOST if dtype in EXPLICIT else TWICE
    count = kernel(bounds_in_dtype.edges_of(bounds, dtype))
    if not has_moments:
        return lambda values: (count(values.view(unsigned)), None), MOST
    if isinstance(count, CountAndSum) and dtype in EXPLICIT:
        return count.with_moments, MOST
    sums = _sums_by(kernel)
    return lambda values: (count(values.view(unsigned)), sums(values)), TWICE


def choose_for(size: int) -> tuple[Kernel, int]:
    """The fastest kernel for `size` values more, and how many threads may run it.

    Notes how many there were, for the choices to come.
    """
    global _values_without_numba
    if f"{__package__}.jit" not in sys.modules:
        _values_without_numba += size
        if _values_without_numba <= LOAD_NUMBA_AFTER:
            return numpy_kernel, 1
    from gangplank._native.jit import CAN_COMPILE, THREADS

    return fastest_compiled if CAN_COMPILE else numpy_kernel, THREADS


def fastest_compiled(edges: Edges) -> Count:
    """The numba kernel that is faster for `edges`."""
    from gangplank._native.compare_kernel import compare_kernel
    from gangplank._native.jit import has_avx512
    from gangplank._native.lane_kernel import lane_kernel
    from gangplank._native.table_kernel import table_kernel

    if has_avx512():
        few = edges.mirrored().magnitudes.nbytes <= MAGNITUDES_UP_TO_BYTES
        return compare_kernel(edges) if few else table_kernel(edges)
    few = edges.patterns.nbytes <= EDGES_UP_TO_BYTES
    return lane_kernel(edges) if few else table_kernel(edges)


def _measured(
    share: list[Piece], ways: dict[np.dtype[Any], tuple[Measurement, int]]
) -> list[tuple[int, Totals | None, Rows | None]]:
    """The totals and the moments of each piece, and the number of its group."""
    return [
        (group, *measured(values[start : start + most]))
        for group, values in share
        for measured, most in [ways[values.dtype]]
        for start in range(0, values.size, most)
    ]


def _sums_by(kernel: Kernel) -> Callable[[NDArray[Any]], Rows]:
    if kernel is numpy_kernel:
        return moments_of
    from gangplank._native.moments_kernel import compiled_moments_of

    return compiled_moments_of


def _flat(pieces: Iterable[Piece]) -> Iterator[Piece]:
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


def _together(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The pieces, small ones of a group and a dtype that follow one another as one copy."""
    small: list[NDArray[Any]] = []
    values = of_group = 0
    for group, array in pieces:
        is_alike = bool(small) and (group, array.dtype) == (of_group, small[0].dtype)
        if small and (not is_alike or values >= TOGETHER):
            yield of_group, np.concatenate(small)
            small, values = [], 0
        if array.size >= SMALL:
            yield group, array
        else:
            of_group = group
            small.append(array)
            values += array.size
    if small:
        yield of_group, np.concatenate(small)


def _is_plain(array: NDArray[Any]) -> bool:
    flags = array.flags
    return flags.aligned and array.dtype.isnative and (flags.c_contiguous or flags.f_contiguous)


def _batches(pieces: Iterable[Piece], size: int) -> Iterator[list[Piece]]:
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


def _shares(batch: list[Piece], threads: int, block: int) -> list[list[Piece]]:
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
