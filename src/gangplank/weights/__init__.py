"""A model's weights and what they look like: which variables, which buckets, histograms."""

from gangplank.weights.buckets import (
    HISTOGRAM_WEIGHT_BUCKETS_0_3,
    HISTOGRAM_WEIGHT_BUCKETS_1_0,
    finite_bounds,
)
from gangplank.weights.counting import Counting, counting
from gangplank.weights.functions import (
    weights_histogram,
    weights_histograms,
    weights_statistics,
)
from gangplank.weights.histogram import WeightsHistogram
from gangplank.weights.histograms import WeightsHistograms
from gangplank.weights.native_buckets import NativeBuckets
from gangplank.weights.native_histogram import NativeWeightsHistogram
from gangplank.weights.parts import PER, Parts, Per, checked_per, grouped, part_names
from gangplank.weights.statistics import WeightsStatistics, statistics_of
from gangplank.weights.variables import checked_weights, is_optimizer, weight_arrays, weights_count

__all__ = [
    "HISTOGRAM_WEIGHT_BUCKETS_0_3",
    "HISTOGRAM_WEIGHT_BUCKETS_1_0",
    "PER",
    "Counting",
    "NativeBuckets",
    "NativeWeightsHistogram",
    "Parts",
    "Per",
    "WeightsHistogram",
    "WeightsHistograms",
    "WeightsStatistics",
    "checked_per",
    "checked_weights",
    "counting",
    "finite_bounds",
    "grouped",
    "is_optimizer",
    "part_names",
    "statistics_of",
    "weight_arrays",
    "weights_count",
    "weights_histogram",
    "weights_histograms",
    "weights_statistics",
]
