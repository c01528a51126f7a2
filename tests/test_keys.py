"""Keys are in the order of their values, and edges between the right ones."""

import ml_dtypes
import numpy as np
import pytest
from corpus import BOUNDS, FLOATS, INTEGERS

from gangplank._native import keys

NARROW = [dtype for dtype in FLOATS + INTEGERS if dtype.itemsize <= 2]


def every_value(dtype):
    return np.arange(1 << (8 * dtype.itemsize), dtype=f"u{dtype.itemsize}").view(dtype)


def exact(values):
    with np.errstate(invalid="ignore"):  # of a signalling NaN
        return values.astype(np.float64)


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_every_value_of_a_narrow_dtype_is_in_order(dtype):
    values = every_value(dtype)
    numbers = values[~np.isnan(exact(values))]
    in_order = exact(numbers[np.argsort(keys.KEY_CODES[dtype].keys(numbers))])
    assert (np.diff(in_order) >= 0).all()


@pytest.mark.parametrize("bounds", BOUNDS.values(), ids=BOUNDS)
@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_every_value_of_a_narrow_dtype_lies_between_its_edges(dtype, bounds):
    values = every_value(dtype)
    numbers = values[~np.isnan(exact(values))]
    edges, below = keys.edges(np.array(bounds), dtype)
    # The edges of -inf and of every bound but those that no value of the dtype can reach.
    reachable = dict(zip([-np.inf, *bounds][below:], edges, strict=False))
    assert len(edges) == len(bounds) + 2 - below
    for bound, edge in reachable.items():
        if bound > -np.inf:
            at_most = keys.KEY_CODES[dtype].keys(numbers) <= edge
            np.testing.assert_array_equal(at_most, exact(numbers) <= bound)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_nan_lies_outside_of_the_first_and_the_last_edge(dtype):
    edges, _ = keys.edges(np.array([0.0]), dtype)
    code = keys.KEY_CODES[dtype]
    largest = ml_dtypes.finfo(dtype).max
    low, high = code.keys(np.array([-largest, largest], dtype))
    assert edges[0] < low
    assert high <= edges[-1]
    nan = np.array([np.nan, -np.nan]).astype(dtype)
    assert all(key <= edges[0] or key > edges[-1] for key in code.keys(nan))
