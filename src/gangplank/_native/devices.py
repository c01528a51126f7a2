"""Where each array is counted: in host memory, or on the devices where it lives."""

import sys
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, TypeVar

from gangplank._native.arrays import framework
from gangplank._native.cuda import driver
from gangplank._native.gathered import gathered

Place = TypeVar("Place", bound=Hashable)

# Arrays of fewer values are joined on their device, up to so many, instead of a call for each.
SMALL = 1 << 16
TOGETHER = 1 << 22

# So many values are kept at most until what was made of them is known.
MOST_KEPT = 1 << 26

# With more edges XLA's programs search. On a GPU XLA makes tensors of as many reductions as 40 or
# 60 have, of many bytes a value, instead of reading the values once.
FEW = 32

# What 32 bits count, in which devices do.
MOST_IN_32_BITS = (1 << 31) - 1

WHEN_JAX_TRAINS = (
    "Count when Keras has the new weights: in on_epoch_end, on_train_end or after fit; in a hook "
    "of a batch call model.jax_state_sync() first."
)

_TRACED = (
    "{} traces a function here, in which weights have no values yet. Count outside of it, as a "
    "Keras callback does, or by"
)


def placed(array: Any) -> tuple[str, Any]:
    """What counts `array`, and what that is given: the same, or one copy of it."""
    owner = framework(array)
    if owner == "jax" and len(array.sharding.device_set) > 1:
        return (
            placed(array.addressable_data(0)) if array.is_fully_replicated else ("jax_ops", array)
        )
    kind = _kind_of_device(owner, array)
    if kind == "cpu":
        return "cpu", array
    # On an H200 operations took 4 to 156 times as long (benchmarks/results/device.md).
    is_on_cuda = kind in ("cuda", "gpu") and driver.driver() is not None
    return ("cuda.ops" if is_on_cuda else f"{owner}_ops"), array


def batches(
    arrays: Iterable[Any], place_of: Callable[[Any], Place], size_of: Callable[[Any], int]
) -> Iterator[tuple[Place, list[Any]]]:
    """Large arrays one by one, the small ones of a place together, and none without values."""
    return gathered(arrays, place_of, size_of, below=SMALL, up_to=TOGETHER)


class Running:
    """What was begun on devices, which are at work until its results are wanted.

    Arguments:
        finish: takes the results.
    """

    def __init__(self, finish: Callable[..., None]) -> None:
        self._finish = finish
        self._begun: list[tuple[Any, ...]] = []
        self._values = 0

    def add(self, size: int, *results: Any) -> None:
        """Keeps results, and `size` values that they keep in memory, until these are many."""
        self._begun.append(results)
        self._values += size
        if self._values >= MOST_KEPT:
            self.finish()

    def finish(self) -> None:
        """Waits for all results."""
        for results in self._begun:
            self._finish(*results)
        self._begun.clear()
        self._values = 0


def unreadable(array: Any) -> str | None:
    """Why nobody can read `array` here, and what to do; None if one can."""
    owner = framework(array)
    if owner == "torch":
        return _unreadable_by_torch(array)
    if owner == "jax":
        return _unreadable_by_jax(array)
    return None


def read_error(arrays: list[Any], error: Exception) -> RuntimeError:
    """What to raise where a framework's `error` came of reading `arrays`."""
    if reason := _traced_by_tensorflow():
        return RuntimeError(f"Weights cannot be counted: {reason}")
    devices = sorted({str(getattr(array, "device", "the host")) for array in arrays})
    return RuntimeError(f"Weights on {', '.join(devices)} cannot be read there: {error}")


def _traced_by_tensorflow() -> str | None:
    # The same of all its tensors and variables, so one asks only when one of them fails.
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or tensorflow.executing_eagerly():
        return None
    return f"{_TRACED.format('TensorFlow')} tf.py_function."


def _unreadable_by_jax(array: Any) -> str | None:
    if isinstance(array, sys.modules["jax"].core.Tracer):
        return f"{_TRACED.format('JAX')} jax.debug.callback."
    if array.is_deleted():
        return (
            "JAX has deleted it, as a compiled step does with the weights that are donated to it. "
            + WHEN_JAX_TRAINS
        )
    if not array.sharding.addressable_devices:
        return (
            "this process holds no share of it. Call this in the processes whose devices are in "
            f"its mesh, {array.sharding}."
        )
    return None


def _unreadable_by_torch(tensor: Any) -> str | None:
    if tensor.is_meta:
        return "it is on the meta device, where tensors have no values. Give it some first."
    if tensor.is_nested:
        return "it is nested. Pass the tensors that its unbind() gives."
    if tensor.layout != sys.modules["torch"].strided:
        return f"its layout is {tensor.layout}. Pass its to_dense(), or the values() that it holds."
    if hasattr(tensor, "full_tensor"):
        return "it is a DTensor, which may be sharded. Pass its full_tensor(), in every process."
    if _is_freed(tensor):
        return "its storage was freed, as FSDP does with shares that are gathered when needed."
    return None


def _is_freed(tensor: Any) -> bool:
    """Whether its storage ends before its values do: PyTorch shows NumPy what lies there else."""
    try:
        nbytes = tensor.untyped_storage().nbytes()
    # It has none: what reads it tells of that.
    except (NotImplementedError, ValueError):
        return False
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    last = tensor.storage_offset() + sum((size - 1) * step for size, step in steps)
    return bool(tensor.numel() and nbytes < (last + 1) * tensor.itemsize)


def _kind_of_device(owner: str | None, array: Any) -> str:
    """The framework's name for it, in lower case."""
    if owner == "tensorflow":
        # Such as /job:localhost/replica:0/task:0/device:GPU:1; a symbolic tensor is nowhere.
        name: str = array.device
        is_on_cpu = not name or "CPU" in name
        return "cpu" if is_on_cpu else name.rpartition("device:")[2].partition(":")[0].lower()
    if owner == "torch":
        return str(array.device.type)
    if owner == "jax":
        return str(next(iter(array.devices())).platform)
    return "cpu"
