"""A kernel for few bounds: it compares each value with each edge, and a lane counts for itself.

A block of values stays in registers meanwhile. With AVX-512 an edge serves both signs where it can,
as those of symmetric bounds can, so that there are half as many. A counter then has two halves: how
many positive values are at most the edge, and how many negative ones. To make masks of the outcomes
and count their bits takes 1.2 times as long (benchmarks/README.md).
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, register_jitable
from numpy.typing import NDArray

from gangplank._native.edges import Edges, Totals
from gangplank._native.kernels.jit import compiled, has_avx512, read_only
from gangplank._native.kernels.moments_kernel import sum_blocks, summed
from gangplank._native.kernels.vectors import BLOCK_BYTES, I64, constant, fetch_block, loaded, splat
from gangplank._native.moments import CountAndSum, Rows

VECTOR_BYTES = 64 if has_avx512() else 32
VECTORS = BLOCK_BYTES // VECTOR_BYTES


def lane_kernel(edges: Edges, *, for_both_signs: bool | None = None) -> "Lanes":
    """A function that counts bit patterns into the buckets of `edges`.

    Arguments:
        edges: of any dtype.
        for_both_signs: whether an edge is to serve both signs, which takes a dtype of 2 bytes or
            more; chosen by what is faster if not given.
    """
    mirrored, signed = edges.mirrored(), edges.signed()
    if for_both_signs is None:
        # AVX2 has too few registers for it, and half a counter of 8 bits is full after 3 blocks.
        can_serve_both = has_avx512() and edges.patterns.itemsize > 1
        for_both_signs = can_serve_both and mirrored.doubled.size < signed.patterns.size
    if for_both_signs:
        return Lanes(mirrored, mirrored.doubled)
    return Lanes(signed, signed.patterns)


class Lanes(CountAndSum):
    """Counts into the buckets of edges, by comparing values with `ends`.

    Arguments:
        edges: `Edges.signed`, or those that are `Mirrored`.
        ends: what values are compared with, as signed integers; or, if these are unsigned, what
            values are compared with that are doubled.

    Attributes:
        ends: the same.
    """

    def __init__(self, edges: Edges, ends: NDArray[Any]) -> None:
        self._edges, self.ends = edges, read_only(ends)
        bits = 8 * ends.itemsize
        # By so many bits a counter of positive values is above that of negative ones.
        shift = bits // 2 if ends.dtype.kind == "u" else 0
        self._most_blocks = min((1 << (shift or bits)) - 1, 1 << 30) // VECTORS
        greatest = (1 << (bits - 1)) - 1  # which exceeds every end
        padding = np.full(8 * BLOCK_BYTES // bits, greatest, f"u{ends.itemsize}")
        self._given = self.ends, shift, read_only(padding)

    def __call__(self, bits: NDArray[Any]) -> Totals:
        at_most = _count(read_only(bits), self._most_blocks, *self._given)
        return self._totals(at_most, bits.size)

    def with_moments(self, values: NDArray[Any]) -> tuple[Totals, Rows]:
        rows, at_most = summed(values, lambda *parts: _count_and_sum(*parts, *self._given))
        return self._totals(at_most, values.size), rows

    def _totals(self, at_most: NDArray[np.int64], size: int) -> Totals:
        at_most[-1, 0] = size - at_most[-1, 1]
        at_most[1:] -= at_most[:-1].copy()
        return self._edges.totals(at_most.T.ravel()[: self._edges.buckets.size])


@compiled
def _count(
    bits: NDArray[Any], most_blocks: int, ends: NDArray[Any], shift: int, padding: NDArray[Any]
) -> NDArray[np.int64]:
    """How many values are at most each of the `ends`, shape (E + 1, 2).

    Positive and negative ones, and in the last row all negative ones; or all together and 0, if the
    ends are signed, and nothing in the last row.
    """
    counting = _zeros(bits, ends, shift)
    whole = bits.size - bits.size % padding.size
    step = most_blocks * padding.size
    for first in range(0, whole, step):
        for start in range(first, min(first + step, whole), padding.size):
            fetch_block(bits, start)
            _count_block(bits, start, counting)
        _move(counting)
    _count_rest(bits, whole, padding, counting)
    return counting[1]  # type: ignore[no-any-return]


@compiled
def _count_and_sum(
    rows: Rows,
    parts: NDArray[np.int64],
    values: NDArray[Any],
    bits: NDArray[Any],
    magnitude: int,
    ends: NDArray[Any],
    shift: int,
    padding: NDArray[Any],
) -> NDArray[np.int64]:
    """The same, and the moments of all values."""
    counting = _zeros(bits, ends, shift)
    sum_blocks(rows, parts, values, bits, magnitude, _count_block, _move, counting)
    _count_rest(bits, bits.size - bits.size % padding.size, padding, counting)
    return counting[1]  # type: ignore[no-any-return]


@register_jitable  # type: ignore[untyped-decorator]
def _zeros(bits: NDArray[Any], ends: NDArray[Any], shift: int) -> Any:
    lanes = np.zeros((ends.size + 1, VECTOR_BYTES // bits.itemsize), bits.dtype)
    at_most = np.zeros((ends.size + 1, 2), np.int64)
    return ends, at_most, lanes, shift


@register_jitable  # type: ignore[untyped-decorator]
def _count_rest(bits: Any, whole: int, padding: NDArray[Any], counting: Any) -> None:
    """Counts the values that fill no block."""
    if whole < bits.size:
        block = np.empty_like(padding)
        for i in range(padding.size):
            block[i] = bits[whole + i] if whole + i < bits.size else padding[i]
        _count_block(block, 0, counting)
        _move(counting)


# It keeps no array, to which references would be counted.
@register_jitable(_nrt=False)  # type: ignore[untyped-decorator]
def _count_block(bits: Any, start: Any, counting: Any) -> None:
    ends, _, lanes, shift = counting
    for i in range(ends.size):
        _add_at_most(bits, start, ends[i], lanes, i)
    if shift:
        every_value = ends.dtype.type(-1)  # whose doubles are at most that
        _add_at_most(bits, start, every_value, lanes, ends.size)


@register_jitable(_nrt=False)  # type: ignore[untyped-decorator]
def _move(counting: Any) -> None:
    """Adds the counters of the lanes to the counts, before one of them is full."""
    _, at_most, lanes, shift = counting
    for i in range(lanes.shape[0]):
        upper = lower = 0
        for k in range(lanes.shape[1]):
            count = np.int64(lanes[i, k])
            upper += count >> shift
            lower += count & ((1 << shift) - 1)
        at_most[i, 0] += upper
        at_most[i, 1] += lower
        for k in range(lanes.shape[1]):
            lanes[i, k] = 0


@intrinsic  # type: ignore[untyped-decorator]
def _add_at_most(typing: Any, bits: Any, start: Any, end: Any, lanes: Any, i: Any) -> Any:
    """Counts in the lanes of row `i` which values of the block at `start` are at most `end`.

    Where it is signed, they are compared as such. Else their doubles are, with one more for those
    that are negative, which are counted by the lower half of a counter.
    """
    width = bits.dtype.bitwidth
    vector = ir.VectorType(ir.IntType(width), 8 * VECTOR_BYTES // width)
    zero, one, upper = (constant(vector, value) for value in (0, 1, 1 << width // 2))

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, counters = (
            context.make_array(signature.args[k])(context, builder, arguments[k]).data
            for k in (0, 3)
        )
        row = builder.gep(builder.bitcast(counters, vector.as_pointer()), [arguments[4]])
        block = builder.bitcast(builder.gep(array, [arguments[1]]), vector.as_pointer())
        edge = splat(builder, arguments[2], vector)
        counts = builder.load(row, align=width // 8)
        for k in range(VECTORS):
            part = loaded(builder, builder.gep(block, [I64(k)]), bits)
            if end.signed:
                is_at_most, unit = builder.icmp_signed("<=", part, edge), one
            else:
                is_negative = builder.icmp_signed("<", part, zero)
                double = builder.add(builder.add(part, part), builder.zext(is_negative, vector))
                is_at_most = builder.icmp_unsigned("<=", double, edge)
                unit = builder.select(is_negative, one, upper)
            counts = builder.add(counts, builder.select(is_at_most, unit, zero))
        builder.store(counts, row, align=width // 8)
        return context.get_dummy_value()

    return types.void(bits, start, end, lanes, i), emit
