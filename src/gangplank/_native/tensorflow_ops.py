"""Counting TensorFlow tensors on the device where they live; only the counts leave it.

XLA makes one reduction with many results of it, which reads each weight once. Where there is no
XLA, TensorFlow's own operations count in several passes. They keep int32 tensors of a GPU in host
memory for many kernels (Reshape, StridedSlice, a function's arguments): so weights are reshaped and
sliced before their bits are taken for integers, and from there on patterns and places are int64.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gangplank._native import edges
from gangplank._native.devices import batches
from gangplank._native.moments import MOST_OF_MEAN, NARROW, Rows

# With more edges a value takes a binary search, and a place to count it at.
FEW = 64

# A tensor is counted in parts of so many values, where temporary ones of some bytes for each may be
# made; and what 32 bits count, where there are none.
BLOCK = 1 << 24
MOST = (1 << 31) - 1

# tf.bitcast does not know them; their values, subnormals too, are normal float32 numbers.
_CAST_FIRST = ("float8_e4m3fn", "float8_e5m2")

Reduction = tuple[Any, Any, Callable[[Any, Any], Any]]
"""Values, shape (n,), the result of none of them, and what makes one result of two."""

Found = tuple[Any, Any]
"""Counts a slot, shape (E + 1,), and `_sums`, shape (8,), or (0,) if they are not wanted."""

Program = Callable[[Any, Any], Found]

# The types of devices on which XLA has failed.
_without_xla: set[str] = set()


def found_in(values: Any, patterns: Any, *, has_moments: bool, under_xla: bool) -> Found:
    """What is found in `values`, shape (n,), among `patterns`, int64, shape (E,)."""
    bits = tf.bitcast(values, f"int{8 * values.dtype.size}")
    sums = _sums(values) if has_moments else []
    if not under_xla:
        counts = _by_search(tf.cast(bits, tf.int64), patterns, _lower_bound)
        results = [_REDUCTIONS[operation](each) for each, _, operation in sums]
    elif patterns.shape[0] > FEW:
        counts = _by_search(bits, tf.cast(patterns, bits.dtype), _unrolled_search)
        results = _reduced(sums)
    else:
        ends = tf.unstack(tf.cast(patterns, bits.dtype))
        results = _reduced([*(_number_of(bits <= end) for end in ends), *sums])
        at_most = [0, *results[: len(ends)], tf.size(values)]
        counts = tf.experimental.numpy.diff(tf.stack(at_most))
        results = results[len(ends) :]
    return counts, tf.stack([tf.cast(each, tf.float64) for each in results])


def _number_of(conditions: Any) -> Reduction:
    return tf.cast(conditions, tf.int32), tf.constant(0), tf.add


def _reduced(reductions: Sequence[Reduction]) -> list[Any]:
    """One reduction with many results, as XLA has it."""
    # TensorFlow has it in no public module.
    from tensorflow.compiler.tf2xla.ops import gen_xla_ops

    if not reductions:
        return []
    values, initial, operations = map(list, zip(*reductions, strict=True))
    results = [tf.TensorSpec([], each.dtype) for each in initial]

    @tf.function(input_signature=[*results, *results], autograph=False)  # type: ignore[untyped-decorator]
    def reducer(*pairs: Any) -> list[Any]:
        some, others = pairs[: len(results)], pairs[len(results) :]
        return [of(*pair) for of, *pair in zip(operations, some, others, strict=True)]

    return gen_xla_ops.xla_variadic_reduce_v2(  # type: ignore[no-any-return]
        inputs=values,
        init_values=initial,
        dimensions_to_reduce=[0],
        reducer=reducer.get_concrete_function(),
    )


_REDUCTIONS = {tf.add: tf.reduce_sum, tf.minimum: tf.reduce_min, tf.maximum: tf.reduce_max}


def _by_search(bits: Any, patterns: Any, search: Callable[[Any, Any], Any]) -> Any:
    # tf.math.bincount does not compile under XLA, which wants the size as a constant.
    places = search(bits, patterns)
    size = tf.size(patterns, places.dtype) + 1
    return tf.raw_ops.DenseBincount(input=places, size=size, weights=tf.zeros([0], tf.int32))


def _lower_bound(bits: Any, patterns: Any) -> Any:
    places = tf.raw_ops.LowerBound(
        sorted_inputs=patterns[tf.newaxis], values=bits[tf.newaxis], out_type=tf.int64
    )
    return tf.reshape(places, [-1])


def _unrolled_search(bits: Any, patterns: Any) -> Any:
    step = 1 << (patterns.shape[0].bit_length() - 1)
    padded = tf.concat(
        [patterns, tf.fill([step], tf.constant(patterns.dtype.max, patterns.dtype))], 0
    )
    places = tf.zeros_like(bits, tf.int32)
    while step:
        is_above = tf.gather(padded, places + (step - 1)) < bits
        places += tf.where(is_above, step, 0)
        step >>= 1
    return places


def _sums(values: Any) -> list[Reduction]:
    """What makes up the moments, with the sum of the squares in the place of their distances'."""
    exact, is_zero = _exact(values)
    is_finite = tf.math.is_finite(exact)
    finite = _where(is_finite, exact, 0.0)
    zero, infinity = (tf.constant(each, tf.float64) for each in (0.0, math.inf))
    return [
        *map(_number_of, (is_finite, tf.math.is_nan(exact), tf.math.is_inf(exact), is_zero)),
        (finite, zero, tf.add),
        (finite * finite, zero, tf.add),
        (_where(is_finite, exact, math.inf), infinity, tf.minimum),
        (_where(is_finite, exact, -math.inf), -infinity, tf.maximum),
    ]


