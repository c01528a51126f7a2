"""A kernel for moments: explicit vectors, which sum at the speed at which memory is read.

NumPy takes several times as long (benchmarks/test_kernels.py), and LLVM makes no vectors of a
scalar loop of these sums, whose order it has to keep. Both give the same bits.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, register_jitable
from numpy.typing import NDArray

from gangplank._native.kernels.jit import compiled, read_only
from gangplank._native.kernels.vectors import BLOCK_BYTES, I64, constant, fetch_block, loaded, splat
from gangplank._native.moments import (
    BLOCK,
    EXPLICIT,
    LANES,
    MOST_OF_MEAN,
    NARROW,
    Moments,
    Rows,
    moments_of,
)

# Those of AVX-512; LLVM makes two of each where they are half as wide. Extremes are kept of two by
# turns, so that none waits for the one before.
VECTOR_BYTES = 64
TURNS = 2

SUMS = ir.VectorType(ir.DoubleType(), LANES)

T = TypeVar("T")


def compiled_moments_of(values: NDArray[Any], ends: NDArray[np.int64] | None = None) -> Rows:
    """As `moments_of`, to the last bit; with `ends`, of each of the parts that `summed` knows."""
    if values.dtype not in EXPLICIT:
        with np.errstate(invalid="ignore"):  # which a signalling NaN would report
            values = values.astype(np.float32 if values.dtype in NARROW else np.float64)
    return summed(values, _sum, ends)[0]


def summed(
    values: NDArray[Any], kernel: Callable[..., T], ends: NDArray[np.int64] | None = None
) -> tuple[Rows, T]:
    """The moments of `values`, of a dtype of `EXPLICIT`, and what `kernel` returns.

    It is given what `sum_blocks` takes. There is a row for each block or, where there are `ends`,
    for each part, of a value at least and of a block at most: these end, one after the other,
    before `ends`.
    """
    if ends is None:
        ends = np.minimum(np.arange(BLOCK, values.size + BLOCK, BLOCK), values.size)
    rows = np.empty((ends.size, len(Moments._fields)))
    bits = values.view(f"u{values.itemsize}")
    magnitude = (1 << (8 * values.itemsize - 1)) - 1
    result = kernel(rows, ends, read_only(values), read_only(bits), magnitude)
    for i in (~np.isfinite(rows[:, 4])).nonzero()[0]:
        rows[i] = moments_of(values[ends[i - 1] if i else 0 : ends[i]])
    return rows, result


@compiled
def _sum(
    rows: Rows, ends: NDArray[np.int64], values: NDArray[Any], bits: NDArray[Any], magnitude: int
) -> None:
    sum_blocks(rows, ends, values, bits, magnitude, _count_nothing, _move_nothing, ())


@register_jitable(_nrt=False)  # type: ignore[untyped-decorator]
def _count_nothing(bits: Any, start: Any, counting: Any) -> None:
    pass


@register_jitable(_nrt=False)  # type: ignore[untyped-decorator]
def _move_nothing(counting: Any) -> None:
    pass


@register_jitable  # type: ignore[untyped-decorator]
def sum_blocks(
    rows: Rows,
    ends: NDArray[np.int64],
    values: NDArray[Any],
    bits: NDArray[Any],
    magnitude: int,
    count: Any,
    move: Any,
    counting: tuple[Any, ...],
) -> None:
    """The moments of each part, the last value of which is before `ends`; they mean nothing where
    their total is not finite.

    `count` is given the `bits`, the start of each `BLOCK_BYTES` of them that are whole, and
    `counting`. While it computes, memory is read. After each part `move` is given `counting`.
    """
    step = BLOCK_BYTES // values.itemsize
    is_narrow = values.itemsize == 4
    lanes, squares = np.zeros(LANES), np.zeros(LANES)
    least = np.zeros(TURNS * VECTOR_BYTES // values.itemsize, values.dtype)
    greatest, zeros = least.copy(), np.zeros(least.size, bits.dtype)
    end = 0
    for row in range(ends.size):
        first, end = end, ends[row]
        last = end - (end - first) % step
        lanes[:] = squares[:] = 0.0
        least[:] = greatest[:] = values[first]
        zeros[:] = 0
        for start in range(first, last, step):
            fetch_block(values, start)
            count(bits, start, counting)
            _add(values, start, lanes, squares)
            _add_extremes(values, start, least, greatest)
            _add_zeros(bits, start, bits.dtype.type(magnitude), zeros)
        move(counting)
        for i in range(last, end):
            exact = np.float64(values[i])
            lanes[(i - last) % LANES] += exact
            squares[(i - last) % LANES] += exact * exact
            least[0] = min(least[0], values[i])
            greatest[0] = max(greatest[0], values[i])
            zeros[0] += (bits[i] & magnitude) == 0
        total, around_zero = _added(lanes), _added(squares)
        mean = total / (end - first)
        distances = around_zero - total * mean
        if not (is_narrow and total * mean <= MOST_OF_MEAN * around_zero):
            lanes[:] = 0.0
            for start in range(first, last, step):
                _add_squares(values, start, mean, lanes)
            for i in range(last, end):
                lanes[(i - last) % LANES] += (values[i] - mean) * (values[i] - mean)
            distances = _added(lanes)
        rows[row, 0] = end - first
        rows[row, 1] = rows[row, 2] = 0.0
        rows[row, 3] = zeros.sum()
        rows[row, 4] = total
        rows[row, 5] = distances
        rows[row, 6] = least.min()
        rows[row, 7] = greatest.max()


@register_jitable  # type: ignore[untyped-decorator]
def _added(lanes: NDArray[Any]) -> float:
    total = 0.0
    for lane in lanes:
        total += lane
    return total


@intrinsic  # type: ignore[untyped-decorator]
def _add(typing: Any, values: Any, start: Any, lanes: Any, squares: Any) -> Any:
    """Adds each value of the block at `start`, and its square, to the lanes, in their order."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows = [_lanes(context, builder, signature, arguments, k) for k in (2, 3)]
        totals = [builder.load(row, align=8) for row in rows]
        for exact in _exact(context, builder, signature, arguments):
            totals[0] = builder.fadd(totals[0], exact)
            square = builder.fmul(exact, exact, flags=["contract"])
            totals[1] = builder.fadd(totals[1], square, flags=["contract"])
        for total, row in zip(totals, rows, strict=True):
            builder.store(total, row, align=8)
        return context.get_dummy_value()

    return types.void(values, start, lanes, squares), emit


