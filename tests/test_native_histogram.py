"""Histograms in native buckets: exact, immutable, and added up as Prometheus does it."""

import copy
import math
import pickle
from fractions import Fraction

import native_buckets
import numpy as np
import pytest
from corpus import FLOATS, INTEGERS

import gangplank
from gangplank import NativeBuckets, NativeWeightsHistogram, weights_histogram

WEIGHTS = np.random.default_rng(0).normal(0, 0.1, 10_000).astype(np.float32)


def made(positive, negative=None, schema=0, zero_threshold=0.0, zero_count=0, **further):
    return NativeWeightsHistogram(
        schema, zero_threshold, zero_count, positive, negative or {}, **further
    )


@pytest.mark.parametrize("zero_threshold", [0.0, 2.0**-128, 0.1])
@pytest.mark.parametrize("schema", [-4, 0, 3])
@pytest.mark.parametrize("dtype", FLOATS + INTEGERS, ids=str)
def test_every_weight_is_in_the_bucket_of_exact_arithmetic(dtype, schema, zero_threshold):
    values = native_buckets.near_bounds(dtype, schema, zero_threshold)
    histogram = weights_histogram([values], NativeBuckets(schema, zero_threshold))
    counted = histogram.positive, histogram.negative, histogram.zero_count, histogram.nan_count
    assert counted == native_buckets.counted(values, schema, zero_threshold)
    assert list(histogram.positive) == sorted(histogram.positive)
    assert histogram.count + histogram.nan_count == values.size


@pytest.mark.parametrize("step", [-2, -1, 0, 1, 2])
@pytest.mark.parametrize("exponent", [31, 53, 63])
def test_integers_that_float64_does_not_tell_apart(exponent, step):
    near = [2**exponent + i for i in range(-3, 4)]
    values = np.array(
        [value for each in near for value in (each, -each) if -(2**63) <= value < 2**63], np.int64
    )
    threshold = float(2**exponent + step)
    for schema in (0, 3):
        histogram = weights_histogram([values], NativeBuckets(schema, threshold))
        counted = histogram.positive, histogram.negative, histogram.zero_count, histogram.nan_count
        assert counted == native_buckets.counted(values, schema, Fraction(threshold))


def test_the_finest_schema():
    histogram = weights_histogram([WEIGHTS], NativeBuckets(8))
    counted = histogram.positive, histogram.negative, histogram.zero_count, histogram.nan_count
    assert counted == native_buckets.counted(WEIGHTS, 8, 2.0**-128)


def test_a_subnormal_weight_is_zero_only_below_the_threshold():
    weights = np.array([1e-40, -1e-40, 0.0, -0.0], np.float32)
    assert weights_histogram([weights], NativeBuckets()).zero_count == 4
    histogram = weights_histogram([weights], NativeBuckets(zero_threshold=0.0))
    assert (histogram.zero_count, histogram.count) == (2, 4)


def test_the_sum():
    assert weights_histogram([WEIGHTS], NativeBuckets()).sum == math.fsum(WEIGHTS.tolist())
    assert weights_histogram([np.array([1.0, np.nan])], NativeBuckets()).sum == 1
    assert weights_histogram([np.array([1.0, np.inf])], NativeBuckets()).sum == math.inf
    assert weights_histogram([np.array([1.0, -np.inf])], NativeBuckets()).sum == -math.inf
    assert math.isnan(weights_histogram([np.array([np.inf, -np.inf])], NativeBuckets()).sum)
    assert weights_histogram([], NativeBuckets()).sum == 0


def test_a_model_and_its_parts(model):
    whole = weights_histogram(model, NativeBuckets())
    parts = [weights_histogram([each], NativeBuckets()) for each in model.trainable_variables]
    added = sum(parts)
    assert added.sum == pytest.approx(whole.sum, rel=1e-12)
    assert (added.positive, added.negative, added.zero_count) == (
        whole.positive,
        whole.negative,
        whole.zero_count,
    )


@pytest.mark.parametrize(("fine", "coarse"), [(8, 3), (3, 0), (0, -4), (5, -2)])
def test_the_finer_one_is_merged_into_the_coarser_one(fine, coarse):
    special = np.array([np.inf, -np.inf, 1.0, -2.0, 5e-324, 1.7e308, 0.0])
    added = weights_histogram([WEIGHTS], NativeBuckets(fine)) + weights_histogram(
        [special], NativeBuckets(coarse)
    )
    expected = weights_histogram([WEIGHTS, special], NativeBuckets(coarse))
    assert (added.schema, added.positive, added.negative, added.zero_count) == (
        coarse,
        expected.positive,
        expected.negative,
        expected.zero_count,
    )


def test_infinities_stay_beyond_every_number_when_they_are_merged():
    infinite = weights_histogram([np.array([np.inf, -np.inf, 1.0])], NativeBuckets(8))
    merged = infinite + weights_histogram([], NativeBuckets(-4))
    assert merged.positive == {0: 1, 65: 1}
    assert merged.negative == {65: 1}


def test_the_smaller_zero_threshold_is_widened():
    wide = made({}, schema=0, zero_threshold=0.25, zero_count=1)
    narrow = made({-4: 1, -2: 2, 0: 4}, {-3: 8})  # up to 1/16, 1/4 and 1; -1/8
    added = wide + narrow
    assert (added.zero_threshold, added.zero_count) == (0.25, 12)
    assert (added.positive, added.negative) == ({0: 4}, {})


