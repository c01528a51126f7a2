"""A kernel for few bounds and processors with AVX-512, whose comparisons fill mask registers.

Every value is compared with every edge, and the bits of the masks are counted. A block of values
stays in registers meanwhile. An edge serves both signs, which halves the work for symmetric bounds.
"""

from collections.abc import Iterator
from functools import reduce
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, register_jitable
from numpy.typing import NDArray

from gangplank._native.edges import Edges, Totals
from gangplank._native.jit import compiled, read_only
from gangplank._native.moments import CountAndSum, Rows
from gangplank._native.moments_kernel import sum_blocks, summed
from gangplank._native.vectors import (
    BLOCK_BYTES,
    I32,
    I64,
    constant,
    fetch_block,
    loaded,
    splat,
)

# LLVM would combine outcomes in mask registers, and the way out of those is the bottleneck. As
# opaque words they are combined where they are counted: AVX-512 is 10% faster by it.
OPAQUE = ir.InlineAsm(ir.FunctionType(I64, [I64]), "", "=r,0")


def compare_kernel(edges: Edges) -> CountAndSum:
    """A function that counts bit patterns into the buckets of `edges`."""
    return _Comparison(edges)


class _Comparison(CountAndSum):
    def __init__(self, edges: Edges) -> None:
        self._edges = edges.mirrored()
        self._doubled = read_only(self._edges.doubled)
        dtype = self._doubled.dtype
        # Doubled it exceeds every edge.
        self._last_block = np.full(BLOCK_BYTES // dtype.itemsize, np.iinfo(dtype).max >> 1, dtype)

    def __call__(self, bits: NDArray[Any]) -> Totals:
        whole = bits.size - bits.size % self._last_block.size
        return self._totals(_compare(read_only(bits[:whole]), self._doubled), bits)

    def with_moments(self, values: NDArray[Any]) -> tuple[Totals, Rows]:
        rows, at_most = summed(values, lambda *blocks: _compare_and_sum(*blocks, self._doubled))
        return self._totals(at_most, values.view(self._last_block.dtype)), rows

    def _totals(self, at_most: NDArray[np.int64], bits: NDArray[Any]) -> Totals:
        """The totals of `bits`, from what `_compare` makes of their whole blocks."""
        if rest := bits.size % self._last_block.size:
            last_block = self._last_block.copy()
            last_block[:rest] = bits[-rest:]
            at_most += _compare(read_only(last_block), self._doubled)
        at_most[-1, 0] = bits.size
        at_most[:, 0] -= at_most[:, 1]
        at_most[1:] -= at_most[:-1].copy()
        return self._edges.totals(at_most.T.ravel())


@compiled
def _compare(bits: NDArray[Any], doubled: NDArray[Any]) -> NDArray[np.int64]:
    """How many values are at most each edge, and how many of them are negative."""
    at_most = np.zeros((doubled.size + 1, 2), np.int64)
    for start in range(0, bits.size, BLOCK_BYTES // bits.itemsize):
        fetch_block(bits, start)
        _compare_block(bits, start, doubled, at_most)
    return at_most


@compiled
def _compare_and_sum(
    rows: Rows,
    ends: NDArray[np.int64],
    values: NDArray[Any],
    bits: NDArray[Any],
    magnitude: int,
    doubled: NDArray[Any],
) -> NDArray[np.int64]:
    """The same of the whole blocks, and the moments of all values."""
    at_most = np.zeros((doubled.size + 1, 2), np.int64)
    sum_blocks(rows, ends, values, bits, magnitude, _compare_block, (doubled, at_most))
    return at_most


# It keeps no array, to which references would be counted.
@register_jitable(_nrt=False)  # type: ignore[untyped-decorator]
def _compare_block(bits: Any, start: Any, doubled: Any, at_most: Any) -> None:
    for i in range(doubled.size):
        both, negative, _ = _count_at_most(bits, start, doubled[i])
        at_most[i, 0] += both
        at_most[i, 1] += negative
    any_edge = bits[start]
    at_most[-1, 1] += _count_at_most(bits, start, any_edge)[2]


@intrinsic  # type: ignore[untyped-decorator]
def _count_at_most(typing: Any, bits: Any, start: Any, edge: Any) -> Any:
    """How many values of the block at `start` are, doubled, at most `edge`; how many of these are
    negative; how many are in all.

    With AVX-512 it counts 3.7e9 float32 a second and thread at 8 bounds, where the vectors that
    LLVM makes of a scalar loop reach 0.8e9 (benchmarks/README.md).
    """
    width = bits.dtype.bitwidth
    size = 8 * BLOCK_BYTES // width
    vector = ir.VectorType(ir.IntType(width), size)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(bits)(context, builder, arguments[0])
        address = builder.bitcast(builder.gep(array.data, [arguments[1]]), vector.as_pointer())
        block = loaded(builder, address, width)
        is_negative = builder.icmp_signed("<", block, constant(vector, 0))
        doubled = builder.add(block, block)
        doubled = builder.add(doubled, builder.zext(is_negative, vector))
        at_most = builder.icmp_unsigned("<=", doubled, splat(builder, arguments[2], vector))
        small = [builder.call(OPAQUE, [word]) for word in _words(builder, at_most)]
        negative = list(_words(builder, is_negative))
        counts = [small, map(builder.and_, small, negative), negative]
        ones = [reduce(builder.add, map(builder.ctpop, words)) for words in counts]
        return context.make_tuple(builder, signature.return_type, ones)

    return types.UniTuple(types.int64, 3)(bits, start, edge), emit


def _words(builder: Any, outcomes: Any) -> Iterator[Any]:
    """The outcomes of a comparison as the bits of 64-bit words."""
    lanes = min(outcomes.type.count, 64)
    for first in range(0, outcomes.type.count, lanes):
        places = ir.Constant(ir.VectorType(I32, lanes), list(range(first, first + lanes)))
        mask = builder.shuffle_vector(outcomes, outcomes, places)
        yield builder.zext(builder.bitcast(mask, ir.IntType(lanes)), I64)
