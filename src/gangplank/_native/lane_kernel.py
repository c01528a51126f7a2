"""A kernel for few bounds and processors without AVX-512: each lane of a vector counts for itself.

Every value is compared with every edge. Where the outcomes are vectors, as wide as the values, to
subtract them from a vector of counters is all that there is to do: at 16 edges 1.6 times as fast as
to make masks of them and count the bits, and twice as fast for float64 (benchmarks/README.md).
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from gangplank._native.edges import Count, Edges, Totals
from gangplank._native.jit import compiled, read_only
from gangplank._native.vectors import BLOCK_BYTES, I64, fetch_block, loaded, splat

# Those of AVX2; LLVM makes two of each where they are half as wide.
VECTOR_BYTES = 32
VECTORS = BLOCK_BYTES // VECTOR_BYTES


def lane_kernel(edges: Edges) -> Count:
    """A function that counts bit patterns into the buckets of `edges`."""
    signed = edges.signed()
    patterns = read_only(signed.patterns)
    # A counter of as many bits as a value counts a value of each vector of a block.
    most_blocks = min(np.iinfo(patterns.dtype).max // VECTORS, 1 << 32)

    def count(bits: NDArray[Any]) -> Totals:
        values = read_only(bits.view(patterns.dtype))
        return signed.totals(_count_lanes(values, patterns, most_blocks))

    return count


@compiled
def _count_lanes(
    values: NDArray[Any], patterns: NDArray[Any], most_blocks: int
) -> NDArray[np.int64]:
    """How many values lie in each of the slots that `patterns` part."""
    at_most = np.zeros(patterns.size + 1, np.int64)
    block_size = BLOCK_BYTES // values.itemsize
    whole = values.size - values.size % block_size
    lanes = np.zeros((patterns.size, VECTOR_BYTES // values.itemsize), values.dtype)
    for first in range(0, whole, most_blocks * block_size):
        lanes[:] = 0
        for start in range(first, min(first + most_blocks * block_size, whole), block_size):
            fetch_block(values, start)
            for i in range(patterns.size):
                _add_at_most(values, start, patterns[i], lanes, i)
        for i in range(patterns.size):
            for lane in lanes[i]:
                at_most[i] += lane
    for i in range(patterns.size):
        for value in values[whole:]:
            at_most[i] += value <= patterns[i]
    at_most[-1] = values.size
    for i in range(patterns.size, 0, -1):
        at_most[i] -= at_most[i - 1]
    return at_most


@intrinsic  # type: ignore[untyped-decorator]
def _add_at_most(typing: Any, values: Any, start: Any, pattern: Any, lanes: Any, i: Any) -> Any:
    """Counts in the lanes of row `i` which values of the block at `start` are at most `pattern`."""
    width = values.dtype.bitwidth
    vector = ir.VectorType(ir.IntType(width), 8 * VECTOR_BYTES // width)

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
            part = loaded(builder, builder.gep(block, [I64(k)]), width)
            # All bits of a lane are set, which is -1, where the value is at most the edge.
            outcome = builder.sext(builder.icmp_signed("<=", part, edge), vector)
            counts = builder.sub(counts, outcome)
        builder.store(counts, row, align=width // 8)
        return context.get_dummy_value()

    return types.void(values, start, pattern, lanes, i), emit
