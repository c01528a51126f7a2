"""Keras to Prometheus: how training and testing go, and a histogram of the model's weights."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import gangplank._backend  # noqa: F401
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
    from gangplank import gateway
    from gangplank.drift import Drift, DriftMonitor, DriftReference, drift_reference
    from gangplank.metrics import HistogramCollector
    from gangplank.metrics_server import MetricsServer
    from gangplank.prometheus_model import PrometheusModel
    from gangplank.publishing import PushError
    from gangplank.train_test_exporter import TrainTestExporter

__version__ = "0.1.0"

__all__ = [
    "HISTOGRAM_WEIGHT_BUCKETS_0_3",
    "HISTOGRAM_WEIGHT_BUCKETS_1_0",
    "Drift",
    "DriftMonitor",
    "DriftReference",
    "HistogramCollector",
    "MetricsServer",
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


# What they import takes long: Keras seconds, and prometheus_client so much that the command line
# begins faster without it. The gateway needs that too.
_LATER = {
    "Drift": "gangplank.drift",
    "DriftMonitor": "gangplank.drift",
    "DriftReference": "gangplank.drift",
    "HistogramCollector": "gangplank.metrics",
    "MetricsServer": "gangplank.metrics_server",
    "PrometheusModel": "gangplank.prometheus_model",
    "PushError": "gangplank.publishing",
    "TrainTestExporter": "gangplank.train_test_exporter",
    "drift_reference": "gangplank.drift",
}


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


if not TYPE_CHECKING:  # else a checker would take any name for one of ours

    def __getattr__(name: str) -> Any:
        if name == "gateway":
            return import_module("gangplank.gateway")
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_LATER[name]), name)
        return value
