"""What a run costs, and what arrives, whatever its gateway does.

    make faults

Writes two tables to results/faults.md, in half an hour. Needs the servers that the tests need.
"""

import contextlib
import logging
import os
import random
import statistics
import sys
import threading
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import fuzz
import keras
import numpy as np
from conftest import awaited, pushgateway_process
from faulty_gateways import EPOCHS, FAULTS
from samples import metrics_of

import gangplank
from gangplank.gateway import Gateway

RESULTS = Path(__file__).with_name("results") / "faults.md"
TIMEOUT = 2.0  # seconds
METRICS = {f"metric_{i}": float(i) for i in range(18)}  # with loss and accuracy, 20
PAIRS, MANY_PAIRS = 5, 9  # of runs with and without the callback


class Stopwatch(keras.callbacks.Callback):
    """Times the epochs, and the exporter that stands between the two in the list."""

    def __init__(self):
        super().__init__()
        self.hooks = []
        self.before = keras.callbacks.LambdaCallback(
            on_epoch_end=self.start, on_train_end=lambda _: self.lap()
        )

    def on_train_begin(self, logs=None):
        self.began = time.perf_counter()

    def start(self, epoch, logs):
        logs |= METRICS
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.hooks.append(time.perf_counter() - self.started)

    def lap(self):
        self.epochs = time.perf_counter() - self.began


def trained(model, exporter=None, at_epoch=None, epochs=EPOCHS):
    """Trains, and returns the seconds that the epochs took, those of the end, and the hooks'."""
    watch = Stopwatch()
    acts = at_epoch or {}
    act = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, _: acts.get(epoch, lambda: None)()
    )
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 64)).astype("float32"), rng.integers(0, 10, 64)
    exporters = [] if exporter is None else [exporter]
    model.fit(x, y, epochs=epochs, verbose=0, callbacks=[act, watch.before, *exporters, watch])
    return watch.epochs, time.perf_counter() - watch.began - watch.epochs, watch.hooks


def rested_and_trained(*arguments):
    """As `trained`, after as long a pause for each, since a machine may be faster after one."""
    time.sleep(TIMEOUT)
    return trained(*arguments)


def compiled_model():
    layers = keras.layers
    model = keras.Sequential([keras.Input((64,)), layers.Dense(64), layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy"])
    return model


class Lines(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


@contextlib.contextmanager
def logged():
    logger, lines = logging.getLogger("gangplank"), Lines()
    logger.addHandler(lines)
    logger.propagate = False
    try:
        yield lines.lines
    finally:
        logger.removeHandler(lines)
        logger.propagate = True


def ranged(costs):
    return f"{statistics.median(costs):.2f} ({min(costs):.2f} to {max(costs):.2f})"


def fault_row(model, name):
    costs, ends, hooks, delivered, numbers = [], [], [], set(), set()
    for i in range(MANY_PAIRS if name == "hangs" else PAIRS):
        before = rested_and_trained(model)[0] if i % 2 else None
        with FAULTS[name]() as fault, logged() as lines:
            exporter = gangplank.TrainTestExporter(fault.address, "faults", timeout=TIMEOUT)
            epochs, end, times = rested_and_trained(model, exporter, fault.at_epoch)
            delivered.add(fault.delivered())
            numbers.add(str(len(lines)))
        costs.append(epochs / (before or rested_and_trained(model)[0]))
        ends.append(end)
        hooks += times
    return (
        f"| {name} | {ranged(costs)} | {statistics.median(ends):.2f} s | "
        f"{1e3 * statistics.median(hooks):.2f} ms | {1e3 * max(hooks):.2f} ms | "
        f"{' or '.join(sorted(delivered))} | {' or '.join(sorted(numbers))} |"
    )


def control_row(model):
    """What two runs without the callback cost over each other."""
    costs = [rested_and_trained(model)[0] / rested_and_trained(model)[0] for _ in range(MANY_PAIRS)]
    return f"| (no callback in either) | {ranged(costs)} | | | | | |"


def hundred_runs():
    """How many of 100 runs at once, each its group of one real gateway, are all there."""
    with pushgateway_process() as (address, _):

        def run(i):
            own = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
            own.compile("sgd", "mse", run_eagerly=True)
            exporter = gangplank.TrainTestExporter(address, "runs", grouping_key={"run": str(i)})
            x = np.zeros((4, 2), "float32")
            own.fit(x, x[:, 0], epochs=3, verbose=0, callbacks=[exporter])

        threads = [threading.Thread(target=run, args=(i,)) for i in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        groups = [metrics_of(address, "runs", run=str(i)) for i in range(100)]
    return sum(group.get("gangplank_train_epochs_count") == 3 for group in groups)


def resident():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def soak(model, epochs=20_000):
    """MiB and threads that a run gains from a tenth of its epochs on, Keras's own apart."""
    with pushgateway_process() as (address, _):
        exporter = gangplank.TrainTestExporter(address, "soak")
        hooks = keras.callbacks.CallbackList([exporter], model=model)
        hooks.on_train_begin()
        for epoch in range(epochs):
            hooks.on_epoch_begin(epoch)
            hooks.on_epoch_end(epoch, METRICS)
            if epoch == epochs // 10:
                before, threads = resident(), threading.active_count()
            time.sleep(0.001)
        growth = resident() - before, threading.active_count() - threads
        hooks.on_train_end(METRICS)
    return growth


def malformed_requests(number=100_000):
    """How many of so many malformed requests are answered 4xx, and what is kept of them."""
    rng = random.Random(0)
    with Gateway() as gateway:
        statuses = [fuzz.answer(gateway.address, fuzz.malformed(rng)) for _ in range(number)]
        kept = [
            line
            for line in gateway.metrics().splitlines()
            if not line.startswith(("#", "push_time_seconds", "push_failure_time_seconds"))
        ]
        awaited(lambda: fuzz.answer(gateway.address, b"GET /-/ready HTTP/1.0\r\n\r\n") == 200)
    return sum(400 <= (status or 0) < 500 for status in statuses), len(kept)


def main():
    model = compiled_model()
    trained(model, epochs=20)
    lines = [
        f"{EPOCHS} epochs of about {1e3 * trained(model)[0] / EPOCHS:.0f} ms, 20 metrics, timeout "
        f"{TIMEOUT:g} s. Medians (and ranges) of pairs of runs, one with and one without the "
        "callback.",
        "",
        "| the gateway | epochs, × without | the end | hook, median | hook, worst | delivered | "
        "log lines |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines.append(control_row(model))
    print("\n".join(lines), flush=True)
    for name in FAULTS:
        lines.append(fault_row(model, name))
        print(lines[-1], flush=True)
    delivered = hundred_runs()
    growth, threads = soak(model)
    answered, kept = malformed_requests()
    lines += [
        "",
        "| what | measured |",
        "| --- | --- |",
        f"| 100 runs at once, final states delivered | {delivered} |",
        f"| 20,000 epochs' hooks, growth since the 2,000th | {growth:.1f} MiB, {threads} threads |",
        f"| 100,000 malformed requests to the embedded gateway | {answered:,} answered 4xx, "
        f"{kept} series kept |",
    ]
    RESULTS.write_text("\n".join(lines) + "\n")
    print("\n".join(lines[-6:]))
    assert (delivered, threads, answered, kept) == (100, 0, 100_000, 0)
    assert growth < 4  # MiB


if __name__ == "__main__":
    main()
