"""The Keras callback."""

import contextlib
import logging
import math
import threading
import time
import warnings
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Literal

import keras
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from gangplank.arguments import checked_histogram_freq, checked_update_freq
from gangplank.metrics import RESERVED, Ending, MetricNames, RunMetrics, checked_metrics, number
from gangplank.processes import PROCESS, checked_push_from, process_index
from gangplank.publishing import Handler, Publisher, Pushgateway
from gangplank.weights import finite_bounds, weights_histogram

_logger = logging.getLogger(__name__)

_BETWEEN_BATCHES = 1.0  # seconds, at least, between two batches that are shown


class TrainTestExporter(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Shows Prometheus how training and testing go, and a histogram of the model's weights.

    Pass one to `fit` and `evaluate`; it serves one run after another. A thread of its own pushes
    the newest metrics to a Pushgateway, at most once a second, so that no gateway holds up the
    training; what stands there under other names, such as the training's metrics when a test
    pushes, stays. Only the end of a run waits, until the last metrics are delivered, for
    `timeout` seconds at most. The validation inside `fit` is part of training.

    Where an exception ends a run, its last metrics are pushed once more, with the status
    "failed"; where SIGTERM does, too, if the run began in the main thread and nobody else handles
    that signal.

    Of the processes of a distributed run each has an exporter, and one pushes.

    Arguments:
        pgw_addr: address of the Pushgateway, such as "127.0.0.1:9091" or "https://host"; None
            pushes nowhere.
        job: the job label.
        metrics: Keras's names of the metrics to export, such as ["loss", "accuracy"]; each
            stands for its ``val_`` twin as well. All by default.
        histogram_buckets: upper bounds of the weights' histogram, strictly increasing. No
            histogram by default.
        handler: prometheus_client's push handler, for a gateway that wants authentication.
        ignore_exceptions: True logs that pushes fail, and that they succeed again. False aborts
            the run: a hook raises `PushError` where no push has succeeded yet, where one is
            refused for good, or where none succeeds for `timeout` seconds.
        histogram_freq: make the histogram every so many epochs; by default at the end of
            training only. At the end of `evaluate` it is made in any case.
        update_freq: "epoch" shows the metrics at each epoch's end; a number of batches also after
            so many batches of training, at most once a second.
        grouping_key: further labels that tell the metrics of this run from others of the job.
        push_from: which processes of a distributed run push. "first" is process 0 (the chief, rank
            0); "all" gives each a group of its own, by a further label, process="0" and so on.
            Where a push aborts a run, the processes that do not push learn of it by their
            framework.
        delete_on_end: whether the end of a run that is completed, of `fit` or `evaluate`, deletes
            the whole group, for a Prometheus that scraped it meanwhile.
        timeout: seconds that a push may take, and in all the end of a run, whatever the gateway
            does.
        registry: where the metrics are registered; one of its own by default. Everything in
            it is pushed.

    Attributes:
        registry: the prometheus_client.CollectorRegistry that holds the metrics. A long run
            can also be scraped: ``prometheus_client.start_http_server(8000, registry=…)``.

    Raises:
        ValueError: an argument is not as above, or `registry` has metrics of these names
            already, such as those of another exporter.
    """

    async_safe = True  # else Keras would call every callback's batch hooks in between the steps

    def __init__(
        self,
        pgw_addr: str | None,
        job: str,
        metrics: Iterable[str] | None = None,
        histogram_buckets: Iterable[float] | None = None,
        handler: Handler | None = None,
        ignore_exceptions: bool = True,
        *,
        histogram_freq: int | None = None,
        update_freq: int | Literal["epoch"] = "epoch",
        grouping_key: Mapping[str, str] | None = None,
        push_from: Literal["first", "all"] = "first",
        delete_on_end: bool = False,
        timeout: float = 10.0,
        registry: CollectorRegistry | None = None,
    ) -> None:
        super().__init__()
        self._gateway = Pushgateway(pgw_addr, job, grouping_key, handler, timeout)
        self._bounds = (
            None
            if histogram_buckets is None
            else finite_bounds(histogram_buckets, "histogram_buckets")
        )
        self._histogram_freq = checked_histogram_freq(histogram_freq, self._bounds)
        self._update_freq = checked_update_freq(update_freq)
        self._push_from = checked_push_from(push_from, grouping_key)
        self._ignore_exceptions = ignore_exceptions
        self._delete_on_end = delete_on_end
        self._names = MetricNames(RESERVED, checked_metrics(metrics))
        self.registry = CollectorRegistry() if registry is None else registry
        self._train = RunMetrics("train", self._names)
        self._test = RunMetrics("test", self._names)
        _register((*self._train.collectors, *self._test.collectors), self.registry)
        self._publisher: Publisher | None = None
        self._is_test = True
        self._parameters = 0
        self._next_batch = self._update_freq
        self._batch_shown = 0.0
        self._showing_batch = threading.Lock()
        self._warned_of_weights = False

    def set_model(self, model: keras.Model) -> None:
        # Keras calls this once for each fit and each evaluate, but not for the validation inside
        # fit. After a fit that an exception ended, no other hook tells the latter two apart.
        super().set_model(model)
        self._is_test = True

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._is_test = False
        self._begin(self._train)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._is_test = False  # whatever became of an evaluate that a callback called
        self._next_batch = self._update_freq
        self._raise_failure()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        if batch + 1 < self._next_batch or not self._showing_batch.acquire(blocking=False):
            return
        # Keras calls this from several threads.
        try:
            self._next_batch = batch + 1 + self._update_freq
            if time.monotonic() - self._batch_shown >= _BETWEEN_BATCHES:
                self._batch_shown = time.monotonic()
                self._show(self._train, logs)
                self._push()
        finally:
            self._showing_batch.release()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._histogram_freq is not None and (epoch + 1) % self._histogram_freq == 0:
            self._count_weights(self._train)
        self._show(self._train, logs, epochs_count=epoch + 1)
        self._push()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        self._is_test = True
        self._names.warn_of_missing(logs or {}, validation=True)
        self._count_weights(self._train)
        self._train.show({})
        self._end(self._train, "failed" if self._was_terminated(logs or {}) else "completed")

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        if self._is_test:
            self._begin(self._test)

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        if not self._is_test:
            return
        # After an evaluate that a callback of fit called, fit goes on with its validation.
        self._is_test = not self._train.status.is_running()
        self._count_weights(self._test)
        self._show(self._test, logs)
        self._end(self._test, "completed")

    def _begin(self, run: RunMetrics) -> None:
        is_inside_fit = run is self._test and self._train.status.is_running()
        call = run.begin()
        self._parameters = 0
        gateway = self._gateway_of_process()
        if gateway is None:
            return
        if not is_inside_fit or self._publisher is None:
            before = self._publisher
            if before is not None:
                before.stop()
            self._publisher = Publisher(
                gateway,
                self.registry,
                run.pushes,
                call.is_over,
                on_failure=partial(call.end, "failed"),
                after=before,
            )
        self._push()

    def _gateway_of_process(self) -> Pushgateway | None:
        """Where this process pushes to, if it does. Known only now that the run has begun."""
        if self._gateway.address is None:
            return None
        index = process_index(self.model)
        if self._push_from == "all":
            return self._gateway.in_group({PROCESS: str(index)})
        return self._gateway if index == 0 else None

    def _end(self, run: RunMetrics, ending: Ending) -> None:
        run.status.end(ending)
        if self._publisher is None:
            return
        if self._train.status.is_running():
            self._push()
            return
        failure = self._publisher.finish(delete=self._delete_on_end and ending == "completed")
        if failure is None:
            return
        if not self._ignore_exceptions:
            raise failure
        _logger.error("%s", failure)

    def _was_terminated(self, logs: Mapping[str, Any]) -> bool:
        # TerminateOnNaN has no other way of telling than that of EarlyStopping.
        loss = number(logs.get("loss"))
        return bool(self.model.stop_training) and loss is not None and not math.isfinite(loss)

    def _show(self, run: RunMetrics, logs: Mapping[str, Any] | None, **own: float) -> None:
        # Once a run, since Keras makes the list of all variables anew. Not count_params(), which
        # refuses a model that has no call() but a train_step().
        self._parameters = self._parameters or sum(
            math.prod(variable.shape) for variable in self.model.weights
        )
        run.show(logs or {}, model_parameters_count=self._parameters, **own)
        self._names.warn_of_missing(logs or {}, validation=False)

    def _count_weights(self, run: RunMetrics) -> None:
        if self._bounds is None:
            return
        try:
            run.set_weights(weights_histogram(self.model, self._bounds))
        except Exception as error:
            run.set_weights(None)
            if not self._warned_of_weights:
                warnings.warn(f"There is no histogram of the weights: {error}", stacklevel=2)
            self._warned_of_weights = True

    def _push(self) -> None:
        if self._publisher is not None:
            self._publisher.publish()
            self._raise_failure()

    def _raise_failure(self) -> None:
        if self._publisher is None or self._ignore_exceptions:
            return
        if failure := self._publisher.error:
            self._publisher.fail()
            raise failure


def _register(collectors: Iterable[Collector], registry: CollectorRegistry) -> None:
    """Registers all collectors or, with a ValueError, none."""
    if not isinstance(registry, CollectorRegistry):
        raise ValueError(
            f"registry must be a prometheus_client.CollectorRegistry. Received {registry!r}."
        )
    with contextlib.ExitStack() as undo:
        for collector in collectors:
            try:
                registry.register(collector)
            except ValueError as error:
                raise ValueError(
                    f"registry has metrics of these names already ({error}). Go on with the "
                    "exporter that put them there, which serves one run after another, or give "
                    "each a registry of its own."
                ) from error
            undo.callback(registry.unregister, collector)
        undo.pop_all()
