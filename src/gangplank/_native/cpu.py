"""Counting arrays in host memory with numba: read once, where they lie, by several threads."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from gangplank._native import keys

Kernel = Callable[[NDArray[Any], Any, Any, Any, NDArray[Any]], NDArray[np.int64]]

# Keys are made a chunk at a time, so that they stay in the processor's first cache
# (32 KiB at least) however often a kernel passes over them.
CHUNK = 2048

# Up to so many edges comparing is faster, above it searching (benchmarks/test_kernels.py).
COMPARE_UP_TO = 96

# Two threads are faster from 2 to 4 million values on: to start them takes about as long as to
# count one million (benchmarks/test_kernels.py). None is kept: a fork finds no pool half alive.
VALUES_A_THREAD = 2_000_000


def _compiled(function: Kernel) -> Kernel:
    """`function` compiled on first use, kept on disk where numba finds a folder to write to.

    It holds no GIL, and is safe to call from several threads at once (numba's own threads
    are not: its workqueue layer ends a process that two threads enter).
    """
    try:
        return numba.njit(nogil=True, cache=True)(function)  # type: ignore[no-any-return]
    except RuntimeError:
        return numba.njit(nogil=True)(function)  # type: ignore[no-any-return]


@_compiled
def compare(
    bits: NDArray[Any], sign_shift: Any, magnitude: Any, sign: Any, edges: NDArray[Any]
) -> NDArray[np.int64]:
    """How many keys are at most each edge: one vectorized pass over a chunk for each."""
    at_most = np.zeros(edges.size, np.int64)
    chunk_keys = np.empty(CHUNK, bits.dtype)
    for start in range(0, bits.size, CHUNK):
        chunk = bits[start : start + CHUNK]
        for i in range(chunk.size):
            chunk_keys[i] = chunk[i] ^ ((chunk[i] >> sign_shift) & magnitude) ^ sign
        for j in range(edges.size):
            edge = edges[j]
            n = 0
            for i in range(chunk.size):
                n += chunk_keys[i] <= edge
            at_most[j] += n
    return at_most


@_compiled
def search(
    bits: NDArray[Any], sign_shift: Any, magnitude: Any, sign: Any, edges: NDArray[Any]
) -> NDArray[np.int64]:
    """The same by binary search: a whole chunk goes down a level at a time, which LLVM
    turns into vector gathers (six times as fast as a value at a time with 1,024 bounds).
    """
    slots = np.zeros(edges.size + 1, np.int64)
    chunk_keys = np.empty(CHUNK, bits.dtype)
    below = np.empty(CHUNK, np.uint32)
    for start in range(0, bits.size, CHUNK):
        chunk = bits[start : start + CHUNK]
        for i in range(chunk.size):
            chunk_keys[i] = chunk[i] ^ ((chunk[i] >> sign_shift) & magnitude) ^ sign
            below[i] = 0
        length = edges.size
        while length > 1:
            half = np.uint32(length // 2)
            for i in range(chunk.size):
                probe = edges[below[i] + half - np.uint32(1)]
                below[i] += half * np.uint32(probe < chunk_keys[i])
            length -= length // 2
        for i in range(chunk.size):
            slots[below[i] + np.uint32(edges[below[i]] < chunk_keys[i])] += 1
    return np.cumsum(slots)[:-1]


def count(
    arrays: Iterable[NDArray[Any]],
    bounds: NDArray[np.float64],
    *,
    kernel: Kernel | None = None,
    threads: int | None = None,
) -> tuple[NDArray[np.int64], int]:
    """As `gangplank._native.count`; `kernel` and `threads` are chosen by size if not given."""
    count_share = partial(_count_share, cache(partial(keys.edges, bounds)), bounds.size, kernel)
    most_threads = threads or numba.config.NUMBA_NUM_THREADS
    counts = np.zeros(bounds.size + 1, np.int64)
    nan_count = 0
    # Its threads start when they are first used.
    with ThreadPoolExecutor(most_threads) as pool:
        for batch in _batches(_flat(arrays), most_threads * VALUES_A_THREAD):
            useful = sum(values.size for values in batch) // VALUES_A_THREAD
            shares = _shares(batch, threads or min(most_threads, useful))
            for share_counts, share_nan_count in (
                pool.map(count_share, shares) if len(shares) > 1 else map(count_share, shares)
            ):
                counts += share_counts
                nan_count += share_nan_count
    return counts, nan_count


def _count_share(
    edges_of: Callable[[np.dtype[Any]], tuple[NDArray[Any], int]],
    bound_count: int,
    kernel: Kernel | None,
    share: Iterable[NDArray[Any]],
) -> tuple[NDArray[np.int64], int]:
    counts = np.zeros(bound_count + 1, np.int64)
    nan_count = 0
    for values in share:
        code = keys.KEY_CODES[values.dtype]
        edges, below = edges_of(values.dtype)
        bits = values.view(code.key_dtype)
        # Of a read-only and of a writable array numba would compile a kernel each.
        bits.flags.writeable = False
        at_most = (kernel or _kernel(edges.size))(
            bits, code.sign_shift, code.magnitude, code.sign, edges
        )
        array_counts, array_nan_count = keys.counts_between(at_most, below, values.size)
        counts += array_counts
        nan_count += array_nan_count
    return counts, nan_count


def _kernel(edge_count: int) -> Kernel:
    return compare if edge_count <= COMPARE_UP_TO else search


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


def _is_plain(array: NDArray[Any]) -> bool:
    flags = array.flags
    return flags.aligned and array.dtype.isnative and (flags.c_contiguous or flags.f_contiguous)


def _batches(arrays: Iterable[NDArray[Any]], size: int) -> Iterator[list[NDArray[Any]]]:
    """The arrays in lists of `size` values or more, the last one apart."""
    batch: list[NDArray[Any]] = []
    values = 0
    for array in arrays:
        batch.append(array)
        values += array.size
        if values >= size:
            yield batch
            batch, values = [], 0
    if batch:
        yield batch


def _shares(batch: list[NDArray[Any]], threads: int) -> list[list[NDArray[Any]]]:
    """The values of a batch in one share for each thread, of about the same size."""
    if threads <= 1:
        return [batch]
    total = sum(values.size for values in batch)
    shares: list[list[NDArray[Any]]] = [[] for _ in range(threads)]
    begin = 0
    for values in batch:
        for i, share in enumerate(shares):
            start, stop = total * i // threads - begin, total * (i + 1) // threads - begin
            part = values[max(start, 0) : max(stop, 0)]
            if part.size:
                share.append(part)
        begin += values.size
    return shares
