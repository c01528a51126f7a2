"""Runs, of Keras and of none."""

import keras
from prometheus_client import CollectorRegistry, Gauge

from gangplank.metrics import MetricNames, RunMetrics
from gangplank.publishing import Pushgateway
from gangplank.publishing.delivery import Delivery
from gangplank.publishing.left_behind import LeftBehind
from gangplank.publishing.publisher import Publisher
from gangplank.publishing.run_collector import RunCollector


def fit(model, data, *callbacks, epochs=2, **options):
    """A run of Keras that says nothing."""
    return model.fit(*data, epochs=epochs, callbacks=callbacks, verbose=0, **options)


class At(keras.callbacks.Callback):
    """Does something at the end of an epoch, after the exporter; counts the epochs begun."""

    def __init__(self, epoch=-1, act=None):
        super().__init__()
        self.epoch, self.act, self.begun = epoch, act, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.begun += 1

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            self.act()


class Run:
    """A run without Keras that shows one gauge, and its publisher."""

    def __init__(self, address, timeout=10.0, handler=None, group=None, **options):
        self.registry = CollectorRegistry()
        self.epochs = Gauge("epochs", "", registry=self.registry)
        phase = RunMetrics("run", MetricNames((), None))
        self.metrics = phase.pushes
        self.registry.register(phase)
        self.is_over = False
        self.has_failed = False
        gateway = Pushgateway(address, "job", group, handler, timeout)
        pushed = RunCollector(self.registry, [phase], set())
        pushed.begin(phase)
        self.publisher = Publisher(
            gateway,
            Delivery(gateway, pushed, LeftBehind(gateway)),
            is_over=lambda: self.is_over,
            on_failure=self.fail,
            **options,
        )

    def fail(self):
        self.has_failed = True
        self.epochs.set(-1)

    def publish(self, epochs):
        self.epochs.set(epochs)
        self.publisher.publish()

    def finish(self, epochs, **options):
        self.epochs.set(epochs)
        return self.publisher.finish(**options)


def loop(exporter, model, epochs=2, act=lambda: None):
    """A training loop of one's own."""
    hooks = keras.callbacks.CallbackList([exporter], model=model)
    hooks.on_train_begin()
    for epoch in range(epochs):
        hooks.on_epoch_begin(epoch)
        hooks.on_epoch_end(epoch, {"loss": 1 / (epoch + 1)})
        act()
    hooks.on_train_end({"loss": 0.1})


def fail():
    raise RuntimeError("no")
