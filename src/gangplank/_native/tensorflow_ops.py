"""Counting TensorFlow tensors on the device where they live; only the counts leave it.

TensorFlow keeps int32 tensors of a GPU in host memory for many of its kernels (Reshape,
StridedSlice, a function's arguments). So weights are reshaped and sliced before their bits
are taken for integers, and from there on patterns and places are int64.
"""

import math
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gangplank._native import edges
from gangplank._native.moments import Rows

# Bounds the temporary tensors: a few of 8 bytes a value, some 100 MiB each.
BLOCK = 1 << 24

# tf.bitcast does not know them; their values, subnormals too, are normal float32 numbers.
_CAST_FIRST = ("float8_e4m3fn", "float8_e5m2")


def slots(values: Any, patterns: Any) -> Any:
    """How many of `values`, shape (1, n), lie in each of the slots that `patterns` part."""
    bits = tf.bitcast(values, f"int{8 * values.dtype.size}")
    places = tf.raw_ops.LowerBound(
        sorted_inputs=patterns[tf.newaxis], values=tf.cast(bits, tf.int64), out_type=tf.int64
    )
    # tf.math.bincount does not compile under XLA, which wants the size as a constant.
    return tf.raw_ops.DenseBincount(
        input=tf.reshape(places, [-1]),
        size=tf.size(patterns, tf.int64) + 1,
        weights=tf.zeros([0], tf.int32),
    )


def moments_of(values: Any) -> Rows:
    """The moments of `values`, shape (1, n), n >= 1."""
    exact, is_zero = _exact(values)
    is_finite = tf.math.is_finite(exact)
    size = _number_of(is_finite)
    total = tf.reduce_sum(_where(is_finite, exact, 0.0))
    squares = tf.reduce_sum(tf.square(_where(is_finite, exact - total / size, 0.0)))
    minimum = tf.reduce_min(_where(is_finite, exact, math.inf))
    maximum = tf.reduce_max(_where(is_finite, exact, -math.inf))
    not_finite = _number_of(tf.math.is_nan(exact)), _number_of(tf.math.is_inf(exact))
    row = tf.stack([size, *not_finite, _number_of(is_zero), total, squares, minimum, maximum])
    return row.numpy()[np.newaxis]  # type: ignore[no-any-return]


def _number_of(conditions: Any) -> Any:
    return tf.reduce_sum(tf.cast(conditions, tf.float64))


def _where(conditions: Any, values: Any, other: float) -> Any:
    return tf.where(conditions, values, tf.constant(other, tf.float64))


def _exact(values: Any) -> tuple[Any, Any]:
    """`values` as float64, and which of them are zero.

    By their bits, since TensorFlow's threads take subnormals for zero.
    """
    exact = tf.cast(values, tf.float64)
    if values.dtype.name not in ("float64", "float32", "float16", "bfloat16"):
        return exact, exact == 0
    limits = ml_dtypes.finfo(values.dtype.as_numpy_dtype)
    bits = tf.cast(tf.bitcast(values, f"int{limits.bits}"), tf.int64)
    magnitudes = bits & ((1 << (limits.bits - 1)) - 1)
    if limits.bits < 64:
        tiny = tf.cast(magnitudes, tf.float64) * 2.0 ** (limits.minexp - limits.nmant)
        tiny = tf.where(bits < 0, -tiny, tiny)
        exact = tf.where(magnitudes < 1 << limits.nmant, tiny, exact)
    return exact, magnitudes == 0


@cache
def traced_slots(dtype: Any) -> Callable[[Any, Any], Any]:
    """`slots` as a graph for `dtype`, traced once for all shapes and all numbers of bounds."""
    signature = [tf.TensorSpec([1, None], dtype), tf.TensorSpec([None], tf.int64)]
    return tf.function(slots, input_signature=signature)  # type: ignore[no-any-return]


def count(
    tensors: Iterable[Any],
    bounds: edges.Bounds,
    moments: list[Rows] | None = None,
    *,
    slots_for: Callable[[Any], Callable[[Any, Any], Any]] = traced_slots,
) -> tuple[NDArray[np.int64], int]:
    """As `gangplank._native.count`; `slots_for` gives `slots`, compiled, for a dtype."""
    totals = np.zeros(bounds.values.size + 2, np.int64)
    signed = cache(lambda dtype: edges.edges_of(bounds, np.dtype(dtype)).signed())
    for tensor in map(tf.convert_to_tensor, tensors):
        if tensor.dtype.name in _CAST_FIRST:
            with tf.device(tensor.device):
                tensor = tf.cast(tensor, tf.float32)
        its_edges = signed(tensor.dtype.as_numpy_dtype)
        count_slots = slots_for(tensor.dtype)
        # Else TensorFlow would bring it to the first of several accelerators.
        with tf.device(tensor.device):
            patterns = tf.constant(its_edges.patterns, tf.int64)
            for block in _blocks(tensor):
                np.add.at(totals, *its_edges.totals(count_slots(block, patterns).numpy()))
                if moments is not None:
                    moments.append(moments_of(block))
    return totals[:-1], int(totals[-1])


def _blocks(tensor: Any) -> Iterable[Any]:
    row = tf.reshape(tensor, [1, -1])
    for start in range(0, row.shape[1], BLOCK):
        yield row[:, start : start + BLOCK]
