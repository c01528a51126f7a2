"""The tests by counts a bucket, beside SciPy's on the values."""

import numpy as np
import pytest
from scipy import stats

from gangplank.drift.comparison import (
    class_groups,
    classes_test,
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


def test_a_p_value_of_few_samples_is_none_of_nan_and_none_of_zero():
    for n, m in ((1, 1), (1, 4), (2, 2), (5, 3), (40, 30)):
        (least, most) = ks_p_values(np.array([1.0, 0.0]), n, m)
        exact = stats.ks_2samp(np.zeros(n), np.ones(m), method="exact").pvalue
        assert least == pytest.approx(exact, rel=1e-9)
        assert most == 1


def test_chi_square():
    reference, window = np.array([90, 60, 50]), np.array([20, 45, 35])
    expected = stats.chi2_contingency([reference, window])
    assert classes_test(reference, window) == ("chi2", expected.statistic, expected.pvalue)


def test_chi_square_of_two_classes():
    reference, window = np.array([900, 100]), np.array([160, 40])
    expected = stats.chi2_contingency([reference, window])
    test = classes_test(reference, window)
    assert test == ("chi2", pytest.approx(expected.statistic), pytest.approx(expected.pvalue))


def test_chi_square_of_groups():
    reference, window = np.array([90, 8, 50, 7]), np.array([40, 5, 35, 4])
    # Of 84 of 239 samples, of the rare ones 4.6 and 3.9 are expected, together 8.4.
    np.testing.assert_array_equal(class_groups((reference + window) * 84 / 239), [2, 0, 1, 0])
    expected = stats.chi2_contingency([[15, 50, 90], [9, 35, 40]])
    test = classes_test(reference, window)
    assert test == ("chi2", expected.statistic, pytest.approx(2 * expected.pvalue))


def test_a_rare_class_has_a_test_of_its_own():
    reference, window = np.array([500, 300, 200, 0, 4]), np.array([245, 152, 93, 10, 1])
    share = 501 / 1505
    new, other = (
        stats.binomtest(count, of, share, alternative="greater").pvalue
        for count, of in ((10, 10), (1, 5))
    )
    groups = class_groups((reference + window) * share)
    np.testing.assert_array_equal(groups, [2, 1, 0, 0, 0])
    together = stats.chi2_contingency([[204, 300, 500], [104, 152, 245]])
    assert new < 1e-4 < other < together.pvalue
    # Of two rare classes, and of two ways; all ten of the new class are in the window.
    assert classes_test(reference, window) == ("binom", 1, pytest.approx(4 * new))


@pytest.mark.parametrize("new", [5, 10, 20, 30])
def test_a_class_that_the_reference_never_has_is_found(new):
    """Of 2,000 samples of nine classes, in windows of 500."""
    rng = np.random.default_rng(new)
    for _ in range(20):
        reference = np.append(rng.multinomial(2000, np.full(9, 1 / 9)), 0)
        window = np.append(rng.multinomial(500 - new, np.full(9, 1 / 9)), new)
        assert classes_test(reference, window)[-1] <= 0.05 / 3


@pytest.mark.parametrize(("rare", "share"), [(1, 1 / 2000), (1, 1 / 200), (100, 1 / 2000)])
def test_rare_classes_without_drift_are_no_drift(rare, share):
    """Of windows as few as the level says, though a reference lacks one of them by chance."""
    rng = np.random.default_rng(rare)
    shares = np.append(np.full(9, (1 - rare * share) / 9), np.full(rare, share))
    samples = ((rng.multinomial(2000, shares), rng.multinomial(500, shares)) for _ in range(1000))
    p_values = np.array([classes_test(*each)[-1] for each in samples])
    assert (p_values <= 0.05).mean() <= 0.06
    assert (p_values <= 0.01).mean() <= 0.015


def test_classes_that_nobody_predicts_tell_nothing():
    for reference, window in ([90, 0], [30, 0]), ([90, 10], [0, 0]), ([0, 0], [0, 0]):
        counts = np.array(reference), np.array(window)
        assert classes_test(*counts) == ("chi2", 0.0, 1.0)
        assert class_groups(counts[0].astype(float)).max() <= 1


@pytest.mark.parametrize("window", [1, 10, 100, 5000])
def test_each_group_of_classes_is_expected_to_have_five(window):
    expected = np.random.default_rng(0).poisson(30, 100).astype(float)
    expected[::7] = 0
    expected *= window / expected.sum()
    sizes = np.bincount(class_groups(expected), expected)
    assert sizes.size == 1 or sizes.min() >= 5
    assert sizes.size == {1: 1, 10: 1, 100: 17, 5000: 85}[window]


def test_classes_that_neither_has_change_nothing():
    reference, window = np.array([90, 60, 50]), np.array([20, 45, 35])
    expected = classes_test(reference, window)
    assert classes_test(*(np.append(each, [0, 0]) for each in (reference, window))) == expected


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
