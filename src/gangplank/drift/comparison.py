"""Two samples compared by their counts a bucket: Kolmogorov-Smirnov, chi-square, PSI.

The only module that needs SciPy, whose distributions give the p-values.
"""

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
        one: shape (F, S), counts a bucket.
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


def class_groups(reference: Counts, window: Counts) -> tuple[NDArray[np.intp], bool]:
    """Which classes are compared together, so that `LEAST_EXPECTED` are expected of each group.

    They are chosen by how often the two samples together have them. That tells nothing of whether
    the two differ. How often the reference has them does: of many rare classes it lacks some by
    chance, which then are all more frequent in the window.

    Arguments:
        reference: shape (C,), how many samples of each class.
        window: the same.

    Returns:
        Shape (C,), the number of the group of each class, from 0 on: first the rare classes, the
        rarest together, then the others, a group each. And whether the first has too few.
    """
    together = reference + window
    sizes = reference.sum(), window.sum()
    expected = together * (min(sizes) / max(sum(sizes), 1))
    groups = np.zeros(reference.size, np.intp)
    order = expected.argsort(kind="stable")
    rare_count = int((expected < LEAST_EXPECTED).sum())
    left = expected[order[:rare_count]].sum()
    group, size = 0, 0.0
    for i in order[:rare_count]:
        if size >= LEAST_EXPECTED and left >= LEAST_EXPECTED:
            group, size = group + 1, 0.0
        groups[i] = group
        size += expected[i]
        left -= expected[i]
    others = order[rare_count:]
    groups[others] = np.arange(others.size) + (group + 1 if rare_count else 0)
    return groups, group == 0 and 0 < size < LEAST_EXPECTED


def classes_test(reference: Counts, window: Counts) -> tuple[float, float]:
    """The statistic and the p-value of chi-square's test of the classes of two samples.

    Those of ``scipy.stats.chi2_contingency`` for `class_groups`. A group that has too few is left
    to Fisher's exact test of it and the rest, and the lesser p-value of the two is taken, times 2.

    Arguments:
        reference: shape (C,), how many samples of each class.
        window: the same.
    """
    groups, has_few = class_groups(reference, window)
    table = np.array([np.bincount(groups, each) for each in (reference, window)])
    if not has_few:
        return _chi_square(table)
    statistic, _ = _chi_square(table)
    _, p_value = _chi_square(table[:, 1:])
    few = np.array([table[:, 0], table[:, 1:].sum(axis=1)], np.int64)
    exact = float(stats.fisher_exact(few).pvalue)
    return statistic, min(2 * min(p_value, exact), 1.0)


def _chi_square(table: Floats) -> tuple[float, float]:
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
