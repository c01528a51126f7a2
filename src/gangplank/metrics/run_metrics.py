"""The metrics of a phase, training or testing, and those of each of its runs."""

import contextlib
import math
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gangplank.metrics.epoch import EPOCH_GAUGES, LEARNING_RATE, Epoch
from gangplank.metrics.metric_names import MetricNames, Value, number
from gangplank.metrics.push_metrics import PushMetrics
from gangplank.metrics.run_status import STATUSES, RunStatus
from gangplank.metrics.weights_metrics import WEIGHTS_METRICS, WeightsMetrics, WeightsReport

_TIME = "elapsed_time_seconds"

_GAUGES = {
    "epochs_count": "Completed epochs.",
    _TIME: "Time since the run began.",
    "model_parameters_count": "Parameters of the model, trainable and non-trainable.",
    **EPOCH_GAUGES,
}

RESERVED = (
    *(name for name in _GAUGES if name != LEARNING_RATE),  # which Keras logs too
    *WEIGHTS_METRICS,
    "status",
    "last_push_success_timestamp_seconds",
    *(f"push_failures{suffix}" for suffix in ("", "_total", "_created")),
)
"""Names, after ``gangplank_train_`` or ``gangplank_test_``, that no metric of Keras can have."""

# Seconds. How long a run takes is shown with its first metrics, or after this.
_LONG = 60.0


class RunMetrics(Collector):
    """Shows one run of a phase at a time, and how pushing fares.

    Arguments:
        phase: "train" or "test".
        names: the names of Keras's metrics.

    Attributes:
        prefix: begins the names of all metrics of the phase.
        run: the run that is shown, if any.
        pushes: how pushing fares.
    """

    def __init__(self, phase: str, names: MetricNames) -> None:
        self.prefix = f"gangplank_{phase}_"
        self.run: Run | None = None
        self.pushes = PushMetrics(self.prefix)
        self._names = names
        self._documentation = dict(_GAUGES)

    def begin(self, model: Any) -> "Run":
        """Another run of this phase begins, on this thread: nothing else is shown from now on."""
        self.run = Run(self, model)
        return self.run

    def named(self, logs: Mapping[str, Any], owners: dict[str, str]) -> dict[str, Value]:
        """What Keras logged, by the names that its metrics have here; as `MetricNames.named`."""
        named = {}
        for name, key, value in self._names.named(logs, owners):
            if name not in _GAUGES:
                self._documentation[name] = f"Keras's metric {key!r}."
            named[name] = value
        return named

    def collect(self) -> Iterable[Metric]:
        """What was last shown of the run, how long it takes until now, and its status."""
        # Families are made when they are asked for: they are so many objects that Python's garbage
        # collector, 200 ms with TensorFlow loaded, would often run in the hook that showed them.
        run = self.run and self.run.or_outer()
        families: list[Metric] = []
        if run is not None:
            gauges, weights = run.shown or _Shown({}, None)
            seconds = run.status.seconds()
            if run.shown is not None or seconds >= _LONG:
                gauges = {**gauges, _TIME: seconds}
            families += [self._gauge(name, value) for name, value in gauges.items()]
            families += weights.families if weights is not None else []
            families.append(self._status(run.status.current()))
        return [*families, *self.pushes.collect()]

    def describe(self) -> Iterable[Metric]:
        """All but Keras's metrics, without samples, by which a registry refuses such names."""
        return [
            *map(self._gauge, _GAUGES),
            *WeightsMetrics(self.prefix, WeightsReport()).all_families(),
            self._status(),
            *self.pushes.describe(),
        ]

    def _gauge(self, name: str, value: Value | None = None) -> Metric:
        text = self._documentation[name]
        if not isinstance(value, tuple):
            return GaugeMetricFamily(self.prefix + name, text, value)
        family = GaugeMetricFamily(self.prefix + name, text, labels=["class"])
        for i, each in enumerate(value):
            family.add_metric([str(i)], each)
        return family

    def _status(self, current: str | None = None) -> Metric:
        text = "Whether the run goes on, is completed, or has failed."
        family = GaugeMetricFamily(self.prefix + "status", text, labels=["status"])
        for status in STATUSES if current is not None else ():
            family.add_metric([status], status == current)
        return family


