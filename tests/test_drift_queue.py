"""The function that looks for drift: it is told of every call, and is in the way of none."""

import asyncio
import gc
import logging
import os
import threading
import weakref

import keras
import numpy as np
import pytest
from conftest import awaited

from gangplank import Drift, PrometheusModel
from gangplank.inference.predictions import Predictions

X = np.zeros((5, 8), "float32")


def value(registry, name, **labels):
    return registry.get_sample_value(f"gangplank_predict_drift_{name}", labels)


class Blocks:
    """A detector that looks at a call once it may, and notes in which thread."""

    def __init__(self):
        self.may_go_on, self.has_begun = threading.Event(), threading.Event()
        self.seen, self.threads = [], set()

    def __call__(self, given, answer):
        self.has_begun.set()
        assert self.may_go_on.wait(60)
        self.seen.append(len(given))
        self.threads.add(threading.current_thread().name)
        return Drift(True, 0.25, 3.0)


@pytest.fixture
def blocks():
    blocks = Blocks()
    yield blocks
    blocks.may_go_on.set()


class Empty(list):
    """A detector that is false until it has seen a call."""

    def __call__(self, given, answer):
        self.append(len(given))
        return Drift(True, 0.25, 3.0)


def test_a_detector_that_is_false_is_called(model, registry):
    detector = Empty()
    watched = PrometheusModel(model, registry, None, detector)
    watched.predict(X, verbose=0)
    awaited(lambda: detector == [len(X)])


def test_what_was_given_and_answered_is_looked_at_in_the_background(model, registry):
    seen = []
    watched = PrometheusModel(model, registry, None, lambda *call: seen.append(call) or Drift())
    expected = watched.predict(X, verbose=0)
    awaited(lambda: seen)
    ((given, answer),) = seen
    assert given is X
    np.testing.assert_array_equal(answer, expected)


def test_what_predict_answered_may_be_written_into(model, registry, blocks):
    seen = []

    def look(given, answer):
        blocks(given, answer)
        seen.append(answer)
        return Drift()

    watched = PrometheusModel(model, registry, None, look)
    answer = watched.predict(X, verbose=0)
    expected = answer.copy()
    answer[:] = 7
    blocks.may_go_on.set()
    awaited(lambda: seen)
    np.testing.assert_array_equal(seen[0], expected)


def test_each_metric_is_there_from_its_first_value_on(model, registry):
    answers = [Drift(), Drift(p_value=0.5), Drift(False, test_statistic=2), Drift(True), Drift(3)]
    watched = PrometheusModel(model, registry, None, lambda *_: answers.pop(0), drift_queue_size=0)
    names = "detected_total", "p_value", "test_statistic"
    shown = []
    while answers:
        watched(X)
        shown.append([value(registry, name) for name in names])
    assert shown == [[None] * 3, [None, 0.5, None], [0, 0.5, 2], [1, 0.5, 2], [4, 0.5, 2]]
    assert value(registry, "failed_total", type="ValueError") is None


def test_labels_are_the_models(model, registry):
    found = Drift(True, np.float32(0.5), np.array(4.0))
    PrometheusModel(
        model, registry, None, lambda *_: found, name="m", version="1", drift_queue_size=0
    )(X)
    assert value(registry, "detected_total", model="m", version="1") == 1
    assert value(registry, "p_value", model="m", version="1") == 0.5
    assert value(registry, "test_statistic", model="m", version="1") == 4


def test_a_slow_detector_holds_up_no_call_and_the_newest_are_dropped(model, registry, blocks):
    watched = PrometheusModel(model, registry, None, blocks, drift_queue_size=3)
    watched(X[:1])
    assert blocks.has_begun.wait(60)
    for size in (2, 3, 4, 5, 5):
        watched(X[:size])
    assert value(registry, "dropped_total") == 2
    assert blocks.seen == []
    blocks.may_go_on.set()
    awaited(lambda: value(registry, "detected_total") == 4)
    assert blocks.seen == [1, 2, 3, 4]
    assert blocks.threads == {"gangplank-drift"}
    assert value(registry, "dropped_total") == 2


