"""Keras to Prometheus: how training and testing go, and a histogram of the model's weights."""

from gangplank.buckets import HISTOGRAM_WEIGHT_BUCKETS_0_3, HISTOGRAM_WEIGHT_BUCKETS_1_0
from gangplank.collector import HistogramCollector
from gangplank.histogram import WeightsHistogram, weights_histogram
from gangplank.publisher import PushError
from gangplank.train_test_exporter import TrainTestExporter

__all__ = [
    "HISTOGRAM_WEIGHT_BUCKETS_0_3",
    "HISTOGRAM_WEIGHT_BUCKETS_1_0",
    "HistogramCollector",
    "PushError",
    "TrainTestExporter",
    "WeightsHistogram",
    "weights_histogram",
]
