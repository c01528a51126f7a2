"""The tests by counts a bucket, beside SciPy's on the values."""

import numpy as np
import pytest
from scipy import stats

from gangplank.drift.comparison import (
    chi_square,
    class_groups,
    ks_p_values,
    ks_statistics,
    psi_groups,
    stability_index,
)
from gangplank.drift.features import features_of

LEAVES = (("", (1,)),)


def column(values):
    return np.asarray(values, np.float32)[:, np.newaxis]


@pytest.mark.parametrize("shift", [0, 1, 4])
def test_kolmogorov_smirnov_is_that_of_values_on_bounds(shift):
    rng = np.random.default_rng(shift)
    one = 2.0 ** rng.integers(-8, 8, 300)
    two = 2.0 ** (rng.integers(-8, 8, 170) + shift)
    features = features_of(column(one), LEAVES, 128)
    (statistic,) = ks_statistics(features.counts, features.count(column(two)))
    expected = stats.ks_2samp(one, two, method="asymp")
    assert statistic == pytest.approx(expected.statistic, rel=1e-12)
    (p_value,) = ks_p_values(np.array([statistic]), 300, 170)
    assert p_value == pytest.approx(expected.pvalue, rel=1e-9)


def test_it_is_at_most_that_of_any_values():
    rng = np.random.default_rng(0)
    differences = []
    for _ in range(20):
        one, two = column(rng.normal(size=500)), column(rng.normal(0.3, 1.2, 200))
        features = features_of(one, LEAVES, 128)
        (statistic,) = ks_statistics(features.counts, features.count(two))
        exact = stats.ks_2samp(one[:, 0], two[:, 0], method="asymp").statistic
        assert statistic <= exact + 1e-12
        differences.append(exact - statistic)
    assert np.mean(differences) < 0.02


def test_a_share_of_nan_is_a_difference():
    one, two = column(np.zeros(100)), column(np.where(np.arange(50) < 10, np.nan, 0))
    features = features_of(one, LEAVES, 128)
    (statistic,) = ks_statistics(features.counts, features.count(two))
    assert statistic == pytest.approx(10 / 50)


def test_chi_square():
    reference, window = np.array([90, 60, 50]), np.array([20, 45, 35])
    expected = stats.chi2_contingency([reference, window])
    assert chi_square(reference, window, np.arange(3)) == (expected.statistic, expected.pvalue)


def test_chi_square_of_groups():
    reference, window = np.array([90, 3, 50, 1]), np.array([40, 5, 35, 2])
    groups = class_groups(reference, window=82)
    np.testing.assert_array_equal(groups, [1, 0, 0, 0])
    expected = stats.chi2_contingency([[90, 54], [40, 42]])
    assert chi_square(reference, window, groups) == (expected.statistic, expected.pvalue)


def test_classes_that_nobody_predicts_tell_nothing():
    reference, window = np.array([90, 0]), np.array([30, 0])
    assert chi_square(reference, window, np.arange(2)) == (0.0, 1.0)


@pytest.mark.parametrize("window", [1, 10, 100, 5000])
def test_each_group_of_classes_is_expected_to_have_five(window):
    reference = np.random.default_rng(0).poisson(30, 100)
    reference[::7] = 0
    expected = reference * (min(window, reference.sum()) / reference.sum())
    groups = class_groups(reference, window)
    sizes = np.bincount(groups, expected)
    assert sizes.size == 1 or sizes.min() >= 5
    assert sizes.size == {1: 1, 10: 1, 100: 17, 5000: 85}[window]


def test_the_stability_index():
    # Shares of 0.75 and 0.25, and of 0.25 and 0.75: twice 0.5 ln 3.
    assert stability_index(np.array([7, 2]), np.array([2, 7])) == pytest.approx(np.log(3))
    one, two = np.array([10, 20, 70]), np.array([0, 40, 60])
    r, w = (one + 0.5) / 101.5, (two + 0.5) / 101.5
    assert stability_index(one, two) == pytest.approx(np.sum((w - r) * np.log(w / r)))
    assert stability_index(one, one) == 0


def test_groups_of_buckets_for_it():
    np.testing.assert_array_equal(psi_groups(np.full(21, 5)), np.arange(0, 21, 2))
    # A value of many, the gaps beside it, and NaN.
    np.testing.assert_array_equal(psi_groups(np.array([0, 100, 0, 0])), [0, 1, 2, 3])
    np.testing.assert_array_equal(psi_groups(np.array([0, 0, 9])), [0, 2])
