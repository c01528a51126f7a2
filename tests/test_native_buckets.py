"""Native buckets have Prometheus's bounds, and every value is in the bucket of exact arithmetic."""

import copy
import math
import pickle
import shutil
import sys
from fractions import Fraction
from pathlib import Path

import native_buckets
import numpy as np
import pytest
from corpus import FLOATS, INTEGERS
from subnormals import flushed

from gangplank._native import reference
from gangplank.weights.native_buckets import NativeBuckets, _magnitudes, native_bounds

SCHEMAS = range(-4, 9)


@pytest.mark.parametrize("schema", range(1, 9))
def test_the_server_computes_with_the_same_bounds(schema):
    server = Path(shutil.which("prometheus")).read_bytes()
    assert native_buckets.packed(schema) in server


@pytest.mark.parametrize("schema", SCHEMAS)
def test_each_bound_is_the_last_of_its_bucket(schema):
    buckets = NativeBuckets(schema, 0.0)
    magnitudes, first = buckets.magnitudes, buckets.first_index
    for i in [*range(1, 40), *range(1, magnitudes.size, max(magnitudes.size // 200, 1))]:
        bound = magnitudes[i].item()
        if magnitudes[i - 1] < bound:
            assert native_buckets.index_of(Fraction(bound), schema) == first + i - 1
        if bound < sys.float_info.max:
            beyond = math.nextafter(bound, math.inf)
            assert native_buckets.index_of(Fraction(beyond), schema) > first + i - 1
    assert magnitudes[-1] == sys.float_info.max
    last = first + magnitudes.size - 2
    assert native_buckets.index_of(math.inf, schema) == last + 1


@pytest.mark.parametrize("zero_threshold", [0.0, 5e-324, 1.0, sys.float_info.max])
@pytest.mark.parametrize("schema", [-4, 3])
@pytest.mark.parametrize("dtype", FLOATS + INTEGERS, ids=str)
def test_the_reference_counts_as_exact_arithmetic_does(dtype, schema, zero_threshold):
    buckets = NativeBuckets(schema, zero_threshold)
    values = native_buckets.near_bounds(dtype, schema, zero_threshold)
    counts, nan_count = reference.count([values], native_bounds(buckets))
    middle, first = counts.size // 2, buckets.first_index

    def sparse(dense):
        return {first + i: count for i, count in enumerate(dense.tolist()) if count}

    assert (
        sparse(counts[middle + 1 :]),
        sparse(counts[:middle][::-1]),
        counts[middle],
        nan_count,
    ) == native_buckets.counted(values, schema, zero_threshold)


def test_a_thread_that_flushes_subnormals_makes_the_same_bounds():
    expected = NativeBuckets(3, 0.0).magnitudes.tobytes()
    _magnitudes.cache_clear()
    with flushed():
        buckets = NativeBuckets(3, 0.0)
        assert buckets.magnitudes.tobytes() == expected
        native_bounds.cache_clear()
        values = native_bounds(buckets).packed
    native_bounds.cache_clear()
    _magnitudes.cache_clear()
    assert values == native_bounds(NativeBuckets(3, 0.0)).packed


@pytest.mark.parametrize("schema", [-5, 9, 3.0, True, "3", None])
def test_a_schema_that_is_none(schema):
    with pytest.raises(ValueError, match=r"schema must be an integer from -4 .* to 8 .*Received"):
        NativeBuckets(schema)


@pytest.mark.parametrize(
    "threshold", [-1e-9, math.nan, math.inf, 10**400, Fraction(10**400), True, "0", None], ids=str
)
def test_a_zero_threshold_that_is_none(threshold):
    with pytest.raises(ValueError, match="zero_threshold must be a finite number of at least 0"):
        NativeBuckets(zero_threshold=threshold)


def test_what_is_equal():
    assert NativeBuckets() == NativeBuckets(3, 2.0**-128)
    assert hash(NativeBuckets(np.int64(2), np.float32(0.5))) == hash(NativeBuckets(2, 0.5))
    assert native_bounds(NativeBuckets(3, -0.0)) == native_bounds(NativeBuckets(3, 0.0))


def test_copies_are_small():
    buckets = NativeBuckets(8, 0.0)
    native_bounds(buckets)
    assert len(pickle.dumps(buckets)) < 500
    assert copy.deepcopy(buckets) == pickle.loads(pickle.dumps(buckets)) == buckets
    assert not buckets.magnitudes.flags.writeable
