"""The one door to counting: arrays and bounds in, counts out.

- `reference`: what a count is; every other way equals it to the last count;
- `moments`: sums of values and of their squares;
- `measured`: what is known of some values, and adds up;
- `edges`: bounds as edges among bit patterns, so that all else compares integers;
- `cpu`: arrays in host memory; it chooses among `kernels`, and how many threads run them;
- `pieces`: how arrays in host memory are cut, joined and shared among threads for it;
- `gathered`: small arrays that one call is to serve;
- `subnormals`: threads that do not take these for zero;
- `columns`: many columns of values, each with buckets of its own;
- `cuda`: arrays of any framework on NVIDIA's GPUs, by a kernel in CUDA C++;
- `tensorflow_ops`, `jax_ops`, `torch_ops`: arrays on other devices, by their own operations;
- `devices`: which of these counts an array;
- `host_memory`: arrays of each framework as NumPy sees them;
- `tensorflow_variables`: those of TensorFlow's, read without a copy;
- `stored_array`: an array in a file, of which only some pieces are in memory at a time;
- `arrays`: whose arrays they are, and of which dtype.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

from gangplank._native import cpu
from gangplank._native.arrays import dtype_name, is_array, is_countable, memory_of
from gangplank._native.columns import count_columns, keys_of
from gangplank._native.devices import WHEN_JAX_TRAINS, placed, read_error, unreadable
from gangplank._native.edges import Bounds
from gangplank._native.host_memory import blocks as dataset_blocks
from gangplank._native.host_memory import host_view, host_views
from gangplank._native.measured import Measured, measure_by
from gangplank._native.stored_array import StoredArray
from gangplank._native.subnormals import keeping_subnormals

__all__ = [
    "WHEN_JAX_TRAINS",
    "Bounds",
    "Measured",
    "StoredArray",
    "count_columns",
    "dataset_blocks",
    "dtype_name",
    "host_view",
    "is_array",
    "is_countable",
    "keeping_subnormals",
    "keys_of",
    "measure",
    "memory_of",
    "unreadable",
]

# What the implementations for devices count with where only moments are wanted.
_ANY_BOUNDS = Bounds.of([0.0])


def measure(
    groups: Iterable[Iterable[Any]], bounds: Bounds | None, *, has_moments: bool = False
) -> list[Measured]:
    """Counts the values of each group of arrays, and sums them.

    Arguments:
        groups: arrays, tensors or variables of NumPy, TensorFlow, JAX or PyTorch, datasets of
            h5py, or arrays stored in files, of any shape and memory layout and of a dtype for which
            `is_countable` holds. Those in host memory and in files are taken as they are counted,
            some millions of values at a time; until then they must keep their values. What NumPy
            masks is left out.
        bounds: the B upper bounds; None counts nothing.
        has_moments: whether moments are wanted.

    Returns:
        What is known of each group. Of an array sharded over processes, each of which has to call
        this, the whole.

    Raises:
        RuntimeError: a framework cannot read an array, whose device may be gone.
    """
    measured: list[Measured] = []
    on_device: dict[str, list[tuple[int, Any]]] = {}
    in_host_memory = _in_host_memory(groups, measured, on_device)
    cpu.measure(host_views(in_host_memory), bounds, measured, has_moments=has_moments)
    for implementation, pieces in on_device.items():
        module = import_module(f"{__name__}.{implementation}")
        has_groups = hasattr(module, "measure")
        measure_here = module.measure if has_groups else partial(measure_by, module.count)
        try:
            measure_here(pieces, bounds or _ANY_BOUNDS, measured, has_moments=has_moments)
        # Each framework has errors of its own.
        except Exception as error:
            raise read_error([array for _, array in pieces], error) from error
    return measured


def _in_host_memory(
    groups: Iterable[Iterable[Any]],
    measured: list[Measured],
    on_device: dict[str, list[tuple[int, Any]]],
) -> Iterator[tuple[int, Any]]:
    """Those that lie there, with the numbers of their groups, each of which is begun.

    The others go into `on_device`, by what counts them.
    """
    for number, arrays in enumerate(groups):
        measured.append(Measured())
        for array in arrays:
            try:
                implementation, there = placed(array)
            except Exception as error:
                raise read_error([array], error) from error
            if implementation == "cpu":
                yield number, there
            else:
                on_device.setdefault(implementation, []).append((number, there))
