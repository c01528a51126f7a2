"""A kernel of NumPy's own loops: slower than numba's, and there without loading anything."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gangplank._native.edges import Count, Edges

# So many float32 values and their comparisons stay in a second cache of 512 KiB.
CHUNK = 1 << 16

# Up to so many edges comparing is faster, above it searching (benchmarks/test_kernels.py).
COMPARE_UP_TO = 128


def numpy_kernel(edges: Edges) -> Count:
    """A function that counts bit patterns into the buckets of `edges`."""
    slots = _compared if edges.patterns.size <= COMPARE_UP_TO else _searched
    return lambda bits: edges.totals(slots(bits, edges.patterns))


def _compared(bits: NDArray[Any], patterns: NDArray[Any]) -> NDArray[np.int64]:
    at_most = np.zeros(patterns.size + 1, np.int64)
    at_most[-1] = bits.size
    is_at_most = np.empty(min(CHUNK, bits.size), np.bool_)
    for start in range(0, bits.size, CHUNK):
        chunk = bits[start : start + CHUNK]
        for i, pattern in enumerate(patterns):
            np.less_equal(chunk, pattern, out=is_at_most[: chunk.size])
            at_most[i] += np.count_nonzero(is_at_most[: chunk.size])
    return np.diff(at_most, prepend=0)


def _searched(bits: NDArray[Any], patterns: NDArray[Any]) -> NDArray[np.int64]:
    slots = np.zeros(patterns.size + 1, np.int64)
    for start in range(0, bits.size, CHUNK):
        places = np.searchsorted(patterns, bits[start : start + CHUNK])
        slots += np.bincount(places, minlength=slots.size)
    return slots
