"""The definition itself, against counts made by hand and against prometheus_client."""

import ml_dtypes
import numpy as np
import pytest
from corpus import BOUNDS, FLOATS, INTEGERS, hard_values
from prometheus_client import Histogram

from gangplank._native import reference
from gangplank._native.edges import Bounds


def count(values, bounds):
    counts, nan_count = reference.count([values], Bounds.of(bounds))
    assert counts.dtype == np.int64
    return counts.tolist(), nan_count


def test_a_bucket_includes_its_upper_bound():
    assert count(np.array([0.1, 0.2, 0.3]), [0.1, 0.2]) == ([1, 1, 1], 0)


def test_a_weight_is_compared_in_its_exact_value():
    # float32(0.1) is 0.100000001490116..., float16(0.1) is 0.0999755859375.
    assert count(np.array([0.1], np.float32), [0.1]) == ([0, 1], 0)
    assert count(np.array([0.1], np.float16), [0.1]) == ([1, 0], 0)
    assert count(np.array([0.1], ml_dtypes.bfloat16), [0.1]) == ([0, 1], 0)


def test_negative_zero_equals_zero_and_a_subnormal_does_not():
    assert count(np.array([-0.0, 0.0, 1e-40, -1e-40], np.float32), [0.0]) == ([3, 1], 0)


def test_infinities_lie_in_the_end_buckets_and_nan_in_none():
    values = np.array([-np.inf, np.inf, np.nan, -np.nan, 0.0])
    assert count(values, [-1.0, 1.0]) == ([1, 1, 1], 2)


def test_integers_beyond_float64_are_compared_exactly():
    values = np.array([2**53, 2**53 + 1, 2**63 - 1], np.int64)
    assert count(values, [2.0**53, 2.0**63]) == ([1, 2, 0], 0)


@pytest.mark.parametrize("bounds", BOUNDS.values(), ids=BOUNDS)
@pytest.mark.parametrize("dtype", FLOATS + INTEGERS[:3], ids=str)
def test_equals_prometheus_client_observing_one_by_one(dtype, bounds):
    values = hard_values(dtype, bounds)
    histogram = Histogram("weights", "", buckets=bounds, registry=None)
    with np.errstate(invalid="ignore"):  # of a signalling NaN
        exact = values.astype(np.float64).tolist()
    for value in exact:
        histogram.observe(value)
    (metric,) = histogram.collect()
    observed = [sample.value for sample in metric.samples if sample.name.endswith("_bucket")]
    counts, nan_count = count(values, bounds)
    assert np.cumsum(counts).tolist() == observed
    assert nan_count == values.size - observed[-1]
