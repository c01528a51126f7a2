"""What a detector answers."""

from typing import NamedTuple


class Drift(NamedTuple):
    """What a detector of drift has found. An immutable value; what it does not know is None.

    Attributes:
        drift_detected: whether there is drift, or how often it was found: 0 or more.
        p_value: how likely a statistic like that, or one further off, is without drift.
        test_statistic: the statistic of the test that was made.
    """

    drift_detected: float | None = None
    p_value: float | None = None
    test_statistic: float | None = None


class FeatureDrift(NamedTuple):
    """How a window's values of one feature, or its predicted classes, compare with the reference's.

    Attributes:
        name: such as ``input[3]``, ``output[0]`` or ``class``.
        test: "ks" (Kolmogorov-Smirnov), "chi2" or, of a rare class that is more frequent, "binom".
        statistic: of the test.
        p_value: corrected for all tests that were made, at most 1.
        psi: the population stability index. What is above 0.25 is commonly called a shift.
        nan_count: how many values of the window are NaN.
    """

    name: str
    test: str
    statistic: float
    p_value: float
    psi: float
    nan_count: int
