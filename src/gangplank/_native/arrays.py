"""Arrays of NumPy, TensorFlow, JAX, PyTorch and h5py: what they hold and how NumPy sees them.

A framework is looked up among the modules already loaded, never imported: without it there
can be no array of it.
"""

import math
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

_TYPES = {
    "numpy": ("ndarray", "generic"),
    "tensorflow": ("Tensor", "Variable"),
    "jax": ("Array",),
    "jax.core": ("Tracer",),
    "torch": ("Tensor",),
    "h5py": ("Dataset",),
}

# A dataset is read that many values at a time.
BLOCK = 1 << 20

_OF_ML_DTYPES = frozenset(vars(ml_dtypes))


@cache
def _framework_of(kind: type[Any]) -> str | None:
    for name, types in _TYPES.items():
        loaded = sys.modules.get(name)
        if any(issubclass(kind, getattr(loaded, each, ())) for each in types):
            return name.partition(".")[0]
    return None


def is_array(value: Any) -> bool:
    """Whether `value` is an array, a tensor or a framework's variable."""
    return framework(value) is not None


def framework(value: Any) -> str | None:
    """Whose array, tensor or variable `value` is: "numpy", "tensorflow" and so on."""
    return _framework_of(value.__class__)


def dtype_name(array: Any) -> str:
    """The dtype of `array` as NumPy and ml_dtypes call it."""
    name = _name(array.dtype)
    # HDF5 knows no bfloat16: Keras stores two bytes and an attribute.
    if name == "void16" and framework(array) == "h5py" and array.attrs.get("dtype") == "bfloat16":
        return "bfloat16"
    return name


@cache
def _name(dtype: Any) -> str:
    return getattr(dtype, "name", None) or str(dtype).removeprefix("torch.")


@cache
def is_countable(name: str) -> bool:
    """Whether a dtype of that name is an integer one, or float64 holds all its values."""
    return name.startswith(("float", "bfloat", "int", "uint")) and name != "float128"


def host_view(array: Any) -> NDArray[Any]:
    """`array` as NumPy sees it: a view where it lies in host memory, else a copy.

    What NumPy masks is left out.
    """
    owner = framework(array)
    if owner == "tensorflow":
        return _tensorflow_view(array)
    if owner == "torch":
        return _torch_view(array)
    if isinstance(array, np.ma.MaskedArray):
        return array.compressed()
    return np.asarray(array)


def blocks(dataset: Any) -> Iterator[NDArray[Any]]:
    """The values of a dataset of h5py, of which only so many are in memory at a time."""
    for place in _places(dataset.shape):
        block = np.asarray(dataset[place])
        yield block.view(ml_dtypes.bfloat16) if dtype_name(dataset) == "bfloat16" else block


def _places(shape: tuple[int, ...] | None) -> Iterator[tuple[int | slice, ...]]:
    """Indices that cut an array of `shape` into blocks of at most `BLOCK` values."""
    if shape is None:  # which h5py.Empty has
        return
    rows = BLOCK // max(math.prod(shape[1:]), 1)
    if math.prod(shape) <= BLOCK:
        yield ()
    elif rows:
        yield from ((slice(start, start + rows),) for start in range(0, shape[0], rows))
    else:
        yield from ((i, *place) for i in range(shape[0]) for place in _places(shape[1:]))


def _tensorflow_view(array: Any) -> NDArray[Any]:
    tensor = _tensor(array)
    name = dtype_name(tensor)
    if name == "bfloat16":
        bits = sys.modules["tensorflow"].bitcast(tensor, "int16")
        return np.asarray(memoryview(bits)).view(ml_dtypes.bfloat16)
    if name in _OF_ML_DTYPES:
        return tensor.numpy()  # type: ignore[no-any-return]
    # Unlike .numpy(), no copy.
    return np.asarray(memoryview(tensor))


def _tensor(array: Any) -> Any:
    tf = sys.modules["tensorflow"]
    if type(array).__name__ == "ResourceVariable":
        # What tf.convert_to_tensor comes to, in half the time.
        return tf.raw_ops.ReadVariableOp(resource=array.handle, dtype=array.dtype)
    return tf.convert_to_tensor(array)


def _torch_view(array: Any) -> NDArray[Any]:
    tensor = array.detach().cpu().resolve_neg()
    name = dtype_name(tensor)
    if name not in _OF_ML_DTYPES:
        return tensor.numpy()  # type: ignore[no-any-return]
    bits = getattr(sys.modules["torch"], f"int{8 * tensor.itemsize}")
    return tensor.view(bits).numpy().view(getattr(ml_dtypes, name))  # type: ignore[no-any-return]
