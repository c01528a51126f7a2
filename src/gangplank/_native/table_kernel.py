"""A kernel for many bounds: a table leads from the leading bits of a value to its slot.

The leading bits of a value name a cell of the table; where its other bits exceed those of the edge
in that cell, the value lies in the next slot. An entry is slot and edge in one number, made such
that to add the value carries into the slot exactly then. With two look-ups instead, and values that
are not fetched ahead, it took 1.6 times as long (benchmarks/README.md).
"""

from typing import Any

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from gangplank._native.edges import Count, Edges, Totals
from gangplank._native.jit import compiled, read_only
from gangplank._native.vectors import fetch_block

# At most one more bit than these for each doubling of the edges, so that the cells of most weights
# stay in a processor's second cache. Of 8 bytes with the bits of a longer exponent.
MORE_CELL_BITS = {1: 8, 2: 8, 4: 8, 8: 11}
MOST_CELL_BITS = 22

# Up to so many of the edges may be in a cell with others, which has to be searched.
CROWDED = 1 / 32

# Neighbouring weights often lie in the same slot, and to count one waits for the one before: so
# they are counted in rows by turns.
ROWS = 4

# Values, whatever their size: a number that the compiler knows, so that it makes straight code of a
# block. Of float64 every other line is fetched, which was as fast.
BLOCK = 64


def table_kernel(edges: Edges) -> Count:
    """A function that counts bit patterns into the buckets of `edges`."""
    patterns = edges.patterns
    dtype, slot_count = patterns.dtype, patterns.size + 1
    cell_bits = _cell_bits(patterns)
    shift = dtype.type(8 * dtype.itemsize - cell_bits)
    cells = (patterns >> shift).astype(np.int64)
    ends, first_edges, edges_in = np.unique(cells, return_index=True, return_counts=True)
    # Slots of crowded cells are marked by this, which is more than any slot.
    mark = 1 << slot_count.bit_length()
    cells_a_slot = np.diff(cells, prepend=-1, append=(1 << cell_bits) - 1)
    entries = np.arange(slot_count).astype(dtype).repeat(cells_a_slot)
    entries[ends[edges_in > 1]] += np.uint64(mark).astype(dtype)
    entries <<= shift
    low_bits = dtype.type((1 << int(shift)) - 1)
    entries[ends[edges_in == 1]] += ~patterns[first_edges[edges_in == 1]] & low_bits
    step = np.uint64((1 << int(edges_in.max(initial=0)).bit_length()) >> 1)
    # Above the last edge more of them, so that a step never leads out.
    padded = np.append(patterns, np.full(2 * int(step) + 1, np.iinfo(dtype).max, dtype))
    table = (read_only(entries), shift, low_bits, np.uint64(mark), read_only(padded), step)

    def count(bits: NDArray[Any]) -> Totals:
        if bits.size < slot_count:
            places, counts = _count_few(read_only(bits), *table)
            return edges.buckets[places], counts
        return edges.totals(_count(read_only(bits), *table).sum(axis=0)[:slot_count])

    return count


def _cell_bits(patterns: NDArray[Any]) -> int:
    """How many leading bits leave few of the `patterns` in one cell."""
    width = 8 * patterns.itemsize
    bits = patterns.size.bit_length()
    # Twice as many cells as slots, so that there are numbers for marked ones.
    least = min(bits + 2, width)
    most = max(least, min(bits + MORE_CELL_BITS[patterns.itemsize], MOST_CELL_BITS, width))
    for cell_bits in range(least, most):
        cells = patterns >> patterns.dtype.type(width - cell_bits)
        if np.count_nonzero(cells[1:] == cells[:-1]) <= CROWDED * patterns.size:
            return cell_bits
    return most


# It keeps no array: to count references to them would take ten times as long as all the rest.
@register_jitable(_nrt=False)  # type: ignore[untyped-decorator]
def _slot(
    value: Any, entries: Any, shift: Any, low_bits: Any, mark: Any, edges: Any, first_step: Any
) -> Any:
    """The slot of `value`, which is searched from `first_step` on where its cell is marked."""
    slot = np.uint64((entries[value >> shift] + (value & low_bits)) >> shift)
    if slot >= mark:
        slot -= mark
        step = first_step
        while step > 0:
            if edges[slot + step - np.uint64(1)] < value:
                slot += step
            step >>= np.uint64(1)
        slot += np.uint64(edges[slot] < value)
    return slot


@compiled
def _count(
    bits: NDArray[Any], entries: Any, shift: Any, low_bits: Any, mark: Any, edges: Any, step: Any
) -> NDArray[np.int64]:
    """How many values lie in each slot: some of them in each row."""
    # Not a multiple of 4096 bytes apart, where a processor mistakes one row for the other.
    slots = np.zeros((ROWS, edges.size // 16 * 16 + 24), np.int64)
    whole = bits.size - bits.size % BLOCK
    for start in range(0, whole, BLOCK):
        fetch_block(bits, start)
        for i in range(start, start + BLOCK, ROWS):
            for row in range(ROWS):
                slots[row, _slot(bits[i + row], entries, shift, low_bits, mark, edges, step)] += 1
    for value in bits[whole:]:
        slots[0, _slot(value, entries, shift, low_bits, mark, edges, step)] += 1
    return slots


@compiled
def _count_few(
    bits: NDArray[Any], entries: Any, shift: Any, low_bits: Any, mark: Any, edges: Any, step: Any
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Which slots have values, in the order in which these come, and how many."""
    slots = np.zeros(edges.size, np.int64)
    places = np.empty(bits.size, np.uint64)
    found = 0
    for value in bits:
        slot = _slot(value, entries, shift, low_bits, mark, edges, step)
        places[found] = slot
        found += slots[slot] == 0
        slots[slot] += 1
    return places[:found], slots[places[:found]]
