"""What watches the calls of one model."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any
from weakref import ref

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from gangplank.drift import Drift
from gangplank.forks import call_where_forked
from gangplank.harmless_logger import HarmlessLogger
from gangplank.inference.calls import TOGETHER, Calls
from gangplank.inference.drift_queue import DriftQueue
from gangplank.inference.harmless import METRIC_ERRORS, OneWarning
from gangplank.inference.predictions import Predictions
from gangplank.metrics import SERVED_MODELS
from gangplank.metrics_server import MetricsServer

_logger = HarmlessLogger("gangplank.inference")

_PREDICT, _CALL = "gangplank_predict", "gangplank_predict_call"
_COUNTERS = {"predict": _PREDICT, "predict_on_batch": _PREDICT, "call": _CALL}


class Watch(Collector):
    """Shows in a registry what the calls of a model do.

    Arguments:
        registry: where that is shown.
        labels: those of the model.
        latency_buckets: the finite upper bounds of the histogram of latencies, in seconds.
        find_drift: the function that looks for drift, if there is one.
        drift_queue_size: how many calls may wait for it; 0 has it called at once.

    Attributes:
        calls: those of each method: "predict", "predict_on_batch" and "call".
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        labels: Mapping[str, str],
        latency_buckets: tuple[float, ...],
        find_drift: Callable[[Any, Any], Drift] | None,
        drift_queue_size: int,
    ) -> None:
        self._labels = labels
        self._predictions = Predictions(labels, latency_buckets)
        self._drift = None
        if find_drift is not None:
            self._drift = DriftQueue(find_drift, self._predictions, drift_queue_size)
        self.calls = {method: self._calls_of(method) for method in _COUNTERS}
        self._server: MetricsServer | None = None
        self._port_of_parent: int | None = None
        self._exceptions: deque[tuple[str, BaseException]] = deque()
        self._is_closed = self._is_stale = self._is_showing = False
        self._warning = OneWarning("What a model does cannot be shown. It answers as ever.")
        self._lock = threading.RLock()
        SERVED_MODELS.register([self], registry, labels)
        # Weakly: who is registered there would keep it for ever.
        self._registry = ref(registry)
        call_where_forked(self._forget)

    @property
    def port(self) -> int | None:
        """Where the registry is served, if it is."""
        return None if self._server is None else self._server.port

    def serve(self, port: int, registry: CollectorRegistry, address: str) -> None:
        """Serves the registry. Raises what `MetricsServer` does."""
        self._server = MetricsServer(port, registry, address)

    def end_drift(self) -> None:
        """Has nothing more looked at for drift."""
        if self._drift is not None:
            self._drift.close()

    def close(self) -> None:
        """Ends what was begun, and takes the metrics out of the registry; once."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        self.end_drift()
        if self._server is not None:
            self._server.close()
            self._server = None
        if (registry := self._registry()) is not None:
            SERVED_MODELS.unregister([self], registry, self._labels)

    def collect(self) -> Iterable[Metric]:
        self._show()
        with self._lock:
            return list(self._predictions.collect())

    def describe(self) -> Iterable[Metric]:
        return self._predictions.describe()

    def _forget(self) -> None:
        """Begins anew in a forked process."""
        self._lock, self._is_showing = threading.RLock(), False
        self._exceptions.clear()
        for calls in self.calls.values():
            calls.forget()
        if self._drift is not None:
            self._drift.forget()
        if not _is_shown_by_others():
            self._port_of_parent = self.port or self._port_of_parent
        self._server = None

    def _calls_of(self, method: str) -> Calls:
        counter = _COUNTERS[method]
        for name in (counter, f"{counter}_time_seconds"):
            self._predictions.metric(name)
        return Calls(
            counts_given=method == "call",
            notes=1 if _is_shown_by_others() else TOGETHER,
            show=self._show,
            on_error=partial(self._show_exception, method),
            on_answer=None if self._drift is None else self._drift.put,
        )

    def _show(self) -> None:
        """Shows what is noted; of a signal's handler that comes in between, as soon as it is over.

        The handler must not wait for what it interrupts, nor change the same metrics meanwhile.
        """
        port, self._port_of_parent = self._port_of_parent, None
        if port is not None:
            _logger.warning(
                "The metrics at port %d are those of the process that this one was forked from. "
                "What the model predicts here is not among them. Wrap the model after the fork, or "
                "use prometheus_client's multiprocess mode.",
                port,
            )
        self._is_stale = True
        with self._lock:
            while self._is_stale and not self._is_showing:
                self._is_showing = True
                try:
                    self._is_stale = False
                    self._show_noted()
                except METRIC_ERRORS:
                    self._warning.log()
                finally:
                    self._is_showing = False

    def _show_exception(self, method: str, error: BaseException) -> None:
        self._exceptions.append((method, error))
        self._show()

    def _show_noted(self) -> None:
        while self._exceptions:
            try:
                self._predictions.show_exception(*self._exceptions.popleft())
            except METRIC_ERRORS:
                self._warning.log()
        if self._drift is not None:
            self._drift.show_dropped()
        for method, calls in self.calls.items():
            answers, in_flight = calls.take_answers(), calls.samples_in_flight()
            self._predictions.show(method, _COUNTERS[method], answers, in_flight)


def _is_shown_by_others() -> bool:
    """Whether others than this process show what it counts, by prometheus_client's multiprocess
    mode.
    """
    return "PROMETHEUS_MULTIPROC_DIR" in os.environ
