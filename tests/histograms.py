"""Histograms of all kinds, hard ones among them."""

import math

import numpy as np

from gangplank import (
    HISTOGRAM_WEIGHT_BUCKETS_0_3,
    HISTOGRAM_WEIGHT_BUCKETS_1_0,
    NativeBuckets,
    WeightsHistogram,
    weights_histogram,
)

NORMAL = [np.random.default_rng(0).normal(0, 0.1, 10_000).astype("float32")]
HARD = [np.array([5e-324, 1e-310, 0, 1, 1e308, -1e300, math.inf, -math.inf, math.nan])]

HISTOGRAMS = {
    "0.3": weights_histogram(NORMAL, HISTOGRAM_WEIGHT_BUCKETS_0_3),
    "1.0": weights_histogram(NORMAL + HARD, HISTOGRAM_WEIGHT_BUCKETS_1_0),
    "uneven": weights_histogram(NORMAL, [-0.3, -0.1, -0.05, 0, 0.02, 0.1, 0.5]),
    "decades": weights_histogram(NORMAL, [-1, -0.1, -0.01, -1e-3, 0, 1e-3, 0.01, 0.1, 1]),
    "positive decades": weights_histogram(NORMAL, [1e-6, 1e-4, 0.01, 1]),
    "a thousand": weights_histogram(NORMAL, np.linspace(-0.5, 0.5, 1000)),
    "one bound": weights_histogram(NORMAL, [0.0]),
    "one large bound": WeightsHistogram((-1e308,), [1, 2]),
    "huge counts": WeightsHistogram((-1.0, 0.0, 1.0), [2**60, 2**61, 5, 2**59]),
    "huge bounds": WeightsHistogram((-1e308, 0.0, 1e308), [1, 2, 3, 4]),
    "tiny bounds": WeightsHistogram((-5e-324, 0.0, 5e-324), [1, 2, 3, 4]),
    "neighbours": WeightsHistogram((1.0, math.nextafter(1, 2)), [1, 2, 3]),
    "neighbours far from others": WeightsHistogram((-3, 1, math.nextafter(1, 2), 4), [1] * 5),
    "empty": weights_histogram([], HISTOGRAM_WEIGHT_BUCKETS_0_3),
    "only NaN": weights_histogram([np.full(5, np.nan)], HISTOGRAM_WEIGHT_BUCKETS_0_3),
    "native": weights_histogram(NORMAL, NativeBuckets()),
    "native, fine": weights_histogram(NORMAL, NativeBuckets(8)),
    "native, coarse": weights_histogram(NORMAL, NativeBuckets(-4)),
    "native, hard": weights_histogram(HARD, NativeBuckets()),
    "native, hard, no threshold": weights_histogram(HARD, NativeBuckets(8, 0.0)),
    "native, only infinity": weights_histogram([np.array([math.inf])], NativeBuckets()),
    "native, only zero": weights_histogram([np.zeros(9)], NativeBuckets(3, 0.0)),
    "native, empty": weights_histogram([], NativeBuckets()),
    "native, only NaN": weights_histogram([np.full(5, np.nan)], NativeBuckets()),
}