def _unwrapped(model: Any) -> Any:
    """`model`, or what PyTorch's parallel training has wrapped."""
    parallel = sys.modules.get("torch.nn.parallel")
    names = "DistributedDataParallel", "DataParallel"
    wrappers = tuple(getattr(parallel, name, ()) for name in names)
    return model.module if isinstance(model, wrappers) else model


def _reference(model: Any) -> Callable[[], Any]:
    # A registry holds the run for ever, and the model may be large.
    try:
        return weakref.ref(model)
    except TypeError:  # of a list or a mapping, which may be what a loop of one's own trains
        return lambda: model


class Run:
    """A run of `phase` that begins now, on this thread; it may be nested in another one.

    Arguments:
        phase: what shows it.
        model: the model, or None where a loop of one's own names none.

    Attributes:
        outer: the run of the same phase that this one is inside of, if any.
        status: whether it goes on.
        shown: what was last shown of it.
        loss: the last one that was shown, if any.
        next_batch: the number of batches after which it is shown next.
        updates: what compares its weights with those of the last report, until it ends.
        has_trained: whether an epoch has begun or ended since that.
    """

    def __init__(self, phase: RunMetrics, model: Any) -> None:
        self.phase = phase
        self.outer: Run | None = None
        self.thread = threading.get_ident()
        self.status = RunStatus(self._let_go)
        self.shown: _Shown | None = None
        self.loss: float | None = None
        self.next_batch = 0.0
        self.updates: Any = None
        self.has_trained = True
        self._epoch = Epoch()
        self._parameters: int | None = None
        self._model = None if model is None else _reference(_unwrapped(model))
        self._gauges: dict[str, Value] = {}
        self._owners: dict[str, str] = {}
        self._weights: WeightsMetrics | None = None

    @property
    def model(self) -> Any:
        """The model; None if there is none any more."""
        return self._model and self._model()

    def _let_go(self) -> None:
        self.updates = None  # which hold a copy of the weights

    def or_outer(self) -> "Run":
        """This run, or the one outside of it that goes on where an exception has left this one."""
        outer = self.outer
        if outer is not None and self.status.was_left() and outer.status.is_running():
            return outer
        return self

    @property
    def parameters(self) -> int | None:
        """The parameters of the model, trainable and non-trainable; None if it does not tell.

        Counted once an epoch, since Keras makes the list of variables anew each time.
        """
        # Not a cached_property: that of Python 3.11 takes a lock, which a fork may leave held. And
        # not count_params(), which refuses a model that has no call() but a train_step().
        if self._parameters is None and (model := self.model) is not None:
            # It may be none of Keras's, and the run matters more than this gauge.
            with contextlib.suppress(Exception):
                shapes = (variable.shape for variable in model.weights)
                self._parameters = int(sum(map(math.prod, shapes)))
        return self._parameters

    def begin_epoch(self) -> None:
        """An epoch begins now."""
        self.has_trained = True
        self._epoch.begin(self.model if self.status.is_of_keras else None)

    def end_batch(self) -> None:
        """A batch of the epoch is done."""
        self._epoch.end_batch()

    def begin_test(self) -> None:
        """The epoch has trained; what comes is its validation, or a test that a callback calls."""
        self._epoch.has_trained(self.model)

    def end_epoch(self, logs: Mapping[str, Any]) -> dict[str, float]:
        """The epoch ends now, with what Keras logged: its gauges, those that are known."""
        self.has_trained = True  # also where a loop of one's own tells of no begin
        self._parameters = None  # a callback may have added some
        gauges = self._epoch.end(self.model, logs.get("loss"))
        for name in EPOCH_GAUGES.keys() - gauges.keys():
            self._gauges.pop(name, None)  # it is an earlier epoch's
        return gauges

    def set_weights(self, report: WeightsReport | None) -> None:
        """Sets what was found of the weights, if anything, for the next `show`."""
        self._weights = None
        if report is not None:
            self.has_trained = False
            self._weights = WeightsMetrics(self.phase.prefix, report)

    def show(self, logs: Mapping[str, Any], **own: float) -> None:
        """Shows what Keras logged and, before those of the same name, gangplank's own metrics.

        All at once: neither a push nor a scrape mixes the gauges and the weights of two epochs.
        """
        self.loss = number(logs.get("loss", self.loss))
        self._gauges |= self.phase.named(logs, self._owners)
        self._gauges |= own
        self.shown = _Shown(self._gauges.copy(), self._weights)


class _Shown(NamedTuple):
    gauges: Mapping[str, Value]
    weights: WeightsMetrics | None
