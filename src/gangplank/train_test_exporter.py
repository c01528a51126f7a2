"""The Keras callback."""

import contextlib
import logging
import math
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import keras
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from gangplank.buckets import finite_bounds
from gangplank.histogram import weights_histogram
from gangplank.metric_names import MetricNames, checked_metrics
from gangplank.publisher import Handler, Publisher, PushError
from gangplank.run_metrics import RESERVED, RunMetrics

_logger = logging.getLogger(__name__)


class TrainTestExporter(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Shows Prometheus how training and testing go, and a histogram of the model's weights.

    Pass one to `fit` and `evaluate`; it serves one run after another. Metrics are pushed to a
    Pushgateway at each epoch's end, at the end of training and at the end of `evaluate`; what
    stands there under other names, such as the training's metrics when a test pushes, stays.
    The validation inside `fit` is part of training.

    Arguments:
        pgw_addr: address of the Pushgateway, such as "127.0.0.1:9091" or "https://host"; None
            pushes nowhere.
        job: the job label.
        metrics: Keras's names of the metrics to export, such as ["loss", "accuracy"]; each
            stands for its ``val_`` twin as well. All by default.
        histogram_buckets: upper bounds of the weights' histogram, strictly increasing. No
            histogram by default.
        handler: prometheus_client's push handler, for a gateway that wants authentication.
        ignore_exceptions: whether a push that fails is logged, and the run goes on, or raises
            `PushError`, and the run is aborted.
        histogram_freq: make the histogram every so many epochs; by default at the end of
            training only. At the end of `evaluate` it is made in any case.
        grouping_key: further labels that tell the metrics of this run from others of the job.
        timeout: seconds that a push may take, whatever the gateway does.
        registry: where the metrics are registered; one of its own by default. Everything in
            it is pushed.

    Attributes:
        registry: the prometheus_client.CollectorRegistry that holds the metrics. A long run
            can also be scraped: ``prometheus_client.start_http_server(8000, registry=…)``.

    Raises:
        ValueError: an argument is not as above, or `registry` has metrics of these names
            already, such as those of another exporter.
    """

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
        grouping_key: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        registry: CollectorRegistry | None = None,
    ) -> None:
        super().__init__()
        self._publisher = Publisher(pgw_addr, job, grouping_key, handler, timeout)
        self._bounds = (
            None
            if histogram_buckets is None
            else finite_bounds(histogram_buckets, "histogram_buckets")
        )
        self._histogram_freq = _checked_histogram_freq(histogram_freq, self._bounds)
        self._ignore_exceptions = ignore_exceptions
        self._names = MetricNames(RESERVED, checked_metrics(metrics))
        self.registry = CollectorRegistry() if registry is None else registry
        self._train = RunMetrics("train", self._names)
        self._test = RunMetrics("test", self._names)
        _register((*self._train.collectors, *self._test.collectors), self.registry)
        self._is_inside_fit = False
        self._is_test = True
        self._warned_of_weights = False

    def set_model(self, model: keras.Model) -> None:
        # Keras calls this once for each fit and each evaluate, but not for the validation inside
        # fit. After a fit that an exception ended, no other hook tells the latter two apart.
        super().set_model(model)
        self._is_test = True

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._is_inside_fit, self._is_test = True, False
        self._train.begin()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._show(self._train, logs, epochs_count=epoch + 1)
        if self._histogram_freq is not None and (epoch + 1) % self._histogram_freq == 0:
            self._show_weights(self._train)
        self._push()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        self._is_inside_fit, self._is_test = False, True
        self._names.warn_of_missing(logs or {}, validation=True)
        if self._bounds is not None:
            self._show_weights(self._train)
            self._push()

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        if self._is_test:
            self._test.begin()

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        if not self._is_test:
            return
        # After an evaluate that a callback of fit called, fit goes on with its validation.
        self._is_test = not self._is_inside_fit
        self._show(self._test, logs)
        self._show_weights(self._test)
        self._push()

    def _show(self, run: RunMetrics, logs: Mapping[str, Any] | None, **own: float) -> None:
        # Not count_params(), which refuses a model that has no call() but a train_step().
        parameters = sum(math.prod(variable.shape) for variable in self.model.weights)
        run.show(logs or {}, model_parameters_count=parameters, **own)
        self._names.warn_of_missing(logs or {}, validation=False)

    def _show_weights(self, run: RunMetrics) -> None:
        if self._bounds is None:
            return
        try:
            run.show_weights(weights_histogram(self.model, self._bounds))
        except Exception as error:
            run.hide_weights()
            if not self._warned_of_weights:
                warnings.warn(f"There is no histogram of the weights: {error}", stacklevel=2)
            self._warned_of_weights = True

    def _push(self) -> None:
        try:
            self._publisher.publish(self.registry)
        except PushError as error:
            if not self._ignore_exceptions:
                raise
            _logger.error("%s", error)


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


def _checked_histogram_freq(freq: Any, bounds: tuple[float, ...] | None) -> int | None:
    if freq is None:
        return None
    if not isinstance(freq, int) or isinstance(freq, bool) or freq < 1:
        raise ValueError(
            f"histogram_freq must be a number of epochs, 1 or more, or None. Received {freq!r}."
        )
    if bounds is None:
        raise ValueError(
            "histogram_freq needs histogram_buckets. Pass for instance "
            "histogram_buckets=gangplank.HISTOGRAM_WEIGHT_BUCKETS_0_3."
        )
    return freq
