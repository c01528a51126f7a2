"""A kernel for many bounds: a table leads from the leading bits of a value to its slot.

It also counts many small parts by one call, whatever their bounds.

The leading bits of a value name a cell of the table; where its other bits exceed those of the edge
in that cell, the value lies in the next slot. An entry is slot and edge in one number, made such
that to add the value carries into the slot exactly then. With two look-ups instead, and values that
are not fetched ahead, it took 1.6 times as long (benchmarks/README.md).
"""

from itertools import pairwise
from typing import Any

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from gangplank._native.edges import Edges, Totals
from gangplank._native.kernels.jit import compiled, read_only
from gangplank._native.kernels.moments_kernel import compiled_moments_of
from gangplank._native.kernels.vectors import fetch_block
from gangplank._native.moments import TWICE, CountAndSum, Rows

# At most one more bit than these for each doubling of the edges, so that the cells of most weights
# stay in a processor's second cache. Of 8 bytes with the bits of a longer exponent.
MORE_CELL_BITS = {1: 8, 2: 8, 4: 8, 8: 11}
MOST_CELL_BITS = 22

# Up to so many are taken if they leave no two edges in a cell, so that none has to be searched.
PLAIN_CELL_BITS = 18

# Else so many of the edges may be in a cell with others.
CROWDED = 1 / 32

# Neighbouring weights often lie in the same slot, and to count one waits for the one before: so
# they are counted in rows by turns. With four rows an AMD processor was up to six times as slow as
# with eight (benchmarks/README.md).
ROWS = 8

# Values, whatever their size: a number that the compiler knows, so that it makes straight code of a
# block. Of float64 the first half of each is fetched, which was as fast.
BLOCK = 64


def table_kernel(edges: Edges) -> "Table":
    """A function that counts bit patterns into the buckets of `edges`."""
    return Table(edges)


def needs_search(edges: Edges) -> bool:
    """Whether a table of `edges` has cells with several of them."""
    return _crowded(edges.patterns, _cell_bits(edges.patterns)) > 0


