"""Values as Prometheus's samples: collectors, names, and the state of a run."""

from gangplank.metrics.histogram_collector import HistogramCollector
from gangplank.metrics.metric_names import MetricNames, checked_metrics, is_label_name, number
from gangplank.metrics.push_metrics import PushMetrics
from gangplank.metrics.run_metrics import RESERVED, Run, RunMetrics
from gangplank.metrics.run_status import Ending
from gangplank.metrics.runs import Runs
from gangplank.metrics.shared_registry import register

__all__ = [
    "RESERVED",
    "Ending",
    "HistogramCollector",
    "MetricNames",
    "PushMetrics",
    "Run",
    "RunMetrics",
    "Runs",
    "checked_metrics",
    "is_label_name",
    "number",
    "register",
]
