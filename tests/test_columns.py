"""Columns counted into buckets of their own."""

import corpus
import numpy as np
import pytest

from gangplank._native import columns, cpu
from gangplank._native.kernels import columns_kernel

IMPLEMENTATIONS = {
    "numpy": columns.count_by_numpy,
    "compiled": columns_kernel.count_compiled,
}
each_bounds = pytest.mark.parametrize("bounds", corpus.BOUNDS.values(), ids=corpus.BOUNDS.keys())


def hard_values(bounds):
    return corpus.hard_values(np.dtype(np.float32), bounds)


def hard_ends(bounds):
    values = hard_values(bounds)
    return np.unique(values[~np.isnan(values)]) + np.float32(0)  # no -0


@pytest.mark.parametrize("ends", [1, 2, 3, 7, 100])
@each_bounds
@pytest.mark.parametrize("count", IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS.keys())
def test_a_value_is_in_the_first_bucket_whose_end_it_is_at_most(count, bounds, ends):
    rng = np.random.default_rng(1)
    values = hard_values(bounds)
    rows = np.array([rng.permutation(values) for _ in range(3)])
    own_ends = np.sort(rng.choice(hard_ends(bounds), (3, ends)), axis=1)
    counts = np.zeros((3, ends + 2), np.int64)
    count(rows.view(np.int32), columns.keys_of(own_ends), counts)
    numbers = values[~np.isnan(values)]
    cumulative = (numbers[:, np.newaxis, np.newaxis] <= own_ends).sum(axis=0)
    sizes = np.broadcast_to([numbers.size, values.size], (3, 2))
    expected = np.diff(np.hstack([cumulative, sizes]), prepend=0, axis=1)
    np.testing.assert_array_equal(counts, expected)


@each_bounds
def test_keys_are_in_the_order_of_values(bounds):
    keys = columns.keys_of(hard_ends(bounds))
    assert (np.diff(keys.astype(np.int64)) > 0).all()
    assert keys.max() == columns.INFINITY


@pytest.mark.parametrize("is_compiled", [False, True])
def test_counted_with_numba_where_it_is_loaded(is_compiled, monkeypatch):
    chosen = cpu.fastest_compiled if is_compiled else columns.numpy_kernel
    monkeypatch.setattr(cpu, "choose_for", lambda _: (chosen, 1))
    values = np.array([[1.0, 2.0, np.nan], [0.0, -1.0, 5.0]], np.float32)
    ends = columns.keys_of(np.array([[0, 1], [0, 1]], np.float32))
    counts = columns.count_columns(values, ends)
    np.testing.assert_array_equal(counts, [[0, 1, 1, 1], [2, 0, 1, 0]], strict=True)