@cache
def _traced_distances(dtype: Any) -> Callable[[Any, Any], Any]:
    """The sum of the squared distances of finite values from `mean`."""

    def distances(values: Any, mean: Any) -> Any:
        exact, _ = _exact(values)
        return tf.reduce_sum(tf.square(_where(tf.math.is_finite(exact), exact - mean, 0.0)))

    signature = [tf.TensorSpec([None], dtype), tf.TensorSpec([], tf.float64)]
    return tf.function(distances, input_signature=signature, autograph=False)  # type: ignore[no-any-return]


def _moments(sums: NDArray[np.float64], values: Any) -> Rows:
    """The `Moments` of `values` by their `_sums`."""
    *counts, total, squares, minimum, maximum = sums.tolist()
    mean = total / max(counts[0], 1)
    is_narrow = np.dtype(values.dtype.as_numpy_dtype) in NARROW
    if is_narrow and total * mean <= MOST_OF_MEAN * squares:
        squares -= total * mean
    else:
        mean = tf.constant(mean, tf.float64)
        squares = float(_traced_distances(values.dtype)(values, mean))
    return np.array([[*counts, total, squares, minimum, maximum]])


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
    # LLVM would make a comparison of floats of one of all the bits.
    return exact, (magnitudes | tf.bitwise.right_shift(magnitudes, tf.constant(32, tf.int64))) == 0


@cache
def traced(dtype: Any, edge_count: int, has_moments: bool, under_xla: bool) -> Program:
    """`found_in` as a graph, which XLA compiles for each number of values."""

    def function(values: Any, patterns: Any) -> Found:
        return found_in(values, patterns, has_moments=has_moments, under_xla=under_xla)

    signature = [tf.TensorSpec([None], dtype), tf.TensorSpec([edge_count], tf.int64)]
    return tf.function(  # type: ignore[no-any-return]
        function, input_signature=signature, jit_compile=under_xla or None, autograph=False
    )


def fastest(device: str, dtype: Any, edge_count: int, has_moments: bool) -> Program:
    """`found_in` under XLA, unless that has failed on such a device, or fails now."""
    kind = tf.DeviceSpec.from_string(device).device_type
    without = traced(dtype, edge_count, has_moments, False)
    if kind in _without_xla:
        return without

    def found(values: Any, patterns: Any) -> Found:
        try:
            return traced(dtype, edge_count, has_moments, True)(values, patterns)
        except tf.errors.ResourceExhaustedError:
            raise
        except (tf.errors.OpError, ImportError, AttributeError):
            _without_xla.add(kind)
            return without(values, patterns)

    return found


def count(
    tensors: Iterable[Any],
    bounds: edges.Bounds,
    moments: list[Rows] | None = None,
    *,
    program_for: Callable[[str, Any, int, bool], Program] = fastest,
) -> tuple[NDArray[np.int64], int]:
    """As `gangplank._native.count`; `program_for` gives `found_in`, compiled, for a device."""
    totals = np.zeros(bounds.values.size + 2, np.int64)
    signed = cache(lambda dtype: edges.edges_of(bounds, np.dtype(dtype)).signed())
    running = []
    for (device, dtype), batch in batches(map(tf.convert_to_tensor, tensors), _place, _size):
        # Else TensorFlow would bring it to the first of several accelerators.
        with tf.device(device):
            rows = [tf.reshape(tensor, [-1]) for tensor in batch]
            row = tf.concat(rows, 0) if len(rows) > 1 else rows[0]
            if dtype.name in _CAST_FIRST:
                row = tf.cast(row, tf.float32)
            its_edges = signed(row.dtype.as_numpy_dtype)
            patterns = tf.constant(its_edges.patterns, tf.int64)
            program = program_for(device, row.dtype, its_edges.patterns.size, moments is not None)
            parts = _parts(row, MOST if its_edges.patterns.size <= FEW else BLOCK)
            running += [(its_edges, part, program(part, patterns)) for part in parts]
    # Devices are at work until their results are wanted.
    for its_edges, part, (counts, sums) in running:
        np.add.at(totals, *its_edges.totals(counts.numpy().astype(np.int64)))
        if moments is not None:
            with tf.device(part.device):
                moments.append(_moments(sums.numpy(), part))
    return totals[:-1], int(totals[-1])


def _place(tensor: Any) -> tuple[str, Any]:
    return tensor.device, tensor.dtype


def _size(tensor: Any) -> int:
    return int(tensor.shape.num_elements())


def _parts(row: Any, size: int) -> Iterator[Any]:
    for start in range(0, max(row.shape[0], 1), size):
        yield row[start : start + size]
