"""Arrays of NumPy, TensorFlow, JAX, PyTorch, h5py and of files: whose they are, what they hold.

A framework is looked up among the modules already loaded, never imported: without it there
can be no array of it.
"""

import sys
from collections.abc import Hashable
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np

OF_ML_DTYPES = frozenset(vars(ml_dtypes))
"""The names of dtypes that NumPy has from there."""

_TYPES = {
    "numpy": ("ndarray", "generic"),
    "tensorflow": ("Tensor", "Variable"),
    "jax": ("Array",),
    "jax.core": ("Tracer",),
    "torch": ("Tensor",),
    "h5py": ("Dataset",),
    "gangplank._native.stored_array": ("StoredArray",),
}


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


def memory_of(array: Any) -> Hashable:
    """What tensors of PyTorch have in common that are one, as tied weights are in a state_dict.

    None of what is no tensor of PyTorch's, or does not tell where it lies.
    """
    if framework(array) != "torch":
        return None
    try:
        layout = array.data_ptr(), array.stride(), array.is_neg()
    # Of a sparse one, one that a transformation of functions holds, or one without values as yet.
    except (RuntimeError, ValueError):
        return None
    return (*layout, array.shape, array.dtype, array.device) if layout[0] else None


def dtype_name(array: Any) -> str:
    """The dtype of `array` as NumPy and ml_dtypes call it."""
    name = _name(array.dtype)
    # HDF5 knows no bfloat16: Keras stores two bytes and an attribute.
    if name == "void16" and framework(array) == "h5py":
        kept = array.attrs.get("dtype")
        return "bfloat16" if isinstance(kept, str) and kept == "bfloat16" else name
    return name


@cache
def _name(dtype: Any) -> str:
    return getattr(dtype, "name", None) or str(dtype).removeprefix("torch.")


@cache
def is_countable(name: str) -> bool:
    """Whether a dtype of that name is an integer one, or float64 holds all its values.

    And whether NumPy has it, with ml_dtypes: PyTorch has integers of 3 bits.
    """
    is_number = name.startswith(("float", "bfloat", "int", "uint")) and name != "float128"
    return is_number and (name in OF_ML_DTYPES or hasattr(np, name))
