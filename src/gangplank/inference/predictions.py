"""What a served model does, as metrics that are there from their first value on."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import sub
from typing import Any, NamedTuple

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import Metric

from gangplank.inference.latency import NativeLatency
from gangplank.metrics import native_sample

_REFUSAL = "InvalidArgumentError"  # what TensorFlow raises in a graph for shapes that do not fit
LATENCY = "gangplank_predict_latency_seconds"


Answer = tuple[int, float, float]
"""A call that was answered: how many samples, and from when to when by `time.perf_counter`."""


class _Family(NamedTuple):
    """What a family is, but for its name and its labels."""

    kind: type[Counter | Gauge | Histogram]
    documentation: str
    options: Mapping[str, Any] = {}


def _counter(documentation: str) -> _Family:
    return _Family(Counter, documentation)


def _gauge(documentation: str, of_processes: str) -> _Family:
    return _Family(Gauge, documentation, {"multiprocess_mode": of_processes})


_SIZES = {"buckets": [2**exponent for exponent in range(13)]}
_FAMILIES = {
    "gangplank_predict": _counter("Samples that predict and predict_on_batch answered."),
    "gangplank_predict_time_seconds": _counter(
        "Time in calls of predict and predict_on_batch that were answered."
    ),
    "gangplank_predict_call": _counter("Samples that calls of the model answered."),
    "gangplank_predict_call_time_seconds": _counter(
        "Time in calls of the model that were answered."
    ),
    LATENCY: _Family(Histogram, "How long a call took that was answered."),
    "gangplank_predict_batch_samples": _Family(
        Histogram, "How many samples a call answered.", _SIZES
    ),
    "gangplank_predict_in_flight_samples": _gauge(
        "Samples in calls under way; a generator or a dataset counts as one.", "livesum"
    ),
    "gangplank_predict_rejected": _counter("Calls that refused their input."),
    "gangplank_predict_failed": _counter("Calls that another exception ended."),
    "gangplank_predict_first_answer_seconds": _gauge(
        "Time from the wrapping of the model to its first answer.", "max"
    ),
    "gangplank_predict_drift_detected": _counter("The sum of drift_detected."),
    "gangplank_predict_drift_p_value": _gauge("The last p-value of the test.", "mostrecent"),
    "gangplank_predict_drift_test_statistic": _gauge(
        "The last statistic of the test.", "mostrecent"
    ),
    "gangplank_predict_drift_dropped": _counter(
        "Calls that were not looked at for drift, since the queue was full."
    ),
    "gangplank_predict_drift_failed": _counter("Calls on which the function for drift failed."),
}


class Predictions:
    """The metrics of one model.

    They are prometheus_client's own, so that they work in its multiprocess mode too; there, and in
    text, without the native buckets of the latency.

    Arguments:
        labels: those of the model.
        latency_buckets: the finite upper bounds of the histogram of latencies, in seconds.
    """

    def __init__(self, labels: Mapping[str, str], latency_buckets: tuple[float, ...]) -> None:
        self._labels = labels
        self._latency_buckets = latency_buckets
        self._made: dict[str, Any] = {}
        # To find one by its labels in prometheus_client takes longer than to add to it.
        self._children: dict[tuple[str, ...], Any] = {}
        self._native: dict[str, NativeLatency] = {}
        self._called: set[str] = set()  # methods
        self._began = time.perf_counter()
        self._first_answer: float | None = None

    def metric(self, name: str, **labels: str) -> Any:
        """The metric of this name and these labels, which is shown from now on."""
        key = name, *labels.values()
        if key not in self._children:
            self._children[key] = self._new_child(name, {**self._labels, **labels})
        return self._children[key]

    def show(self, method: str, counter: str, answers: Sequence[Answer], in_flight: int) -> None:
        """Adds calls of a method that were answered, and shows how many samples are under way.

        Only one thread at a time may call this or `collect`.
        """
        if in_flight or answers or method in self._called:
            self._called.add(method)
            self.metric("gangplank_predict_in_flight_samples", method=method).set(in_flight)
        if not answers:
            return
        sizes, begins, ends = zip(*answers, strict=True)
        seconds = list(map(sub, ends, begins))
        self.metric(counter).inc(sum(sizes))
        self.metric(f"{counter}_time_seconds").inc(sum(seconds))
        _observe(self.metric("gangplank_predict_batch_samples", method=method), sizes)
        _observe(self.metric(LATENCY, method=method), seconds)
        self._native.setdefault(method, NativeLatency()).add(seconds)
        self._show_first_answer(min(ends))

    def show_exception(self, method: str, error: BaseException) -> None:
        """Counts an exception that a call of a method has raised."""
        kind = type(error).__name__
        is_refusal = isinstance(error, ValueError | TypeError) or kind == _REFUSAL
        name = "gangplank_predict_rejected" if is_refusal else "gangplank_predict_failed"
        self.metric(name, method=method, type=kind).inc()

    def collect(self) -> Iterator[Metric]:
        for name, made in self._made.copy().items():
            for family in made.collect():
                if name == LATENCY:
                    self._add_native(family)
                yield family

    def describe(self) -> Iterable[Metric]:
        for name, family in _FAMILIES.items():
            yield Metric(name, family.documentation, family.kind.__name__.lower())

    def _new_child(self, name: str, labels: Mapping[str, str]) -> Any:
        made = self._made.get(name)
        if made is None:
            kind, documentation, options = _FAMILIES[name]
            if name == LATENCY:
                options = {"buckets": self._latency_buckets}
            new = kind(name, documentation, labels, registry=None, **options)
            made = self._made.setdefault(name, new)  # another thread may have been first
        return made.labels(**labels) if labels else made

    def _add_native(self, family: Metric) -> None:
        for method, latency in self._native.copy().items():
            histogram = latency.histogram()
            labels = {**self._labels, "method": method}
            sample = native_sample(histogram)
            family.add_sample(family.name, labels, histogram.count, native_histogram=sample)

    def _show_first_answer(self, ended: float) -> None:
        if self._first_answer is None or ended < self._first_answer:
            self._first_answer = ended
            first_answer = self.metric("gangplank_predict_first_answer_seconds")
            first_answer.set(ended - self._began)


def _observe(histogram: Histogram, values: Iterable[float]) -> None:
    for value in values:
        histogram.observe(value)
