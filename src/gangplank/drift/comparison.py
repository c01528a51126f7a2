"""Two samples compared by their counts a bucket: Kolmogorov-Smirnov, chi-square, PSI.

The only module that needs SciPy, whose distributions give the p-values.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

# A class of which a window has fewer is compared together with others: Cochran's rule, below which
# chi-square's p-values are not what they say.
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
    shares = [each.cumsum(axis=1) / each.sum(axis=1, keepdims=True) for each in (one, two)]
    greatest: Floats = np.abs(shares[0] - shares[1]).max(axis=1)
    return greatest


def ks_p_values(statistics: Floats, n: int, m: int) -> Floats:
    """How likely a statistic at least as great is for samples of n and m values of one kind.

    That of ``scipy.stats.ks_2samp(method="asymp")``. Where values tie, it is less likely still.
    """
    return np.asarray(stats.kstwo.sf(statistics, np.round(n * m / (n + m))))


def class_groups(reference: Counts, window: int) -> NDArray[np.intp]:
    """Which classes are compared together, so that a window expects `LEAST_EXPECTED` in each group.

    Arguments:
        reference: shape (C,), how many samples of each class the reference has.
        window: how many samples a window has at least.

    Returns:
        Shape (C,), the number of the group of each class, from 0 on. The rarest are together.
    """
    groups = np.zeros(reference.size, np.intp)
    expected = reference * (min(window, reference.sum()) / reference.sum())
    group, size = 0, 0.0
    order = reference.argsort(kind="stable")
    for place, i in enumerate(order):
        groups[i] = group
        size += expected[i]
        # None begins that what is left could not fill.
        if size >= LEAST_EXPECTED and expected[order[place + 1 :]].sum() >= LEAST_EXPECTED:
            group, size = group + 1, 0.0
    return groups


def chi_square(reference: Counts, window: Counts, groups: NDArray[np.intp]) -> tuple[float, float]:
    """The statistic and the p-value of ``scipy.stats.chi2_contingency`` for groups of classes."""
    table = np.array([np.bincount(groups, each) for each in (reference, window)])
    table = table[:, table.any(axis=0)]
    if table.shape[1] < 2:  # there is nothing to tell apart
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
