"""Two samples compared by their counts per bucket: Kolmogorov-Smirnov, chi-square, PSI.

The only module that needs SciPy, whose distributions give the p-values.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

# Classes of which fewer are expected are compared together: Cochran's rule, below which what
# chi-square says of them is not so.
LEAST_EXPECTED = 5

# Of as many buckets the population stability index is commonly made; more of them make it greater.
PSI_GROUPS = 10

# What is added to each count of the index, whose logarithm no share of 0 has.
PSI_PRIOR = 0.5


def ks_statistics(one: Counts, two: Counts) -> Floats:
    """Kolmogorov-Smirnov's statistic of each feature, by the shares up to each bucket's end.

    Between the ends these may differ by more, so that it is at most that of the values, and equals
    it where all values are ends. The order is all that counts: NaN are as if above all else.

    Arguments:
        one: shape (F, S), counts per bucket.
        two: the same of the same buckets.

    Returns:
        float64, shape (F,).
    """
    differences = one.cumsum(axis=1) / one.sum(axis=1, keepdims=True)
    differences -= two.cumsum(axis=1) / two.sum(axis=1, keepdims=True)
    greatest: Floats = np.abs(differences, out=differences).max(axis=1)
    return greatest


def ks_p_values(statistics: Floats, n: int, m: int) -> Floats:
    """How likely a statistic at least as great is for samples of n and m values of one kind.

    That of ``scipy.stats.ks_2samp(method="asymp")``, and at least how likely the greatest is, 1: of
    that SciPy's says 0, or NaN for a sample of each. Where values tie, it is less likely still.
    """
    p_values: Floats = stats.kstwo.sf(statistics, max(1, round(n * m / (n + m))))
    least = 2 / float(special.binom(n + m, min(n, m)))
    return np.maximum(p_values, least)


def class_groups(expected: Floats) -> NDArray[np.intp]:
    """Which classes are compared together, so that `LEAST_EXPECTED` are expected of each group.

    Arguments:
        expected: shape (C,), how many samples of each class.

    Returns:
        Shape (C,), the number of the group of each class, from 0 on. The rarest are together.
    """
    groups = np.zeros(expected.size, np.intp)
    group, size = 0, 0.0
    order = expected.argsort(kind="stable")
    left = expected[order][::-1].cumsum()[::-1]
    for place, i in enumerate(order):
        # None begins that what is left could not fill.
        if size >= LEAST_EXPECTED and left[place] >= LEAST_EXPECTED:
            group, size = group + 1, 0.0
        groups[i] = group
        size += expected[i]
    return groups


def classes_test(reference: Counts, window: Counts) -> tuple[str, float, float]:
    """Chi-square's test of the classes of two samples, and of each rare class whether it is new.

    Chi-square's is that of ``scipy.stats.chi2_contingency`` for `class_groups`, where more of a
    rare class would not show. So whether the window has more of it than its share of all samples is
    tested for each by itself, as ``scipy.stats.binomtest`` does.

    Which are rare is seen by how often the two samples together have them. That tells nothing of
    whether the two differ. How often the reference has them does: of many rare classes it lacks
    some by chance, which then are all more frequent in the window.

    Arguments:
        reference: shape (C,), how many samples of each class.
        window: the same.

    Returns:
        "chi2" or "binom", whose p-value is the lesser, its statistic, and that p-value, corrected.
    """
    together, sizes = reference + window, np.array([reference.sum(), window.sum()])
    expected = together * (sizes.min() / max(sizes.sum(), 1))
    groups = class_groups(expected)
    statistic, p_value = _chi_square([np.bincount(groups, each) for each in (reference, window)])
    is_rare = (0 < together) & (expected < LEAST_EXPECTED)
    if not is_rare.any():
        return "chi2", statistic, p_value
    all_of_them, found = together[is_rare], window[is_rare]
    tails = stats.binom.sf(found - 1, all_of_them, sizes[1] / sizes.sum())
    i = tails.argmin()
    new = float(tails[i]) * tails.size
    if new < p_value:
        return "binom", float(found[i] / all_of_them[i]), min(2 * new, 1.0)
    return "chi2", statistic, min(2 * p_value, 1.0)


def _chi_square(rows: list[NDArray[Any]]) -> tuple[float, float]:
    table = np.array(rows)
    table = table[:, table.any(axis=0)]
    if table.shape[1] < 2 or not table.any(axis=1).all():  # there is nothing to tell apart
        return 0.0, 1.0
    statistic, p_value, _, _ = stats.chi2_contingency(table)
    return float(statistic), float(p_value)


def stability_index(reference: Counts, window: Counts) -> float:
    """The population stability index: the sum of (w - r) ln(w / r) over shares w and r of buckets.

    Half a sample is added to each count.
    """
    r, w = ((each + PSI_PRIOR) / (each + PSI_PRIOR).sum() for each in (reference, window))
    return float(((w - r) * np.log(w / r)).sum())


def psi_groups(reference: Counts) -> NDArray[np.intp]:
    """The places where some ten groups of buckets begin that have about as many samples each.

    Arguments:
        reference: shape (S,), a feature's counts, the last of NaN, which are a group of their own.
    """
    # By the middle of each bucket, so that one of many is apart from the gaps beside it.
    counts = reference[:-1]
    middles = 2 * counts.cumsum() - counts
    number = middles * PSI_GROUPS // max(2 * int(counts.sum()), 1)
    begins = np.flatnonzero(np.diff(number, prepend=-1))
    return np.append(begins, reference.size - 1)
