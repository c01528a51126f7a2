"""The one door to counting: arrays and bounds in, counts out.

- `reference`: what a count is; every other way equals it to the last count;
- `edges`: bounds as edges among bit patterns, so that all else compares integers;
- `cpu`: arrays in host memory; it chooses among the kernels `without_numba` (until it pays to load
  numba), `comparing` (few bounds) and `looking_up` (many), which `jit` compiles;
- `tensorflow_ops`: TensorFlow's tensors, on the device where they lie;
- `arrays`: arrays of each framework as NumPy sees them.
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
        bounds: finite upper bounds, strictly increasing, float64, shape (B,), B >= 1. Zero is
            0.0 among them, not -0.0.

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
