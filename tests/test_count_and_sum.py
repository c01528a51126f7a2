"""Kernels that count and sum at once: to the last count, and the last bit, as one for each."""

from functools import partial

import numpy as np
import pytest
from corpus import BOUNDS, hard_values

from gangplank import NativeBuckets
from gangplank._native import cpu, reference
from gangplank._native.edges import Bounds, edges_of
from gangplank._native.kernels.lane_kernel import lane_kernel
from gangplank._native.kernels.moments_kernel import summed
from gangplank._native.kernels.table_kernel import needs_search, table_kernel
from gangplank._native.moments import BLOCK, TWICE, moments_of

KERNELS = {
    "one sign": partial(lane_kernel, for_both_signs=False),
    "both signs": partial(lane_kernel, for_both_signs=True),
    "table": table_kernel,
}
PRESET = Bounds.of(BOUNDS["presets"])
FEW, MANY = Bounds.of(BOUNDS["presets"][4:9]), Bounds.of(BOUNDS["many"])
NEAR = Bounds.of((*BOUNDS["many"], 2.0, 2.000001))  # in one cell of a table
DTYPES = [np.dtype(np.float32), np.dtype(np.float64)]


def assert_measured(kernel, values, bounds):
    (buckets, counts), rows = kernel(edges_of(bounds, values.dtype)).with_moments(values)
    totals = np.zeros(bounds.values.size + 2, np.int64)
    np.add.at(totals, buckets, counts)
    expected, nan_count = reference.count([values], bounds)
    assert totals.tolist() == [*expected.tolist(), nan_count]
    assert rows.tobytes() == moments_of(values).tobytes()


@pytest.mark.parametrize("key", BOUNDS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", KERNELS)
def test_hard_values(name, dtype, key):
    values = np.resize(hard_values(dtype, BOUNDS[key]), 3000)
    assert_measured(KERNELS[name], values, Bounds.of(BOUNDS[key]))
    assert_measured(KERNELS[name], values[np.isfinite(values)], Bounds.of(BOUNDS[key]))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", KERNELS)
def test_every_size(name, dtype):
    values = np.random.default_rng(0).normal(0, 0.2, 2 * BLOCK + 1000).astype(dtype)
    for size in (*range(140), BLOCK - 1, BLOCK, BLOCK + 1, values.size):
        assert_measured(KERNELS[name], values[:size], PRESET)
    assert_measured(KERNELS[name], values[3:], PRESET)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", [TWICE, TWICE + 1, 2 * TWICE + BLOCK + 3])
@pytest.mark.parametrize("bounds", [MANY, NEAR], ids=["many", "near"])
def test_more_values_than_are_read_twice_at_a_time(bounds, size, dtype):
    assert needs_search(edges_of(bounds, dtype)) == (bounds is NEAR)
    values = np.resize(hard_values(dtype, bounds.values), size)
    assert_measured(table_kernel, values, bounds)


def test_fewer_values_than_buckets_but_more_than_are_read_twice_at_a_time():
    values = np.random.default_rng(0).normal(size=TWICE + 3)
    assert_measured(table_kernel, values, Bounds.of_magnitudes(NativeBuckets(8).magnitudes))


@pytest.mark.parametrize("name", KERNELS)
def test_more_values_in_one_bucket_than_half_a_counter_holds(name):
    assert_measured(KERNELS[name], np.full(2_500_000, -0.25, np.float32), FEW)


@pytest.mark.parametrize("dtype", [*DTYPES, np.dtype(np.float16)], ids=str)
@pytest.mark.parametrize("bounds", [FEW, MANY], ids=["few", "many"])
def test_one_pass_is_chosen_where_it_is_faster(bounds, dtype, monkeypatch):
    sizes = []
    monkeypatch.setattr("gangplank._native.kernels.lane_kernel.summed", noting(sizes))
    cpu.count_by.cache_clear()
    monkeypatch.setattr(cpu, "MOST_A_CALL", 2 * BLOCK)
    values = np.random.default_rng(0).normal(0, 0.2, 5 * BLOCK).astype(dtype)
    rows = []
    counts, _ = cpu.count([values], bounds, rows, kernel=cpu.fastest_compiled)
    cpu.count_by.cache_clear()
    assert counts.tolist() == reference.count([values], bounds)[0].tolist()
    assert np.concatenate(rows).tobytes() == moments_of(values).tobytes()
    is_one = bounds is FEW and dtype in DTYPES
    assert sizes == ([2 * BLOCK, 2 * BLOCK, BLOCK] if is_one else [])


def noting(sizes):
    def noted(values, kernel):
        sizes.append(values.size)
        return summed(values, kernel)

    return noted
