"""Values as Prometheus's samples: collectors, names, and the state of a run."""

from gangplank.metrics.histogram_collector import HistogramCollector
from gangplank.metrics.metric_names import MetricNames, checked_metrics, is_label_name, number
from gangplank.metrics.push_metrics import PushMetrics
from gangplank.metrics.run_metrics import RESERVED, RunMetrics
from gangplank.metrics.run_status import Ending, KerasCall, RunStatus

__all__ = [
    "RESERVED",
    "Ending",
    "HistogramCollector",
    "KerasCall",
    "MetricNames",
    "PushMetrics",
    "RunMetrics",
    "RunStatus",
    "checked_metrics",
    "is_label_name",
    "number",
]
