"""Keras to Prometheus: how training and testing go, and a histogram of the model's weights."""

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


if not TYPE_CHECKING:  # else a checker would take any name for one of ours

    def __getattr__(name: str) -> Any:
        # The callback alone needs Keras, whose import takes seconds.
        if name != "TrainTestExporter":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from gangplank.train_test_exporter import TrainTestExporter

        globals()[name] = TrainTestExporter
        return TrainTestExporter
