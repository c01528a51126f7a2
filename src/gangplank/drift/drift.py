"""What a detector answers."""

from typing import NamedTuple


class Drift(NamedTuple):
    """What a detector of drift has found. An immutable value; what it does not know is None.

    Attributes:
        drift_detected: whether there is drift.
        p_value: how likely a statistic like that, or one further off, is without drift.
        test_statistic: the statistic of the test that was made.
    """

    drift_detected: bool | None = None
    p_value: float | None = None
    test_statistic: float | None = None
