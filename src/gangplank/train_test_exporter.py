"""The Keras callback."""

import contextlib
import threading
import warnings
from collections.abc import Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self

import keras
from prometheus_client import CollectorRegistry

from gangplank.checked_values import checked_flag
from gangplank.forks import call_where_forked
from gangplank.metrics import (
    EXPORTERS,
    RESERVED,
    Blocks,
    CallOfThread,
    Ending,
    MetricNames,
    Run,
    RunMetrics,
    Runs,
    checked_metrics,
    ending_of_training,
    model_of_hook,
)
from gangplank.publishing import Handler, Pushgateway, RunsPublisher
from gangplank.training import (
    Schedule,
    WeightsWatch,
    checked_push_from,
    gateway_of_process,
)
from gangplank.weights import NativeBuckets


class TrainTestExporter(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Shows Prometheus how training and testing go, and a histogram of the model's weights.

    Pass one to `fit` and `evaluate`; it serves one run after another. A thread of its own pushes
    the newest metrics to a Pushgateway, at most once a second, so that no gateway holds up the
    training; what stands there under other names, such as the training's metrics when a test
    pushes, stays. Only the end of a run waits, until the last metrics are delivered, for
    `timeout` seconds at most. The validation inside `fit` is part of training.

    Of several callbacks make it the last: it shows the metrics that those before it log, and the
    weights that ``EarlyStopping(restore_best_weights=True)`` restores at the end of training. Only
    in `evaluate` it goes before ``SwapEMAWeights``, which then takes back the weights that were
    tested.

    Where an exception ends a run, its last metrics are pushed once more, with the status
    "failed"; where SIGTERM does, too, if the run began in the main thread and nobody else handles
    that signal. In a training loop of your own nobody would tell of the exception: write the loop
    in the block of ``with exporter:``, whose end is the end of the run.

    When a run begins, what an earlier one of `fit`, or of `evaluate`, left in its group is taken
    away. Of the processes of a distributed run each has an exporter, and one pushes. A copy, by
    `copy.deepcopy` or `pickle`, is a new exporter of the same arguments with a registry of its own.

    Arguments:
        pgw_addr: address of the Pushgateway, such as "127.0.0.1:9091" or "https://host"; None
            pushes nowhere, for a Prometheus that scrapes `registry`.
        job: the job label. Where nothing is pushed it plays no part and may be left out:
            Prometheus sets it.
        metrics: Keras's names of the metrics to export, such as ["loss", "accuracy"]; each
            stands for its ``val_`` twin as well. All by default.
        histogram_buckets: upper bounds of the weights' histogram, strictly increasing; or
            `gangplank.NativeBuckets()`, whose bounds nobody has to choose, for a gateway and a
            Prometheus that take native histograms; or both, as a tuple of two. No histogram by
            default.
        handler: prometheus_client's push handler, for a gateway that wants authentication.
        ignore_exceptions: True logs that pushes fail, and that they succeed again. False aborts
            the run: a hook raises `PushError` where no push has succeeded yet, where one is
            refused for good, or where none succeeds for `timeout` seconds.
        weights: which weights are looked at, "trainable" or "all", as
            `gangplank.weights_histogram` does.
        histogram_freq: look at the weights every so many epochs; by default at the end of
            training only. At the end of `evaluate` that is done in any case.
        histogram_per: "layer" or "variable" makes a histogram of each one, too, with the label
            `layer` or `variable`.
        statistics: "model", "layer" or "variable" shows `gangplank.weights_statistics` of it or of
            each.
        update_ratio: whether to show how far the weights have moved since they were last looked
            at, or since the training began: ‖w - w before‖ / ‖w‖, of each layer, or of what
            `statistics` names. The exporter then holds a copy of the weights, where they lie, and
            another one while it compares them. A model that TensorFlow builds in its first batch
            has none to compare with before it was looked at once.
        update_freq: "epoch" shows the metrics at each epoch's end; a number of batches also after
            so many batches of training, at most once a second.
        grouping_key: further labels that tell the metrics of this run from others of the job.
            Where nothing is pushed, the series themselves have them.
        push_from: which processes of a distributed run push. "first" is process 0 (the chief, rank
            0); "all" gives each a group of its own, by a further label, process="0" and so on.
            Where a push aborts a run, the processes that do not push learn of it by their
            framework.
        delete_on_end: whether the end of a run that is completed, of `fit` or `evaluate`, deletes
            the whole group, for a Prometheus that scraped it meanwhile.
        timeout: seconds that a push may take, and in all the end of a run, whatever the gateway
            does.
        registry: where the metrics are registered; one of its own by default. Everything in
            it is pushed. Exporters that push nothing can share one if their grouping keys differ.

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
        job: str | None = None,
        metrics: Iterable[str] | None = None,
        histogram_buckets: Iterable[float]
        | NativeBuckets
        | tuple[NativeBuckets, Iterable[float]]
        | None = None,
        handler: Handler | None = None,
        ignore_exceptions: bool = True,
        *,
        weights: Literal["trainable", "all"] = "trainable",
        histogram_freq: int | None = None,
        histogram_per: Literal["model", "layer", "variable"] = "model",
        statistics: Literal["model", "layer", "variable"] | None = None,
        update_ratio: bool = False,
        update_freq: int | Literal["epoch"] = "epoch",
        grouping_key: Mapping[str, str] | None = None,
        push_from: Literal["first", "all"] = "first",
        delete_on_end: bool = False,
        timeout: float = 10.0,
        registry: CollectorRegistry | None = None,
    ) -> None:
        of_subclass = set(vars(self))  # what one has set before its super().__init__()
        super().__init__()
        self._model: Any = None  # Keras's attribute behind `self.model`
        self._gateway = Pushgateway(pgw_addr, job, grouping_key, handler, timeout)
        self._watch = WeightsWatch(
            histogram_buckets, weights, histogram_per, statistics, update_ratio
        )
        self._push_from = checked_push_from(push_from, grouping_key)
        self._schedule = Schedule(update_freq, histogram_freq, is_wanted=self._watch.is_wanted)
        chosen = checked_metrics(metrics)
        raises = not checked_flag("ignore_exceptions", ignore_exceptions)
        deletes = checked_flag("delete_on_end", delete_on_end)
        self._names = MetricNames(RESERVED, chosen)
        self.registry = CollectorRegistry() if registry is None else registry
        self._train = RunMetrics("train", self._names)
        self._test = RunMetrics("test", self._names)
        phases = self._train, self._test
        labels = self._gateway.grouping_key or {}
        EXPORTERS.register(phases, self.registry, labels if pgw_addr is None else {})
        self._runs = Runs()
        self._publisher = RunsPublisher(self.registry, phases, raises=raises, deletes=deletes)
        self._call = CallOfThread()
        self._blocks = Blocks()
        self._begin_in_process()
        call_where_forked(self._begin_in_process)
        self._is_told_of_threads = False
        self._arguments = {
            "pgw_addr": pgw_addr,
            "job": job,
            "grouping_key": labels,
            "metrics": chosen,
            "histogram_buckets": self._watch.buckets,
            "weights": weights,
            "histogram_freq": histogram_freq,
            "histogram_per": histogram_per,
            "statistics": statistics,
            "update_ratio": update_ratio,
            "update_freq": update_freq,
            "push_from": push_from,
            "delete_on_end": delete_on_end,
            "handler": handler,
            "timeout": timeout,
            "ignore_exceptions": ignore_exceptions,
        }
        self._base_attributes = {*vars(self), "_base_attributes"} - of_subclass

    def __repr__(self) -> str:
        gateway = self._gateway
        group = f", grouping_key={gateway.grouping_key!r}" if gateway.grouping_key else ""
        return f"{type(self).__name__}({gateway.address!r}, {gateway.job!r}{group})"

    def __getstate__(self) -> dict[str, Any]:
        own = {
            name: value for name, value in vars(self).items() if name not in self._base_attributes
        }
        return {"arguments": self._arguments, "own": own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        TrainTestExporter.__init__(self, **state["arguments"])
        self.__dict__.update(state["own"])

    def __enter__(self) -> Self:
        self._blocks.enter(self._runs)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        # What is raised as an inner run ends is an exception that ends those around it.
        stack = contextlib.ExitStack()
        for run in reversed(self._blocks.exit(self._runs)):
            stack.push(partial(self._leave, run))
        stack.__exit__(kind, exception, traceback)

    def set_model(self, model: keras.Model) -> None:
        # Keras calls this once for each fit and each evaluate, but not for the validation inside
        # fit. After a fit that an exception ended, no other hook tells the latter two apart.
        super().set_model(model)
        self._call.is_new = True

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._begin(self._train)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._call.is_new = False  # whatever became of an evaluate that a callback called
        run = self._current(self._train)
        self._schedule.begin_epoch(run)
        run.begin_epoch()
        self._publisher.raise_failure()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._call.is_new = False  # as above
        if (innermost := self._runs.innermost(self._train)) is not None:
            innermost.end_batch()
        if not self._schedule.is_by_batch():
            return
        run = self._current(self._train)
        with self._schedule.batch(run, batch) as is_due:
            if is_due:
                self._show(run, logs)
                self._publisher.push()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        run = self._current(self._train)
        gauges = run.end_epoch(logs or {})
        if self._schedule.is_of_weights(epoch):
            self._look_at_weights(run)
        self._show(run, logs, epochs_count=epoch + 1, **gauges)
        self._names.warn_of_missing(logs or {}, validation=False)
        self._publisher.push()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        run = self._current(self._train)
        self._names.warn_of_missing(logs or {}, validation=True)
        self._look_at_weights(run)
        run.show({})
        self._end(run, ending_of_training(run.model, {"loss": run.loss, **(logs or {})}))

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        run = self._runs.innermost()
        if run is not None and run.model is self._model_of_hook():
            run.begin_test()
        if not self._is_validation():
            self._begin(self._test)

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        if self._ending(self._test) is None and self._is_validation():
            return
        run = self._current(self._test)
        self._look_at_weights(run)
        self._show(run, logs)
        self._names.warn_of_missing(logs or {}, validation=False)
        self._end(run, "completed")

    def on_predict_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._call.is_new = False  # a predict that a callback calls; what comes is of no new call

    def _leave(self, run: Run, kind: type[BaseException] | None, *exception: object) -> None:
        self._call.ending = run
        try:
            if kind is not None:
                self._end(run, "failed", unwinding=kind)
            elif run.phase is self._train:
                self.on_train_end()
            else:
                self.on_test_end()
        except BaseException as error:
            if run.status.is_running():
                self._end(run, "failed", unwinding=type(error))
            raise
        finally:
            self._call.ending = None

    def _ending(self, phase: RunMetrics) -> Run | None:
        """The run of `phase` that the end of a block is ending, if a hook is of that one."""
        run = self._call.ending
        if run is None or run.phase is not phase:
            return None
        inner = self._runs.innermost(phase)
        return None if inner is not None and inner.outer is run else run

    def _begin_in_process(self) -> None:
        self._changing = threading.RLock()

    def _model_of_hook(self) -> Any:
        model = model_of_hook(self)
        return self._model if model is None else model

    def _is_validation(self) -> bool:
        """Whether a hook of a test is of the validation inside of a training."""
        run = self._runs.innermost()
        if run is None or self._blocks.are_in_callbacks_of(run):
            return False
        return run.phase is self._train and not self._call.is_new

    def _begin(self, phase: RunMetrics) -> None:
        is_new, self._call.is_new = self._call.is_new, False
        self._model = model = self._model_of_hook()
        if not is_new and self._runs.have_one_of_this_call(phase, self._blocks.outer()):
            raise ValueError(
                "The exporter is among the callbacks more than once, of which each would count as "
                "a run inside of the one before it. Pass it once."
            )
        with self._changing:
            before = self._runs
            run = phase.begin(model)
            self._runs = before.joined_by(run, self._blocks.outer())
            if self._runs is before:
                self._publisher.begin_inside(phase)
            else:
                gateway = gateway_of_process(self._gateway, self._push_from, model)
                self._publisher.begin(gateway, phase, self._runs)
        if self._runs.are_of_several_threads() and not self._is_told_of_threads:
            self._is_told_of_threads = True
            warnings.warn(
                "Runs of several threads share an exporter, so that they show themselves under the "
                "same names, by turns. Give each an exporter and a grouping_key of its own.",
                stacklevel=3,
            )
        self._publisher.push()
        if phase is self._train:
            run.updates = self._watch.updates(run.model)

    def _current(self, phase: RunMetrics) -> Run:
        """The run of `phase` that a hook is of, which is shown again after one inside of it."""
        run = self._ending(phase) or self._runs.innermost(phase)
        if run is None:
            return phase.run or phase.begin(self._model)
        phase.run = run
        self._model = run.model
        return run

    def _end(
        self, run: Run, ending: Ending, *, unwinding: type[BaseException] | None = None
    ) -> None:
        with self._changing:
            run.status.end(ending)
            self._runs.end(run)
            is_last = self._runs.innermost() is None
            publisher = self._publisher.end() if is_last else None
        if not is_last:
            self._publisher.publish()
            if unwinding is None:
                self._publisher.raise_failure()
        elif publisher is not None:
            self._publisher.finish(
                publisher, is_completed=ending == "completed", unwinding=unwinding
            )

    def _show(self, run: Run, logs: Mapping[str, Any] | None, **own: float) -> None:
        if run.parameters is not None:
            own["model_parameters_count"] = run.parameters
        run.show(logs or {}, **own)

    def _look_at_weights(self, run: Run) -> None:
        if self._watch.is_wanted:
            model = run.model
            if hasattr(model, "jax_state_sync"):  # while JAX trains, its weights are elsewhere
                model.jax_state_sync()
            run.set_weights(self._watch.report(model, run.updates, have_moved=run.has_trained))