def test_no_queue_looks_before_the_call_returns(model, registry, blocks):
    blocks.may_go_on.set()
    PrometheusModel(model, registry, None, blocks, drift_queue_size=0)(X)
    assert blocks.seen == [5]
    assert blocks.threads == {threading.current_thread().name}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (None, "TypeError"),
        (Drift(-1, 0.5), "ValueError"),
        (Drift(np.nan, 0.5), "ValueError"),
        (Drift(True, "small"), "ValueError"),
        ((True, 0.5), "TypeError"),
    ],
)
def test_what_is_no_drift_is_a_failure_and_shows_nothing(model, registry, answer, error):
    PrometheusModel(model, registry, None, lambda *_: answer, drift_queue_size=0)(X)
    assert value(registry, "failed_total", type=error) == 1
    assert value(registry, "detected_total") is value(registry, "p_value") is None


@pytest.mark.parametrize("drift_queue_size", [0, 64])
def test_a_failing_detector_is_told_of_once_and_counted(model, registry, caplog, drift_queue_size):
    def fail(given, answer):
        raise ZeroDivisionError("no samples")

    watched = PrometheusModel(model, registry, None, fail, drift_queue_size=drift_queue_size)
    with caplog.at_level(logging.WARNING, "gangplank"):
        for _ in range(3):
            assert watched(X).shape == (5, 3)
        awaited(lambda: value(registry, "failed_total", type="ZeroDivisionError") == 3)
    (record,) = caplog.records
    assert "get_drift_metrics_func failed" in record.message
    assert record.exc_info[0] is ZeroDivisionError


def test_a_failure_that_cannot_be_counted_is_told_of_once(model, registry, caplog, monkeypatch):
    def fail(given, answer):
        seen.append(given)
        raise ZeroDivisionError("no samples")

    def metric(*_, **labels):
        raise FileNotFoundError("the files of the workers are gone")

    seen = []
    watched = PrometheusModel(model, registry, None, fail)
    watched(X)
    awaited(lambda: value(registry, "failed_total", type="ZeroDivisionError") == 1)
    monkeypatch.setattr(Predictions, "metric", metric)
    for _ in range(3):
        watched(X)
    awaited(lambda: len(seen) == 4)  # by a thread that goes on
    assert len([each for each in caplog.messages if "get_drift_metrics_func failed" in each]) == 1


@pytest.mark.parametrize("error", [SystemExit, asyncio.CancelledError])
def test_a_detector_that_ends_its_thread_ends_nothing_else(model, registry, error):
    def leave(given, answer):
        raise error

    watched = PrometheusModel(model, registry, None, leave)
    for _ in range(20):
        watched(X)
    awaited(lambda: value(registry, "failed_total", type=error.__name__) == 20)
    at_once = PrometheusModel(model, registry, None, leave, name="a", drift_queue_size=0)
    assert at_once(X).shape == (5, 3)


def test_where_no_thread_can_be_started_calls_are_answered(model, registry, caplog, monkeypatch):
    def start(thread):
        raise RuntimeError("can't start new thread")

    watched = PrometheusModel(model, registry, None, lambda *_: Drift(True))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        for _ in range(3):
            assert watched(X).shape == (5, 3)
    assert value(registry, "dropped_total") == 3
    assert len(caplog.records) == 1
    watched(X)
    awaited(lambda: value(registry, "detected_total") == 1)


@pytest.mark.parametrize("method", ["predict", "predict_on_batch", "__call__"])
def test_the_input_is_found_among_keywords(model, registry, method):
    seen = []
    watched = PrometheusModel(
        model, registry, None, lambda given, _: seen.append(given) or Drift(), drift_queue_size=0
    )
    if method == "predict":
        watched.predict(verbose=0, batch_size=2, x=X)
    elif method == "predict_on_batch":
        watched.predict_on_batch(x=X)
    else:
        watched(training=False, inputs=X)
    assert seen[0] is X


def test_calls_that_fail_or_build_a_graph_are_not_looked_at(model, registry):
    seen = []
    watched = PrometheusModel(
        model, registry, None, lambda *call: seen.append(call) or Drift(), drift_queue_size=0
    )
    watched(keras.Input((8,)))
    with pytest.raises(ValueError, match="shape"):
        watched(X[:, :2])
    assert seen == []