@intrinsic  # type: ignore[untyped-decorator]
def _add_squares(typing: Any, values: Any, start: Any, mean: Any, lanes: Any) -> Any:
    """Adds the squared distance from `mean` of each value of the block at `start` to the lanes."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row = _lanes(context, builder, signature, arguments, 3)
        center, total = splat(builder, arguments[2], SUMS), builder.load(row, align=8)
        for exact in _exact(context, builder, signature, arguments):
            distances = builder.fsub(exact, center)
            total = builder.fadd(total, builder.fmul(distances, distances))
        builder.store(total, row, align=8)
        return context.get_dummy_value()

    return types.void(values, start, mean, lanes), emit


def _lanes(context: Any, builder: Any, signature: Any, arguments: Any, k: int) -> Any:
    """The address of the lanes that the argument `k` is."""
    array = context.make_array(signature.args[k])(context, builder, arguments[k])
    return builder.bitcast(array.data, SUMS.as_pointer())


def _exact(context: Any, builder: Any, signature: Any, arguments: Any) -> Iterator[Any]:
    """The values of the block at `start` as float64, a value for each lane at a time."""
    width = signature.args[0].dtype.bitwidth
    block = context.make_array(signature.args[0])(context, builder, arguments[0]).data
    part = ir.VectorType(block.type.pointee, LANES)
    block = builder.bitcast(builder.gep(block, [arguments[1]]), part.as_pointer())
    for k in range(8 * BLOCK_BYTES // width // LANES):
        values = loaded(builder, builder.gep(block, [I64(k)]), signature.args[0])
        yield builder.fpext(values, SUMS) if width == 32 else values


@intrinsic  # type: ignore[untyped-decorator]
def _add_extremes(typing: Any, values: Any, start: Any, least: Any, greatest: Any) -> Any:
    """Takes the values of the block at `start` into account, lane by lane."""
    width = values.dtype.bitwidth

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        block, *rows = (
            context.make_array(signature.args[k])(context, builder, arguments[k]).data
            for k in (0, 2, 3)
        )
        vector = ir.VectorType(block.type.pointee, 8 * VECTOR_BYTES // width)
        block = builder.bitcast(builder.gep(block, [arguments[1]]), vector.as_pointer())
        for row, order in zip(rows, "<>", strict=True):
            row = builder.bitcast(row, vector.as_pointer())
            places = [builder.gep(row, [I64(turn)]) for turn in range(TURNS)]
            extremes = [builder.load(place, align=width // 8) for place in places]
            for k in range(BLOCK_BYTES // VECTOR_BYTES):
                part = loaded(builder, builder.gep(block, [I64(k)]), values)
                known = extremes[k % TURNS]
                is_new = builder.fcmp_ordered(order, part, known)
                extremes[k % TURNS] = builder.select(is_new, part, known)
            for place, extreme in zip(places, extremes, strict=True):
                builder.store(extreme, place, align=width // 8)
        return context.get_dummy_value()

    return types.void(values, start, least, greatest), emit


@intrinsic  # type: ignore[untyped-decorator]
def _add_zeros(typing: Any, bits: Any, start: Any, magnitude: Any, zeros: Any) -> Any:
    """Counts, lane by lane, the values of the block at `start` whose magnitude has no bit set."""
    width = bits.dtype.bitwidth

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        block, row = (
            context.make_array(signature.args[k])(context, builder, arguments[k]).data
            for k in (0, 3)
        )
        vector = ir.VectorType(block.type.pointee, 8 * VECTOR_BYTES // width)
        block = builder.bitcast(builder.gep(block, [arguments[1]]), vector.as_pointer())
        row = builder.bitcast(row, vector.as_pointer())
        mask = splat(builder, arguments[2], vector)
        counts = [
            builder.load(builder.gep(row, [I64(turn)]), align=width // 8) for turn in range(TURNS)
        ]
        for k in range(BLOCK_BYTES // VECTOR_BYTES):
            part = loaded(builder, builder.gep(block, [I64(k)]), bits)
            is_zero = builder.icmp_unsigned("==", builder.and_(part, mask), constant(vector, 0))
            counts[k % TURNS] = builder.sub(counts[k % TURNS], builder.sext(is_zero, vector))
        for turn, count in enumerate(counts):
            builder.store(count, builder.gep(row, [I64(turn)]), align=width // 8)
        return context.get_dummy_value()

    return types.void(bits, start, magnitude, zeros), emit
