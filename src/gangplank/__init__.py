"""Keras to Prometheus: how training and testing go, and a histogram of the model's weights."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import gangplank._backend  # noqa: F401
from gangplank import gateway
from gangplank.drift import Drift, DriftMonitor, DriftReference, drift_reference
from gangplank.metrics import HistogramCollector
from gangplank.publishing import PushError
from gangplank.weights import (
    HISTOGRAM_WEIGHT_BUCKETS_0_3,
    HISTOGRAM_WEIGHT_BUCKETS_1_0,
    NativeBuckets,
    NativeWeightsHistogram,
    WeightsHistogram,
    WeightsHistograms,
    WeightsStatistics,
    weights_histogram,
    weights_histograms,
    weights_statistics,
)

if TYPE_CHECKING:
    from gangplank.prometheus_model import PrometheusModel
    from gangplank.train_test_exporter import TrainTestExporter

__version__ = "0.1.0"

__all__ = [
    "HISTOGRAM_WEIGHT_BUCKETS_0_3",
    "HISTOGRAM_WEIGHT_BUCKETS_1_0",
    "Drift",
    "DriftMonitor",
    "DriftReference",
    "HistogramCollector",
    "NativeBuckets",
    "NativeWeightsHistogram",
    "PrometheusModel",
    "PushError",
    "TrainTestExporter",
    "WeightsHistogram",
    "WeightsHistograms",
    "WeightsStatistics",
    "drift_reference",
    "gateway",
    "weights_histogram",
    "weights_histograms",
    "weights_statistics",
]


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


# Keras takes seconds to import, and these alone need it.
_OF_KERAS = {
    "PrometheusModel": "gangplank.prometheus_model",
    "TrainTestExporter": "gangplank.train_test_exporter",
}

if not TYPE_CHECKING:  # else a checker would take any name for one of ours

    def __getattr__(name: str) -> Any:
        if name not in _OF_KERAS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_OF_KERAS[name]), name)
        globals()[name] = value
        return value
