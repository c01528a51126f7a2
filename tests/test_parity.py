"""Every implementation equals the reference to the last count."""

import numpy as np
import pytest
from corpus import BOUNDS, FLOATS, INTEGERS, hard_values, shaped
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from implementations import IMPLEMENTATIONS
from native_buckets import near_bounds
from subnormals import flushed

from gangplank._native import cpu, edges, reference
from gangplank._native.cuda import table as cuda_table
from gangplank._native.edges import Bounds
from gangplank.weights.native_buckets import NativeBuckets, native_bounds

OTHERS = [name for name in IMPLEMENTATIONS if name != "reference"]
# XLA compiles for each shape, so it is given few of them.
UNDER_XLA = [name for name in OTHERS if "xla" in name or "jax" in name]
NOT_XLA = [name for name in OTHERS if name not in UNDER_XLA]


def _of_one_size_under_xla(name, values):
    assert values.size <= 1001
    return np.resize(values, 1001) if name in UNDER_XLA else values


def assert_equals_reference(name, arrays, bounds, what=""):
    bounds = bounds if isinstance(bounds, Bounds) else Bounds.of(bounds)
    counts, nan_count = IMPLEMENTATIONS[name](arrays, bounds)
    expected_counts, expected_nan_count = reference.count(arrays, bounds)
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts, expected_counts, err_msg=what)
    assert nan_count == expected_nan_count, what


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS, ids=str)
@pytest.mark.parametrize("name", OTHERS)
def test_hard_values(name, dtype):
    for key, bounds in BOUNDS.items():
        values = hard_values(dtype, bounds)
        assert_equals_reference(name, [_of_one_size_under_xla(name, values)], bounds, key)


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS, ids=str)
@pytest.mark.parametrize("name", OTHERS)
def test_native_buckets(name, dtype):
    for schema in (-4, 0, 3, 8):
        buckets = NativeBuckets(schema, 0.0 if schema == 0 else 2.0**-128)
        values = near_bounds(dtype, schema, buckets.zero_threshold)
        assert_equals_reference(name, [values], native_bounds(buckets), f"schema {schema}")


@pytest.mark.parametrize(
    "dtype", [np.dtype(np.float32), np.dtype(np.float16), *FLOATS[3:4]], ids=str
)
@pytest.mark.parametrize("name", OTHERS)
def test_shapes_and_layouts(name, dtype):
    bounds = BOUNDS["presets"]
    for layout, array in shaped(hard_values(dtype, bounds)).items():
        assert_equals_reference(name, [array], bounds, layout)


@pytest.mark.parametrize("name", OTHERS)
def test_every_tail_length(name):
    bounds = BOUNDS["presets"]
    values = np.random.default_rng(0).normal(0, 0.2, 1000).astype(np.float32)
    every = range(70) if name not in UNDER_XLA else range(6)
    for size in (*every, 127, 128, 129, 1000):
        assert_equals_reference(name, [values[:size]], bounds)


@pytest.mark.parametrize("name", OTHERS)
def test_arrays_add_up(name):
    bounds = BOUNDS["presets"]
    arrays = [hard_values(dtype, bounds) for dtype in FLOATS + INTEGERS]
    assert_equals_reference(name, arrays, bounds)
    assert_equals_reference(name, [], bounds)


# XLA's threads are its own.
THREADS = [(name, key) for name in OTHERS for key in (BOUNDS if name in NOT_XLA else ["subnormal"])]


@pytest.mark.parametrize(("name", "key"), THREADS)
def test_a_thread_that_flushes_subnormals(name, key):
    bounds = Bounds.of(BOUNDS[key])
    for dtype in FLOATS + INTEGERS:
        # Enough of them for a share of each thread.
        arrays = [np.resize(hard_values(dtype, bounds.values), 10_000)]
        expected_counts, expected_nan_count = reference.count(arrays, bounds)
        cpu.count_by.cache_clear()
        with flushed():
            counts, nan_count = IMPLEMENTATIONS[name](arrays, bounds)
        np.testing.assert_array_equal(counts, expected_counts, err_msg=str(dtype))
        assert nan_count == expected_nan_count, dtype


def any_bits(dtype, size):
    return npst.arrays(f"u{dtype.itemsize}", size).map(lambda bits: bits.view(dtype))


def any_bounds(**size):
    finite = st.floats(allow_nan=False, allow_infinity=False).map(lambda bound: bound + 0.0)
    return st.lists(finite, unique=True, **size).map(sorted)


def arrays(size):
    return st.one_of(*(any_bits(dtype, size) for dtype in FLOATS + INTEGERS))


many = settings(max_examples=60, deadline=None, derandomize=True)
few = settings(many, max_examples=20)


@pytest.mark.parametrize("name", NOT_XLA)
@many
@given(
    values=st.lists(arrays(st.integers(0, 50)), max_size=3),
    bounds=any_bounds(min_size=1, max_size=40),
)
def test_any_bits_and_any_bounds(name, values, bounds):
    assert_equals_reference(name, values, bounds)


@pytest.mark.parametrize("name", UNDER_XLA)
@few
@given(values=arrays(50), bounds=any_bounds(min_size=10, max_size=10))
def test_any_bits_and_any_bounds_under_xla(name, values, bounds):
    assert_equals_reference(name, [values], bounds)


@pytest.mark.parametrize("name", NOT_XLA)
@many
@given(data=st.data(), dtype=st.sampled_from(FLOATS))
def test_bounds_among_the_values(name, data, dtype):
    values = data.draw(any_bits(dtype, st.integers(0, 50)))
    finite = values[np.isfinite(values)].astype(np.float64) + 0.0
    bounds = np.unique(np.concatenate([finite, np.nextafter(finite, np.inf), [0.25]]))
    assert_equals_reference(name, [values], bounds[np.isfinite(bounds)])


exact_edges_of = edges.edges_of


def rounded_to_nearest(bounds, dtype):
    return exact_edges_of(Bounds.of(bounds.values.astype(dtype)), dtype)


def without_negative_nan(bounds, dtype):
    exact = exact_edges_of(bounds, dtype)
    buckets = np.append(exact.buckets[:-1], 0)
    return edges.Edges(exact.patterns, buckets)


@pytest.mark.parametrize("fault", [rounded_to_nearest, without_negative_nan])
@pytest.mark.parametrize("name", OTHERS)
def test_a_planted_fault_is_found(name, fault, monkeypatch):
    monkeypatch.setattr(edges, "edges_of", fault)
    bounds = BOUNDS["presets"]
    for each in (cpu.count_by, cuda_table.table_of):
        each.cache_clear()
    with pytest.raises(AssertionError):
        assert_equals_reference(name, [hard_values(np.dtype(np.float32), bounds)], bounds)
    for each in (cpu.count_by, cuda_table.table_of):
        each.cache_clear()
