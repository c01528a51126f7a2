"""The numba kernels: how many bit patterns lie in each slot, read once, where they lie.

There are two, since comparing takes a step an edge and looking up a step a value:

- `comparing`, for few bounds: a block of values stays in registers while each edge is compared
  with all of them. A magnitude serves both signs, which halves the work for symmetric bounds.
- `looking_up`, for many: a table leads from the leading bits of a value to its slot, give or
  take the edges that share those bits.

They hold no GIL, and are safe to call from several threads at once (numba's own threads are
not: its workqueue layer ends a process that two threads enter).
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from gangplank._native.edges import Count, Edges
from gangplank._native.vectors import BLOCK_BYTES, count_at_most

CAN_COMPILE = not numba.config.DISABLE_JIT
THREADS: int = numba.config.NUMBA_NUM_THREADS

# Comparing is the faster one up to 40 magnitudes of 4 bytes, 80 of 2 bytes and so on
# (benchmarks/test_kernels.py).
COMPARE_UP_TO_BYTES = 160

# A table has 2 ** 8 cells an edge, so that few values share theirs with two edges, but no more
# than fit into a processor's second cache.
CELL_BITS, MOST_CELL_BITS = 8, 20


def comparing(edges: Edges) -> Count:
    """A function that counts bit patterns into the buckets of `edges`, for few edges."""
    mirrored = edges.mirrored()
    magnitudes = mirrored.patterns[: mirrored.patterns.size // 2]
    greatest = mirrored.patterns[magnitudes.size]
    block_size = BLOCK_BYTES // greatest.itemsize

    def count(bits: NDArray[Any]) -> NDArray[np.int64]:
        whole = bits.size - bits.size % block_size
        last_block = np.full(block_size, greatest)  # which exceeds every magnitude
        last_block[: bits.size - whole] = bits[whole:]
        at_most = _compare(_read_only(bits[:whole]), _read_only(magnitudes))
        at_most += _compare(_read_only(last_block), _read_only(magnitudes))
        at_most[-1, 0] = bits.size
        at_most[:, 0] -= at_most[:, 1]
        at_most[1:] -= at_most[:-1].copy()
        return mirrored.totals(at_most.T.ravel())

    return count


def looking_up(edges: Edges) -> Count:
    """A function that counts bit patterns into the buckets of `edges`, for many edges."""
    dtype = edges.patterns.dtype
    width = 8 * dtype.itemsize
    cell_bits = min(width, edges.patterns.size.bit_length() + CELL_BITS, MOST_CELL_BITS)
    shift = dtype.type(width - cell_bits)
    cells = (edges.patterns >> shift).astype(np.int64)
    slot_count = cells.size + 1
    slot_dtype = np.dtype(np.uint16 if slot_count <= 1 << 15 else np.uint32)
    crowded = slot_dtype.type(1 << (8 * slot_dtype.itemsize - 1))
    cells_a_slot = np.diff(cells, prepend=-1, append=(1 << cell_bits) - 1)
    first_slots = np.arange(slot_count, dtype=slot_dtype).repeat(cells_a_slot)
    first_slots[cells[1:][cells[1:] == cells[:-1]]] |= crowded
    most = int(np.unique(cells, return_counts=True)[1].max(initial=0))
    step = (1 << most.bit_length()) >> 1
    # Above the last edge more of them, so that a step never leads out.
    padded = np.append(edges.patterns, np.full(2 * step + 1, np.iinfo(dtype).max, dtype))

    def count(bits: NDArray[Any]) -> NDArray[np.int64]:
        slots = _look_up(_read_only(bits), first_slots, crowded, shift, padded, step)
        return edges.totals(slots[:slot_count])

    return count


def fastest(edges: Edges) -> Count:
    """The one of the two that is faster for `edges`."""
    magnitude_bytes = np.unique(edges.patterns << 1).nbytes
    return comparing(edges) if magnitude_bytes <= COMPARE_UP_TO_BYTES else looking_up(edges)


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A view, since numba compiles a kernel each for read-only and for writable arrays."""
    view = array.view()
    view.flags.writeable = False
    return view


def _compiled(function: Any) -> Any:
    """`function` compiled on first use, kept on disk where numba finds a folder to write to."""
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:
        return numba.njit(nogil=True)(function)


@_compiled
def _compare(bits: NDArray[Any], magnitudes: NDArray[Any]) -> NDArray[np.int64]:
    """How many values have at most each magnitude, and how many of them are negative."""
    at_most = np.zeros((magnitudes.size + 1, 2), np.int64)
    greatest = (1 << (8 * bits.itemsize - 1)) - 1
    for start in range(0, bits.size, BLOCK_BYTES // bits.itemsize):
        for i in range(magnitudes.size):
            both, negative = count_at_most(bits, start, magnitudes[i])
            at_most[i, 0] += both
            at_most[i, 1] += negative
        at_most[-1, 1] += count_at_most(bits, start, greatest)[1]
    return at_most


@_compiled
def _look_up(
    bits: NDArray[Any],
    first_slots: NDArray[Any],
    crowded: Any,
    shift: Any,
    edges: NDArray[Any],
    first_step: int,
) -> NDArray[np.int64]:
    """How many values lie in each slot. The values of a cell lie in its first slot or, above the
    edge in it, in the next; a cell that is marked as crowded has several edges to search.
    """
    slots = np.zeros(edges.size, np.int64)
    for value in bits:
        slot = np.uint64(first_slots[value >> shift])
        if slot >= crowded:
            slot -= np.uint64(crowded)
            step = np.uint64(first_step)
            while step > 0:
                slot += step * np.uint64(edges[slot + step - np.uint64(1)] < value)
                step >>= np.uint64(1)
        slot += np.uint64(edges[slot] < value)
        slots[slot] += 1
    return slots
