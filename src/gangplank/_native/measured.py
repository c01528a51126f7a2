"""What is known of some values: counts and moments of their parts, which add up."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gangplank._native.edges import Bounds, Totals
from gangplank._native.moments import Moments, Rows, added_up

CountArrays = Callable[[Iterable[Any], Bounds, list[Rows] | None], tuple[NDArray[np.int64], int]]
"""Gives the counts of all buckets and the number of NaN, and adds the moments to a list."""


# So many parts are kept by themselves until they are added up.
MOST_PARTS = 64


class Measured:
    """Counts per bucket of some values and, if they are wanted, their moments.

    Most buckets of a native histogram are empty, and there may be thousands of layers: what is kept
    is only what is not 0, as the parts come.

    Attributes:
        rows: the moments of the parts.
    """

    def __init__(self) -> None:
        self._totals: list[Totals] = []
        self.rows: list[Rows] = []

    @classmethod
    def together(cls, parts: "Iterable[Measured]") -> "Measured":
        """What is known of the values of all `parts`."""
        joined = cls()
        for part in parts:
            joined._totals += part._totals
            joined.rows += part.rows
        return joined

    def add(self, totals: Totals | None, rows: Rows | None) -> None:
        """Adds further values: their `Edges.totals` and their moments, where these are wanted."""
        if totals is not None:
            self._totals.append(totals)
            if len(self._totals) >= MOST_PARTS:
                self._totals = [self.totals()]
        if rows is not None:
            self.rows.append(rows)

    def add_counts(self, counts: NDArray[np.int64], nan_count: int, rows: list[Rows]) -> None:
        """Adds further values by the counts of all buckets."""
        counts = np.append(counts, nan_count)
        buckets = counts.nonzero()[0]
        self.add((buckets, counts[buckets]), None)
        self.rows += rows

    def totals(self) -> Totals:
        """The buckets that have values, ascending, and how many; of NaN that of B + 1."""
        if not self._totals:
            return np.empty(0, np.intp), np.empty(0, np.int64)
        buckets, counts = self._totals[0]
        if len(self._totals) > 1:
            buckets, counts = map(np.concatenate, zip(*self._totals, strict=True))
        order = buckets.argsort()
        buckets, counts = buckets[order], counts[order]
        is_further = buckets[1:] == buckets[:-1]
        if not np.count_nonzero(is_further):  # faster than any()
            return buckets, counts
        firsts = np.append(True, ~is_further).nonzero()[0]
        return buckets[firsts], np.add.reduceat(counts, firsts)

    def counts(self, bounds: Bounds) -> tuple[NDArray[np.int64], int]:
        """Counts per bucket, int64, shape (B + 1,), and the number of NaN."""
        totals = np.zeros(bounds.values.size + 2, np.int64)
        for buckets, counts in self._totals:
            np.add.at(totals, buckets, counts)
        return totals[:-1], int(totals[-1])

    def moments(self) -> Moments:
        """The moments of all values together."""
        return added_up(self.rows)


def measure_by(
    count: CountArrays,
    pieces: Iterable[tuple[int, Any]],
    bounds: Bounds,
    groups: Sequence[Measured],
    *,
    has_moments: bool,
) -> None:
    """Adds to each of `groups` what `count` finds in its arrays, which come with its number."""
    arrays: dict[int, list[Any]] = {}
    for group, array in pieces:
        arrays.setdefault(group, []).append(array)
    for group, some in arrays.items():
        rows: list[Rows] = []
        counts, nan_count = count(some, bounds, rows if has_moments else None)
        groups[group].add_counts(counts, nan_count, rows)


def counted(
    measure: Callable[..., None],
    arrays: Iterable[Any],
    bounds: Bounds,
    moments: list[Rows] | None,
    **options: Any,
) -> tuple[NDArray[np.int64], int]:
    """Counts arrays as a `CountArrays` does, by a `measure` that takes pieces of groups."""
    measured = Measured()
    pieces = ((0, array) for array in arrays)
    measure(pieces, bounds, [measured], has_moments=moments is not None, **options)
    if moments is not None:
        moments += measured.rows
    return measured.counts(bounds)
