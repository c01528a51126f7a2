"""A kernel for few bounds and processors with AVX-512, whose comparisons fill mask registers.

Every value is compared with every magnitude, and the bits of the masks are counted. A block of
values stays in registers meanwhile. A magnitude serves both signs, which nearly halves the work for
symmetric bounds.
"""

from collections.abc import Iterator
from functools import reduce
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from gangplank._native.edges import Count, Edges, Totals
from gangplank._native.jit import compiled, read_only
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


def compare_kernel(edges: Edges) -> Count:
    """A function that counts bit patterns into the buckets of `edges`."""
    mirrored = edges.mirrored()
    dtype = mirrored.magnitudes.dtype
    sign = dtype.type(1 << (8 * dtype.itemsize - 1))
    signed_magnitudes = read_only(mirrored.magnitudes | sign)
    offset = dtype.type(mirrored.offset)
    block_size = BLOCK_BYTES // dtype.itemsize

    def count(bits: NDArray[Any]) -> Totals:
        whole = bits.size - bits.size % block_size
        last_block = np.full(block_size, sign - dtype.type(1))  # which exceeds every magnitude
        last_block[: bits.size - whole] = bits[whole:]
        at_most = _compare(read_only(bits[:whole]), signed_magnitudes, offset)
        at_most += _compare(read_only(last_block), signed_magnitudes, offset)
        at_most[-1, 0] = bits.size
        at_most[:, 0] -= at_most[:, 1]
        at_most[1:] -= at_most[:-1].copy()
        return mirrored.totals(at_most.T.ravel())

    return count


@compiled
def _compare(bits: NDArray[Any], signed_magnitudes: NDArray[Any], offset: Any) -> NDArray[np.int64]:
    """How many values have at most each magnitude, and how many of them are negative."""
    at_most = np.zeros((signed_magnitudes.size + 1, 2), np.int64)
    for start in range(0, bits.size, BLOCK_BYTES // bits.itemsize):
        fetch_block(bits, start)
        for i in range(signed_magnitudes.size):
            both, negative, _ = _count_at_most(bits, start, signed_magnitudes[i], offset)
            at_most[i, 0] += both
            at_most[i, 1] += negative
        at_most[-1, 1] += _count_at_most(bits, start, offset, offset)[2]
    return at_most


@intrinsic  # type: ignore[untyped-decorator]
def _count_at_most(typing: Any, bits: Any, start: Any, edge: Any, offset: Any) -> Any:
    """How many values of the block at `start` have at most the magnitude of `edge`, `offset` being
    added to those of negative ones; how many of these are negative; how many are in all.

    At nine magnitudes it makes 3.6e9 float32 a second and thread with AVX-512, where the vectors
    that LLVM makes of a scalar loop reach 1.2e9 (benchmarks/README.md).
    """
    width = bits.dtype.bitwidth
    size = 8 * BLOCK_BYTES // width
    vector = ir.VectorType(ir.IntType(width), size)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(bits)(context, builder, arguments[0])
        address = builder.bitcast(builder.gep(array.data, [arguments[1]]), vector.as_pointer())
        block = loaded(builder, address, width)
        # With the sign bit set, magnitudes are negative integers, and none overflows.
        sign, zero = constant(vector, 1 << (width - 1)), constant(vector, 0)
        is_negative = builder.icmp_signed("<", block, zero)
        added = builder.select(is_negative, splat(builder, arguments[3], vector), zero)
        magnitudes = builder.add(builder.or_(block, sign), added)
        at_most = builder.icmp_signed("<=", magnitudes, splat(builder, arguments[2], vector))
        small = [builder.call(OPAQUE, [word]) for word in _words(builder, at_most)]
        negative = list(_words(builder, is_negative))
        counts = [small, map(builder.and_, small, negative), negative]
        ones = [reduce(builder.add, map(builder.ctpop, words)) for words in counts]
        return context.make_tuple(builder, signature.return_type, ones)

    return types.UniTuple(types.int64, 3)(bits, start, edge, offset), emit


def _words(builder: Any, outcomes: Any) -> Iterator[Any]:
    """The outcomes of a comparison as the bits of 64-bit words."""
    lanes = min(outcomes.type.count, 64)
    for first in range(0, outcomes.type.count, lanes):
        places = ir.Constant(ir.VectorType(I32, lanes), list(range(first, first + lanes)))
        mask = builder.shuffle_vector(outcomes, outcomes, places)
        yield builder.zext(builder.bitcast(mask, ir.IntType(lanes)), I64)
