"""The one door to counting: arrays and bounds in, counts out.

- `reference`: what a count is; every other way equals it to the last count;
- `moments`: sums of values and of their squares; `moments_kernel` makes them fast;
- `edges`: bounds as edges among bit patterns, so that all else compares integers;
- `cpu`: arrays in host memory; it chooses among the kernels `numpy_kernel` (until it pays to load
  numba), `lane_kernel` (few bounds), `compare_kernel` (the same with AVX-512) and `table_kernel`
  (many), which `jit` compiles;
- `vectors`: what the kernels of explicit vectors share;
- `tensorflow_ops`, `jax_ops`, `torch_ops`: arrays on the devices where they live;
- `devices`: which of these counts an array;
- `arrays`: arrays of each framework as NumPy sees them.
"""

from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gangplank._native import cpu
from gangplank._native.arrays import blocks, dtype_name, is_array, is_countable
from gangplank._native.devices import WHEN_JAX_TRAINS, placed, traced_by_tensorflow, unreadable
from gangplank._native.edges import Bounds
from gangplank._native.moments import Moments, added_up

__all__ = [
    "WHEN_JAX_TRAINS",
    "Bounds",
    "Moments",
    "added_up",
    "count",
    "dtype_name",
    "is_array",
    "is_countable",
    "unreadable",
]

Count = Callable[[Iterable[Any], Bounds, list[Moments] | None], tuple[NDArray[np.int64], int]]


def count(
    arrays: Iterable[Any], bounds: Bounds, moments: list[Moments] | None = None
) -> tuple[NDArray[np.int64], int]:
    """Counts the values of `arrays` into the buckets of `bounds`.

    Arguments:
        arrays: arrays, tensors or variables of NumPy, TensorFlow, JAX or PyTorch, or datasets of
            h5py, of any shape and memory layout and of a dtype for which `is_countable` holds.
            Those in host memory and in files are taken as they are counted, some millions of values
            at a time. What NumPy masks is left out.
        bounds: the B upper bounds.
        moments: where to put those of the values, if they are wanted: `moments.added_up`.

    Returns:
        The counts a bucket, int64, shape (B + 1,), compared exactly; and the number of NaN, which
        are in no bucket. Of an array sharded over processes, each of which has to call this, the
        whole.

    Raises:
        RuntimeError: a framework cannot read an array, whose device may be gone.
    """
    on_device: dict[str, list[Any]] = {}
    counts, nan_count = cpu.count(_in_host_memory(arrays, on_device), bounds, moments)
    for implementation, group in on_device.items():
        count_here: Count = import_module(f"{__name__}.{implementation}").count
        try:
            group_counts, group_nan_count = count_here(group, bounds, moments)
        # Each framework has errors of its own.
        except Exception as error:
            raise _unreadable(group, error) from error
        counts += group_counts
        nan_count += group_nan_count
    return counts, nan_count


def _in_host_memory(arrays: Iterable[Any], on_device: dict[str, list[Any]]) -> Iterator[Any]:
    """Views of those that lie there; the others go into `on_device`, by what counts them."""
    for array in arrays:
        try:
            implementation, there = placed(array)
            if implementation == "cpu":
                yield there
            elif implementation == "h5py":
                yield from blocks(there)
            else:
                on_device.setdefault(implementation, []).append(there)
        except Exception as error:
            raise _unreadable([array], error) from error


def _unreadable(arrays: list[Any], error: Exception) -> RuntimeError:
    if reason := traced_by_tensorflow():
        return RuntimeError(f"Weights cannot be counted: {reason}")
    devices = sorted({str(getattr(array, "device", "the host")) for array in arrays})
    return RuntimeError(f"Weights on {', '.join(devices)} cannot be read there: {error}")