class Table(CountAndSum):
    """Counts by look-ups, small parts apart as well."""

    def __init__(self, edges: Edges) -> None:
        self._edges = edges
        patterns = edges.patterns
        dtype, slot_count = patterns.dtype, patterns.size + 1
        cell_bits = _cell_bits(patterns)
        shift = dtype.type(8 * dtype.itemsize - cell_bits)
        cells = (patterns >> shift).astype(np.int64)
        parted, first_edges, edges_in = np.unique(cells, return_index=True, return_counts=True)
        # Slots of crowded cells are marked by this, which is more than any slot.
        mark = 1 << slot_count.bit_length()
        cells_a_slot = np.diff(cells, prepend=-1, append=(1 << cell_bits) - 1)
        entries = np.arange(slot_count).astype(dtype).repeat(cells_a_slot)
        entries[parted[edges_in > 1]] += np.uint64(mark).astype(dtype)
        entries <<= shift
        low_bits = dtype.type((1 << int(shift)) - 1)
        entries[parted[edges_in == 1]] += ~patterns[first_edges[edges_in == 1]] & low_bits
        search = None
        if edges_in.max(initial=0) > 1:
            step = np.uint64((1 << int(edges_in.max()).bit_length()) >> 1)
            # Above the last edge more of them, so that a step never leads out.
            padded = np.append(patterns, np.full(2 * int(step) + 1, np.iinfo(dtype).max, dtype))
            search = np.uint64(mark), read_only(padded), step
        self._table = read_only(entries), shift, low_bits, search

    def __call__(self, bits: NDArray[Any]) -> Totals:
        if bits.size < self._edges.buckets.size:
            return self.each(bits, np.array([bits.size]))[0]
        slots = self._zeros()
        _count(read_only(bits), slots, *self._table)
        return self._totals(slots)

    def with_moments(self, values: NDArray[Any]) -> tuple[Totals, Rows]:
        bits = values.view(f"u{values.itemsize}")
        if values.size <= max(TWICE, self._edges.buckets.size):
            return self(bits), compiled_moments_of(values)
        slots, rows = self._zeros(), []
        for start in range(0, values.size, TWICE):
            _count(read_only(bits[start : start + TWICE]), slots, *self._table)
            rows.append(compiled_moments_of(values[start : start + TWICE]))
        return self._totals(slots), np.concatenate(rows)

    def each(self, bits: NDArray[Any], ends: NDArray[np.int64]) -> list[Totals]:
        """The totals of each part of `bits`, which end, one after the other, before `ends`."""
        slots = np.zeros(self._edges.buckets.size, np.int64)
        places, counts, stops = _count_each(read_only(bits), ends, slots, *self._table)
        buckets = self._edges.buckets[places]
        return [
            (buckets[start:stop], counts[start:stop])
            for start, stop in pairwise([0, *stops.tolist()])
        ]

    def _zeros(self) -> NDArray[np.int64]:
        # Not a multiple of 4096 bytes apart, where a processor mistakes one row for the other.
        return np.zeros((ROWS, self._edges.buckets.size // 16 * 16 + 24), np.int64)

    def _totals(self, slots: NDArray[np.int64]) -> Totals:
        return self._edges.totals(slots.sum(axis=0)[: self._edges.buckets.size])


def _cell_bits(patterns: NDArray[Any]) -> int:
    """How many leading bits leave no two of the `patterns` in a cell, or few if that takes many."""
    width = 8 * patterns.itemsize
    bits = patterns.size.bit_length()
    # Twice as many cells as slots, so that there are numbers for marked ones.
    least = min(bits + 2, width)
    most = max(least, min(bits + MORE_CELL_BITS[patterns.itemsize], MOST_CELL_BITS, width))
    for crowded, up_to in (0, min(PLAIN_CELL_BITS, width)), (CROWDED * patterns.size, most):
        for cell_bits in range(least, up_to + 1):
            if _crowded(patterns, cell_bits) <= crowded:
                return cell_bits
    return most


def _crowded(patterns: NDArray[Any], cell_bits: int) -> int:
    """How many of the `patterns` are in the cell of the one before."""
    cells = patterns >> patterns.dtype.type(8 * patterns.itemsize - cell_bits)
    return int(np.count_nonzero(cells[1:] == cells[:-1]))


# It keeps no array: to count references to them would take ten times as long as all the rest. Where
# `search` is None, numba leaves out the question, which took a quarter of the time.
@register_jitable(_nrt=False)  # type: ignore[untyped-decorator]
def _slot(value: Any, entries: Any, shift: Any, low_bits: Any, search: Any) -> Any:
    """The slot of `value`, which is searched where its cell is marked."""
    slot = np.uint64((entries[value >> shift] + (value & low_bits)) >> shift)
    if search is not None:
        mark, edges, first_step = search
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
    bits: NDArray[Any],
    slots: NDArray[np.int64],
    entries: Any,
    shift: Any,
    low_bits: Any,
    search: Any,
) -> None:
    """Adds to `slots` how many values lie in each, some of them in each row."""
    whole = bits.size - bits.size % BLOCK
    for start in range(0, whole, BLOCK):
        fetch_block(bits, start)
        for i in range(start, start + BLOCK, ROWS):
            for row in range(ROWS):
                slots[row, _slot(bits[i + row], entries, shift, low_bits, search)] += 1
    for value in bits[whole:]:
        slots[0, _slot(value, entries, shift, low_bits, search)] += 1


@compiled
def _count_each(
    bits: NDArray[Any],
    ends: NDArray[np.int64],
    slots: NDArray[np.int64],
    entries: Any,
    shift: Any,
    low_bits: Any,
    search: Any,
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]:
    """Which slots have values of each part, in the order in which these come, and how many; and
    where those of each part stop. In `slots`, which are 0, it counts meanwhile.
    """
    places, counts = np.empty(bits.size, np.uint64), np.empty(bits.size, np.int64)
    stops = np.empty(ends.size, np.int64)
    begin = found = 0
    for part in range(ends.size):
        first = found
        for value in bits[begin : ends[part]]:
            slot = _slot(value, entries, shift, low_bits, search)
            places[found] = slot
            found += slots[slot] == 0
            slots[slot] += 1
        for i in range(first, found):
            counts[i] = slots[places[i]]
            slots[places[i]] = 0
        begin, stops[part] = ends[part], found
    return places[:found], counts[:found].copy(), stops
