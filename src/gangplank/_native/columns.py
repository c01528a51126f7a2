"""Counting the values of many columns, those of each into buckets of its own.

Values are compared as keys: a float32's bits as an integer, with the sign folded so that the order
of keys is that of values. A column has few buckets, so that its edges are searched; a table for
each would not stay in a cache.
"""

import numpy as np
from numpy.typing import NDArray

from gangplank._native import cpu
from gangplank._native.kernels.numpy_kernel import numpy_kernel

Keys = NDArray[np.int32]

MAGNITUDE = np.int32(0x7FFFFFFF)
INFINITY = np.int32(0x7F800000)


def keys_of(values: NDArray[np.float32]) -> Keys:
    """Integers in the order of the values; -0 is below 0, and NaN are below or above all."""
    return _folded(values.view(np.int32))


def _folded(bits: NDArray[np.int32]) -> Keys:
    return bits ^ ((bits >> 31) & MAGNITUDE)


def count_columns(columns: NDArray[np.float32], ends: Keys) -> NDArray[np.int64]:
    """Counts the values of each column into buckets of its own.

    Arguments:
        columns: shape (F, N), C-contiguous.
        ends: shape (F, E), the key of the greatest value of each bucket, ascending. Of equal ones
            the first bucket has the values.

    Returns:
        int64, shape (F, E + 2): the last but one above every end, the last of NaN.
    """
    counts = np.zeros((len(ends), ends.shape[1] + 2), np.int64)
    kernel, _ = cpu.choose_for(columns.size)
    if kernel is numpy_kernel:
        count_by_numpy(columns.view(np.int32), ends, counts)
    else:
        from gangplank._native.kernels.columns_kernel import count_compiled

        count_compiled(columns.view(np.int32), ends, counts)
    return counts


def count_by_numpy(bits: NDArray[np.int32], ends: Keys, counts: NDArray[np.int64]) -> None:
    """Adds the counts of `bits` to `counts`."""
    for column, own_ends, own_counts in zip(bits, ends, counts, strict=True):
        slots = np.searchsorted(own_ends, _folded(column))
        slots[(column & MAGNITUDE) > INFINITY] = own_ends.size + 1
        own_counts += np.bincount(slots, minlength=own_counts.size)
