"""The values of TensorFlow's variables: read without a copy, and many at once."""

import math
import sys
from functools import cache
from typing import Any

import numpy as np

from gangplank._native.arrays import OF_ML_DTYPES

# Variables are read together until they are so many or have so many bytes: a generator's are kept
# until then, and of some a copy is made. One of as many bytes is read by itself, without a copy.
MOST_VARIABLES = 512
MOST_BYTES = 1 << 23

READ_TOGETHER = b"_ReadVariablesOp"


def tensor_of(array: Any) -> Any:
    """The values of a tensor or variable, not copied where they are on its device.

    A sparse update, as of an embedding, leaves a variable such that each read of it makes a copy,
    until that is switched off, as TensorFlow does before it saves one. Where it is off, an update
    makes a copy if the values are still in use.
    """
    tensorflow = sys.modules["tensorflow"]
    if not _is_variable(array):
        return tensorflow.convert_to_tensor(array)
    operations, handle = tensorflow.raw_ops, array.handle
    operations.DisableCopyOnRead(resource=handle)
    # What tf.convert_to_tensor comes to, in half the time.
    return operations.ReadVariableOp(resource=handle, dtype=array.dtype)


def bytes_to_read_with_others(array: Any) -> int | None:
    """How many it has, if it is a variable that `read_together` may read."""
    if not _is_variable(array) or (itemsize := _itemsize(array.dtype)) is None:
        return None
    try:
        nbytes: int = math.prod(array.shape.as_list()) * itemsize
    except (TypeError, ValueError):  # of a shape, or a rank, that is not known
        return None
    return nbytes if nbytes < MOST_BYTES else None


def read_together(variables: list[Any]) -> list[Any]:
    """The values of variables, in less than a third of the time.

    By an operation that has no public call: where it fails, the public one of each decides, and
    where a function is traced, in which variables have no values.
    """
    if not sys.modules["tensorflow"].executing_eagerly():
        return [tensor_of(variable) for variable in variables]
    try:
        from tensorflow.python.eager import context, execute

        dtypes = [variable.dtype.as_datatype_enum for variable in variables]
        return execute.execute(  # type: ignore[no-any-return]
            READ_TOGETHER,
            len(variables),
            inputs=[variable.handle for variable in variables],
            attrs=("N", len(variables), "dtypes", dtypes),
            ctx=context.context(),
        )
    except Exception:
        return [tensor_of(variable) for variable in variables]


def _is_variable(array: Any) -> bool:
    return type(array).__name__ == "ResourceVariable"


@cache
def _itemsize(dtype: Any) -> int | None:
    """The bytes of a value, of a dtype that TensorFlow and NumPy have; None of one of ml_dtypes."""
    if dtype.name in OF_ML_DTYPES:
        return None
    itemsize: int = np.dtype(dtype.name).itemsize
    return itemsize
