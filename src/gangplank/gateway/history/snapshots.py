"""How one histogram has changed: its buckets at so many times, thinned where they are many."""

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

from prometheus_client.samples import BucketSpan, NativeHistogram

from gangplank.gateway.history.series import Labels, as_json, epochs_for_json

# Counts that are kept of one histogram: 128 KiB, beside which its bounds are 16 KiB at most. Of 13
# bounds, that is all 128 snapshots.
_MOST_COUNTS = 16_384
_MOST_SNAPSHOTS = 128
MOST_BUCKETS = _MOST_COUNTS // 8

# Native histograms are shown in buckets between powers of 2, whose magnitudes are these.
_EXPONENTS = range(-24, 9)
_SCHEMAS = range(-4, 9)
_POWERS = tuple(2.0**exponent for exponent in _EXPONENTS)
NATIVE_BOUNDS = array("d", [*(-power for power in reversed(_POWERS)), *_POWERS])


class Snapshots:
    """The counts of one histogram over time.

    At most 128 are kept, fewer of histograms of many buckets. Where more come, only every second
    is kept, then every fourth, and so on, so that they always span the whole run; the last one is
    always there.

    Arguments:
        identity: what tells it apart from every other histogram of a history.
        name: of the metric.
        labels: its own, without those of its group and `le`.
        bounds: the finite upper bounds.
    """

    def __init__(self, identity: int, name: str, labels: Labels, bounds: "array[float]") -> None:
        self.identity = identity
        self.name = name
        self.labels = labels
        self.bounds = bounds
        self.times = array("d")
        self.epochs = array("f")
        self.counts: list[array[float]] = []
        self._numbers: list[int] = []
        self._next = 0
        self._stride = 1

    def add(self, time: float, epoch: float, counts: Sequence[float]) -> None:
        """Takes the counts, one a bucket, unless they are those of the last time."""
        packed = array("d", counts)
        if self.counts and self.counts[-1] == packed:
            return
        if self._numbers and self._numbers[-1] % self._stride:
            self._keep(range(len(self._numbers) - 1))
        self.times.append(time)
        self.epochs.append(epoch)
        self.counts.append(packed)
        self._numbers.append(self._next)
        self._next += 1
        if len(self.counts) > min(_MOST_SNAPSHOTS, _MOST_COUNTS // len(packed)):
            self._stride *= 2
            last = len(self._numbers) - 1
            self._keep(i for i, n in enumerate(self._numbers) if n % self._stride == 0 or i == last)

    def described(self, after: float, until: float) -> dict[str, Any] | None:
        """Those with ``after < time <= until``, and the times of all that are kept, for JSON."""
        new = [i for i, time in enumerate(self.times) if after < time <= until]
        if not new:
            return None
        return {
            "id": self.identity,
            "name": self.name,
            "labels": self.labels,
            "bounds": [as_json(bound) for bound in self.bounds],
            "kept": [time for time in self.times if time <= until],
            "times": [self.times[i] for i in new],
            "epochs": epochs_for_json(array("f", (self.epochs[i] for i in new))),
            "counts": [[as_json(count) for count in self.counts[i]] for i in new],
        }

    def _keep(self, indices: Iterable[int]) -> None:
        kept = list(indices)
        self.times = array("d", (self.times[i] for i in kept))
        self.epochs = array("f", (self.epochs[i] for i in kept))
        self.counts = [self.counts[i] for i in kept]
        self._numbers = [self._numbers[i] for i in kept]


def from_cumulative(buckets: dict[float, float]) -> "tuple[array[float], list[float]]":
    """Finite bounds and counts, one a bucket, of what Prometheus counts up to each bound."""
    bounds = sorted(bound for bound in buckets if bound > -math.inf)  # nor NaN
    totals = [buckets[bound] for bound in bounds]
    counts = [total - before for total, before in zip(totals, [0.0, *totals], strict=False)]
    return array("d", filter(math.isfinite, bounds)), counts


def from_native(histogram: NativeHistogram) -> list[float] | None:
    """Counts in the buckets of `NATIVE_BOUNDS`; what lies beyond is in the first and the last.

    None where the bounds are no powers of 2 to a schema that Prometheus has.
    """
    if histogram.schema not in _SCHEMAS:
        return None
    counts = [0.0] * (len(NATIVE_BOUNDS) + 1)
    middle = len(_POWERS)
    counts[middle] = histogram.zero_count
    # Bucket i has magnitudes of at most 2 ** (i / 2 ** schema).
    octave = 2.0**-histogram.schema
    for sign, spans, deltas in (
        (1, histogram.pos_spans, histogram.pos_deltas),
        (-1, histogram.neg_spans, histogram.neg_deltas),
    ):
        for index, count in _buckets(spans or (), deltas or ()):
            exponent = math.ceil(index * octave)
            row = min(max(exponent - _EXPONENTS.start, 0), middle)
            counts[middle + sign * row] += count
    return counts


def _buckets(spans: Iterable[BucketSpan], deltas: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The index and the count of each bucket."""
    counts = accumulate(deltas)
    index = 0
    for span in spans:
        index += span.offset
        for _ in range(span.length):
            if (count := next(counts, None)) is None:
                return  # whatever length a span claims to have
            yield index, count
            index += 1
