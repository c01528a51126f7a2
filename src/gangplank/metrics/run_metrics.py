"""The metrics of one phase of a run, training or testing, as its registry shows them."""

import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gangplank.metrics.histogram_collector import HistogramCollector
from gangplank.metrics.metric_names import MetricNames, Value
from gangplank.metrics.push_metrics import PushMetrics
from gangplank.metrics.run_status import KerasCall, RunStatus
from gangplank.weights import WeightsHistogram

_HISTOGRAM = "model_weights"
_HISTOGRAM_TEXT = (
    "The model's weights by their value. Their sum is not known: where _sum is 0, as a Pushgateway "
    "shows it, _sum / _count is no mean."
)

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


class RunMetrics(Collector):
    """What is known of a phase: gauges, the histogram of the weights, and how the run fares.

    Gauges and histogram are shown all at once, so that neither a push nor a scrape mixes those of
    two epochs.

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
        self._documentation = dict(_GAUGES)
        self._gauges: dict[str, Value] = {}
        self._histogram = self._no_histogram()
        self._shown = _Shown(self._gauges, self._histogram)
        self.status = RunStatus(self._prefix + "status")
        self.pushes = PushMetrics(self._prefix)
        self.collectors = (self, self.status, self.pushes)

    def begin(self) -> KerasCall:
        """Another run of this phase begins, on this thread: nothing else is known of it."""
        self._began = time.monotonic()
        self._gauges = {}
        self._histogram = self._no_histogram()
        self._shown = _Shown(self._gauges, self._histogram)
        return self.status.begin()

    def set_weights(self, histogram: WeightsHistogram | None) -> None:
        """Sets the histogram of the weights, if there is one, for the next `show`."""
        self._histogram = self._no_histogram()
        self._gauges.pop("model_nan_weights", None)
        if histogram is not None:
            self._histogram.set(histogram)
            self._gauges["model_nan_weights"] = histogram.nan_count

    def show(self, logs: Mapping[str, Any], **own: float) -> None:
        """Shows what Keras logged, gangplank's own metrics, and the time that has passed."""
        for name, key, value in self._names.named(logs):
            if name not in self._documentation:
                self._documentation[name] = f"Keras's metric {key!r}."
            self._gauges[name] = value
        self._gauges |= own
        self._gauges["elapsed_time_seconds"] = time.monotonic() - self._began
        self._shown = _Shown(self._gauges.copy(), self._histogram)

    def collect(self) -> Iterable[Metric]:
        """What was last shown."""
        # Families are made when they are asked for: they are so many objects that Python's garbage
        # collector, 200 ms with TensorFlow loaded, would often run in the hook that showed them.
        shown = self._shown
        gauges = [self._gauge(name, value) for name, value in shown.gauges.items()]
        return [*gauges, *shown.histogram.collect()]

    def describe(self) -> Iterable[Metric]:
        """All but Keras's metrics, without samples, by which a registry refuses such names."""
        return [*map(self._gauge, _GAUGES), *self._no_histogram().describe()]

    def _gauge(self, name: str, value: Value | None = None) -> Metric:
        text = self._documentation[name]
        if not isinstance(value, tuple):
            return GaugeMetricFamily(self._prefix + name, text, value)
        family = GaugeMetricFamily(self._prefix + name, text, labels=["class"])
        for i, each in enumerate(value):
            family.add_metric([str(i)], each)
        return family

    def _no_histogram(self) -> HistogramCollector:
        return HistogramCollector(self._prefix + _HISTOGRAM, _HISTOGRAM_TEXT)


class _Shown(NamedTuple):
    gauges: Mapping[str, Value]
    histogram: HistogramCollector
