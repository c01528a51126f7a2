"""The metrics of one phase of a run, training or testing, as its registry shows them."""

import time
from collections.abc import Mapping
from typing import Any

from prometheus_client.core import GaugeMetricFamily

from gangplank.collector import GaugesCollector, HistogramCollector
from gangplank.histogram import WeightsHistogram
from gangplank.metric_names import MetricNames
from gangplank.publishing import PushMetrics
from gangplank.run_status import KerasCall, RunStatus

_HISTOGRAM = "model_weights"

_GAUGES = {
    "epochs_count": "Completed epochs.",
    "elapsed_time_seconds": "Time since the run began.",
    "model_parameters_count": "Parameters of the model, trainable and non-trainable.",
    "model_nan_weights": "Weights that are NaN, which the histogram does not count.",
}

RESERVED = (
    *_GAUGES,
    _HISTOGRAM,
    *(f"{_HISTOGRAM}_{series}" for series in ("bucket", "count", "sum", "created")),
    "status",
    "last_push_success_timestamp_seconds",
    *(f"push_failures{suffix}" for suffix in ("", "_total", "_created")),
)
"""Names, after ``gangplank_train_`` or ``gangplank_test_``, that no metric of Keras can have."""


class RunMetrics:
    """What is known of a phase: gauges, the histogram of the weights, and how the run fares.

    Arguments:
        phase: "train" or "test", which begins the metrics' names.
        names: the names of Keras's metrics.

    Attributes:
        status: whether the run goes on.
        pushes: how pushing fares.
        collectors: what shows all of it, to be registered.
    """

    def __init__(self, phase: str, names: MetricNames) -> None:
        self._prefix = f"gangplank_{phase}_"
        self._names = names
        self._began = time.monotonic()
        self._shown: dict[str, GaugeMetricFamily] = {}
        described = (GaugeMetricFamily(self._prefix + name, text) for name, text in _GAUGES.items())
        self._gauges = GaugesCollector(described)
        self._histogram = HistogramCollector(
            self._prefix + _HISTOGRAM, "The model's weights by their value."
        )
        self.status = RunStatus(self._prefix + "status")
        self.pushes = PushMetrics(self._prefix)
        self.collectors = (self._gauges, self._histogram, self.status, self.pushes)

    def begin(self) -> KerasCall:
        """Another run of this phase begins, on this thread: nothing else is known of it."""
        self._began = time.monotonic()
        self._shown.clear()
        self._gauges.set([])
        self._histogram.clear()
        return self.status.begin()

    def show(self, logs: Mapping[str, Any], **own: float) -> None:
        """Shows what Keras logged, gangplank's own gauges, and the time that has passed."""
        for name, key, value in self._names.named(logs):
            self._put(name, f"Keras's metric {key!r}.", value)
        own["elapsed_time_seconds"] = time.monotonic() - self._began
        for name, value in own.items():
            self._put(name, _GAUGES[name], value)
        self._gauges.set(self._shown.values())

    def show_weights(self, histogram: WeightsHistogram) -> None:
        """Shows the histogram of the weights, and how many of them are NaN."""
        self._histogram.set(histogram)
        self._put("model_nan_weights", _GAUGES["model_nan_weights"], histogram.nan_count)
        self._gauges.set(self._shown.values())

    def hide_weights(self) -> None:
        """Shows neither the histogram nor its gauge, which are no longer true."""
        self._histogram.clear()
        self._shown.pop("model_nan_weights", None)
        self._gauges.set(self._shown.values())

    def _put(self, name: str, documentation: str, value: float) -> None:
        self._shown[name] = GaugeMetricFamily(self._prefix + name, documentation, value)
