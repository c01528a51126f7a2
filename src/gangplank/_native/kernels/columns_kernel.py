"""The kernel for many columns: a search among the ends of a column's buckets for each value.

It holds no GIL, which NumPy's calls for each column would hold most of the time. All values of a
column take a step before any takes the next one, of which the compiler makes vectors: 4 ns a value
among 127 ends, and 27 where each value takes all its steps at once (one core of a Xeon).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gangplank._native.kernels.jit import compiled, read_only


def count_compiled(bits: NDArray[Any], ends: NDArray[Any], counts: NDArray[Any]) -> None:
    """As `columns.count_by_numpy`."""
    # Of 2^k - 1 ends the search never leads out; no key exceeds those that are added.
    size = (1 << ends.shape[1].bit_length()) - 1
    if size > ends.shape[1]:
        padding = ((0, 0), (0, size - ends.shape[1]))
        ends = np.pad(ends, padding, constant_values=np.iinfo(ends.dtype).max)
    _count_columns(read_only(bits), read_only(ends), counts)


@compiled
def _count_columns(bits: NDArray[Any], ends: NDArray[Any], counts: NDArray[Any]) -> None:
    values = bits.shape[1]
    keys, slots = np.empty(values, np.int32), np.empty(values, np.int32)
    for column in range(bits.shape[0]):
        own_ends, own_counts = ends[column], counts[column]
        for i in range(values):
            bit = bits[column, i]
            keys[i] = bit ^ ((bit >> 31) & 0x7FFFFFFF)
            slots[i] = 0
        step = np.int32((ends.shape[1] + 1) >> 1)
        while step > 0:
            for i in range(values):
                slot = slots[i]
                # Unsigned, so that no index is looked at for being negative.
                is_above = own_ends[np.uint32(slot + step - 1)] < keys[i]
                slots[i] = slot + step if is_above else slot
            step >>= 1
        for i in range(values):
            is_nan = bits[column, i] & 0x7FFFFFFF > 0x7F800000
            own_counts[own_counts.size - 1 if is_nan else slots[i]] += 1