def test_a_zero_threshold_that_parts_a_bucket_becomes_its_bound():
    wide = made({5: 1}, schema=0, zero_threshold=0.3, zero_count=1)
    narrow = made({-1: 2, 0: 4}, {-1: 8, 0: 16})  # from 0.25 to 0.5, and to 1
    for added in (wide + narrow, narrow + wide):
        assert (added.zero_threshold, added.zero_count) == (0.5, 11)
        assert (added.positive, added.negative) == ({0: 4, 5: 1}, {0: 16})


def test_a_threshold_beside_fine_buckets_that_would_part_a_coarse_one():
    fine = weights_histogram([np.array([0.31])], NativeBuckets(3))
    coarse = weights_histogram([np.array([0.2])], NativeBuckets(0, 0.27))
    expected = weights_histogram([np.array([0.31, 0.2])], NativeBuckets(0, 0.27))
    assert fine + coarse == coarse + fine == expected


def test_what_does_not_add_up():
    native, classic = (weights_histogram([WEIGHTS], b) for b in (NativeBuckets(), [0.0]))
    for one, two in ((native, classic), (classic, native)):
        with pytest.raises(TypeError, match=r"Count both with the same buckets, or turn the"):
            one + two
    with pytest.raises(TypeError, match="unsupported operand"):
        made({}) + 1


def test_bounds_that_part_no_bucket():
    bounds = [0.0, 0.125, 0.25, 2.0**0.5 / 4, 8.0]
    weights = np.abs(WEIGHTS)
    histogram = weights_histogram([weights], NativeBuckets(1))
    with pytest.raises(ValueError, match=r"at most 0.353553 is not known: \d+ lie in the bucket"):
        histogram.to_bounds(bounds)
    del bounds[3]
    assert histogram.to_bounds(bounds) == weights_histogram([weights], bounds)
    assert histogram.to_bounds([*bounds, math.inf]) == weights_histogram([weights], bounds)


def test_a_negative_bound_parts_the_bucket_that_it_ends():
    histogram = weights_histogram([np.array([-0.5, -3.0, np.nan])], NativeBuckets(0))
    with pytest.raises(ValueError, match=r"at most -0.5 is not known: 1 lie in the bucket"):
        histogram.to_bounds([-0.5])
    between = histogram.to_bounds([-8.0, -1.0, 1.0])
    assert between.counts.tolist() == [0, 1, 1, 0]
    assert between.nan_count == 1


def test_a_bound_at_the_zero_threshold():
    histogram = weights_histogram([np.array([0.2, 0.4])], NativeBuckets(0, 0.3))
    assert histogram.to_bounds([0.3]).counts.tolist() == [1, 1]


def test_a_value_that_nobody_changes():
    counts = {1: 2}
    histogram = made(counts)
    counts[1] = 3
    assert histogram.positive == {1: 2}
    with pytest.raises(TypeError):
        histogram.positive[1] = 3
    with pytest.raises(AttributeError):
        histogram.sum = 1.0


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda h: pickle.loads(pickle.dumps(h))])
def test_copies_are_equal(duplicate):
    histogram = weights_histogram([np.append(WEIGHTS, np.inf)], NativeBuckets())
    assert duplicate(histogram) == histogram
    assert hash(duplicate(histogram)) == hash(histogram)
    assert histogram != histogram + histogram
    assert histogram != 1
    undefined = made({}, sum=math.nan)
    assert duplicate(undefined) == undefined


def test_counts_of_zero_are_left_out_and_indices_are_in_order():
    histogram = made({np.int64(3): np.int64(1), -2: 0, -5: 4})
    assert list(histogram.positive.items()) == [(-5, 4), (3, 1)]


def test_repr():
    assert repr(made({-1: 2, 0: 4}, sum=2.5)) == (
        "NativeWeightsHistogram(count=6, nan_count=0, sum=2.5, schema=0, zero_count=0, "
        "positive={-1: 2, 0: 4}, negative={})"
    )
    assert len(repr(weights_histogram([WEIGHTS], NativeBuckets(8)))) < 500


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"positive": {0: -1}}, "a count of positive must be an integer of 0 or more. Received -1"),
        ({"positive": {0: True}}, "a count of positive must be an integer of 0 or more"),
        ({"positive": [1]}, r"positive must map indices to counts. Received \[1\]"),
        ({"positive": {0.5: 1}}, "indices of positive must be integers. Received 0.5"),
        ({"positive": {}, "negative": {2: 1.5}}, "a count of negative must be an integer"),
        ({"positive": {}, "zero_count": -1}, "zero_count must be an integer of 0 or more"),
        ({"positive": {}, "nan_count": None}, "nan_count must be an integer of 0 or more"),
        ({"positive": {}, "schema": 9}, "schema must be an integer from -4"),
        ({"positive": {}, "zero_threshold": -1.0}, "zero_threshold must be a finite number"),
        ({"positive": {}, "sum": "3"}, "sum must be a float64 number. Received '3'"),
        ({"positive": {}, "sum": 10**400}, "sum must be a float64 number"),
        ({"positive": {}, "sum": True}, "sum must be a float64 number. Received True"),
        ({"positive": {1026: 1}}, "positive has no bucket of the index 1026: .* to 1025"),
        ({"positive": {-(10**9): 1}}, "positive has no bucket of the index -1000000000"),
        ({"positive": {-5: 1}, "zero_threshold": 1.0}, "no bucket of the index -5: .* from 1 to"),
    ],
)
def test_what_makes_no_histogram(arguments, message):
    with pytest.raises(ValueError, match=message):
        made(**arguments)


def test_it_is_what_the_package_exports():
    assert gangplank.NativeBuckets is NativeBuckets
    assert isinstance(weights_histogram([WEIGHTS], NativeBuckets()), NativeWeightsHistogram)
