"""Statistics of weights, against exact arithmetic and NumPy."""

import math
from dataclasses import astuple, fields

import numpy as np
import pytest
from corpus import FLOATS, INTEGERS
from subnormals import flushed

from gangplank import (
    NativeBuckets,
    WeightsStatistics,
    weights_histogram,
    weights_histograms,
    weights_statistics,
)
from gangplank._native import cpu

NOTHING = (math.nan,) * 5


def assert_equal(statistics, expected):
    for field, found, wanted in zip(
        fields(WeightsStatistics), astuple(statistics), expected, strict=True
    ):
        assert found == pytest.approx(wanted, rel=1e-12, nan_ok=True), field.name


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS, ids=str)
def test_of_every_dtype(dtype):
    values = np.array([0, 1, 1, 2, 4], dtype)
    assert_equal(
        weights_statistics([values]), (5, 0, 0, 1, 0.0, 4.0, 1.6, math.sqrt(1.84), math.sqrt(22))
    )


@pytest.mark.parametrize("dtype", FLOATS[:4], ids=str)
def test_what_is_not_finite(dtype):
    values = np.array([np.nan, -np.nan, np.inf, -np.inf, -np.inf, 3, -1, 0.0, -0.0], dtype)
    expected = (7, 2, 3, 2, -1.0, 3.0, 0.5, math.sqrt(2.25), math.sqrt(10))
    assert_equal(weights_statistics([values]), expected)
    assert_equal(weights_statistics([values[:5]]), (3, 2, 3, 0, *NOTHING))


def test_of_nothing():
    assert_equal(weights_statistics([]), (0, 0, 0, 0, *NOTHING))


def test_a_subnormal_is_not_zero():
    values = np.array([1e-45, -1e-45, 0.0], np.float32)
    statistics = weights_statistics([values])
    assert statistics.zero_count == 1
    assert (statistics.minimum, statistics.maximum) == (values[1], values[0])


def test_who_wants_to_be_told_of_underflow_is_not_told_of_ours():
    small = np.array([1e-170, -2e-170])
    large = np.full(cpu.LOAD_NUMBA_AFTER + 2, 1e-170)
    large[: large.size // 2] = -1e-170
    expected = [weights_statistics([each]) for each in (small, large)]
    with np.errstate(all="raise"):
        assert [weights_statistics([each]) for each in (small, large)] == expected
        assert weights_histogram([small], NativeBuckets()).sum == pytest.approx(-1e-170)


def test_a_thread_that_flushes_subnormals_makes_the_same():
    values = np.full(2 * cpu.VALUES_A_THREAD, -1e-40, np.float32)
    values[0], values[-1] = 3e-45, -3e-40
    expected = weights_statistics([values])
    native = weights_histogram([values], NativeBuckets())
    by_variable = weights_histograms([values], NativeBuckets(), per="variable")
    with flushed():
        cpu._pool.cache_clear()  # whose threads flush what those flush that start them
        assert weights_statistics([values]) == expected
        assert weights_histogram([values], NativeBuckets()) == native
        assert weights_histograms([values], NativeBuckets(), per="variable") == by_variable
        assert np.float32(1e-40) * np.float32(1) == 0  # as the thread was told
    assert (expected.zero_count, expected.minimum, expected.maximum) == (0, values[-1], values[0])


def test_zeros_of_both_signs_are_one_extreme():
    zeros = np.array([0.0, -0.0], np.float32)
    for values in (zeros, zeros[::-1], zeros[1:]):
        statistics = weights_statistics([values])
        assert math.copysign(1, statistics.minimum) == math.copysign(1, statistics.maximum) == 1


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 0.1), (1.0, 1e-5), (-1e6, 1.0)])
def test_mean_and_deviation(mean, deviation):
    values = np.random.default_rng(0).normal(mean, deviation, 300_000).astype(np.float32)
    exact = values.astype(np.longdouble)
    statistics = weights_statistics([values[:100_000], values[100_000:]])
    assert statistics.mean == pytest.approx(math.fsum(values.tolist()) / values.size, rel=1e-12)
    assert statistics.standard_deviation == pytest.approx(float(exact.std()), rel=1e-12)
    assert statistics.norm == pytest.approx(float(np.sqrt((exact * exact).sum())), rel=1e-12)


def test_a_model(model):
    weights = np.concatenate([np.ravel(each) for each in model.get_weights()])
    expected = weights_statistics([weights])
    assert_equal(weights_statistics(model), astuple(expected))
    assert weights_statistics(model).zero_count == 3  # the bias
