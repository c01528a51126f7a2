"""A kernel for moments: explicit vectors, which sum at the speed at which memory is read.

NumPy takes several times as long (benchmarks/test_kernels.py), and LLVM makes no vectors of a
scalar loop of these sums, whose order it has to keep. Both give the same bits.
"""

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from gangplank._native.jit import compiled, read_only
from gangplank._native.moments import BLOCK, LANES, Moments, moments_of
from gangplank._native.vectors import BLOCK_BYTES, I64, fetch_block, loaded, splat

# Of AVX2. Extremes are kept of two vectors by turns, so that none waits for the one before.
VECTOR_BYTES = 32
TURNS = 2

# All that float32 holds exactly; what it does not is taken as float64.
_NARROW = tuple(
    np.dtype(getattr(ml_dtypes, name, name))
    for name in ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "int8", "uint8")
)


def compiled_moments_of(values: NDArray[Any]) -> list[Moments]:
    """As `moments_of`, to the last bit."""
    blocks: list[Moments] = []
    for start in range(0, values.size, BLOCK):
        part = values[start : start + BLOCK]
        if part.dtype not in (np.float32, np.float64):
            with np.errstate(invalid="ignore"):  # which a signalling NaN would report
                part = part.astype(np.float32 if part.dtype in _NARROW else np.float64)
        moments = Moments(part.size, *_moments(read_only(part)))
        blocks += [moments] if math.isfinite(moments.total) else moments_of(part)
    return blocks


@compiled
def _moments(values: NDArray[Any]) -> tuple[float, float, float, float]:
    """Total, squares, minimum and maximum; without meaning where the total is not finite."""
    step = BLOCK_BYTES // values.itemsize
    whole = values.size - values.size % step
    lanes = np.zeros(LANES)
    least = np.full(TURNS * VECTOR_BYTES // values.itemsize, values[0])
    greatest = least.copy()
    for start in range(0, whole, step):
        fetch_block(values, start)
        _add(values, start, 0.0, lanes)
        _add_extremes(values, start, least, greatest)
    for i in range(whole, values.size):
        lanes[(i - whole) % LANES] += values[i]
        least[0] = min(least[0], values[i])
        greatest[0] = max(greatest[0], values[i])
    total = 0.0
    for lane in lanes:
        total += lane
    mean = total / values.size
    lanes[:] = 0.0
    for start in range(0, whole, step):
        _add_squares(values, start, mean, lanes)
    for i in range(whole, values.size):
        distance = values[i] - mean
        lanes[(i - whole) % LANES] += distance * distance
    squares = 0.0
    for lane in lanes:
        squares += lane
    return total, squares, float(least.min()), float(greatest.max())


def _adding(term: Callable[[Any, Any, Any], Any]) -> Any:
    """What adds a term of each value of the block at `start` to the lanes, in their order."""

    @intrinsic  # type: ignore[untyped-decorator]
    def add(typing: Any, values: Any, start: Any, mean: Any, lanes: Any) -> Any:
        width = values.dtype.bitwidth
        sums = ir.VectorType(ir.DoubleType(), LANES)

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            block, row = (
                context.make_array(signature.args[k])(context, builder, arguments[k]).data
                for k in (0, 3)
            )
            part = ir.VectorType(block.type.pointee, LANES)
            block = builder.bitcast(builder.gep(block, [arguments[1]]), part.as_pointer())
            row = builder.bitcast(row, sums.as_pointer())
            center, total = splat(builder, arguments[2], sums), builder.load(row, align=8)
            for k in range(8 * BLOCK_BYTES // width // LANES):
                part = loaded(builder, builder.gep(block, [I64(k)]), width)
                exact = builder.fpext(part, sums) if width == 32 else part
                total = builder.fadd(total, term(builder, exact, center))
            builder.store(total, row, align=8)
            return context.get_dummy_value()

        return types.void(values, start, mean, lanes), emit

    return add


def _value(builder: Any, values: Any, mean: Any) -> Any:
    return values


def _square(builder: Any, values: Any, mean: Any) -> Any:
    distances = builder.fsub(values, mean)
    return builder.fmul(distances, distances)


_add = _adding(_value)
_add_squares = _adding(_square)


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
                part = loaded(builder, builder.gep(block, [I64(k)]), width)
                known = extremes[k % TURNS]
                is_new = builder.fcmp_ordered(order, part, known)
                extremes[k % TURNS] = builder.select(is_new, part, known)
            for place, extreme in zip(places, extremes, strict=True):
                builder.store(extreme, place, align=width // 8)
        return context.get_dummy_value()

    return types.void(values, start, least, greatest), emit
