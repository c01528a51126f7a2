"""A histogram of weights in native buckets: sparse, exact, and of any resolution."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from gangplank import plots
from gangplank._native import Bounds, Measured
from gangplank.checked_values import as_float, checked_count
from gangplank.weights.buckets import finite_bounds
from gangplank.weights.drawn import Drawn
from gangplank.weights.histogram import WeightsHistogram
from gangplank.weights.native_buckets import LOWEST_SCHEMA, NativeBuckets
from gangplank.weights.native_side import (
    NativeSide,
    added,
    checked_side,
    merged,
    shortened,
    without,
)


@dataclass(frozen=True, eq=False, repr=False)
class NativeWeightsHistogram(Drawn):
    """How many weights lie in each of Prometheus's native buckets. An immutable value.

    Two of them add up. Of two schemas the finer one is merged into the coarser one's buckets, and
    of two zero thresholds the smaller one is widened, as Prometheus does it: to where it parts no
    bucket, so that of unlike thresholds the order of adding may tell.

    Attributes:
        schema: how fine the buckets are, as `NativeBuckets` has it.
        zero_threshold: weights w with |w| <= zero_threshold are in the bucket of zero.
        zero_count: how many those are.
        positive: by the index of each bucket, in ascending order, how many positive weights lie in
            it; only counts above 0. A dict that cannot be changed.
        negative: the same of the negative weights, by their magnitudes.
        nan_count: how many weights are NaN. They are in no bucket.
        sum: of all weights but NaN, float64.

    Raises:
        ValueError: these make no histogram.
    """

    schema: int
    zero_threshold: float
    zero_count: int
    positive: dict[int, int]
    negative: dict[int, int]
    nan_count: int = 0
    sum: float = 0.0

    def __post_init__(self) -> None:
        buckets = NativeBuckets(self.schema, self.zero_threshold)
        total = as_float(self.sum)
        if total is None:
            raise ValueError(f"sum must be a float64 number. Received {self.sum!r}.")
        values = {
            "schema": buckets.schema,
            "zero_threshold": buckets.zero_threshold,
            "zero_count": checked_count("zero_count", self.zero_count),
            "positive": checked_side("positive", self.positive, buckets),
            "negative": checked_side("negative", self.negative, buckets),
            "nan_count": checked_count("nan_count", self.nan_count),
            "sum": total + 0.0,  # -0.0 equals 0.0
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def count(self) -> int:
        """How many weights were counted, NaN not among them."""
        return self.zero_count + sum(self.positive.values()) + sum(self.negative.values())

    def samples(self) -> list[tuple[float, int]]:
        """What classic buckets can tell: that `count` weights are at most +inf."""
        return [(math.inf, self.count)]

    def buckets(self) -> list[tuple[float, float, int]]:
        """The reach and the count of each bucket, ascending; also of an empty zero bucket."""
        negative = ((*self._reach(i), count) for i, count in reversed(self.negative.items()))
        return [
            *((-upper, -lower, count) for lower, upper, count in negative),
            (-self.zero_threshold, self.zero_threshold, self.zero_count),
            *((*self._reach(i), count) for i, count in self.positive.items()),
        ]

    def to_bounds(self, bounds: Iterable[float]) -> WeightsHistogram:
        """The histogram of the same weights for upper bounds, such as those of a dashboard.

        Raises:
            ValueError: `bounds` are none, or one of them parts a bucket that holds weights. A
                negative bound does so also where it is the bound of one: weights that equal it
                are at most the bound, and the others of their bucket exceed it.
        """
        upper = finite_bounds(bounds, "bounds")
        ranges = list(self._ranges())
        cumulative = [_count_at_most(bound, ranges) for bound in upper]
        counts = np.diff([0, *cumulative, self.count])
        return WeightsHistogram(upper, counts, self.nan_count)

    def __add__(self, other: object) -> "NativeWeightsHistogram":
        """The histogram of both's weights."""
        if not isinstance(other, NativeWeightsHistogram):
            _refuse_bounds(other)
            return NotImplemented
        one, two = self, other
        # Before buckets are merged: a threshold parts coarse ones more often than fine ones.
        while one.zero_threshold != two.zero_threshold:
            threshold = max(one.zero_threshold, two.zero_threshold)
            one, two = one._widened(threshold), two._widened(threshold)
        schema = min(one.schema, two.schema)
        one, two = one._merged(schema), two._merged(schema)
        return _unchecked(
            schema=schema,
            zero_threshold=one.zero_threshold,
            zero_count=one.zero_count + two.zero_count,
            positive=added(one.positive, two.positive),
            negative=added(one.negative, two.negative),
            nan_count=one.nan_count + two.nan_count,
            sum=one.sum + two.sum,
        )

    def __radd__(self, other: object) -> "NativeWeightsHistogram":
        """The histogram itself where `other` is the 0 with which `sum` begins."""
        _refuse_bounds(other)
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NativeWeightsHistogram):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __reduce__(self) -> tuple[Any, ...]:
        values = (getattr(self, field.name) for field in fields(self))
        return NativeWeightsHistogram, tuple(values)

    def __repr__(self) -> str:
        return (
            f"NativeWeightsHistogram(count={self.count}, nan_count={self.nan_count}, "
            f"sum={self.sum:g}, schema={self.schema}, zero_count={self.zero_count}, "
            f"positive={shortened(self.positive)}, negative={shortened(self.negative)})"
        )

    def _key(self) -> tuple[Any, ...]:
        sides = tuple(self.positive.items()), tuple(self.negative.items())
        # The sum as text, in which NaN equals itself.
        counts = self.zero_count, *sides, self.nan_count
        return self.schema, self.zero_threshold, *counts, repr(self.sum)

    def _with(self, **values: Any) -> "NativeWeightsHistogram":
        return _unchecked(**{**vars(self), **values})

    def _ranges(self) -> Iterator[tuple[float, float, int]]:
        """Of each bucket that holds weights, the least and the greatest they can be; its count."""
        for index, count in self.negative.items():
            lower, upper = self._reach(index)
            yield -upper, -math.nextafter(lower, math.inf), count
        if self.zero_count:
            yield -self.zero_threshold, self.zero_threshold, self.zero_count
        for index, count in self.positive.items():
            lower, upper = self._reach(index)
            yield math.nextafter(lower, math.inf), upper, count

    def _reach(self, index: int) -> tuple[float, float]:
        """Above which and up to which magnitude the weights in the bucket of `index` are."""
        buckets = NativeBuckets(self.schema, self.zero_threshold)
        return max(buckets.bound(index - 1), self.zero_threshold), buckets.bound(index)

    def _counted(self, most: int) -> plots.Counted:
        drawn = self
        while drawn._length() > most and drawn.schema > LOWEST_SCHEMA:
            drawn = drawn._merged(drawn.schema - 1)
        return plots.Counted(drawn.buckets(), self.nan_count, self.sum, drawn.zero_threshold)

    def _length(self) -> int:
        """How many buckets there are from the first finite one to the last on both sides."""
        infinite = NativeBuckets(self.schema).last_index
        sides = [[i for i in side if i < infinite] for side in (self.negative, self.positive)]
        return sum(side[-1] - side[0] + 1 for side in sides if side)

    def _merged(self, schema: int) -> "NativeWeightsHistogram":
        """The same in the buckets of a schema that is not finer."""
        steps = self.schema - schema
        if not steps:
            return self
        positive, negative = merged(self.positive, steps), merged(self.negative, steps)
        return self._with(schema=schema, positive=positive, negative=negative)

    def _widened(self, threshold: float) -> "NativeWeightsHistogram":
        """The same with at least that zero threshold: more where it would part a bucket."""
        if threshold <= self.zero_threshold:
            return self
        inside = set()
        for index in sorted({*self.positive, *self.negative}):
            lower, upper = self._reach(index)
            if lower >= threshold:
                break
            threshold = max(threshold, upper)
            inside.add(index)
        positive, negative = without(self.positive, inside), without(self.negative, inside)
        return self._with(
            zero_threshold=threshold,
            zero_count=self.count - sum(positive.values()) - sum(negative.values()),
            positive=positive,
            negative=negative,
        )


