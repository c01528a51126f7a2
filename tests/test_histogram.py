"""WeightsHistogram, the value, and weights_histogram, which makes one."""

import copy
import pickle
import weakref

import numpy as np
import pytest
from subnormals import flushed

import gangplank
from gangplank import WeightsHistogram, weights_histogram
from gangplank._native import cpu

BOUNDS = (-0.1, 0.0, 0.1)


@pytest.fixture
def histogram():
    return WeightsHistogram(BOUNDS, [1, 2, 3, 4], nan_count=5)


def test_attributes(histogram):
    assert histogram.bounds == BOUNDS
    np.testing.assert_array_equal(histogram.counts, np.array([1, 2, 3, 4]))
    np.testing.assert_array_equal(histogram.cumulative, np.array([1, 3, 6, 10]))
    assert histogram.counts.dtype == histogram.cumulative.dtype == np.int64
    assert (histogram.count, histogram.nan_count) == (10, 5)
    assert histogram.samples() == [(-0.1, 1), (0.0, 3), (0.1, 6), (float("inf"), 10)]


def test_is_immutable(histogram):
    with pytest.raises(AttributeError):
        histogram.nan_count = 0
    with pytest.raises(ValueError, match="read-only"):
        histogram.counts[0] = 0
    for each in (histogram, histogram + histogram):
        with pytest.raises(ValueError, match="cannot set WRITEABLE flag"):
            each.counts.flags.writeable = True


def test_does_not_share_the_counts_it_was_made_of():
    counts = np.array([1, 2, 3, 4])
    histogram = WeightsHistogram(BOUNDS, counts)
    counts[0] = 100
    assert histogram.counts.tolist() == [1, 2, 3, 4]


def test_adds_up(histogram):
    total = histogram + WeightsHistogram(BOUNDS, [10, 0, 0, 2**40], nan_count=1)
    assert total == WeightsHistogram(BOUNDS, [11, 2, 3, 2**40 + 4], nan_count=6)


def test_sums_up(histogram):
    assert sum([histogram, histogram, histogram]) == histogram + histogram + histogram
    assert sum([histogram]) == histogram
    for start in (1, "", [], None):
        with pytest.raises(TypeError):
            sum([histogram], start)


def test_other_bounds_do_not_add_up(histogram):
    with pytest.raises(ValueError, match="Only histograms of the same bounds add up"):
        histogram + WeightsHistogram((0.0,), [1, 2])
    with pytest.raises(TypeError):
        histogram + 1


def test_is_a_value(histogram):
    same = WeightsHistogram(list(BOUNDS), np.array([1, 2, 3, 4]), 5)
    assert histogram == same
    assert len({histogram, same}) == 1
    assert histogram != WeightsHistogram(BOUNDS, [1, 2, 3, 4], nan_count=6)
    assert histogram != WeightsHistogram((-0.1, 0.0, 0.2), [1, 2, 3, 4], nan_count=5)
    assert histogram != 10


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda h: pickle.loads(pickle.dumps(h))])
def test_a_copy_is_equal_and_immutable(histogram, copied):
    duplicate = copied(histogram)
    assert duplicate == histogram
    assert not duplicate.counts.flags.writeable


def test_repr(histogram):
    assert repr(histogram) == (
        "WeightsHistogram(count=10, nan_count=5, "
        "buckets={(-inf, -0.1]: 1, (-0.1, 0]: 2, (0, 0.1]: 3, (0.1, inf): 4})"
    )
    assert len(repr(weights_histogram([np.zeros(1)], np.linspace(-1, 1, 1000)))) < 1500


@pytest.mark.parametrize(
    ("counts", "nan_count"),
    [
        ([1, 2, 3], 0),
        ([1, 2, 3, -4], 0),
        ([1.0, 2, 3, 4], 0),
        ([[1, 2, 3, 4]], 0),
        ([1, 2, 3, 4], -1),
        (np.array([2**63, 1, 0, 0], np.uint64), 0),
        ([2**62, 2**62, 0, 0], 0),
    ],
)
def test_what_is_no_histogram(counts, nan_count):
    with pytest.raises(ValueError, match="must be"):
        WeightsHistogram(BOUNDS, counts, nan_count)


def test_no_sum_goes_beyond_int64():
    half = WeightsHistogram(BOUNDS, [2**62 - 1, 0, 0, 0])
    assert (half + half).count == 2**63 - 2
    with pytest.raises(ValueError, match=r"sum of counts must be below 2\^63.* Received 9,22"):
        half + half + WeightsHistogram(BOUNDS, [0, 1, 1, 0])


def test_of_arrays():
    # float32(-0.1) is -0.100000001490116..., float64(0.1) is the bound.
    arrays = [np.array([[-1.0, -0.1], [0.0, np.nan]], np.float32), np.float64(0.1), np.zeros(0)]
    assert weights_histogram(arrays, BOUNDS) == WeightsHistogram(BOUNDS, [2, 1, 1, 0], nan_count=1)


def test_a_generator_is_taken_some_millions_of_values_at_a_time(monkeypatch):
    monkeypatch.setattr(cpu, "CORES", 2)
    alive, most = 0, 0

    def died():
        nonlocal alive
        alive -= 1

    def arrays():
        nonlocal alive, most
        for _ in range(40):
            array = np.zeros(1_000_000, np.float32)
            weakref.finalize(array, died)
            alive += 1
            most = max(most, alive)
            yield array

    assert weights_histogram(arrays(), BOUNDS).count == 40_000_000
    assert most <= 2 * cpu.VALUES_A_THREAD / 1_000_000 + 4


def test_subnormal_bounds_on_a_thread_that_flushes_subnormals():
    values = [np.array([-1.0, -5e-324, 0.0, 5e-324, 1.0])]
    bounds = [-5e-324, -0.0, 5e-324]
    expected = weights_histogram(values, bounds)
    with flushed():
        histogram = weights_histogram(values, bounds)
        assert histogram.counts.tolist() == expected.counts.tolist() == [2, 1, 1, 1]
    assert histogram == expected
    assert str(histogram.bounds) == "(-5e-324, 0.0, 5e-324)"


def test_a_final_infinity_changes_nothing():
    arrays = [np.linspace(-1, 1, 101)]
    with_infinity = weights_histogram(arrays, [*BOUNDS, float("inf")])
    assert with_infinity == weights_histogram(arrays, BOUNDS)


def test_is_what_numpy_counts(model):
    buckets = gangplank.HISTOGRAM_WEIGHT_BUCKETS_0_3
    weights = np.concatenate([weight.ravel() for weight in model.get_weights()])
    places = np.searchsorted(buckets, weights.astype(np.float64), side="left")
    histogram = weights_histogram(model, buckets)
    np.testing.assert_array_equal(histogram.counts, np.bincount(places, minlength=14))
    assert histogram.count == model.count_params() == 27
