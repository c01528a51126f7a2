"""What it costs to watch a served model."""

import os
import statistics
import time
from pathlib import Path

import keras
import numpy as np
from prometheus_client import CollectorRegistry

from gangplank import DriftMonitor, PrometheusModel, drift_reference
from gangplank.inference.calls import TOGETHER

X = keras.ops.convert_to_tensor(np.zeros((32, 64), "float32"))


class Answers(keras.Model):
    """Answers at once, so that a million calls take seconds."""

    answer = np.zeros((32, 10))

    def __call__(self, inputs):
        return self.answer


def resident_bytes():
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def test_a_call(promise):
    layers = keras.layers.Dense(32, activation="relu"), keras.layers.Dense(10)
    model = keras.Sequential([keras.Input((64,)), *layers])
    watched = PrometheusModel(model, CollectorRegistry())

    def seconds(model):
        start = time.perf_counter()
        for _ in range(TOGETHER):
            model(X)
        return time.perf_counter() - start

    # So many that the watched ones are shown once. The two in turns, since a call takes a hundred
    # times as long as what is looked for.
    differences = [-seconds(model) + seconds(watched) for _ in range(300)]
    microseconds = statistics.median(differences) / TOGETHER * 1e6
    promise("a call of a watched model over the bare one's", microseconds, 15, 5, " µs")


def test_a_million_calls(promise):
    registry = CollectorRegistry()
    watched = PrometheusModel(Answers(), registry)
    for _ in range(100_000):
        watched(X)
    before = resident_bytes()
    for _ in range(1_000_000):
        watched(X)
    grown = resident_bytes() - before
    assert registry.get_sample_value("gangplank_predict_call_total") == 1_100_000 * 32
    promise("memory that a million calls take", grown / 2**20, 0.5, 0, " MiB")


def test_a_monitor_of_many_features(promise):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3200, 1000)).astype("float32")
    y = rng.dirichlet(np.ones(10), len(x)).astype("float32")
    monitor = DriftMonitor(drift_reference(x, y), window=500)

    def seconds():
        start = time.perf_counter()
        for i in range(0, len(x), 32):
            monitor(x[i : i + 32], y[i : i + 32])
        return time.perf_counter() - start

    seconds()  # to compile
    thousands = len(x) / statistics.median(seconds() for _ in range(9)) / 1000
    what = "samples of 1,000 features watched for drift in a second, 32 a call"
    promise(what, thousands, 10, 100, " thousand")
