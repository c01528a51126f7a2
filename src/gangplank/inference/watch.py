"""What watches the calls of one model."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from gangplank.drift import Drift
from gangplank.inference.calls import Calls
from gangplank.inference.drift_queue import DriftQueue
from gangplank.inference.predictions import Predictions
from gangplank.metrics import SERVED_MODELS
from gangplank.metrics_server import MetricsServer

_PREDICT, _CALL = "gangplank_predict", "gangplank_predict_call"


class Watch(Collector):
    """Shows in a registry what the calls of a model do.

    Arguments:
        registry: where that is shown.
        labels: those of the model.
        latency_buckets: the finite upper bounds of the histogram of latencies, in seconds.
        find_drift: the function that looks for drift, if there is one.
        drift_queue_size: how many calls may wait for it; 0 has it called at once.

    Attributes:
        predict, predict_on_batch, call: the calls of these methods.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        labels: Mapping[str, str],
        latency_buckets: tuple[float, ...],
        find_drift: Callable[[Any, Any], Drift] | None,
        drift_queue_size: int,
    ) -> None:
        self._registry, self._labels = registry, labels
        self._predictions = Predictions(labels, latency_buckets)
        SERVED_MODELS.register([self], registry, labels)
        self._drift = find_drift and DriftQueue(find_drift, self._predictions, drift_queue_size)
        self.predict = self._calls("predict", _PREDICT)
        self.predict_on_batch = self._calls("predict_on_batch", _PREDICT)
        self.call = self._calls("call", _CALL)
        self._server: MetricsServer | None = None
        self._is_closed = False
        self._closing = threading.Lock()

    @property
    def port(self) -> int | None:
        """Where the registry is served, if it is."""
        return None if self._server is None else self._server.port

    def serve(self, port: int, address: str) -> None:
        """Serves the registry. Raises what `MetricsServer` does."""
        self._server = MetricsServer(port, self._registry, address)

    def end_drift(self) -> None:
        """Has nothing more looked at for drift."""
        if self._drift is not None:
            self._drift.close()

    def close(self) -> None:
        """Ends what was begun, and takes the metrics out of the registry; once."""
        with self._closing:
            if self._is_closed:
                return
            self._is_closed = True
        self.end_drift()
        if self._server is not None:
            self._server.close()
            self._server = None
        SERVED_MODELS.unregister(self._registry, self._labels)

    def collect(self) -> Iterator[Metric]:
        for calls in (self.predict, self.predict_on_batch, self.call):
            calls.update()
        yield from self._predictions.collect()

    def describe(self) -> Iterable[Metric]:
        return self._predictions.describe()

    def _calls(self, method: str, counter: str) -> Calls:
        for name in (counter, f"{counter}_time_seconds"):
            self._predictions.metric(name)
        return Calls(
            self._predictions,
            method,
            counter,
            None if self._drift is None else self._drift.put,
            counts_given=counter == _CALL,
            # Others than this process show what is in prometheus_client's files.
            is_shown_at_once="PROMETHEUS_MULTIPROC_DIR" in os.environ,
        )
