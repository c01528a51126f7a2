"""One exporter of which several threads, or a forked process, begin and end runs."""

import os
import signal
import threading
import warnings

import keras
import pytest
from conftest import awaited

from gangplank import PushError, TrainTestExporter
from gangplank.publishing import Pushgateway
from gangplank.publishing.publisher import Publisher

pytestmark = pytest.mark.filterwarnings("ignore:Runs of several threads share an exporter")


def in_a_thread(act):
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def of_inputs(count):
    return keras.Sequential([keras.Input((count,)), keras.layers.Dense(1, use_bias=False)])


def status(exporter, **labels):
    return exporter.registry.get_sample_value("gangplank_train_status", labels)


def test_a_run_that_begins_while_another_one_waits_for_its_last_push():
    bodies, is_pushing, goes_on = [], threading.Event(), threading.Event()

    def handler(url, method, timeout, headers, data):
        def send():
            is_pushing.set()
            goes_on.wait(60)
            bodies.append(data)

        return send

    exporter = TrainTestExporter("127.0.0.1:9091", "job", handler=handler, timeout=60)
    exporter.on_train_begin()
    assert is_pushing.wait(60)
    ending = in_a_thread(exporter.on_train_end)
    awaited(lambda: status(exporter, status="completed"))
    exporter.on_test_begin()
    goes_on.set()
    ending.join(60)
    exporter.on_test_end()
    ended = b'gangplank_train_status{status="completed"} 1.0'
    assert [ended in body for body in bodies if b"gangplank_train_status" in body][-1]


def test_runs_that_begin_at_once_have_models_of_their_own():
    exporter = TrainTestExporter(None)
    both = threading.Barrier(2)

    class Awaited:
        """A lock for which both wait."""

        def __init__(self):
            self.lock = threading.RLock()

        def __enter__(self):
            both.wait(60)
            self.lock.acquire()

        def __exit__(self, *_):
            self.lock.release()

    exporter._changing = Awaited()
    parameters = {}

    def begin(model):
        keras.callbacks.CallbackList([exporter], model=model).on_train_begin()
        parameters[model.count_params()] = exporter._runs.innermost().parameters

    models = of_inputs(2), of_inputs(11)
    for thread in [in_a_thread(lambda model=model: begin(model)) for model in models]:
        thread.join(60)
    assert parameters == {2: 2, 11: 11}


def test_a_training_that_was_stopped_for_its_loss_has_failed_whatever_another_thread_does(
    monkeypatch,
):
    exporter = TrainTestExporter(None, histogram_buckets=[0.0])
    stopped, other = of_inputs(2), of_inputs(11)
    looks, may_end = threading.Event(), threading.Event()
    look = exporter._watch.report

    def report(model, *arguments, **options):
        if model is stopped:
            looks.set()
            may_end.wait(60)
        return look(model, *arguments, **options)

    monkeypatch.setattr(exporter._watch, "report", report)
    ending = []

    def train():
        callbacks = keras.callbacks.CallbackList([exporter], model=stopped)
        callbacks.on_train_begin()
        stopped.stop_training = True
        run = exporter._runs.innermost()
        callbacks.on_train_end({"loss": float("nan")})
        ending.append(run.status.current())

    callbacks = keras.callbacks.CallbackList([exporter], model=other)
    callbacks.on_train_begin()
    thread = in_a_thread(train)
    assert looks.wait(60)
    callbacks.on_epoch_begin(0)
    may_end.set()
    thread.join(60)
    assert ending == ["failed"]


def test_a_failure_is_raised_where_another_thread_ends_the_runs_meanwhile(monkeypatch, gateway):
    exporter = TrainTestExporter(gateway, "job", ignore_exceptions=False)
    exporter.on_train_begin()
    failure = Pushgateway(gateway, "job", None, None, 1.0).late()
    ended = []

    def error(publisher):
        ended.append(exporter._publisher.end())
        return failure

    monkeypatch.setattr(Publisher, "error", property(error))
    with pytest.raises(PushError) as raised:
        exporter.on_epoch_begin(0)
    assert raised.value is failure
    ended[0].finish()


def test_a_forked_process_begins_a_run_while_another_thread_does(gateway):
    exporter = TrainTestExporter(gateway, "job")
    is_held, goes_on = threading.Event(), threading.Event()

    def hold():
        with exporter._changing:
            is_held.set()
            goes_on.wait(60)

    holds = in_a_thread(hold)
    assert is_held.wait(60)
    with warnings.catch_warnings(action="ignore"):  # of the threads that a fork leaves behind
        child = os.fork()
    if not child:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(60)  # which ends a child that waits for ever
            exporter.on_train_begin()
            os._exit(0)
        finally:
            os._exit(2)
    goes_on.set()
    holds.join(60)
    assert os.waitpid(child, 0)[1] == 0
