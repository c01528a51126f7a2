"""Arrays of NumPy, TensorFlow, JAX and PyTorch: what they hold and how NumPy sees them.

A framework is looked up among the modules already loaded, never imported: without it there
can be no array of it.
"""

import sys
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray


def is_array(value: Any) -> bool:
    """Whether `value` is an array, a tensor or a framework's variable."""
    return (
        isinstance(value, np.ndarray | np.generic)
        or is_tensorflow(value)
        or _is_instance(value, "jax", "Array")
        or _is_instance(value, "torch", "Tensor")
    )


def is_tensorflow(value: Any) -> bool:
    return _is_instance(value, "tensorflow", "Tensor", "Variable")


def _is_instance(value: Any, module: str, *types: str) -> bool:
    loaded = sys.modules.get(module)
    return any(isinstance(value, getattr(loaded, name, ())) for name in types)


def dtype_name(array: Any) -> str:
    """The dtype of `array` as NumPy and ml_dtypes call it."""
    return getattr(array.dtype, "name", None) or str(array.dtype).removeprefix("torch.")


def is_countable(name: str) -> bool:
    """Whether a dtype of that name is an integer one, or float64 holds all its values."""
    return name.startswith(("float", "bfloat", "int", "uint")) and name != "float128"


def host_view(array: Any) -> NDArray[Any]:
    """`array` as NumPy sees it: a view where it lies in host memory, else a copy."""
    if is_tensorflow(array):
        return _tensorflow_view(array)
    if _is_instance(array, "torch", "Tensor"):
        return _torch_view(array)
    return np.asarray(array)


def _tensorflow_view(array: Any) -> NDArray[Any]:
    tf = sys.modules["tensorflow"]
    tensor = tf.convert_to_tensor(array)
    if tensor.dtype == tf.bfloat16:
        return np.asarray(memoryview(tf.bitcast(tensor, tf.int16))).view(ml_dtypes.bfloat16)
    if hasattr(ml_dtypes, tensor.dtype.name):
        return tensor.numpy()  # type: ignore[no-any-return]
    # Unlike .numpy(), no copy.
    return np.asarray(memoryview(tensor))


def _torch_view(array: Any) -> NDArray[Any]:
    tensor = array.detach().cpu().resolve_neg()
    name = dtype_name(tensor)
    if not hasattr(ml_dtypes, name):
        return tensor.numpy()  # type: ignore[no-any-return]
    bits = getattr(sys.modules["torch"], f"int{8 * tensor.itemsize}")
    return tensor.view(bits).numpy().view(getattr(ml_dtypes, name))  # type: ignore[no-any-return]
