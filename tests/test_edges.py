"""Edges part the bit patterns of a dtype into the buckets that its values lie in."""

import ml_dtypes
import numpy as np
import pytest
from corpus import BOUNDS, FLOATS, INTEGERS, hard_values

from gangplank._native import edges
from gangplank._native.edges import Bounds

# No IEEE floats, or no whole bytes; old versions of ml_dtypes have not all of them.
EXOTIC = ("float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu", "int4", "uint4")

# Of these every value is tried.
NARROW = [
    *(dtype for dtype in FLOATS + INTEGERS if dtype.itemsize <= 2),
    *(np.dtype(getattr(ml_dtypes, name)) for name in EXOTIC if hasattr(ml_dtypes, name)),
]


def every_pattern(dtype):
    return np.arange(1 << (8 * dtype.itemsize), dtype=f"u{dtype.itemsize}")


def expected_buckets(values, bounds):
    """The definition, in the dtypes that float64 holds exactly."""
    with np.errstate(invalid="ignore"):  # of a signalling NaN
        exact = values.astype(np.float64)
    return np.where(np.isnan(exact), len(bounds) + 1, np.searchsorted(bounds, exact))


def buckets_of(patterns, parts):
    return parts.buckets[np.searchsorted(parts.patterns, patterns)]


@pytest.mark.parametrize("bounds", BOUNDS.values(), ids=BOUNDS)
@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_every_value_of_a_narrow_dtype_is_in_its_bucket(dtype, bounds):
    patterns = every_pattern(dtype)
    parts = edges.edges_of(Bounds.of(bounds), dtype)
    expected = expected_buckets(patterns.view(dtype), bounds)
    np.testing.assert_array_equal(buckets_of(patterns, parts), expected)
    np.testing.assert_array_equal(buckets_of(patterns, parts.mirrored()), expected)
    signed = patterns.view(f"i{dtype.itemsize}")
    np.testing.assert_array_equal(buckets_of(signed, parts.signed()), expected)


@pytest.mark.parametrize("bounds", BOUNDS.values(), ids=BOUNDS)
@pytest.mark.parametrize("dtype", [np.dtype(np.float64), np.dtype(np.float32)], ids=str)
def test_hard_values_of_a_wide_dtype_are_in_their_buckets(dtype, bounds):
    values = hard_values(dtype, bounds)
    parts = edges.edges_of(Bounds.of(bounds), dtype)
    expected = expected_buckets(values, bounds)
    patterns = values.view(f"u{dtype.itemsize}")
    np.testing.assert_array_equal(buckets_of(patterns, parts), expected)
    np.testing.assert_array_equal(buckets_of(patterns, parts.mirrored()), expected)
    signed = patterns.view(f"i{dtype.itemsize}")
    np.testing.assert_array_equal(buckets_of(signed, parts.signed()), expected)


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS, ids=str)
def test_edges_are_strictly_increasing(dtype):
    for bounds in BOUNDS.values():
        parts = edges.edges_of(Bounds.of(bounds), dtype)
        mirrored = parts.mirrored()
        for patterns in (parts.patterns, mirrored.doubled, parts.signed().patterns):
            assert (patterns[1:] > patterns[:-1]).all()
        assert (mirrored.patterns[1:] >= mirrored.patterns[:-1]).all()


def test_bounds_that_are_one_in_the_dtype_make_one_edge():
    bounds = Bounds.of(np.linspace(0.1, 0.1 + 1e-9, 100))
    parts = edges.edges_of(bounds, np.dtype(np.float32))
    assert parts.patterns.size == len(["the bounds", "+inf", "the last positive NaN", "-inf"])
    assert buckets_of(np.array([0.1], np.float32).view(np.uint32), parts) == [100]


@pytest.mark.parametrize("by_magnitude", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("magnitudes", [[0.1, 0.2, 0.3], [0.25, 0.5, 1.0], [0.25, 0.3, 4e4]])
def test_an_edge_serves_both_signs_of_a_bound(magnitudes, dtype, by_magnitude):
    bounds = Bounds(Bounds.of([-m for m in magnitudes[::-1]] + magnitudes).packed, by_magnitude)
    doubled = edges.edges_of(bounds, np.dtype(dtype)).mirrored().doubled
    assert doubled.size == len(magnitudes) + 1  # infinity


def test_totals_name_what_has_values():
    parts = edges.edges_of(Bounds.of([-1.0, 1.0]), np.dtype(np.float32))
    # Up to 1, to inf, NaN; above -1, up to -1, NaN.
    buckets, counts = parts.totals(np.array([1, 2, 0, 10, 20, 30]))
    assert buckets.tolist() == [1, 2, 1, 0, 3]
    assert counts.tolist() == [1, 2, 10, 20, 30]
