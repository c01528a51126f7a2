"""The table in which the kernel for CUDA looks values up: what it has of edges, and how."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gangplank._native import edges as bounds_in_dtype
from gangplank._native.edges import Bounds, Edges

# A cell's name has so many bits, or fewer where these are enough: each load of the lines of a warp
# then meets fewer conflicts among the banks of a block's memory.
MOST_CELL_BITS = 13
LEAST_CELL_BITS = 8

# What a kernel has of that memory for itself, in bytes, and some more.
OWN_MEMORY = 4096


class Table(NamedTuple):
    """What a kernel looks values of a dtype up in.

    Attributes:
        edges: E of them.
        packed: an entry for each cell, the patterns of the edges, and behind them what no value
            exceeds, one behind the other; uint64.
        cell_count: how many cells there are.
        limit: entries from this on lead to a search, from the slot that they exceed it by. It is 0
            if all do, and means nothing if none does.
        shift: by so many bits a value is shifted to name its cell.
        first_step: of a search, a power of 2; 0 if there is none in any cell.
    """

    edges: Edges
    packed: NDArray[np.uint64]
    cell_count: int
    limit: int
    shift: int
    first_step: int

    @property
    def shared_memory(self) -> int:
        """In bytes, with the counts of a block."""
        return self.packed.nbytes + 4 * self.edges.buckets.size


@lru_cache(maxsize=64)
def table_of(bounds: Bounds, name: str, shared_memory: int) -> Table | None:
    """The table of the edges of `bounds` in a dtype; None if so much memory has no room for it."""
    edges = bounds_in_dtype.edges_of(bounds, np.dtype(name))
    largest = None
    for cell_bits in range(LEAST_CELL_BITS, MOST_CELL_BITS + 1):
        table = table_with(edges, cell_bits)
        if table.shared_memory + OWN_MEMORY <= shared_memory:
            largest = table
            if not table.first_step:
                break
    return largest


def table_with(edges: Edges, cell_bits: int) -> Table:
    """The table of `edges` whose cells have names of at most so many bits."""
    patterns, most = edges.patterns, np.iinfo(edges.patterns.dtype).max
    bit_count = 8 * patterns.itemsize
    shift = max(bit_count - cell_bits, 0)
    lowest = np.arange(1 << (bit_count - shift), dtype=np.uint64) << np.uint64(shift)
    highest = lowest + np.uint64((1 << shift) - 1)
    # An edge at the highest value of a cell is exceeded by none in it.
    first = np.searchsorted(patterns, lowest.astype(patterns.dtype))
    within = np.searchsorted(patterns, highest.astype(patterns.dtype)) - first
    has_edge, is_searched = within == 1, within > 1
    entry_bits = max(16, bit_count)
    limit = (patterns.size + 1) << shift
    if (limit + int(first[is_searched].max(initial=0))) >> entry_bits:
        limit, is_searched = 0, np.ones_like(is_searched)
    slots = first.astype(np.uint64)
    entries = slots << np.uint64(shift)
    entries[has_edge] += highest[has_edge] - patterns[first[has_edge]]
    entries[is_searched] = limit + slots[is_searched]
    most_bits = max(int(within.max()).bit_length(), 1)
    first_step = 1 << (most_bits - 1) if is_searched.any() else 0
    # What follows in a block's memory begins at a multiple of 8 bytes.
    padding = np.full(first_step + -(patterns.size + first_step) % 8, most, patterns.dtype)
    cells = entries.astype(f"u{entry_bits // 8}")
    packed = np.concatenate([each.view(np.uint8) for each in (cells, patterns, padding)])
    return Table(edges, packed.view(np.uint64), cells.size, limit, shift, first_step)
