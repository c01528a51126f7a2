"""What is drawn: buckets and what is counted in each, whatever made them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# The bars of open buckets, which are drawn beyond the others, end at float64 numbers, too. And no
# axis that is shorter than about 2^-950 is drawn by matplotlib.
_LEAST, _GREATEST = 2.0**-900, 2.0**750


@dataclass(frozen=True)
class Counted:
    """Buckets, and how many weights lie in each.

    Attributes:
        buckets: the lower and the upper bound of each bucket, in ascending order, and its count.
            The first lower bound may be -inf, the last upper one inf.
        nan_count: how many weights are NaN, and in no bucket.
        total: the sum of the weights; None if it is not known.
        zero_threshold: the bound of the bucket of zero on both of its sides; None where there is no
            such bucket. Where there is one, the others' bounds are powers.
    """

    buckets: Sequence[tuple[float, float, int]]
    nan_count: int
    total: float | None = None
    zero_threshold: float | None = None

    @property
    def count(self) -> int:
        """How many weights lie in the buckets."""
        return sum(count for _, _, count in self.buckets)

    def drawable(self) -> dict[tuple[float, float], int]:
        """The counts by bounds between which something can be drawn.

        What lies beyond 2^750 is in the open bucket; a bucket of zero reaches up to 2^-900.
        """
        drawn: dict[tuple[float, float], int] = {}
        for lower, upper, count in self.buckets:
            bounds = self._drawable_bounds(lower, upper)
            drawn[bounds] = drawn.get(bounds, 0) + count
        return drawn

    def _drawable_bounds(self, lower: float, upper: float) -> tuple[float, float]:
        if lower >= _GREATEST:
            return _GREATEST, math.inf
        if upper <= -_GREATEST:
            return -math.inf, -_GREATEST
        lower = lower if math.isinf(lower) else max(lower, -_GREATEST)
        upper = upper if math.isinf(upper) else min(upper, _GREATEST)
        if self.zero_threshold is not None:
            zero = max(self.zero_threshold, _LEAST)
            if max(-lower, upper) <= zero:
                return -zero, zero
            lower, upper = (lower, min(upper, -zero)) if lower < 0 else (max(lower, zero), upper)
        return lower, upper


def in_words(counted: Counted) -> str:
    """How many weights there are, and how many of them are NaN."""
    words = f"{counted.count:,} weight{'' if counted.count == 1 else 's'}"
    return f"{words}, {counted.nan_count:,} NaN" if counted.nan_count else words
