"""A model's weights and what they look like: which variables, which buckets, histograms."""

from gangplank.weights.buckets import (
    HISTOGRAM_WEIGHT_BUCKETS_0_3,
    HISTOGRAM_WEIGHT_BUCKETS_1_0,
    finite_bounds,
)
from gangplank.weights.counting import weights_histogram, weights_histograms
from gangplank.weights.histogram import WeightsHistogram
from gangplank.weights.native_buckets import NativeBuckets
from gangplank.weights.native_histogram import NativeWeightsHistogram
from gangplank.weights.statistics import WeightsStatistics, weights_statistics
from gangplank.weights.variables import checked_weights, weights_count

__all__ = [
    "HISTOGRAM_WEIGHT_BUCKETS_0_3",
    "HISTOGRAM_WEIGHT_BUCKETS_1_0",
    "NativeBuckets",
    "NativeWeightsHistogram",
    "WeightsHistogram",
    "WeightsStatistics",
    "checked_weights",
    "finite_bounds",
    "weights_count",
    "weights_histogram",
    "weights_histograms",
    "weights_statistics",
]
