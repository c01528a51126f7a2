"""Histograms of features, whose buckets end where the reference's values are.

A bucket has about as many samples as the next, and a value of many is one by itself. So values are
parted wherever they lie, near one another or far apart. Buckets of a width that grows with the
distance from zero, as native histograms have them, part 300 from 302 kelvin hardly at all.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gangplank import _native
from gangplank.drift.rows import Leaf, Rows

# What differs by less than this share is rounded differently, not another value: a model of four
# layers of 512 answered a sample alone and among others with probabilities that were 4e-5 apart.
ROUNDED = 2.0**-14

# So many float32 values, 4 MiB, are turned from rows to columns at once.
VALUES_TOGETHER = 1 << 20

FINITE = np.finfo(np.float32).min, np.finfo(np.float32).max

Values = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Features:
    """Histograms of F features of n samples. An immutable value: its arrays cannot be written.

    Attributes:
        leaves: which arrays the features are of.
        ends: float32, shape (F, E): the greatest value of each bucket, ascending; where there are
            fewer, the last one stands again and its buckets are empty.
        counts: int64, shape (F, E + 2): a bucket each, the last but one above every end, the last
            of NaN.
    """

    leaves: tuple[Leaf, ...]
    ends: Values
    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        for array in (self.ends, self.counts):
            array.flags.writeable = False

    def __reduce__(self) -> tuple[Any, ...]:
        # Unpickling an array makes it writable; the constructor makes it read-only again.
        return Features, (self.leaves, self.ends, self.counts)

    @property
    def sample_count(self) -> int:
        """n, how many samples were counted."""
        return int(self.counts[0].sum())

    def count(self, rows: Rows) -> NDArray[np.int64]:
        """Counts further samples into the same buckets: int64, shape (F, E + 2)."""
        return _native.count_columns(_columns(rows), self._end_keys)

    @cached_property
    def _end_keys(self) -> NDArray[np.int32]:
        return _native.keys_of(self.ends)


def features_of(rows: Rows, leaves: tuple[Leaf, ...], buckets: int) -> Features:
    """The histograms of `rows`, each of at most `buckets` buckets and one of NaN."""
    size = rows.shape[1]
    ends: list[Values] = []
    step = max(1, VALUES_TOGETHER // len(rows))
    for start in range(0, size, step):
        columns = np.sort(_columns(rows[:, start : start + step]), axis=1)
        value_counts = len(rows) - np.isnan(columns).sum(axis=1)
        ends += (
            _ends_of(column[:count], buckets - 1)
            for column, count in zip(columns, value_counts, strict=True)
        )
    # One less than a power of 2 is what the kernel would make of it anyway.
    width = min((1 << max(map(len, ends)).bit_length()) - 1, buckets - 1)
    padded = np.array([np.pad(each, (0, width - len(each)), "edge") for each in ends], np.float32)
    empty = Features(leaves, padded, np.zeros((size, width + 2), np.int64))
    counts = sum(empty.count(block) for block in blocks(rows))
    return Features(leaves, padded, np.asarray(counts))


def blocks(rows: Rows) -> Iterator[Rows]:
    """The rows, as many at a time as are turned to columns."""
    step = max(1, VALUES_TOGETHER // max(rows.shape[1], 1))
    return (rows[start : start + step] for start in range(0, len(rows), step))


def _columns(rows: Rows) -> Values:
    return np.ascontiguousarray(rows.T)


def _ends_of(values: Values, most: int) -> Values:
    """Where to part `values`, ascending without NaN, at most at so many places."""
    if not values.size:
        return np.zeros(1, np.float32)
    is_first = np.append(True, values[1:] != values[:-1])
    distinct = values[is_first]
    chosen = heavy = np.arange(distinct.size)
    if 2 * distinct.size > most:
        quantiles = (values.size * np.arange(1, most + 1) - 1) // most
        chosen, counts = np.unique(is_first.cumsum()[quantiles] - 1, return_counts=True)
        heavy = chosen[counts > 1]
    below, above = _around(distinct)
    ends = np.unique(np.concatenate([below[heavy], above[chosen]]))
    return ends + np.float32(0)  # there is no -0, which would be below 0


def _around(values: Values) -> tuple[Values, Values]:
    """Below and up to where each value is meant: `ROUNDED` away, or half-way to the next one."""
    lowest = np.float32(-np.inf)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        shares = np.float32(ROUNDED) * np.sign(values)
        below, above = np.nextafter(values * (1 - shares), lowest), values * (1 + shares)
        halfway = np.fmin(values[:-1] / 2 + values[1:] / 2, np.nextafter(values[1:], lowest))
    # What would become infinite stays.
    below, above = (
        np.where(np.isfinite(values), each.clip(*FINITE), each) for each in (below, above)
    )
    below[1:] = np.fmax(below[1:], halfway)
    above[:-1] = np.fmin(above[:-1], halfway)
    return below, above
