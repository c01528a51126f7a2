"""Histograms of features: native buckets, neighbours of which are joined until they are few.

A feature's buckets are those of `NativeBuckets(SCHEMA)`, about zero or, where that tells its values
better apart, about their median: 290 to 300 kelvin are few buckets about zero and many about 295.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gangplank import _native
from gangplank.drift.rows import Leaf, Rows
from gangplank.weights import NativeBuckets, counting

# No bucket is wider than 2.2% of what a value is away from the centre. Finer ones found no more
# drift, and took longer (benchmarks/drift.py).
SCHEMA = 5

# So many float32 values, 4 MiB, are turned from rows to columns at once.
VALUES_TOGETHER = 1 << 20


Totals = tuple[NDArray[np.intp], NDArray[np.int64]]
"""The native buckets that have values, by their places, ascending, and how many values."""


@dataclass(frozen=True, eq=False)
class Features:
    """Histograms of F features of n samples. An immutable value: its arrays cannot be written.

    Attributes:
        leaves: which arrays the features are of.
        centres: float32, shape (F,): what is taken from a value before it is counted.
        ends: int32, shape (F, E): of each joined bucket the last native one, ascending; where there
            are fewer, the last one stands again and its buckets are empty.
        counts: int64, shape (F, E + 2): a bucket each, the last but one above every end, the last
            of NaN.
    """

    leaves: tuple[Leaf, ...]
    centres: NDArray[np.float32]
    ends: NDArray[np.int32]
    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        for array in (self.centres, self.ends, self.counts):
            array.flags.writeable = False

    def __reduce__(self) -> tuple[Any, ...]:
        # Unpickling an array makes it writable; the constructor makes it read-only again.
        return Features, (self.leaves, self.centres, self.ends, self.counts)

    @property
    def sample_count(self) -> int:
        """n, how many samples were counted."""
        return int(self.counts[0].sum())

    def count(self, rows: Rows) -> NDArray[np.int64]:
        """Counts further samples into the same buckets: int64, shape (F, E + 2)."""
        return _native.count_columns(_columns(rows, self.centres), self._end_keys)

    @cached_property
    def _end_keys(self) -> NDArray[np.int32]:
        return _native.greatest_keys(_bounds())[self.ends]


def features_of(rows: Rows, leaves: tuple[Leaf, ...], buckets: int) -> Features:
    """The histograms of `rows`, each of at most `buckets` joined buckets and one of NaN."""
    size = rows.shape[1]
    centres = np.zeros(size, np.float32)
    ends = []
    step = max(1, VALUES_TOGETHER // len(rows))
    for start in range(0, size, step):
        part = rows[:, start : start + step]
        medians = _medians(part)
        about_zero = _totals(part, np.zeros_like(medians))
        about_median = _totals(part, medians)
        for i, (plain, centred) in enumerate(zip(about_zero, about_median, strict=True)):
            is_finer = _collisions(centred) < _collisions(plain)
            centres[start + i] = medians[i] if is_finer else 0
            ends.append(_joined(*(centred if is_finer else plain), buckets - 1))
    # One less than a power of 2 is what the kernel would make of it anyway.
    width = min((1 << max(map(len, ends)).bit_length()) - 1, buckets - 1)
    padded = np.array([np.pad(each, (0, width - len(each)), "edge") for each in ends], np.int32)
    empty = Features(leaves, centres, padded, np.zeros((size, width + 2), np.int64))
    counts = sum(empty.count(block) for block in blocks(rows))
    return Features(leaves, centres, padded, np.asarray(counts))


def blocks(rows: Rows) -> Iterator[Rows]:
    """The rows, as many at a time as are turned to columns."""
    step = max(1, VALUES_TOGETHER // max(rows.shape[1], 1))
    return (rows[start : start + step] for start in range(0, len(rows), step))


def _columns(rows: Rows, centres: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.subtract(rows.T, centres[:, np.newaxis], order="C")


def _totals(rows: Rows, centres: NDArray[np.float32]) -> list[Totals]:
    """Of each feature, which native buckets have values, by their places, and how many."""
    columns = _columns(rows, centres)
    return [each.totals() for each in _native.measure(([each] for each in columns), _bounds())]


def _bounds() -> _native.Bounds:
    return counting(NativeBuckets(SCHEMA)).bounds


@cache
def last_place() -> int:
    """The place of the native bucket above every bound; that of NaN follows."""
    return _bounds().values.size


def _medians(rows: Rows) -> NDArray[np.float32]:
    """Of each feature's finite values one in the middle; 0 where there are none."""
    medians = np.zeros(rows.shape[1], np.float32)
    for i, column in enumerate(rows.T):
        if (finite := column[np.isfinite(column)]).size:
            medians[i] = np.partition(finite, finite.size // 2)[finite.size // 2]
    return medians


def _collisions(totals: Totals) -> int:
    """In how many pairs of samples both are in one bucket: the fewer, the finer the buckets."""
    return sum(count * count for count in totals[1].tolist())


def _joined(places: NDArray[np.intp], counts: NDArray[np.int64], most: int) -> NDArray[np.intp]:
    """Between which native buckets to part, at most at so many: there is a bucket for each value.

    Where that is too many, each has about as many samples as the next. The gaps below and above
    a bucket of many are buckets of their own, so that what comes to lie there shows.
    """
    is_value = places <= last_place()
    places, counts = places[is_value], counts[is_value]
    if not places.size:  # all are NaN
        return np.array([last_place() // 2])
    if 2 * places.size > most:
        parts = (most - 2) // 2
        cumulative = counts.cumsum()
        quantiles = cumulative[-1] * np.arange(1, parts + 1) / parts
        ends = places[np.searchsorted(cumulative, quantiles)]
        heavy = places[counts > cumulative[-1] / parts]
        ends = np.concatenate([[places[0] - 1], heavy - 1, ends])
    else:
        ends = np.concatenate([places - 1, places])
    ends = np.unique(ends)
    return ends[(ends >= 0) & (ends < last_place())]
