"""Counting arrays in host memory: which kernel, how many threads, and what has to be copied.

Large contiguous arrays are counted where they lie; small ones and strided ones are copied, a few
MiB at a time.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gangplank._native import edges as bounds_in_dtype
from gangplank._native.edges import Bounds, Count, Edges
from gangplank._native.moments import BLOCK, Moments, moments_of
from gangplank._native.numpy_kernel import numpy_kernel

Kernel = Callable[[Edges], Count]

CORES = os.cpu_count() or 1

# Two threads are faster from 2 to 4 million values on: to start them takes about as long as to
# count one million (benchmarks/test_kernels.py). None is kept: a fork finds no pool half alive.
VALUES_A_THREAD = 2_000_000

# To load numba takes from 0.2 s on, and 0.9 s if nothing is compiled (benchmarks/test_promises.py);
# NumPy counts so many values in 0.02 s. Whoever counts more is likely to go on counting.
LOAD_NUMBA_AFTER = 5_000_000

# Comparing is faster up to some 40 magnitudes or edges of 4 bytes, 80 of 2 and so on, above that
# looking up (benchmarks/test_kernels.py).
MAGNITUDES_UP_TO_BYTES = 160
EDGES_UP_TO_BYTES = 176

# Arrays of fewer values are copied together: to copy them takes 5 µs, to call a kernel 10 µs.
SMALL = 1 << 15
TOGETHER = 1 << 16

# No more copies than that wait to be counted.
COPIED_BYTES = 1 << 23

_values_without_numba = 0


def count(
    arrays: Iterable[NDArray[Any]],
    bounds: Bounds,
    moments: list[Moments] | None = None,
    *,
    kernel: Kernel | None = None,
    threads: int | None = None,
) -> tuple[NDArray[np.int64], int]:
    """As `gangplank._native.count`; `kernel` and `threads` are chosen by size if not given."""
    totals = np.zeros(bounds.values.size + 2, np.int64)
    pool_size = threads or CORES
    # Its threads start when they are first used.
    with ThreadPoolExecutor(pool_size) as pool:
        for batch in _batches(_together(_flat(arrays)), pool_size * VALUES_A_THREAD):
            size = sum(values.size for values in batch)
            chosen, most_threads = _choose_for(size) if kernel is None else (kernel, 1)
            parts = threads or min(most_threads, size // VALUES_A_THREAD)
            shares = _shares(batch, parts, 1 if moments is None else BLOCK)
            add_moments = None if moments is None else partial(_add_moments, moments, chosen)
            totals += _count_shares(pool, partial(_counter, chosen, bounds), shares, add_moments)
            batch.clear()
            shares.clear()
    return totals[:-1], int(totals[-1])


# A run counts with the same bounds, time and again, in the few dtypes of its model.
@lru_cache(maxsize=16)
def _counter(kernel: Kernel, bounds: Bounds, dtype: np.dtype[Any]) -> Count:
    return kernel(bounds_in_dtype.edges_of(bounds, dtype))


def _choose_for(size: int) -> tuple[Kernel, int]:
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


def _count_shares(
    pool: ThreadPoolExecutor,
    counter: Callable[[np.dtype[Any]], Count],
    shares: list[list[NDArray[Any]]],
    add_moments: Callable[[NDArray[Any]], None] | None,
) -> NDArray[np.int64]:
    """The totals of all shares, the first of which this thread counts itself."""
    counters = {values.dtype: counter(values.dtype) for share in shares for values in share}
    others = [pool.submit(_count_share, counters, share, add_moments) for share in shares[1:]]
    own = _count_share(counters, shares[0], add_moments)
    return sum((other.result() for other in others), start=own)


def _count_share(
    counters: dict[np.dtype[Any], Count],
    share: list[NDArray[Any]],
    add_moments: Callable[[NDArray[Any]], None] | None,
) -> NDArray[np.int64] | Any:
    if add_moments is not None:
        for values in share:
            add_moments(values)
    return sum(counters[values.dtype](values.view(f"u{values.itemsize}")) for values in share)


def _add_moments(moments: list[Moments], kernel: Kernel, values: NDArray[Any]) -> None:
    if kernel is numpy_kernel:
        moments.extend(moments_of(values))
        return
    from gangplank._native.moments_kernel import compiled_moments_of

    moments.extend(compiled_moments_of(values))


def _flat(arrays: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """Each array as flat native ones: itself if it is contiguous, else copies of 64 Ki values."""
    for array in arrays:
        if _is_plain(array):
            yield array.ravel(order="K")
        else:
            # NumPy's type stubs do not know the flag "contig".
            for block in np.nditer(  # type: ignore[call-overload]
                array,
                flags=["external_loop", "buffered", "zerosize_ok"],
                op_flags=[["readonly", "contig", "aligned", "nbo"]],
                order="K",
                buffersize=1 << 16,
            ):
                yield block.copy()  # of a buffer that the next block overwrites


def _together(arrays: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """The arrays, small ones of the same dtype that follow one another as one copy."""
    small: list[NDArray[Any]] = []
    values = 0
    for array in arrays:
        if small and (array.dtype != small[0].dtype or values >= TOGETHER):
            yield np.concatenate(small)
            small, values = [], 0
        if array.size >= SMALL:
            yield array
        else:
            small.append(array)
            values += array.size
    if small:
        yield np.concatenate(small)


def _is_plain(array: NDArray[Any]) -> bool:
    flags = array.flags
    return flags.aligned and array.dtype.isnative and (flags.c_contiguous or flags.f_contiguous)


def _batches(arrays: Iterable[NDArray[Any]], size: int) -> Iterator[list[NDArray[Any]]]:
    """The arrays in lists of some `size` values, or of fewer where they are copies."""
    batch: list[NDArray[Any]] = []
    values = copied = 0
    for array in arrays:
        batch.append(array)
        values += array.size
        copied += array.nbytes if array.flags.owndata else 0
        if values >= size or copied >= COPIED_BYTES:
            yield batch
            batch, values, copied = [], 0, 0
    if batch:
        yield batch


def _shares(batch: list[NDArray[Any]], threads: int, block: int) -> list[list[NDArray[Any]]]:
    """The values of a batch in one share for each thread, of about the same size.

    No block of so many values of an array is parted.
    """
    if threads <= 1:
        return [batch]
    total = sum(values.size for values in batch)
    shares: list[list[NDArray[Any]]] = [[] for _ in range(threads)]
    begin = 0
    for values in batch:
        for i, share in enumerate(shares):
            start, stop = (
                max(total * k // threads - begin, 0) // block * block for k in (i, i + 1)
            )
            part = values[start : stop if i + 1 < threads else None]
            if part.size:
                share.append(part)
        begin += values.size
    return shares
