"""Counting TensorFlow tensors on the device where they live; only the counts leave it.

XLA makes one reduction with many results of it, which reads each weight once. Where there is no
XLA, TensorFlow's own operations count in several passes. They keep int32 tensors of a GPU in host
memory for many kernels (Reshape, StridedSlice, a function's arguments): so weights are reshaped and
sliced before their bits are taken for integers, and from there on patterns and places are int64.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from typing import Any

import ml_dtypes
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gangplank._native import edges
from gangplank._native.devices import FEW, MOST_IN_32_BITS, Running, batches
from gangplank._native.moments import Rows, of_sums
from gangplank._native.tensorflow_variables import tensor_of
from gangplank.harmless_logger import HarmlessLogger

# Values of a part, where temporary tensors of some bytes for each are made.
BLOCK = 1 << 24

# tf.bitcast does not know them; their values, subnormals too, are normal float32 numbers.
_CAST_FIRST = ("float8_e4m3fn", "float8_e5m2")

Reduction = tuple[Any, Any, Callable[[Any, Any], Any]]
"""Values, shape (n,), the result of none of them, and what makes one result of two."""

Run = Callable[[str, Callable[..., Any], int, Any, Any], list[Any]]
"""Runs a program, which is asked for by whether XLA may compile it, on parts of so many values."""

# The types of devices on which XLA has failed.
_without_xla: set[str] = set()

_logger = HarmlessLogger(__name__)


def found_in(values: Any, patterns: Any, *, has_moments: bool, under_xla: bool) -> tuple[Any, Any]:
    """What is found in `values`, shape (n,), among `patterns`, int64, shape (E,).

    Counts a slot, shape (E + 1,), and `_sums`, shape (8,), or (0,) if they are not wanted.
    """
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


def distances_in(values: Any, mean: Any, *, under_xla: bool) -> Any:
    """The sum of the squared distances of finite values from `mean`."""
    exact, _ = _exact(values)
    is_finite = tf.math.is_finite(exact)
    squares = tf.square(_where(is_finite, exact - mean, 0.0))
    if not under_xla:
        return tf.reduce_sum(squares)
    # Both, since for a reduction with one result XLA made a temporary tensor.
    zero = tf.constant(0.0, tf.float64)
    total, size = _reduced([(squares, zero, tf.add), _number_of(is_finite)])
    return tf.where(size > 0, total, zero)


def _where(conditions: Any, values: Any, other: float) -> Any:
    return tf.where(conditions, values, tf.constant(other, tf.float64))


def _exact(values: Any) -> tuple[Any, Any]:
    """`values` as float64, and which of them are zero.

    By their bits, since TensorFlow's threads take subnormals for zero.
    """
    exact = tf.cast(values, tf.float64)
    if np.dtype(values.dtype.as_numpy_dtype) not in edges.IEEE:
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
def traced(dtype: Any, edge_count: int, has_moments: bool, under_xla: bool) -> Any:
    """`found_in` as a graph, which XLA compiles for each number of values."""

    def found(values: Any, patterns: Any) -> tuple[Any, Any]:
        return found_in(values, patterns, has_moments=has_moments, under_xla=under_xla)

    return _traced(found, dtype, tf.TensorSpec([edge_count], tf.int64), under_xla)


@cache
def traced_distances(dtype: Any, under_xla: bool) -> Any:
    """The same of `distances_in`."""

    def distances(values: Any, mean: Any) -> Any:
        return distances_in(values, mean, under_xla=under_xla)

    return _traced(distances, dtype, tf.TensorSpec([], tf.float64), under_xla)


def _traced(function: Callable[..., Any], dtype: Any, argument: Any, under_xla: bool) -> Any:
    signature = [tf.TensorSpec([None], dtype), argument]
    options = {"jit_compile": True} if under_xla else {}
    return tf.function(function, input_signature=signature, autograph=False, **options)


def by_xla(
    device: str, program: Callable[..., Any], part_size: int, values: Any, argument: Any
) -> list[Any]:
    """Runs a program under XLA, unless that has failed on such a device, or fails now."""
    kind = tf.DeviceSpec.from_string(device).device_type
    if kind not in _without_xla:
        try:
            compiled = program(under_xla=True)
            return [compiled(part, argument) for part in _parts(values, part_size)]
        except tf.errors.ResourceExhaustedError:
            raise
        except (tf.errors.OpError, ImportError, AttributeError) as error:
            _without_xla.add(kind)
            _logger.warning("Weights on a %s are counted without XLA, which fails: %s", kind, error)
    return without_xla(device, program, part_size, values, argument)


def without_xla(
    device: str, program: Callable[..., Any], part_size: int, values: Any, argument: Any
) -> list[Any]:
    """Runs a program by TensorFlow's own operations."""
    plain = program(under_xla=False)
    return [plain(part, argument) for part in _parts(values, BLOCK)]


def count(
    tensors: Iterable[Any],
    bounds: edges.Bounds,
    moments: list[Rows] | None = None,
    *,
    run: Run = by_xla,
) -> tuple[NDArray[np.int64], int]:
    """A `CountArrays`; `run` is one of the two above."""
    totals = np.zeros(bounds.values.size + 2, np.int64)
    signed = cache(lambda dtype: edges.edges_of(bounds, np.dtype(dtype)).signed())

    def finish(its_edges: edges.Edges, device: str, values: Any, found: list[Any]) -> None:
        for counts, _ in found:
            np.add.at(totals, *its_edges.totals(counts.numpy().astype(np.int64)))
        if moments is not None:
            sums = np.stack([each.numpy() for _, each in found])
            with tf.device(device):
                moments.append(_moments(sums, device, values, run))

    running = Running(finish)
    for (device, dtype), batch in batches(map(tensor_of, tensors), _place, _size):
        # Else TensorFlow would bring it to the first of several accelerators.
        with tf.device(device):
            rows = [tf.reshape(tensor, [-1]) for tensor in batch]
            values = tf.concat(rows, 0) if len(rows) > 1 else rows[0]
            if dtype.name in _CAST_FIRST:
                values = tf.cast(values, tf.float32)
            its_edges = signed(values.dtype.as_numpy_dtype)
            edge_count = its_edges.patterns.size
            program = partial(traced, values.dtype, edge_count, moments is not None)
            patterns = tf.constant(its_edges.patterns, tf.int64)
            found = run(
                device, program, MOST_IN_32_BITS if edge_count <= FEW else BLOCK, values, patterns
            )
            kept = values if moments is not None else None
            running.add(0 if kept is None else _size(values), its_edges, device, kept, found)
    running.finish()
    return totals[:-1], int(totals[-1])


def _moments(sums: NDArray[np.float64], device: str, values: Any, run: Run) -> Rows:
    """The moments of `values` by the `_sums` of their parts."""

    def distances(mean: float) -> float:
        program = partial(traced_distances, values.dtype)
        parts = run(device, program, MOST_IN_32_BITS, values, tf.constant(mean, tf.float64))
        return sum(float(each) for each in parts)

    return of_sums(sums, np.dtype(values.dtype.as_numpy_dtype), distances)


def _place(tensor: Any) -> tuple[str, Any]:
    return tensor.device, tensor.dtype


def _size(tensor: Any) -> int:
    return int(tensor.shape.num_elements())


def _parts(row: Any, size: int) -> Iterator[Any]:
    for start in range(0, max(row.shape[0], 1), size):
        yield row[start : start + size]
