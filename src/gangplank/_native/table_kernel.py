"""A kernel for many bounds: a table leads from the leading bits of a value to its slot.

Where several edges share those bits, some steps of binary search are left.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gangplank._native.edges import Count, Edges, Totals
from gangplank._native.jit import compiled, read_only

# A table has so many cells that few values share theirs with two edges: one more bit for each
# doubling of the edges, and about those of the exponent, in which weights differ little. The cells
# that weights come to fit into a processor's second cache.
CELL_BITS = {1: 8, 2: 8, 4: 8, 8: 11}
MOST_CELL_BITS = 22


def table_kernel(edges: Edges) -> Count:
    """A function that counts bit patterns into the buckets of `edges`."""
    dtype = edges.patterns.dtype
    width = 8 * dtype.itemsize
    cell_bits = min(
        width, edges.patterns.size.bit_length() + CELL_BITS[dtype.itemsize], MOST_CELL_BITS
    )
    shift = dtype.type(width - cell_bits)
    cells = (edges.patterns >> shift).astype(np.int64)
    slot_count = cells.size + 1
    slot_dtype = np.dtype(np.uint16 if slot_count <= 1 << 15 else np.uint32)
    crowded = slot_dtype.type(1 << (8 * slot_dtype.itemsize - 1))
    cells_a_slot = np.diff(cells, prepend=-1, append=(1 << cell_bits) - 1)
    first_slots = np.arange(slot_count, dtype=slot_dtype).repeat(cells_a_slot)
    first_slots[cells[1:][cells[1:] == cells[:-1]]] |= crowded
    most = int(np.unique(cells, return_counts=True)[1].max(initial=0))
    step = np.uint64((1 << most.bit_length()) >> 1)
    # Above the last edge more of them, so that a step never leads out.
    padded = np.append(edges.patterns, np.full(2 * int(step) + 1, np.iinfo(dtype).max, dtype))

    def count(bits: NDArray[Any]) -> Totals:
        slots = _look_up(read_only(bits), first_slots, crowded, shift, padded, step)
        return edges.totals(slots[:slot_count])

    return count


@compiled
def _look_up(
    bits: NDArray[Any],
    first_slots: NDArray[Any],
    crowded: Any,
    shift: Any,
    edges: NDArray[Any],
    first_step: Any,
) -> NDArray[np.int64]:
    """How many values lie in each slot. The values of a cell lie in its first slot or, above the
    edge in it, in the next; a cell that is marked as crowded has several edges to search.
    """
    slots = np.zeros(edges.size, np.int64)
    for i in range(bits.size):
        value = bits[i]
        slot = np.uint64(first_slots[value >> shift])
        if slot >= crowded:
            slot -= np.uint64(crowded)
            step = first_step
            while step > 0:
                if edges[slot + step - np.uint64(1)] < value:
                    slot += step
                step >>= np.uint64(1)
        slot += np.uint64(edges[slot] < value)
        slots[slot] += 1
    return slots
