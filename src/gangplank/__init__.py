"""Keras to Prometheus: how training and testing go, and a histogram of the model's weights."""

import gangplank._backend  # noqa: F401
from gangplank import gateway
from gangplank.metrics import HistogramCollector
from gangplank.publishing import PushError
from gangplank.train_test_exporter import TrainTestExporter
from gangplank.weights import (
    HISTOGRAM_WEIGHT_BUCKETS_0_3,
    HISTOGRAM_WEIGHT_BUCKETS_1_0,
    WeightsHistogram,
    weights_histogram,
)

__version__ = "0.1.0"

__all__ = [
    "HISTOGRAM_WEIGHT_BUCKETS_0_3",
    "HISTOGRAM_WEIGHT_BUCKETS_1_0",
    "HistogramCollector",
    "PushError",
    "TrainTestExporter",
    "WeightsHistogram",
    "gateway",
    "weights_histogram",
]


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
