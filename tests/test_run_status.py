"""Whether a run goes on, however it ends."""

import contextlib
import gc
import sys
import threading
import traceback
import weakref

import keras
import pytest
from conftest import awaited
from prometheus_client import CollectorRegistry

from gangplank.metrics.run_status import KerasCall, RunStatus


def true_statuses(status):
    registry = CollectorRegistry()
    registry.register(status)
    samples = [sample for metric in registry.collect() for sample in metric.samples]
    assert {sample.name for sample in samples} <= {"run_status"}
    assert len(samples) in (0, 3)
    return [sample.labels["status"] for sample in samples if sample.value == 1]


class Begin(keras.callbacks.Callback):
    """Begins a status when a run begins, and may end the run."""

    def __init__(self, status, failure=None):
        super().__init__()
        self.status = status
        self.failure = failure
        self.during = []

    def on_train_begin(self, logs=None):
        self.call = self.status.begin()

    def on_epoch_end(self, epoch, logs=None):
        self.during.append((self.call.is_over(), true_statuses(self.status)))
        if self.failure is not None:
            raise self.failure


def test_a_status_before_the_first_run_and_in_loops_that_are_not_keras_s():
    status = RunStatus("run_status")
    assert true_statuses(status) == []
    assert not status.is_running()
    call = status.begin()
    assert true_statuses(status) == ["running"]
    assert not call.is_over()
    status.end("completed")
    assert true_statuses(status) == ["completed"]


@pytest.mark.parametrize("failure", [RuntimeError("no"), KeyboardInterrupt(), SystemExit(1)])
def test_a_run_that_an_exception_ends_has_failed(model, data, failure):
    callback = Begin(RunStatus("run_status"), failure)
    # What is raised keeps all frames that it passed through.
    with pytest.raises(type(failure)):
        model.fit(*data, callbacks=[callback], verbose=0)
    assert callback.during == [(False, ["running"])]
    assert callback.call.is_over()
    assert true_statuses(callback.status) == ["failed"]


def test_a_run_in_another_thread(model, data):
    callback = Begin(RunStatus("run_status"), RuntimeError())

    def fit():
        with pytest.raises(RuntimeError):
            model.fit(*data, callbacks=[callback], verbose=0)

    thread = threading.Thread(target=fit)
    thread.start()
    thread.join()
    assert callback.during == [(False, ["running"])]
    assert true_statuses(callback.status) == ["failed"]


def test_a_run_that_goes_on_while_another_thread_looks(model, data):
    goes_on, looked = threading.Event(), threading.Event()
    callback = Begin(RunStatus("run_status"))
    wait = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: (goes_on.set(), looked.wait(60)),
    )
    thread = threading.Thread(
        target=model.fit, args=data, kwargs={"callbacks": [callback, wait], "verbose": 0}
    )
    thread.start()
    goes_on.wait(120)
    assert not callback.call.is_over()
    assert true_statuses(callback.status) == ["running"]
    looked.set()
    thread.join()
    assert callback.call.is_over()


def test_a_run_is_never_over_while_it_goes_on_whenever_another_thread_looks(model, data):
    callback, ended = Begin(RunStatus("run_status")), threading.Event()
    looks = []

    def stop(*_):
        model.stop_training = len(looks) > 1000

    def look():
        while not ended.is_set():
            if "call" in vars(callback):
                looks.append(callback.call.is_over() and not ended.is_set())

    end = keras.callbacks.LambdaCallback(on_epoch_end=stop, on_train_end=lambda _: ended.set())
    thread = threading.Thread(target=look)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        thread.start()
        model.fit(*data, callbacks=[callback, end], epochs=100_000, verbose=0)
    finally:
        ended.set()
        thread.join()
        sys.setswitchinterval(interval)
    assert len(looks) > 1000
    assert not any(looks)


def test_the_call_of_a_function_that_only_has_the_name():
    def fit():
        return KerasCall()

    assert not fit().is_over()


@pytest.mark.parametrize("ending", ["completed", "failed"])
def test_the_data_of_a_run_that_has_ended_is_not_kept(model, data, ending):
    status = RunStatus("run_status")
    x, y = data[0].copy(), data[1]
    reference = weakref.ref(x)
    failure = RuntimeError() if ending == "failed" else None
    with contextlib.suppress(RuntimeError):
        model.fit(x, y, callbacks=[Begin(status, failure)], verbose=0)
    if ending == "completed":
        status.end("completed")
    assert true_statuses(status) == [ending]
    del failure  # and with it the frames that it passed through
    del x
    keras.backend.clear_session()
    # A thread of the framework may let go of it a little later.
    awaited(lambda: gc.collect() is not None and reference() is None)


def test_whoever_debugs_a_run_that_failed_has_the_variables_of_fit(model, data):
    callback = Begin(RunStatus("run_status"), RuntimeError())
    keras.config.disable_traceback_filtering()
    try:
        with pytest.raises(RuntimeError) as error:
            model.fit(*data, callbacks=[callback], epochs=7, verbose=0)
    finally:
        keras.config.enable_traceback_filtering()
    assert callback.call.is_over()
    frames = [frame for frame, _ in traceback.walk_tb(error.value.__traceback__)]
    (fit,) = [frame for frame in frames if frame.f_code.co_name == "fit"]
    assert fit.f_locals["epochs"] == 7


def test_the_failure_of_a_run_is_not_that_of_the_next(model, data):
    callback = Begin(RunStatus("run_status"), RuntimeError())
    with pytest.raises(RuntimeError):
        model.fit(*data, callbacks=[callback], verbose=0)
    callback.status.begin()
    callback.call.end("failed")
    assert true_statuses(callback.status) == ["running"]