@pytest.mark.parametrize("drift_queue_size", [0, 64])
def test_what_the_detector_itself_calls_is_not_looked_at(model, registry, drift_queue_size):
    seen = []

    def detector(given, answer):
        watched.predict_on_batch(X[:1])
        seen.append(len(given))
        return Drift(True)

    watched = PrometheusModel(model, registry, None, detector, drift_queue_size=drift_queue_size)
    for size in (2, 3):
        watched.predict_on_batch(X[:size])
        awaited(lambda size=size: seen[-1:] == [size])
    awaited(lambda: value(registry, "detected_total") == 2)
    assert registry.get_sample_value("gangplank_predict_total") == 2 + 3 + 2 * 1
    assert seen == [2, 3]
    watched.close()


def alive():
    return [thread for thread in threading.enumerate() if thread.name == "gangplank-drift"]


def test_after_close_nothing_is_looked_at(model, registry):
    seen = []
    look = lambda *_: seen.append(1) or Drift()  # noqa: E731
    watched = PrometheusModel(model, registry, None, look, drift_queue_size=0)
    watched(X)
    watched.close()
    assert watched(X).shape == (5, 3)
    assert seen == [1]


def test_after_close_nothing_that_waits_is_kept(model, registry, blocks):
    held = []
    watched = PrometheusModel(model, registry, None, blocks, drift_queue_size=3)
    for _ in range(4):
        given = X.copy()
        held.append(weakref.ref(given))
        watched.predict_on_batch(given)
        assert blocks.has_begun.wait(60)
    del given
    watched.close()
    blocks.may_go_on.set()
    awaited(lambda: gc.collect() is not None and not any(each() is not None for each in held))
    assert blocks.seen == [5]


def test_a_call_that_comes_as_it_closes_is_not_kept(model, registry, monkeypatch):
    def closing(answer):
        watched.close()
        return answer

    monkeypatch.setattr("gangplank.inference.drift_queue._kept", closing)
    watched = PrometheusModel(model, registry, None, lambda *_: Drift())
    given = X.copy()
    held = weakref.ref(given)
    watched.predict_on_batch(given)
    del given
    awaited(lambda: gc.collect() is not None and held() is None)


class Service:
    """What serves a model may itself be what looks for drift."""

    def __init__(self, model, registry):
        self.model = PrometheusModel(model, registry, None, self.look)

    def look(self, *_):
        return Drift()


def test_after_close_a_detector_that_has_the_model_does_not_keep_it(model, registry):
    service = Service(model, registry)
    held = weakref.ref(service)
    service.model.close()
    del service
    gc.collect()
    assert held() is None


class NoRoom(np.ndarray):
    def __copy__(self):
        raise MemoryError


def test_where_there_is_no_room_for_a_copy_the_answer_is_there(registry, caplog):
    class Large(keras.Model):
        def predict(self, x):
            return x.view(NoRoom)

    watched = PrometheusModel(Large(), registry, None, lambda *_: Drift())
    assert len(watched.predict(X)) == 5
    assert value(registry, "dropped_total") == 1
    assert "get_drift_metrics_func failed" in caplog.messages[0]


@pytest.mark.parametrize("ends", ["close", "collected"])
def test_the_thread_ends_with_the_model(model, registry, blocks, ends):
    awaited(lambda: not alive())
    watched = PrometheusModel(model, registry, None, blocks, drift_queue_size=2)
    watched(X)
    assert blocks.has_begun.wait(60)
    for _ in range(3):
        watched(X)  # so that the queue is full
    assert len(alive()) == 1
    if ends == "close":
        watched.close()
        watched(X)
    else:
        del watched
    blocks.may_go_on.set()
    awaited(lambda: not alive())
    assert blocks.seen == [5]


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX warns of every fork")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")  # by Python from 3.12 on
def test_a_forked_process_has_a_thread_of_its_own(model, registry, blocks):
    blocks.may_go_on.set()
    watched = PrometheusModel(model, registry, None, blocks)
    watched.predict_on_batch(X)
    awaited(lambda: value(registry, "detected_total") == 1)
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        try:
            # Without the model, whose framework may not live on in a child.
            vars(watched)["_PrometheusModel__model"] = lambda inputs: inputs
            watched(X)
            awaited(lambda: value(registry, "detected_total") == 2)
            os.write(writing, b"seen")
        finally:
            os._exit(0)
    os.close(writing)
    assert os.read(reading, 4) == b"seen"
    os.close(reading)
    os.waitpid(process, 0)
    assert value(registry, "detected_total") == 1
