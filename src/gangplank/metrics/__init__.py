"""Values as Prometheus's samples: collectors, names, and the state of a run."""

from gangplank.metrics.blocks import Blocks
from gangplank.metrics.collected import Collected
from gangplank.metrics.epoch import LEARNING_RATE
from gangplank.metrics.exposition import accepts_protobuf, as_protobuf
from gangplank.metrics.histogram_collector import HistogramCollector
from gangplank.metrics.histogram_family import is_native, native_sample, without_native
from gangplank.metrics.metric_names import (
    OWN_LABELS,
    MetricNames,
    checked_metrics,
    exposed_name,
    is_label_name,
    number,
)
from gangplank.metrics.push_metrics import PushMetrics
from gangplank.metrics.run_metrics import RESERVED, Run, RunMetrics
from gangplank.metrics.run_status import Ending, ending_of_training, model_of_hook
from gangplank.metrics.runs import CallOfThread, Runs
from gangplank.metrics.shared_registry import EXPORTERS, SERVED_MODELS, checked_registry
from gangplank.metrics.weights_metrics import STATISTICS, WeightsMetrics, WeightsReport

__all__ = [
    "EXPORTERS",
    "LEARNING_RATE",
    "OWN_LABELS",
    "RESERVED",
    "SERVED_MODELS",
    "STATISTICS",
    "Blocks",
    "CallOfThread",
    "Collected",
    "Ending",
    "HistogramCollector",
    "MetricNames",
    "PushMetrics",
    "Run",
    "RunMetrics",
    "Runs",
    "WeightsMetrics",
    "WeightsReport",
    "accepts_protobuf",
    "as_protobuf",
    "checked_metrics",
    "checked_registry",
    "ending_of_training",
    "exposed_name",
    "is_label_name",
    "is_native",
    "model_of_hook",
    "native_sample",
    "number",
    "without_native",
]
