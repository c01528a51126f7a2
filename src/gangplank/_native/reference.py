"""What a count is, in NumPy. Every other implementation equals this one to the last count."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def count(
    arrays: Iterable[NDArray[Any]], bounds: NDArray[np.float64]
) -> tuple[NDArray[np.int64], int]:
    counts = np.zeros(bounds.size + 1, np.int64)
    nan_count = 0
    for array in arrays:
        # float64 holds every value of every dtype but these two; Python compares an
        # integer of any size with a float exactly.
        exact = object if array.dtype in (np.int64, np.uint64) else np.float64
        with np.errstate(invalid="ignore"):  # which a signalling NaN would report
            values = array.astype(exact).ravel()
        is_nan = values != values
        buckets = np.searchsorted(bounds.astype(exact), values[~is_nan], side="left")
        counts += np.bincount(buckets, minlength=counts.size)
        nan_count += int(is_nan.sum())
    return counts, nan_count
