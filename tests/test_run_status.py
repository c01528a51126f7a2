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
from runs import At, fit

from gangplank import TrainTestExporter
from gangplank.metrics import Runs
from gangplank.metrics.run_status import KerasCall, RunStatus


class Begin(keras.callbacks.Callback):
    """Begins a status when a run begins; may end the run by an exception, or say that it ends."""

    def __init__(self, failure=None, *, says=False):
        super().__init__()
        self.failure = failure
        self.says = says
        self.during = []

    def on_train_begin(self, logs=None):
        self.status = RunStatus()

    def on_epoch_end(self, epoch, logs=None):
        self.during.append((self.status.was_left(), self.status.current()))
        if self.failure is not None:
            raise self.failure

    def on_train_end(self, logs=None):
        if self.says:
            self.status.end("completed")


def test_the_status_of_a_loop_that_is_not_keras_s():
    status = RunStatus()
    assert not status.is_of_keras
    assert (status.current(), status.is_running(), status.was_left()) == ("running", True, False)
    status.end("completed")
    assert (status.current(), status.is_running(), status.was_left()) == ("completed", False, False)


def test_what_is_said_first_of_a_run_that_has_ended_holds_and_its_time_stands_still():
    status = RunStatus()
    status.end("failed")
    seconds = status.seconds()
    status.end("completed")
    assert status.current() == "failed"
    assert status.seconds() == seconds


@pytest.mark.parametrize("failure", [RuntimeError("no"), KeyboardInterrupt(), SystemExit(1)])
def test_a_run_that_an_exception_ends_has_failed(model, data, failure):
    callback = Begin(failure)
    # What is raised keeps all frames that it passed through.
    with pytest.raises(type(failure)):
        model.fit(*data, callbacks=[callback], verbose=0)
    assert callback.during == [(False, "running")]
    assert callback.status.was_left()
    assert callback.status.current() == "failed"


def test_a_run_in_another_thread(model, data):
    callback = Begin(RuntimeError())

    def fit():
        with pytest.raises(RuntimeError):
            model.fit(*data, callbacks=[callback], verbose=0)

    thread = threading.Thread(target=fit)
    thread.start()
    thread.join()
    assert callback.during == [(False, "running")]
    assert callback.status.current() == "failed"


def test_a_run_that_goes_on_while_another_thread_looks(model, data):
    goes_on, looked = threading.Event(), threading.Event()
    callback = Begin()
    wait = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: (goes_on.set(), looked.wait(60)),
    )
    thread = threading.Thread(
        target=model.fit, args=data, kwargs={"callbacks": [callback, wait], "verbose": 0}
    )
    thread.start()
    goes_on.wait(120)
    assert not callback.status.was_left()
    assert callback.status.current() == "running"
    looked.set()
    thread.join()
    assert callback.status.was_left()


def test_a_run_is_never_over_while_it_goes_on_whenever_another_thread_looks(model, data):
    callback, ended = Begin(), threading.Event()
    looks = []

    def stop(*_):
        model.stop_training = len(looks) > 1000

    def look():
        while not ended.is_set():
            if "status" in vars(callback):
                looks.append(callback.status.was_left() and not ended.is_set())

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
    x, y = data[0].copy(), data[1]
    reference = weakref.ref(x)
    failure = RuntimeError() if ending == "failed" else None
    callback = Begin(failure, says=True)
    with contextlib.suppress(RuntimeError):
        model.fit(x, y, callbacks=[callback], verbose=0)
    status = callback.status
    assert status.current() == ending
    del failure, callback  # and with it the frames that it passed through
    del x
    keras.backend.clear_session()
    # A thread of the framework may let go of it a little later.
    awaited(lambda: gc.collect() is not None and reference() is None)


def test_the_data_of_a_failed_run_that_pushes_nowhere_is_not_kept(model, data):
    exporter = TrainTestExporter(None)
    x, y = data[0].copy(), data[1]
    reference = weakref.ref(x)
    with contextlib.suppress(ZeroDivisionError):
        fit(model, (x, y), exporter, At(0, lambda: 1 / 0))
    del x
    keras.backend.clear_session()
    # Nobody scrapes it meanwhile.
    awaited(lambda: gc.collect() is not None and reference() is None)
    status = {"status": "failed"}
    assert exporter.registry.get_sample_value("gangplank_train_status", status) == 1


def test_a_run_that_begins_as_the_one_before_it_is_no_longer_watched(model, data, monkeypatch):
    going_on, has_looked, may_end = Runs.going_on, threading.Event(), threading.Event()
    others = {threading.main_thread(), *threading.enumerate()}

    def pausing(self):
        found = going_on(self)
        if threading.current_thread() not in others and not found:
            has_looked.set()
            assert may_end.wait(60)
        return found

    monkeypatch.setattr(Runs, "going_on", pausing)
    exporter = TrainTestExporter(None)
    fit(model, data, exporter)
    assert has_looked.wait(60)
    (watcher,) = {each for each in threading.enumerate() if "watch" in each.name} - others

    def fail():
        may_end.set()
        watcher.join(60)
        raise ZeroDivisionError

    x = data[0].copy()
    reference = weakref.ref(x)
    with contextlib.suppress(ZeroDivisionError):
        fit(model, (x, data[1]), exporter, At(0, fail))
    del x
    keras.backend.clear_session()
    awaited(lambda: gc.collect() is not None and reference() is None)


def test_whoever_debugs_a_run_that_failed_has_the_variables_of_fit(model, data):
    callback = Begin(RuntimeError())
    keras.config.disable_traceback_filtering()
    try:
        with pytest.raises(RuntimeError) as error:
            model.fit(*data, callbacks=[callback], epochs=7, verbose=0)
    finally:
        keras.config.enable_traceback_filtering()
    assert callback.status.was_left()
    frames = [frame for frame, _ in traceback.walk_tb(error.value.__traceback__)]
    (fit,) = [frame for frame in frames if frame.f_code.co_name == "fit"]
    assert fit.f_locals["epochs"] == 7
