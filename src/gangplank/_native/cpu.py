"""Counting arrays in host memory: by which kernel, and by how many threads."""

import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache, lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gangplank._native import edges as bounds_in_dtype
from gangplank._native.edges import Bounds, Count, Edges, Totals
from gangplank._native.gathered import gathered
from gangplank._native.kernels import loading
from gangplank._native.kernels.numpy_kernel import numpy_kernel
from gangplank._native.measured import Measured, counted
from gangplank._native.moments import BLOCK, EXPLICIT, TWICE, CountAndSum, Rows, moments_of
from gangplank._native.pieces import Piece, batches, flat, joined, shares_of
from gangplank._native.subnormals import keep_subnormals

if TYPE_CHECKING:
    from gangplank._native.kernels.table_kernel import Table

Kernel = Callable[[Edges], Count]

Measurement = Callable[[NDArray[Any]], tuple[Totals | None, Rows | None]]
"""Gives what is wanted of values: their totals, their moments or both."""

MeasurementApart = Callable[
    [NDArray[Any], NDArray[np.int64]], Iterable[tuple[Totals | None, Rows | None]]
]
"""The same of each part of values: these end, one after the other, before the places given."""

Found = tuple[int, Totals | None, Rows | None]
"""The number of a group, and totals and moments of some of its values."""


class Way(NamedTuple):
    """How values of a dtype are measured."""

    measure: Measurement
    most: int
    """Of how many values at a time."""
    measure_apart: MeasurementApart | None
    """Many small pieces by one call, where there are many."""


CORES = os.cpu_count() or 1

# With as many for each of them, two threads are faster (benchmarks/test_kernels.py).
VALUES_A_THREAD = 2_000_000

# To load numba takes from 0.2 s on, and 1.5 s if nothing is compiled (benchmarks/test_promises.py);
# NumPy counts so many values in 0.02 s. Whoever counts more is likely to go on counting.
LOAD_NUMBA_AFTER = 5_000_000

# Comparing is faster up to so many bytes of ends than looking up, and than looking up with searches
# in between (benchmarks/test_kernels.py): of 4 bytes up to 26, and 36, where they serve both signs.
COMPARE_UP_TO_BYTES = {"u": (104, 144), "i": (76, 104)}

# So many are given to a kernel at a time, between which Python notices Ctrl-C.
MOST_A_CALL = 1 << 30

