"""What a count is, in NumPy. Every other implementation equals this one to the last count."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gangplank._native.edges import Bounds


def count(arrays: Iterable[NDArray[Any]], bounds: Bounds) -> tuple[NDArray[np.int64], int]:
    counts = np.zeros(bounds.values.size + 1, np.int64)
    nan_count = 0
    for array in arrays:
        # float64 holds every value of every dtype but these two; Python compares an
        # integer of any size with a float exactly.
        exact = object if array.dtype in (np.int64, np.uint64) else np.float64
        with np.errstate(invalid="ignore"):  # which a signalling NaN would report
            values = array.astype(exact).ravel()
        is_nan = values != values
        buckets = _buckets(values[~is_nan], bounds.values.astype(exact), bounds.by_magnitude)
        counts += np.bincount(buckets, minlength=counts.size)
        nan_count += int(is_nan.sum())
    return counts, nan_count


def _buckets(values: NDArray[Any], bounds: NDArray[Any], by_magnitude: bool) -> NDArray[np.intp]:
    if not by_magnitude:
        return np.searchsorted(bounds, values, side="left")
    middle = bounds.size // 2
    above = middle + np.searchsorted(bounds[middle:], abs(values), side="left")
    return np.where(values < 0, bounds.size - above, above)
