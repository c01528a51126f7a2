"""Latencies in native buckets, into which prometheus_client cannot observe."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from gangplank.weights import NativeBuckets, NativeWeightsHistogram

_BUCKETS = NativeBuckets(schema=3, zero_threshold=2.0**-24)  # seconds, of which no call is made
_BOUNDS = _BUCKETS.magnitudes.tolist()


class NativeLatency:
    """Counts latencies, in buckets of which none is wider than 9% of its bound."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._sum = 0.0

    def add(self, latencies: Sequence[float]) -> None:
        """Counts further ones, in seconds."""
        self._counts.update(bisect_left(_BOUNDS, seconds) for seconds in latencies)
        self._sum += sum(latencies)

    def histogram(self) -> NativeWeightsHistogram:
        counts = self._counts.copy()
        zero_count = counts.pop(0, 0)
        first = _BUCKETS.first_index - 1
        return NativeWeightsHistogram(
            schema=_BUCKETS.schema,
            zero_threshold=_BUCKETS.zero_threshold,
            zero_count=zero_count,
            positive={first + place: count for place, count in counts.items()},
            negative={},
            sum=self._sum,
        )
