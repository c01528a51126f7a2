"""The table of the kernel for CUDA: by one look-up or a search, and what room it takes."""

import cuda_on_cpu
import numpy as np
import pytest
from cuda_on_cpu import needs_compiler

from gangplank import NativeBuckets
from gangplank._native import edges
from gangplank._native.cuda import kernel as cuda_kernel
from gangplank._native.cuda import table as cuda_table
from gangplank._native.edges import Bounds
from gangplank.weights.native_buckets import native_bounds

BOUNDS = Bounds.of(np.linspace(-1, 1, 13))


def slots_of(patterns, values, dtype, cell_bits):
    """How many unsigned `values` lie in each slot, by the kernel."""
    table = cuda_table.table_with(edges.Edges(patterns, np.arange(patterns.size + 1)), cell_bits)
    groups = [[cuda_on_cpu.located(values.view(dtype))]]
    (slots,), _ = cuda_kernel.measure(cuda_on_cpu.processor, groups, table, False)
    return table, slots


@needs_compiler
@pytest.mark.parametrize("cell_bits", [8, 12, 13])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_an_edge_in_each_cell(dtype, cell_bits):
    """At one place in each cell after the other, or also at its highest value."""
    unsigned = np.dtype(f"u{np.dtype(dtype).itemsize}")
    shift = 8 * unsigned.itemsize - cell_bits
    lowest = np.arange(1 << cell_bits, dtype=unsigned) << unsigned.type(shift)
    within = lowest + np.random.default_rng(0).integers(0, (1 << shift) - 1, lowest.size, unsigned)
    highest = (lowest + unsigned.type((1 << shift) - 1))[:-1]
    for patterns, first_step in (
        (within[:-2], 0),
        (within[:-1], 1),  # one slot more than an entry has room for
        (highest, 1),  # of which none is exceeded in its cell
        (np.sort(np.concatenate([within, highest])), 1),
        (np.sort(np.concatenate([within[::3], within[:99:3] + 1, lowest[:9:3]])), 2),
        (np.sort(np.concatenate([within[1::2], highest[:9]])), 0),
    ):
        values = np.concatenate([patterns, patterns - 1, patterns + 1, lowest, highest])
        table, slots = slots_of(patterns, values, dtype, cell_bits)
        places = np.searchsorted(patterns, values)
        assert slots.tolist() == np.bincount(places, minlength=patterns.size + 1).tolist()
        assert table.first_step == first_step


def test_a_table_of_one_look_up():
    def first_step(bounds, name):
        return cuda_table.table_of(Bounds.of(bounds), name, 227 << 10).first_step

    assert first_step(BOUNDS.values, "float32") == 0
    assert first_step([0.1, 0.1 + 1e-6, 0.1 + 2e-6], "float32") == 2
    # Neighbours in bfloat16 share a cell, but of bytes each has its own.
    assert first_step(np.arange(64, 80, 0.5), "bfloat16") == 4
    assert first_step(np.arange(64, 80, 0.5), "int8") == 0


def test_a_table_takes_the_room_that_there_is():
    native = native_bounds(NativeBuckets())
    sizes = [cuda_table.table_of(native, "float32", kib << 10).cell_count for kib in (227, 64, 48)]
    assert sizes == [1 << 13, 1 << 12, 1 << 11]
    assert cuda_table.table_of(native, "float32", 32 << 10) is None
    # With fewer cells a search is longer, and what is behind the edges is more.
    many = Bounds.of(np.linspace(0.1, 1.9, 24_000))
    assert cuda_table.table_of(many, "float32", 227 << 10).first_step
