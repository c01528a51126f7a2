"""Counting TensorFlow tensors on the device where they live; only the counts leave it.

TensorFlow keeps int32 tensors of a GPU in host memory for many of its kernels (Reshape,
StridedSlice, a function's arguments). So weights are reshaped and sliced before their bits
are taken for integers, and from there on keys and places are int64.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gangplank._native import keys

# Bounds the temporary tensors: a few of 8 bytes a value, some 100 MiB each.
BLOCK = 1 << 24

# tf.bitcast does not know them; their values, subnormals too, are normal float32 numbers.
_CAST_FIRST = ("float8_e4m3fn", "float8_e5m2")


def slots(values: Any, sign_shift: Any, magnitude: Any, sign: Any, edges: Any) -> Any:
    """How many of `values`, shape (1, n), lie in each of the E + 1 slots between E edges."""
    x = tf.bitcast(values, magnitude.dtype)
    negative = tf.bitwise.right_shift(x, sign_shift)
    x = tf.bitwise.bitwise_xor(x, tf.bitwise.bitwise_and(negative, magnitude))
    value_keys = tf.cast(tf.bitwise.bitwise_xor(x, sign), tf.int64)
    places = tf.raw_ops.LowerBound(
        sorted_inputs=edges[tf.newaxis], values=value_keys, out_type=tf.int64
    )
    # tf.math.bincount does not compile under XLA, which wants the size as a constant.
    return tf.raw_ops.DenseBincount(
        input=tf.reshape(places, [-1]),
        size=tf.size(edges, tf.int64) + 1,
        weights=tf.zeros([0], tf.int32),
    )


@cache
def traced_slots(dtype: Any, key_dtype: Any) -> Callable[..., Any]:
    """`slots` as a graph for `dtype`, traced once for all shapes and all numbers of bounds."""
    constant = tf.TensorSpec([], key_dtype)
    return tf.function(  # type: ignore[no-any-return]
        slots,
        input_signature=[
            tf.TensorSpec([1, None], dtype),
            constant,
            constant,
            constant,
            tf.TensorSpec([None], tf.int64),
        ],
    )


def count(
    tensors: Iterable[Any],
    bounds: NDArray[np.float64],
    *,
    slots_for: Callable[[Any, Any], Callable[..., Any]] = traced_slots,
) -> tuple[NDArray[np.int64], int]:
    """As `gangplank._native.count`; `slots_for` gives `slots`, compiled, for a dtype."""
    counts = np.zeros(bounds.size + 1, np.int64)
    nan_count = 0
    for tensor in map(tf.convert_to_tensor, tensors):
        if tensor.dtype.name in _CAST_FIRST:
            tensor = tf.cast(tensor, tf.float32)
        dtype = np.dtype(tensor.dtype.as_numpy_dtype)
        code = keys.KEY_CODES[dtype]
        edges, below = keys.edges(bounds, dtype)
        constants = [
            tf.constant(constant, code.key_dtype)
            for constant in (code.sign_shift, code.magnitude, code.sign)
        ]
        device_edges = tf.constant(edges, tf.int64)
        count_slots = slots_for(tensor.dtype, tf.as_dtype(code.key_dtype))
        at_most = np.zeros(edges.size, np.int64)
        for block in _blocks(tensor):
            at_most += np.cumsum(count_slots(block, *constants, device_edges).numpy())[:-1]
        tensor_counts, tensor_nan_count = keys.counts_between(
            at_most, below, tensor.shape.num_elements()
        )
        counts += tensor_counts
        nan_count += tensor_nan_count
    return counts, nan_count


def _blocks(tensor: Any) -> Iterable[Any]:
    row = tf.reshape(tensor, [1, -1])
    for start in range(0, row.shape[1], BLOCK):
        yield row[:, start : start + BLOCK]
