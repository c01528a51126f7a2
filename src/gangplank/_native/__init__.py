"""The one door to counting: arrays and bounds in, counts out.

Behind it one file for each place where weights can lie. Each has a function ``count`` of
the same signature, and each equals ``reference.count`` to the last count.
"""

from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gangplank._native.arrays import dtype_name, host_view, is_array, is_countable, is_tensorflow

__all__ = ["count", "dtype_name", "is_array", "is_countable"]

Count = Callable[[Iterable[Any], NDArray[np.float64]], tuple[NDArray[np.int64], int]]


def count(arrays: Iterable[Any], bounds: NDArray[np.float64]) -> tuple[NDArray[np.int64], int]:
    """Counts the values of `arrays` into the buckets of `bounds`.

    Arguments:
        arrays: arrays, tensors or variables of NumPy, TensorFlow, JAX or PyTorch, of any
            shape and memory layout and of a dtype for which `is_countable` holds. They are
            taken as they are counted, some millions of values at a time.
        bounds: finite upper bounds, strictly increasing, float64, shape (B,), B >= 1.

    Returns:
        The counts, int64, shape (B + 1,): ``counts[i]`` values lie in
        ``bounds[i - 1] < value <= bounds[i]``, compared exactly; and the number of NaN,
        which are in no bucket.
    """
    counts = np.zeros(bounds.size + 1, np.int64)
    nan_count = 0
    for implementation, group in groupby(_placed(arrays), key=lambda placed: placed[0]):
        count_here: Count = import_module(f"{__name__}.{implementation}").count
        group_counts, group_nan_count = count_here((array for _, array in group), bounds)
        counts += group_counts
        nan_count += group_nan_count
    return counts, nan_count


def _placed(arrays: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Each array with the module that counts it, which is imported only when it is needed."""
    for array in arrays:
        if is_tensorflow(array) and _is_on_accelerator(array.device):
            yield "tensorflow_ops", array
        else:
            yield "cpu", host_view(array)


def _is_on_accelerator(device: str) -> bool:
    return device != "" and "CPU" not in device
