"""Columns counted into buckets of their own: as the reference counts each."""

import corpus
import numpy as np
import pytest

from gangplank import NativeBuckets
from gangplank._native import columns, columns_kernel, cpu, reference
from gangplank._native.edges import Bounds
from gangplank.weights import counting

BOUNDS = {name: Bounds.of(bounds) for name, bounds in corpus.BOUNDS.items()}
BOUNDS |= {
    f"native, from {threshold}": counting(NativeBuckets(3, threshold)).bounds
    for threshold in (0.0, 2.0**-128, 1.0)
}
IMPLEMENTATIONS = {
    "numpy": columns.count_by_numpy,
    "compiled": columns_kernel.count_compiled,
}
each_bounds = pytest.mark.parametrize("bounds", BOUNDS.values(), ids=BOUNDS.keys())


def hard_values(bounds):
    return corpus.hard_values(np.dtype(np.float32), bounds.values)


@pytest.mark.parametrize("ends", [1, 2, 3, 7, 100])
@each_bounds
@pytest.mark.parametrize("count", IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS.keys())
def test_counts_are_those_of_the_reference(count, bounds, ends):
    rng = np.random.default_rng(1)
    values = hard_values(bounds)
    rows = np.array([rng.permutation(values) for _ in range(3)])
    places = np.sort(rng.integers(0, bounds.values.size, (3, ends)), axis=1)
    counts = np.zeros((3, ends + 2), np.int64)
    count(rows.view(np.int32), columns.greatest_keys(bounds)[places], counts)
    whole, nan_count = reference.count([values], bounds)
    expected = [[*np.diff([0, *whole.cumsum()[own], whole.sum()]), nan_count] for own in places]
    np.testing.assert_array_equal(counts, expected)


@each_bounds
def test_keys_are_in_the_order_of_values(bounds):
    values = hard_values(bounds)
    values = np.unique(values[~np.isnan(values)])
    assert (np.diff(columns.keys_of(values.view(np.int32)).astype(np.int64)) > 0).all()
    greatest = columns.greatest_keys(bounds).astype(np.int64)
    assert (np.diff(greatest) >= 0).all()
    assert greatest[-1] == columns.INFINITY


@pytest.mark.parametrize("is_compiled", [False, True])
def test_counted_with_numba_where_it_is_loaded(is_compiled, monkeypatch):
    chosen = cpu.fastest_compiled if is_compiled else columns.numpy_kernel
    monkeypatch.setattr(cpu, "choose_for", lambda _: (chosen, 1))
    values = np.array([[1.0, 2.0, np.nan], [0.0, -1.0, 5.0]], np.float32)
    ends = columns.keys_of(np.array([[0, 1], [0, 1]], np.float32).view(np.int32))
    counts = columns.count_columns(values, ends)
    np.testing.assert_array_equal(counts, [[0, 1, 1, 1], [2, 0, 1, 0]], strict=True)
