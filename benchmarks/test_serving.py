"""What it costs to watch a served model."""

import os
from pathlib import Path

import keras
import numpy as np
from prometheus_client import CollectorRegistry
from timing import medians

from gangplank import PrometheusModel

CALLS = 200
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

    def call(model):
        for _ in range(CALLS):
            model(X)

    bare, seen = medians(lambda: call(model), lambda: call(watched), rounds=51)
    promise(
        "a call of a watched model over the bare one's", (seen - bare) / CALLS * 1e6, 15, 5, "us"
    )


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
    promise("memory that a million calls take", grown / 2**20, 0.5, 0, "MiB")
