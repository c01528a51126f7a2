"""A histogram of weights by upper bounds: `WeightsHistogram`."""

import math
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gangplank import plots
from gangplank.checked_values import checked_count
from gangplank.weights.buckets import finite_bounds
from gangplank.weights.drawn import Drawn


@dataclass(frozen=True, eq=False, repr=False)
class WeightsHistogram(Drawn):
    """How many weights lie in each bucket. An immutable value; two of the same bounds add up.

    Attributes:
        bounds: the B finite upper bounds, strictly increasing.
        counts: int64, shape (B + 1,): ``counts[i]`` weights w have
            ``bounds[i - 1] < w <= bounds[i]``; the last ones exceed every bound. Read-only.
        nan_count: how many weights are NaN. They are in no bucket.

    Raises:
        ValueError: these make no histogram.
    """

    bounds: tuple[float, ...]
    counts: NDArray[np.int64]
    nan_count: int = 0

    def __post_init__(self) -> None:
        bounds = finite_bounds(self.bounds, "bounds")
        counts = np.array(self.counts)
        if counts.shape != (len(bounds) + 1,) or counts.dtype.kind not in "iu":
            raise ValueError(
                f"counts must be {len(bounds) + 1} integers, one more than there are bounds. "
                f"Received an array of shape {counts.shape} and dtype {counts.dtype}."
            )
        if counts.min() < 0:
            raise ValueError(f"counts must be 0 or more. Received {counts.min()} among them.")
        _check_total(sum(counts.tolist()))
        object.__setattr__(self, "bounds", bounds)
        object.__setattr__(self, "counts", _read_only(counts.astype(np.int64)))
        object.__setattr__(self, "nan_count", checked_count("nan_count", self.nan_count))

    @property
    def cumulative(self) -> NDArray[np.int64]:
        """int64, shape (B + 1,): how many weights are at most each bound; the last is `count`."""
        return np.cumsum(self.counts)

    @property
    def count(self) -> int:
        """How many weights were counted, NaN not among them."""
        return int(self.counts.sum())

    def samples(self) -> list[tuple[float, int]]:
        """Prometheus's buckets: each upper bound, +inf the last, and its cumulative count."""
        return list(zip((*self.bounds, math.inf), self.cumulative.tolist(), strict=True))

    def __add__(self, other: object) -> "WeightsHistogram":
        """The histogram of both's weights.

        Raises:
            ValueError: the bounds differ, or there are 2^63 weights or more.
        """
        if not isinstance(other, WeightsHistogram):
            return NotImplemented
        if self.bounds != other.bounds:
            raise ValueError(
                "Only histograms of the same bounds add up. "
                f"Received {self!r} and {other!r}. Count both with the same buckets."
            )
        _check_total(self.count + other.count)
        return unchecked_histogram(
            self.bounds, self.counts + other.counts, self.nan_count + other.nan_count
        )

    def __radd__(self, other: object) -> "WeightsHistogram":
        """The histogram itself where `other` is the 0 with which `sum` begins."""
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WeightsHistogram):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        return self.bounds, self.counts.tobytes(), self.nan_count

    def __reduce__(self) -> tuple[Any, ...]:
        # Unpickling an array makes it writable; the constructor makes it read-only again.
        return WeightsHistogram, (self.bounds, self.counts, self.nan_count)

    def _counted(self, most: int) -> plots.Counted:
        last = len(self.bounds) - 1
        kept = np.unique([*range(0, last, math.ceil(last / most)), last]) if last else [0]
        edges = [-math.inf, *np.array(self.bounds)[kept].tolist(), math.inf]
        counts = np.diff(self.cumulative[[*kept, -1]], prepend=0).tolist()
        buckets = list(zip(edges, edges[1:], counts, strict=False))
        return plots.Counted(buckets, self.nan_count)

    def __repr__(self) -> str:
        lower = chain([-math.inf], self.bounds)
        upper = chain(self.bounds, [math.inf])
        buckets = [
            f"({low:g}, {high:g}{']' if high < math.inf else ')'}: {count}"
            for low, high, count in zip(lower, upper, self.counts.tolist(), strict=True)
        ]
        if len(buckets) > 24:
            buckets[12:-12] = ["…"]
        return (
            f"WeightsHistogram(count={self.count}, nan_count={self.nan_count}, "
            f"buckets={{{', '.join(buckets)}}})"
        )


def _check_total(count: int) -> None:
    if count > np.iinfo(np.int64).max:
        raise ValueError(
            f"The sum of counts must be below 2^63, which int64 holds. Received {count:,}."
        )


def _read_only(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """A copy that cannot be made writable again, since bytes cannot be written."""
    return np.frombuffer(counts.tobytes(), np.int64)


def unchecked_histogram(
    bounds: tuple[float, ...], counts: NDArray[np.int64], nan_count: int
) -> WeightsHistogram:
    """A histogram of what is known to make one: to check it takes longer than a small variable."""
    histogram = object.__new__(WeightsHistogram)
    object.__setattr__(histogram, "bounds", bounds)
    object.__setattr__(histogram, "counts", _read_only(counts))
    object.__setattr__(histogram, "nan_count", nan_count)
    return histogram
