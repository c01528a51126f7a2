"""A kernel for few bounds and processors without AVX-512: each lane of a vector counts for itself.

Every value is compared with every edge. Where the outcomes are vectors, as wide as the values, to
subtract them from a vector of counters is all that there is to do: at 16 edges 1.6 times as fast as
to make masks of them and count the bits, and twice as fast for float64 (benchmarks/README.md).
"""

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
from gangplank._native.vectors import BLOCK_BYTES, I64, fetch_block, loaded, splat

# Those of AVX2; LLVM makes two of each where they are half as wide.
VECTOR_BYTES = 32
VECTORS = BLOCK_BYTES // VECTOR_BYTES


def lane_kernel(edges: Edges) -> CountAndSum:
    """A function that counts bit patterns into the buckets of `edges`."""
    return _Lanes(edges)


class _Lanes(CountAndSum):
    def __init__(self, edges: Edges) -> None:
        self._edges = edges.signed()
        self._patterns = read_only(self._edges.patterns)
        # A counter of as many bits as a value counts a value of each vector of a block.
        self._most_blocks = min(np.iinfo(self._patterns.dtype).max // VECTORS, 1 << 32)

    def __call__(self, bits: NDArray[Any]) -> Totals:
        return self._totals(self._at_most(bits), bits.size)

    def with_moments(self, values: NDArray[Any]) -> tuple[Totals, Rows]:
        rows, lanes = summed(values, lambda *blocks: _count_lanes_and_sum(*blocks, self._patterns))
        rest = values.size % (BLOCK_BYTES // values.itemsize)
        at_most = self._at_most(values[values.size - rest :])
        at_most[:-1] += lanes.sum(axis=1, dtype=np.int64)
        return self._totals(at_most, values.size), rows

    def _at_most(self, bits: NDArray[Any]) -> NDArray[np.int64]:
        values = read_only(bits.view(self._patterns.dtype))
        at_most: NDArray[np.int64] = _count_lanes(values, self._patterns, self._most_blocks)
        return at_most

    def _totals(self, at_most: NDArray[np.int64], size: int) -> Totals:
        at_most[-1] = size
        at_most[1:] -= at_most[:-1].copy()
        return self._edges.totals(at_most)


@compiled
def _count_lanes(
    values: NDArray[Any], patterns: NDArray[Any], most_blocks: int
) -> NDArray[np.int64]:
    """How many values are at most each of the `patterns`, and 0."""
    at_most = np.zeros(patterns.size + 1, np.int64)
    block_size = BLOCK_BYTES // values.itemsize
    whole = values.size - values.size % block_size
    lanes = np.zeros((patterns.size, VECTOR_BYTES // values.itemsize), values.dtype)
    for first in range(0, whole, most_blocks * block_size):
        lanes[:] = 0
        for start in range(first, min(first + most_blocks * block_size, whole), block_size):
            fetch_block(values, start)
            _count_block(values, start, patterns, lanes)
        for i in range(patterns.size):
            for lane in lanes[i]:
                at_most[i] += lane
    for i in range(patterns.size):
        for value in values[whole:]:
            at_most[i] += value <= patterns[i]
    return at_most


@compiled
def _count_lanes_and_sum(
    rows: Rows,
    ends: NDArray[np.int64],
    values: NDArray[Any],
    bits: NDArray[Any],
    magnitude: int,
    patterns: NDArray[Any],
) -> NDArray[Any]:
    """The same of the whole blocks, lane by lane, and the moments of all values."""
    lanes = np.zeros((patterns.size, VECTOR_BYTES // values.itemsize), patterns.dtype)
    sum_blocks(rows, ends, values, bits, magnitude, _count_block, (patterns, lanes))
    return lanes


# It keeps no array, to which references would be counted.
@register_jitable(_nrt=False)  # type: ignore[untyped-decorator]
def _count_block(values: Any, start: Any, patterns: Any, lanes: Any) -> None:
    for i in range(patterns.size):
        _add_at_most(values, start, patterns[i], lanes, i)


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
