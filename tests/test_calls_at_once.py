"""Calls of a served model from several threads, a signal's handler and several processes."""

import logging
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from alarms import times_interrupted
from conftest import awaited
from cuda_on_cpu import IS_IN_HOST_MEMORY
from models import classifier
from served import X, value

from gangplank import Drift, PrometheusModel
from gangplank.inference.drift_queue import DriftQueue
from gangplank.inference.predictions import Predictions


def test_64_threads_at_once(registry):
    """Some calls are refused, and a function looks at those that are not."""
    model = classifier()
    watched = PrometheusModel(model, registry, None, lambda *_: Drift(True))
    expected = keras.ops.convert_to_numpy(model(X))
    rtol = 1e-5 if IS_IN_HOST_MEMORY else 1e-2  # where TF32 has 10 bits
    barrier = threading.Barrier(64)

    def call(size):
        barrier.wait(60)
        for _ in range(5):
            answer = keras.ops.convert_to_numpy(watched(X[: size % 4]))
            np.testing.assert_allclose(answer, expected[: size % 4], rtol=rtol)
            with pytest.raises(ValueError, match="shape"):
                watched(X[:1, :5])

    with ThreadPoolExecutor(64) as pool:
        list(pool.map(call, range(64)))
    assert value(registry, "_call_total") == 5 * 16 * (0 + 1 + 2 + 3)
    assert value(registry, "_latency_seconds_count", method="call") == 64 * 5
    assert value(registry, "_rejected_total", method="call", type="ValueError") == 64 * 5
    assert value(registry, "_in_flight_samples", method="call") == 0

    def seen_or_dropped():
        dropped = value(registry, "_drift_dropped_total")
        return (value(registry, "_drift_detected_total") or 0) + dropped

    awaited(lambda: seen_or_dropped() == 64 * 5)


class Answers(keras.Model):
    """Answers at once what it was given."""

    def __call__(self, inputs):
        return inputs


@pytest.fixture
def handlers_may_raise(monkeypatch):
    """Nothing is logged, in which no handler of a signal may raise.

    Up to Python 3.12 logging keeps its locks where one raises as it takes them, so that other
    threads which log wait for ever.
    """
    monkeypatch.setattr(logging.getLogger("gangplank.inference"), "disabled", True)


def test_what_a_handlers_call_raises_is_shown_after_what_it_interrupts(registry, monkeypatch):
    """In prometheus_client's multiprocess mode it would wait for a lock that is held there."""
    watched, told = PrometheusModel(classifier(), registry, None), []
    show, show_exception = Predictions.show, Predictions.show_exception

    def interrupted(self, *arguments):
        monkeypatch.setattr(Predictions, "show", show)
        with pytest.raises(ValueError, match="shape"):
            watched(X[:1, :5])
        told.append("interrupted")
        show(self, *arguments)

    def noting(self, *arguments):
        told.append("raised")
        show_exception(self, *arguments)

    monkeypatch.setattr(Predictions, "show", interrupted)
    monkeypatch.setattr(Predictions, "show_exception", noting)
    watched(X[:2])
    assert value(registry, "_rejected_total", method="call", type="ValueError") == 1
    assert told == ["interrupted", "raised"]
    assert value(registry, "_call_total") == 2


@pytest.mark.parametrize("has_detector", [False, True])
def test_a_signals_handler_may_raise_and_predict_at_any_instruction(
    registry, handlers_may_raise, has_detector
):
    seen = []

    def detector(given, answer):
        seen.append(len(given))
        return Drift()

    watched = PrometheusModel(
        Answers(), registry, None, detector if has_detector else None, drift_queue_size=2
    )
    if has_detector:  # Python's own threads cannot be started where a handler may raise
        watched(X[:1])
        awaited(lambda: seen)
    interrupted = times_interrupted(lambda: watched(X[:2]), lambda: watched(X[:1]))
    assert interrupted > 1_000
    assert value(registry, "_in_flight_samples", method="call") == 0
    assert value(registry, "_call_total") >= interrupted
    if has_detector:
        awaited(lambda: watched(X[:7]) is not None and 7 in seen)


def test_a_signals_handler_may_raise_wherever_the_thread_for_drift_is_begun(
    handlers_may_raise, monkeypatch
):
    class Begins:
        """A thread that cannot be started, so that each call begins one."""

        def __init__(self, **_):
            pass

        def start(self):
            raise RuntimeError

    monkeypatch.setattr("gangplank.inference.drift_queue.threading.Thread", Begins)
    was_called = threading.Event()
    drift_queue = DriftQueue(
        lambda *_: was_called.set() or Drift(), Predictions({}, (1.0,)), 1 << 30
    )
    assert times_interrupted(lambda: drift_queue.put(None, None)) > 1_000
    monkeypatch.undo()
    with ThreadPoolExecutor(1) as pool:  # for whom a lock that was not given back is another's
        pool.submit(drift_queue.put, None, None).result(60)
    assert was_called.wait(60)
    drift_queue.close()


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX warns of every fork")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")  # by Python from 3.12 on
def test_a_forked_process_has_no_calls_under_way(registry):
    children = []

    class Forks(keras.Model):
        def __call__(self, inputs):
            children.append(os.fork())
            return inputs

    watched = PrometheusModel(Forks(), registry)
    with watched._PrometheusModel__watch._lock:  # as somebody who scrapes has it
        watched(X)
    if not children[0]:
        os._exit(0 if value(registry, "_in_flight_samples", method="call") == 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
    assert value(registry, "_call_total") == 300


MULTIPROCESS = """
import contextlib, os, shutil
import keras, numpy, prometheus_client, gangplank
from prometheus_client.multiprocess import MultiProcessCollector

class Model(keras.Model):
    def __call__(self, inputs):
        if len(inputs) == 7:
            raise ValueError
        return inputs

watched = gangplank.PrometheusModel(Model())
watched(numpy.zeros((5, 3)))
with contextlib.suppress(ValueError):
    watched(numpy.zeros((7, 3)))
registry = prometheus_client.CollectorRegistry()
MultiProcessCollector(registry)
in_flight = "gangplank_predict_in_flight_samples", {"method": "call"}
print(registry.get_sample_value("gangplank_predict_call_total"), flush=True)
print(registry.get_sample_value(*in_flight), flush=True)
shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"])
if not os.fork():  # which begins files of its own
    print(watched(numpy.zeros((2, 3))).shape, flush=True)
    os._exit(0)
os.wait()
"""


def test_multiprocess_mode_shows_each_call_at_once_and_its_files_harm_none(tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", MULTIPROCESS],
        env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.stdout.split("\n")[:3] == ["5.0", "0.0", "(2, 3)"], result.stderr
    assert "What a model does cannot be shown. It answers as ever." in result.stderr
