"""Buckets as the command line has them: what one types, and what one sees of them."""

import math
from itertools import chain, pairwise

from gangplank.weights import (
    HISTOGRAM_WEIGHT_BUCKETS_0_3,
    HISTOGRAM_WEIGHT_BUCKETS_1_0,
    NativeBuckets,
    NativeWeightsHistogram,
    WeightsHistogram,
    finite_bounds,
)

Histogram = WeightsHistogram | NativeWeightsHistogram

_PRESETS: dict[str, tuple[float, ...] | NativeBuckets] = {
    "0.3": HISTOGRAM_WEIGHT_BUCKETS_0_3,
    "1.0": HISTOGRAM_WEIGHT_BUCKETS_1_0,
    "native": NativeBuckets(),
}


def buckets_of(text: str) -> tuple[float, ...] | NativeBuckets:
    """The buckets that `text` names: a preset, "native", or upper bounds with commas between them.

    Raises:
        ValueError: it names none.
    """
    if text in _PRESETS:
        return _PRESETS[text]
    try:
        bounds = [float(bound) for bound in text.split(",")]
    except ValueError:
        bounds = []
    if bounds in ([], [math.inf]):
        raise ValueError(
            "buckets must be 0.3, 1.0, native, or upper bounds such as -0.1,0,0.1. "
            f"Received {text!r}."
        )
    return finite_bounds(bounds, "buckets")


def counts_of(histogram: Histogram) -> dict[tuple[float, float], int]:
    """The counts by what each bucket reaches from and to, ascending; of native ones those above 0.

    From a power of 2 to the next there is one native bucket, of any schema from 0 on.
    """
    if isinstance(histogram, WeightsHistogram):
        edges = chain([float("-inf")], histogram.bounds, [float("inf")])
        return dict(zip(pairwise(edges), histogram.counts.tolist(), strict=True))
    # To add one of a coarser schema merges buckets.
    none = NativeWeightsHistogram(0, histogram.zero_threshold, 0, {}, {})
    buckets = (histogram + none).buckets()
    return {(lower, upper): count for lower, upper, count in buckets if count}
