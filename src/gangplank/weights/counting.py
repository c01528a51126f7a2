"""How values are counted into buckets, of which there are two kinds."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from gangplank import _native
from gangplank.weights.buckets import finite_bounds
from gangplank.weights.histogram import WeightsHistogram, unchecked_histogram
from gangplank.weights.native_buckets import NativeBuckets, native_bounds
from gangplank.weights.native_histogram import native_histogram


class Counting(NamedTuple):
    """How values are counted into buckets: what is measured, and the histogram of that."""

    bounds: _native.Bounds
    has_moments: bool
    histogram: Callable[[_native.Measured], Any]
    series: int
    """How many time series a histogram makes."""


def counting(buckets: Iterable[float] | NativeBuckets) -> Counting:
    """How to count into `buckets`. Raises ValueError if they are none."""
    if isinstance(buckets, NativeBuckets):
        native = native_bounds(buckets)
        return Counting(native, True, partial(native_histogram, buckets, native), series=1)
    bounds = finite_bounds(buckets, "buckets")
    packed = _native.Bounds.of(bounds)

    def histogram(measured: _native.Measured) -> WeightsHistogram:
        return unchecked_histogram(bounds, *measured.counts(packed))

    # The buckets, that of +inf among them, the sum, the count and the time of creation.
    return Counting(packed, False, histogram, series=len(bounds) + 4)
