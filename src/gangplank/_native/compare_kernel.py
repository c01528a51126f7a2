"""A kernel for few bounds: every value is compared with every magnitude.

A block of values stays in registers meanwhile. A magnitude serves both signs, which nearly halves
the work for symmetric bounds.
"""

from collections.abc import Iterator
from functools import reduce
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from gangplank._native.edges import Count, Edges
from gangplank._native.jit import compiled, read_only

# Four vectors of AVX-512 or eight of AVX2, which leaves registers for the edges.
BLOCK_BYTES = 256

# Else counting waits for memory and memory for counting, most of all on Intel's processors
# (benchmarks/README.md).
AHEAD_BYTES = 4096
CACHE_LINE_BYTES = 64

I8, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)

FETCH = ir.FunctionType(ir.VoidType(), [I8.as_pointer(), I32, I32, I32])

# LLVM would combine outcomes in mask registers, and the way out of those is the bottleneck. As
# opaque words they are combined where they are counted: AVX-512 is 10% faster by it, AVX2 60%.
OPAQUE = ir.InlineAsm(ir.FunctionType(I64, [I64]), "", "=r,0")


def compare_kernel(edges: Edges) -> Count:
    """A function that counts bit patterns into the buckets of `edges`."""
    mirrored = edges.mirrored()
    dtype = mirrored.magnitudes.dtype
    sign = dtype.type(1 << (8 * dtype.itemsize - 1))
    signed_magnitudes = read_only(mirrored.magnitudes | sign)
    offset = dtype.type(mirrored.offset)
    block_size = BLOCK_BYTES // dtype.itemsize

    def count(bits: NDArray[Any]) -> NDArray[np.int64]:
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
        _fetch_block(bits, start + AHEAD_BYTES // bits.itemsize)
        for i in range(signed_magnitudes.size):
            both, negative, _ = _count_at_most(bits, start, signed_magnitudes[i], offset)
            at_most[i, 0] += both
            at_most[i, 1] += negative
        at_most[-1, 1] += _count_at_most(bits, start, offset, offset)[2]
    return at_most


@intrinsic  # type: ignore[untyped-decorator]
def _fetch_block(typing: Any, bits: Any, start: Any) -> Any:
    """Has the processor bring the block at `start` into its first cache.

    Beyond the array's end, too: no address is at fault there, for nothing is read from it.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(bits)(context, builder, arguments[0])
        address = builder.gep(array.data, [arguments[1]])  # not `inbounds`, beyond the end
        block = builder.bitcast(address, I8.as_pointer())
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [block.type], FETCH)
        for line in range(0, BLOCK_BYTES, CACHE_LINE_BYTES):
            # To read it, soon and again, as data: in the words of LLVM 0, 3 and 1.
            builder.call(fetch, [builder.gep(block, [I64(line)]), I32(0), I32(3), I32(1)])
        return context.get_dummy_value()

    return types.void(bits, start), emit


@intrinsic  # type: ignore[untyped-decorator]
def _count_at_most(typing: Any, bits: Any, start: Any, edge: Any, offset: Any) -> Any:
    """How many values of the block at `start` have at most the magnitude of `edge`, `offset` being
    added to those of negative ones; how many of these are negative; how many are in all.

    In plain LLVM, of no one processor's instructions. At nine magnitudes it makes 3.6e9 float32 a
    second and thread with AVX-512, 2.8e9 with AVX2 and 1.8e9 with SSE4.2, where the vectors that
    LLVM makes of a scalar loop reach 1.2e9 with AVX-512 (benchmarks/README.md).
    """
    width = bits.dtype.bitwidth
    size = 8 * BLOCK_BYTES // width
    vector = ir.VectorType(ir.IntType(width), size)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(bits)(context, builder, arguments[0])
        address = builder.bitcast(builder.gep(array.data, [arguments[1]]), vector.as_pointer())
        block = builder.load(address, align=width // 8)
        # Nobody is to write to it meanwhile, so that LLVM may load it once for all edges.
        block.set_metadata("invariant.load", builder.module.add_metadata([]))
        # With the sign bit set, magnitudes are negative integers, and none overflows.
        sign, zero = _constant(vector, 1 << (width - 1)), _constant(vector, 0)
        is_negative = builder.icmp_signed("<", block, zero)
        added = builder.select(is_negative, _splat(builder, arguments[3], vector), zero)
        magnitudes = builder.add(builder.or_(block, sign), added)
        at_most = builder.icmp_signed("<=", magnitudes, _splat(builder, arguments[2], vector))
        small = [builder.call(OPAQUE, [word]) for word in _words(builder, at_most)]
        negative = list(_words(builder, is_negative))
        counts = [small, map(builder.and_, small, negative), negative]
        ones = [reduce(builder.add, map(builder.ctpop, words)) for words in counts]
        return context.make_tuple(builder, signature.return_type, ones)

    return types.UniTuple(types.int64, 3)(bits, start, edge, offset), emit


def _constant(vector: Any, value: int) -> Any:
    return ir.Constant(vector, [value] * vector.count)


def _splat(builder: Any, value: Any, vector: Any) -> Any:
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, I32(0))
    return builder.shuffle_vector(first, first, _constant(ir.VectorType(I32, vector.count), 0))


def _words(builder: Any, outcomes: Any) -> Iterator[Any]:
    """The outcomes of a comparison as the bits of 64-bit words."""
    lanes = min(outcomes.type.count, 64)
    for first in range(0, outcomes.type.count, lanes):
        places = ir.Constant(ir.VectorType(I32, lanes), list(range(first, first + lanes)))
        mask = builder.shuffle_vector(outcomes, outcomes, places)
        yield builder.zext(builder.bitcast(mask, ir.IntType(lanes)), I64)
