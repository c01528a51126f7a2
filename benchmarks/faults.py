"""What a run costs, and what arrives, whatever its gateway does.

    make faults

Prints two tables, in 20 minutes. Needs the servers that the tests need.
"""

import contextlib
import logging
import os
import random
import ssl
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import fuzz
import keras
import numpy as np
import trustme
from conftest import awaited, free_port, pushgateway_process
from faulty import answering, dripping, resetting, saying, saying_nothing, serving
from samples import metrics_of

import gangplank
from gangplank.gateway import Gateway

RESULTS = Path(__file__).with_name("results") / "faults.md"
EPOCHS = 200
TIMEOUT = 2.0  # seconds
METRICS = {f"metric_{i}": float(i) for i in range(18)}  # with loss and accuracy, 20


class Fault:
    """A gateway's address, and what befalls it as the run goes on."""

    def __init__(self, address, at_epoch=None, delivered=lambda: "nothing"):
        self.address = address
        self.at_epoch = at_epoch or {}
        self.delivered = delivered


def arrived(address):
    """What a real gateway has in the end."""
    metrics = metrics_of(address, "faults")
    epochs = int(metrics["gangplank_train_epochs_count"])
    return "everything" if epochs == EPOCHS else f"{epochs} epochs"


@contextlib.contextmanager
def healthy():
    with pushgateway_process() as (address, _):
        yield Fault(address, delivered=lambda: arrived(address))


@contextlib.contextmanager
def refused():
    yield Fault(f"127.0.0.1:{free_port()}")


@contextlib.contextmanager
def unresolvable():
    yield Fault("gateway.invalid:9091")


def speaking(speak):
    @contextlib.contextmanager
    def fault():
        with serving(speak) as address:
            yield Fault(address)

    return fault


@contextlib.contextmanager
def wrong_certificate():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)

    def speak(connection, end):
        with contextlib.suppress(OSError):
            context.wrap_socket(connection, server_side=True)

    with serving(speak, peek=True) as address:
        yield Fault(f"https://{address}")


@contextlib.contextmanager
def restarting(goes=0, comes=EPOCHS // 2):
    """A real gateway that is down from one epoch to another."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    with contextlib.ExitStack() as first, contextlib.ExitStack() as second:
        if goes:
            first.enter_context(pushgateway_process(port=port))
        yield Fault(
            address,
            {
                goes: first.close,
                comes: lambda: second.enter_context(pushgateway_process(port=port)),
            },
            lambda: arrived(address),
        )


@contextlib.contextmanager
def full_disk():
    """A real gateway that cannot write what it keeps, in a file system of its own of 4 KiB."""
    with tempfile.TemporaryDirectory() as folder:
        script = (
            f"mount -t tmpfs -o size=4k none {folder} && "
            f'head -c 4096 /dev/zero > {folder}/full && exec "$@"'
        )
        with pushgateway_process(
            "--persistence.interval=1s",
            kept_in=f"{folder}/kept",
            command=("unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh"),
        ) as (address, _):
            yield Fault(address, delivered=lambda: arrived(address))


FAULTS = {
    "none": healthy,
    "refuses the connection": refused,
    "hangs": speaking(saying_nothing),
    "sends a byte a second": speaking(dripping(b"HTTP/1.1 200 OK\r\nX: ", seconds=1)),
    "answers 400": speaking(answering("400 Bad Request", b"no")),
    "answers 401": speaking(answering("401 Unauthorized", b"no")),
    "answers 500": speaking(answering("500 Internal Server Error", b"oh")),
    "resets the connection": speaking(resetting),
    "answers garbage": speaking(saying(random.Random(0).randbytes(2000))),
    "has a wrong certificate": wrong_certificate,
    "has a name that does not resolve": unresolvable,
    "is down for the first half": restarting,
    "is restarted in the middle": lambda: restarting(EPOCHS // 3, 2 * EPOCHS // 3),
    "has a full disk": full_disk,
}


PAIRS = {"hangs": 9}  # of runs with and without the callback; of the others 2


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


def trained(exporter=None, at_epoch=None, epochs=EPOCHS):
    """Trains, and returns the seconds that the epochs took, those of the end, and the hooks'."""
    watch = Stopwatch()
    acts = at_epoch or {}
    act = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, _: acts.get(epoch, lambda: None)()
    )
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 64)).astype("float32"), rng.integers(0, 10, 64)
    model = trained.model
    exporters = [] if exporter is None else [exporter]
    model.fit(x, y, epochs=epochs, verbose=0, callbacks=[act, watch.before, *exporters, watch])
    return watch.epochs, time.perf_counter() - watch.began - watch.epochs, watch.hooks


def rested_and_trained(*arguments):
    """As `trained`, after as long a pause for each, since a machine may be faster after one."""
    time.sleep(TIMEOUT)
    return trained(*arguments)


def model():
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
    yield lines.lines
    logger.removeHandler(lines)


def fault_row(name):
    costs, ends, hooks = [], [], []
    for i in range(PAIRS.get(name, 2)):
        alone = [rested_and_trained()[0]] if i % 2 else []
        with FAULTS[name]() as fault, logged() as lines:
            exporter = gangplank.TrainTestExporter(fault.address, "faults", timeout=TIMEOUT)
            epochs, end, times = rested_and_trained(exporter, fault.at_epoch)
            delivered = fault.delivered()
        costs.append(epochs / (alone or [rested_and_trained()[0]])[0])
        ends.append(end)
        hooks += times
    return (
        f"| {name} | {statistics.median(costs):.2f} | {statistics.median(ends):.2f} s | "
        f"{1e3 * statistics.median(hooks):.2f} ms | {1e3 * max(hooks):.2f} ms | {delivered} | "
        f"{len(lines)} |"
    )


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


def soak(epochs=20_000):
    """MiB and threads that a run gains from a tenth of its epochs on, Keras's own apart."""
    with pushgateway_process() as (address, _):
        exporter = gangplank.TrainTestExporter(address, "soak")
        hooks = keras.callbacks.CallbackList([exporter], model=trained.model)
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
    trained.model = model()
    trained(epochs=20)
    lines = [
        f"{EPOCHS} epochs of about {1e3 * trained()[0] / EPOCHS:.0f} ms, 20 metrics, timeout "
        f"{TIMEOUT:g} s. Medians of pairs of runs, one with and one without the callback.",
        "",
        "| the gateway | epochs, × without | the end | hook, median | worst | delivered | "
        "log lines |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in FAULTS:
        lines.append(fault_row(name))
        print(lines[-1], flush=True)
    delivered = hundred_runs()
    growth, threads = soak()
    answered, kept = malformed_requests()
    lines += [
        "",
        "| what | measured |",
        "| --- | --- |",
        f"| 100 runs at once, final states delivered | {delivered} |",
        f"| 20,000 epochs' hooks, growth since the 2,000th | {growth:.1f} MiB, {threads} threads |",
        f"| 100,000 malformed requests | {answered:,} answered 4xx, {kept} series kept |",
    ]
    RESULTS.write_text("\n".join(lines) + "\n")
    print("\n".join(lines[-3:]))
    assert (delivered, threads, answered, kept) == (100, 0, 100_000, 0)
    assert growth < 4  # MiB


if __name__ == "__main__":
    main()