# Pieces of at most so many values, where a batch has so many of them, are measured by one call for
# up to so many values together. A call for each takes 10 µs more, in which some thousand values can
# be looked up (benchmarks/test_kernels.py), but may spare loading a further kernel. None of them is
# longer than a block of moments.
SMALL_PIECE = 1 << 12
MANY = 64
CALL = 1 << 15

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
    for batch in batches(joined(flat(pieces)), (threads or CORES) * VALUES_A_THREAD):
        size = sum(values.size for _, values in batch)
        chosen, most_threads = choose_for(size) if kernel is None else (kernel, 1)
        parts = threads or min(most_threads, size // VALUES_A_THREAD)
        shares = shares_of(batch, parts, BLOCK if has_moments else 1)
        for group, totals, rows in _by_threads(shares, _ways(batch, chosen, bounds, has_moments)):
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
    """The counts per bucket and the number of NaN; the moments are added to `moments`, if given."""
    return counted(measure, arrays, bounds, moments, kernel=kernel, threads=threads)


@cache
def _pool() -> ThreadPoolExecutor:
    """Threads that are kept: to start one takes a tenth of the time that 5e7 values do."""
    return ThreadPoolExecutor(CORES, "gangplank-count", keep_subnormals)


if sys.platform != "win32":  # they are no more in a child
    os.register_at_fork(after_in_child=_pool.cache_clear)


def _by_threads(shares: list[list[Piece]], ways: dict[np.dtype[Any], Way]) -> Iterable[Found]:
    """What is found in `shares`, each of which is taken by this thread or by one of others."""
    waiting = deque(enumerate(shares))
    found: list[list[Found] | None] = [None] * len(shares)

    def take() -> None:
        while True:
            try:
                number, share = waiting.popleft()
            except IndexError:
                return
            found[number] = _measured(share, ways)

    others: list[Future[None]] = []
    try:
        for _ in shares[1:]:
            try:
                others.append(_pool().submit(take))
            except RuntimeError:  # no thread can be started, or none any more before the end
                _pool.cache_clear()
                break
        take()
        for other in others:
            other.result()
    finally:  # no thread is to read on
        waiting.clear()
        wait(others)
    # `submit` queues `take` even where it cannot start a thread. A thread of another count may then
    # have taken a share, and is not waited for: it is counted again.
    return chain.from_iterable(
        _measured(share, ways) if part is None else part
        for share, part in zip(shares, found, strict=True)
    )


def _ways(
    batch: list[Piece], kernel: Kernel, bounds: Bounds | None, has_moments: bool
) -> dict[np.dtype[Any], Way]:
    """How to measure the values of each dtype that a batch has."""
    small = Counter(values.dtype for _, values in batch if values.size <= SMALL_PIECE)
    ways: dict[np.dtype[Any], Way] = {}
    for dtype in {values.dtype for _, values in batch}:
        are_many = kernel is fastest_compiled and small[dtype] >= MANY
        apart = _measurement_apart(bounds, dtype, has_moments) if are_many else None
        ways[dtype] = Way(*_measurement(kernel, bounds, dtype, has_moments), apart)
    return ways


def _measurement(
    kernel: Kernel, bounds: Bounds | None, dtype: np.dtype[Any], has_moments: bool
) -> tuple[Measurement, int]:
    """How to measure values of `dtype`, and how many of them at a time."""
    unsigned = f"u{dtype.itemsize}"
    if bounds is None:
        sums = _sums_by(kernel)
        return lambda values: (None, sums(values)), MOST_A_CALL if dtype in EXPLICIT else TWICE
    count = count_by(kernel, bounds, dtype)
    if not has_moments:
        return lambda values: (count(values.view(unsigned)), None), MOST_A_CALL
    if isinstance(count, CountAndSum) and dtype in EXPLICIT:
        return count.with_moments, MOST_A_CALL
    sums = _sums_by(kernel)
    return lambda values: (count(values.view(unsigned)), sums(values)), TWICE


def _measurement_apart(
    bounds: Bounds | None, dtype: np.dtype[Any], has_moments: bool
) -> MeasurementApart:
    """How to measure many small parts of values of `dtype` by one call, whatever the bounds."""
    from gangplank._native.kernels.moments_kernel import compiled_moments_of

    unsigned = f"u{dtype.itemsize}"
    table = None if bounds is None else _table(bounds, dtype)

    def measure(
        values: NDArray[Any], ends: NDArray[np.int64]
    ) -> Iterable[tuple[Totals | None, Rows | None]]:
        nothing = [None] * ends.size
        totals = nothing if table is None else table.each(values.view(unsigned), ends)
        rows = compiled_moments_of(values, ends)[:, np.newaxis] if has_moments else nothing
        return zip(totals, rows, strict=True)

    return measure


# A run counts with the same bounds, time and again, in the few dtypes of its model.
@lru_cache(maxsize=32)
def count_by(kernel: Kernel, bounds: Bounds, dtype: np.dtype[Any]) -> Count:
    """What counts values of `dtype`, viewed as unsigned, into the buckets of `bounds`."""
    return kernel(bounds_in_dtype.edges_of(bounds, dtype))


@lru_cache(maxsize=32)
def _table(bounds: Bounds, dtype: np.dtype[Any]) -> "Table":
    """The table of `bounds`: that which the fastest kernel has, if it has one."""
    from gangplank._native.kernels.table_kernel import Table

    count = count_by(fastest_compiled, bounds, dtype)
    return count if isinstance(count, Table) else Table(bounds_in_dtype.edges_of(bounds, dtype))


def choose_for(size: int) -> tuple[Kernel, int]:
    """The fastest kernel for `size` values more, and how many threads may run it.

    Notes how many there were, for the choices to come.
    """
    global _values_without_numba
    if not loading.is_loaded():
        _values_without_numba += size
        if _values_without_numba <= LOAD_NUMBA_AFTER:
            return numpy_kernel, 1
    jit = loading.load()
    return fastest_compiled if jit.CAN_COMPILE else numpy_kernel, jit.THREADS


def fastest_compiled(edges: Edges) -> Count:
    """The numba kernel that is faster for `edges`."""
    from gangplank._native.kernels.lane_kernel import lane_kernel
    from gangplank._native.kernels.table_kernel import needs_search, table_kernel

    lanes = lane_kernel(edges)
    most, most_of_searches = COMPARE_UP_TO_BYTES[lanes.ends.dtype.kind]
    nbytes = lanes.ends.nbytes
    is_few = nbytes <= most or (nbytes <= most_of_searches and needs_search(edges))
    return lanes if is_few else table_kernel(edges)


def _measured(share: list[Piece], ways: dict[np.dtype[Any], Way]) -> list[Found]:
    """What is found in each piece, or part of a piece."""
    found: list[Found] = []
    for dtype, pieces in gathered(
        share,
        lambda piece: piece[1].dtype,
        lambda piece: piece[1].size,
        below=SMALL_PIECE + 1,
        up_to=CALL,
    ):
        measure, most, measure_apart = ways[dtype]
        if measure_apart and len(pieces) > 1:
            groups, arrays = zip(*pieces, strict=True)
            ends = np.cumsum([array.size for array in arrays])
            each = measure_apart(np.concatenate(arrays), ends)
            found += ((group, *of_part) for group, of_part in zip(groups, each, strict=True))
        else:
            found += [
                (group, *measure(values[start : start + most]))
                for group, values in pieces
                for start in range(0, values.size, most)
            ]
    return found


def _sums_by(kernel: Kernel) -> Callable[[NDArray[Any]], Rows]:
    if kernel is numpy_kernel:
        return moments_of
    from gangplank._native.kernels.moments_kernel import compiled_moments_of

    return compiled_moments_of