def native_histogram(
    buckets: NativeBuckets, bounds: Bounds, measured: Measured
) -> NativeWeightsHistogram:
    """The histogram of values that were counted by the `bounds` of `buckets`, and summed."""
    last, zero = buckets.last_index, bounds.values.size // 2
    places, counts = measured.totals()
    below, above, end = places.searchsorted((zero, zero + 1, 2 * zero + 1)).tolist()
    indices = (abs(places - zero) + (last - zero)).tolist()
    sizes = counts.tolist()
    negative = NativeSide(zip(indices[:below][::-1], sizes[:below][::-1], strict=True))
    positive = NativeSide(zip(indices[above:end], sizes[above:end], strict=True))
    total = measured.moments().total
    if last in positive:
        total += math.inf
    if last in negative:
        total -= math.inf
    return _unchecked(
        schema=buckets.schema,
        zero_threshold=buckets.zero_threshold,
        zero_count=sum(sizes[below:above]),
        positive=positive,
        negative=negative,
        nan_count=sum(sizes[end:]),
        sum=total + 0.0,
    )


def _unchecked(**values: Any) -> NativeWeightsHistogram:
    """A histogram of what is known to make one: to check thousands of buckets takes long."""
    histogram = object.__new__(NativeWeightsHistogram)
    object.__setattr__(histogram, "__dict__", values)  # no copy of it
    return histogram


def _refuse_bounds(other: object) -> None:
    if isinstance(other, WeightsHistogram):
        raise TypeError(
            "A histogram of native buckets and one of upper bounds do not add up. Count both with "
            "the same buckets, or turn the native one into the other's with to_bounds(bounds)."
        )


def _count_at_most(bound: float, ranges: list[tuple[float, float, int]]) -> int:
    """How many weights are at most `bound`. Raises ValueError where the ranges do not tell."""
    at_most = 0
    for least, greatest, count in ranges:
        if greatest <= bound:
            at_most += count
        elif least <= bound:
            raise ValueError(
                f"How many weights are at most {bound:g} is not known: {count} lie in the bucket "
                f"from {least:g} to {greatest:g}. Count with upper bounds instead."
            )
    return at_most
