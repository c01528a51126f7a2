"""Blocks of `with exporter`, and what ends with them."""

import contextlib
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import keras
import pytest
from conftest import LATE
from runs import At, fail, fit, loop
from samples import metrics_of, status_of

from gangplank import TrainTestExporter


def in_a_block(exporter, model, data, *callbacks):
    with exporter:
        fit(model, data, exporter, *callbacks, epochs=7)


def loop_in_a_block(exporter, model, data, *callbacks):
    with exporter:
        loop(exporter, model, 7)
        for callback in callbacks:
            callback.on_epoch_end(0)


@pytest.mark.parametrize("run", [in_a_block, loop_in_a_block])
@pytest.mark.parametrize("callbacks", [[], [At(0, fail)]], ids=["completed", "failed"])
def test_the_end_of_an_inner_block_ends_no_outer_run(
    gateway, model, other_model, data, run, callbacks
):
    def inner():
        with pytest.raises(RuntimeError, match="no") if callbacks else contextlib.nullcontext():
            run(exporter, other_model, data, *callbacks)

    seen = []
    exporter = TrainTestExporter(gateway, "nested")
    value = exporter.registry.get_sample_value
    watch = At(1, lambda: seen.append(value("gangplank_train_status", {"status": "running"})))
    history = fit(model, data, At(0, inner), exporter, watch, epochs=3)
    metrics = metrics_of(gateway, "nested")
    assert seen == [1]
    assert metrics["gangplank_train_epochs_count"] == 3
    assert metrics["gangplank_train_loss"] == pytest.approx(history.history["loss"][-1])
    assert metrics["gangplank_train_model_parameters_count"] == 27
    assert status_of(gateway, "nested") == "completed"


def status(exporter, phase):
    value = exporter.registry.get_sample_value
    of = ("running", "completed", "failed")
    return [each for each in of if value(f"gangplank_{phase}_status", {"status": each})]


def test_the_end_of_a_block_in_a_block_ends_only_its_own_loop():
    exporter = TrainTestExporter(None)
    with exporter:
        exporter.on_test_begin()
        with exporter:
            exporter.on_train_begin()
        assert status(exporter, "train") == ["completed"]
        assert status(exporter, "test") == ["running"]
    assert status(exporter, "test") == ["completed"]


def test_a_loop_in_a_loop_each_in_its_block(model, other_model):
    exporter = TrainTestExporter(None)
    value = exporter.registry.get_sample_value
    hooks = keras.callbacks.CallbackList([exporter], model=model)
    with exporter:
        hooks.on_train_begin()
        for epoch in range(3):
            hooks.on_epoch_begin(epoch)
            with pytest.raises(RuntimeError, match="no"), exporter:
                loop(exporter, other_model, act=fail)
            hooks.on_epoch_end(epoch, {"loss": 0.5})
            assert status(exporter, "train") == ["running"]
            assert value("gangplank_train_epochs_count") == epoch + 1
            assert value("gangplank_train_model_parameters_count") == 27
        hooks.on_train_end()
    assert status(exporter, "train") == ["completed"]


def test_a_block_ends_the_loop_of_a_thread_that_has_none(gateway, model):
    exporter = TrainTestExporter(gateway, "worker")
    act = [fail]
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(RuntimeError, match="no"), exporter:
            pool.submit(loop, exporter, model, act=lambda: act.pop()()).result()
        assert status_of(gateway, "worker") == "failed"
        with exporter:
            pool.submit(exporter.on_train_begin).result()
    assert status_of(gateway, "worker") == "completed"


def test_a_block_that_ends_on_another_thread(gateway, model):
    exporter = TrainTestExporter(gateway, "elsewhere")
    exporter.__enter__()
    exporter.on_train_begin()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(exporter.__exit__, RuntimeError, None, None).result()
    assert status_of(gateway, "elsewhere") == "failed"
    with exporter:
        exporter.on_train_begin()
    assert status_of(gateway, "elsewhere") == "completed"


def test_the_end_of_a_block_ends_no_run_of_another_thread(model, other_model, data):
    has_begun, may_end = threading.Event(), threading.Event()

    def wait():
        has_begun.set()
        assert may_end.wait(LATE)

    exporter = TrainTestExporter(None)
    value = exporter.registry.get_sample_value
    with ThreadPoolExecutor(1) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what two threads share
        outer = pool.submit(fit, model, data, exporter, At(0, wait), epochs=3)
        assert has_begun.wait(LATE)
        with pytest.raises(RuntimeError, match="no"), exporter:
            fit(other_model, data, exporter, At(0, fail))
        may_end.set()
        outer.result()
    assert value("gangplank_train_epochs_count") == 3
    assert value("gangplank_train_status", {"status": "completed"}) == 1


def test_the_end_of_a_block_calls_the_hooks_of_a_subclass():
    class Telling(TrainTestExporter):
        def on_train_end(self, logs=None):
            super().on_train_end(logs)
            ended.append("train")

        def on_test_end(self, logs=None):
            super().on_test_end(logs)
            ended.append("test")

    ended = []
    with Telling(None) as exporter:
        exporter.on_train_begin()
        exporter.set_model(None)
        exporter.on_test_begin()
    assert ended == ["test", "train"]


def test_a_test_that_begins_as_a_block_ends_a_training(model, data):
    class Testing(TrainTestExporter):
        def on_train_end(self, logs=None):
            model.evaluate(*data, callbacks=[self], verbose=0)
            super().on_train_end(logs)

    with Testing(None) as exporter:
        exporter.set_model(model)
        exporter.on_train_begin()
    assert status(exporter, "train") == status(exporter, "test") == ["completed"]
    assert exporter.registry.get_sample_value("gangplank_test_loss") is not None


def test_a_fit_that_begins_as_a_block_ends_a_training_is_inside_of_it(model, other_model, data):
    class Training(TrainTestExporter):
        def on_train_end(self, logs=None):
            if not seen:
                seen.append("inner")
                fit(other_model, data, self, epochs=3)
                seen.extend(status(self, "train"))
            super().on_train_end(logs)

    seen = []
    with Training(None) as exporter:
        exporter.set_model(model)
        exporter.on_train_begin()
        exporter.on_epoch_end(0, {"loss": 1.0})
    assert seen == ["inner", "completed"]
    assert status(exporter, "train") == ["completed"]
    assert exporter.registry.get_sample_value("gangplank_train_epochs_count") == 1
    assert exporter.registry.get_sample_value("gangplank_train_loss") == 1


@pytest.mark.parametrize("is_ended", [False, True])
def test_what_is_raised_as_an_inner_run_ends_ends_those_around_it(model, is_ended):
    class Failing(TrainTestExporter):
        def on_test_end(self, logs=None):
            if is_ended:
                super().on_test_end(logs)
            fail()

    exporter = Failing(None)

    def nest():
        exporter.on_train_begin()
        exporter.set_model(model)
        exporter.on_test_begin()

    with pytest.raises(RuntimeError, match="no"), exporter:
        nest()
    assert status(exporter, "train") == ["failed"]
    assert status(exporter, "test") == ["completed" if is_ended else "failed"]


def test_a_block_leaves_the_loop_of_a_worker_to_the_block_around(model):
    exporter = TrainTestExporter(None)
    with ThreadPoolExecutor(1) as pool:
        with exporter:
            with exporter:
                pool.submit(exporter.on_train_begin).result()
            assert status(exporter, "train") == ["running"]
        assert status(exporter, "train") == ["completed"]
