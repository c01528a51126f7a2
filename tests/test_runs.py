"""Runs inside of runs, and in several threads."""

import gc
import logging
import sys
import threading
import time
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor

import keras
import pytest
from conftest import LATE, awaited, pushing
from runs import At, fail, fit, loop
from samples import metrics_of, status_of

from gangplank import PushError, TrainTestExporter


def test_a_fit_inside_of_a_fit_gives_way_to_the_outer_one_again(
    gateway, model, other_model, data, caplog
):
    exporter = TrainTestExporter(gateway, "nested", histogram_buckets=[0.0], timeout=3)
    inner = At(0, lambda: fit(other_model, data, exporter, epochs=7, validation_split=0.2))
    history = fit(model, data, inner, exporter, epochs=3)
    assert exporter.model is model
    metrics = metrics_of(gateway, "nested")
    assert [name for name in metrics if "_val_" in name] == []
    assert metrics["gangplank_train_epochs_count"] == 3
    assert metrics["gangplank_train_accuracy"] == pytest.approx(history.history["accuracy"][-1])
    assert metrics["gangplank_train_model_parameters_count"] == 27
    assert metrics["gangplank_train_model_weights_count"] == 27
    assert status_of(gateway, "nested") == "completed"
    assert caplog.messages == []
    assert pushing() == []


def test_the_outer_fit_is_shown_again_as_soon_as_it_goes_on(model, other_model, data):
    exporter = TrainTestExporter(None)
    value, seen = exporter.registry.get_sample_value, []
    names = "gangplank_train_epochs_count", "gangplank_train_model_parameters_count"

    def look():
        seen.append([value(name) for name in names])

    inner = At(0, lambda: (fit(other_model, data, exporter, epochs=4), look()))
    fit(model, data, inner, exporter, At(0, look), epochs=2)
    assert seen == [[4, 63], [1, 27]]
    assert value("gangplank_train_status", {"status": "completed"}) == 1


def test_a_fit_inside_of_an_evaluate_leaves_the_test_its_metrics(
    gateway, model, other_model, data, caplog
):
    exporter = TrainTestExporter(gateway, "nested", histogram_buckets=[0.0])

    class Inner(keras.callbacks.Callback):
        def on_test_batch_end(self, batch, logs=None):
            if batch == 0:
                fit(other_model, data, exporter, validation_split=0.2)

    tested = model.evaluate(*data, callbacks=[Inner(), exporter], verbose=0, return_dict=True)
    metrics = metrics_of(gateway, "nested")
    assert metrics["gangplank_test_accuracy"] == pytest.approx(tested["accuracy"])
    assert metrics["gangplank_test_model_parameters_count"] == 27
    assert metrics["gangplank_train_model_parameters_count"] == 63
    assert "gangplank_train_val_loss" in metrics
    assert (status_of(gateway, "nested"), status_of(gateway, "nested", "test")) == (
        "completed",
        "completed",
    )
    assert caplog.messages == []


@pytest.mark.parametrize("has_tested", [False, True])
def test_a_test_inside_of_a_fit_says_how_pushing_fares(gateway, model, data, has_tested):
    """Also where a test before has said it: an alert takes what stands there for the test's."""
    exporter = TrainTestExporter(gateway, "nested")

    def evaluate():
        model.evaluate(*data, callbacks=[exporter], verbose=0)

    if has_tested:
        evaluate()
    fit(model, data, At(0, evaluate), exporter)
    metrics = metrics_of(gateway, "nested")
    for name in ("last_push_success_timestamp_seconds", "push_failures_total"):
        assert metrics[f"gangplank_test_{name}"] == metrics[f"gangplank_train_{name}"]


def test_an_inner_fit_that_fails_is_not_the_end_of_the_outer_one(gateway, model, data):
    def fail():
        raise RuntimeError("no")

    def inner():
        with pytest.raises(RuntimeError, match="no"):
            fit(model, data, exporter, At(0, fail))

    exporter = TrainTestExporter(gateway, "nested")
    fit(model, data, At(0, inner), exporter, epochs=3)
    assert metrics_of(gateway, "nested")["gangplank_train_epochs_count"] == 3
    assert status_of(gateway, "nested") == "completed"


def test_two_threads_with_one_exporter_are_told_and_the_gateway_is_not_blamed(
    gateway, model, other_model, data, caplog
):
    exporter = TrainTestExporter(gateway, "threads", timeout=3)
    both = threading.Barrier(2)

    def train(model):
        fit(model, data, At(0, both.wait), exporter, At(1, both.wait), epochs=3)

    threads = [threading.Thread(target=train, args=(each,)) for each in (model, other_model)]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    (told,) = [str(each.message) for each in warned if "several threads" in str(each.message)]
    assert told.startswith("Runs of several threads share an exporter")
    assert caplog.messages == []
    assert metrics_of(gateway, "threads")["gangplank_train_epochs_count"] == 3
    assert status_of(gateway, "threads") == "completed"
    assert pushing() == []


def test_an_evaluation_on_another_thread_is_a_test_and_a_validation_meanwhile_is_none(
    model, other_model, data
):
    exporter = TrainTestExporter(None, "threads")
    trained, told, validated, evaluated = (threading.Event() for _ in range(4))
    shown = []

    class OfFit(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 7:  # the last one
                trained.set()
                told.wait(LATE)

        def on_epoch_end(self, epoch, logs=None):
            shown.append(exporter.registry.get_sample_value("gangplank_test_loss"))
            validated.set()
            evaluated.wait(LATE)

    class Before(keras.callbacks.Callback):
        def set_model(self, model):
            trained.wait(LATE)

    class Behind(keras.callbacks.Callback):
        def set_model(self, model):
            told.set()
            validated.wait(LATE)

    def evaluate():
        callbacks = [Before(), exporter, Behind()]
        loss.append(other_model.evaluate(*data, callbacks=callbacks, verbose=0))
        evaluated.set()

    loss = []
    other = threading.Thread(target=evaluate)
    other.start()
    with pytest.warns(UserWarning, match="Runs of several threads share an exporter"):
        fit(model, data, exporter, OfFit(), epochs=1, validation_split=0.2)
    other.join()
    assert shown == [None]
    assert [exporter.registry.get_sample_value("gangplank_test_loss")] == loss


def test_a_predict_inside_of_a_fit_leaves_its_validation_one(model, other_model, data):
    exporter = TrainTestExporter(None, "predict")
    x, _ = data
    predict = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda *_, **__: other_model.predict(x, callbacks=[exporter], verbose=0)
    )
    fit(model, data, exporter, predict, epochs=1, validation_split=0.2)
    value = exporter.registry.get_sample_value
    assert value("gangplank_train_val_loss") > 0
    assert value("gangplank_test_status", {"status": "completed"}) is None


def test_an_exporter_that_is_passed_twice_is_refused_before_anything_is_trained(model, data):
    exporter = TrainTestExporter(None, "twice")
    at = At()
    with pytest.raises(ValueError, match="The exporter is among the callbacks more than once"):
        fit(model, data, exporter, exporter, at)
    assert at.begun == 0
    with pytest.raises(ValueError, match="The exporter is among the callbacks more than once"):
        model.evaluate(*data, callbacks=[exporter, exporter], verbose=0)
    fit(model, data, exporter, validation_split=0.2)
    value = exporter.registry.get_sample_value
    assert value("gangplank_train_status", {"status": "completed"}) == 1
    assert value("gangplank_train_epochs_count") == 2


def test_a_loop_of_ones_own_inside_of_a_fit_gives_way_to_it_again(model, other_model, data):
    exporter = TrainTestExporter(None, "nested")
    fit(model, data, At(0, lambda: loop(exporter, other_model, 7)), exporter, epochs=3)
    value = exporter.registry.get_sample_value
    assert value("gangplank_train_epochs_count") == 3
    assert value("gangplank_train_model_parameters_count") == 27
    assert value("gangplank_train_status", {"status": "completed"}) == 1


@pytest.mark.parametrize("of_model", [True, False])
def test_a_loop_in_its_block_inside_of_a_fit_by_a_list_made_before(
    model, other_model, data, of_model
):
    def inner():
        with exporter:
            hooks.on_train_begin()
            hooks.on_epoch_end(0, {"loss": 0.5})
            hooks.on_train_end()
            seen.append(value("gangplank_train_model_parameters_count"))

    exporter, seen = TrainTestExporter(None), []
    value = exporter.registry.get_sample_value
    hooks = keras.callbacks.CallbackList([exporter], model=other_model if of_model else None)
    fit(model, data, At(0, inner), exporter, epochs=3)
    assert seen == [other_model.count_params() if of_model else 27]
    assert value("gangplank_train_epochs_count") == 3
    assert value("gangplank_train_model_parameters_count") == 27
    assert value("gangplank_train_status", {"status": "completed"}) == 1


def test_a_block_that_a_callback_has_around_a_validation_leaves_it_one(model, data):
    class Around(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            exporter.__enter__()

        def on_epoch_end(self, epoch, logs=None):
            exporter.__exit__(None)

    exporter = TrainTestExporter(None)
    fit(model, data, exporter, Around(), validation_data=data)
    value = exporter.registry.get_sample_value
    assert value("gangplank_train_val_loss") is not None
    assert value("gangplank_test_loss") is None


def test_a_validation_in_its_block_inside_of_a_loop_of_ones_own_is_one(model):
    exporter = TrainTestExporter(None)
    hooks = keras.callbacks.CallbackList([exporter], model=model)
    with exporter:
        hooks.on_train_begin()
        hooks.on_epoch_begin(0)
        with exporter:
            hooks.on_test_begin()
            hooks.on_test_end({"loss": 0.25})
        hooks.on_epoch_end(0, {"loss": 0.5, "val_loss": 0.25})
        hooks.on_train_end()
    assert exporter.registry.get_sample_value("gangplank_test_loss") is None


def test_a_test_loop_in_its_block_inside_of_a_fit_is_no_validation(model, other_model, data):
    def inner():
        with exporter:
            hooks.on_test_begin()
            hooks.on_test_end({"loss": 0.25})

    exporter = TrainTestExporter(None)
    value = exporter.registry.get_sample_value
    hooks = keras.callbacks.CallbackList([exporter], model=other_model)
    fit(model, data, At(0, inner), exporter, validation_data=data)
    assert value("gangplank_test_loss") == 0.25
    assert value("gangplank_test_status", {"status": "completed"}) == 1
    assert value("gangplank_train_status", {"status": "completed"}) == 1


class AtBegin(keras.callbacks.Callback):
    """Does something before a callback behind it is told of a beginning."""

    def __init__(self, act):
        super().__init__()
        self.act = act

    def on_train_begin(self, logs=None):
        self.act()

    on_test_begin = on_train_begin


@pytest.mark.parametrize("inside", ["fit", "evaluate", "predict"])
@pytest.mark.parametrize("outside", ["train", "test"])
def test_a_run_is_of_its_model_where_a_callback_before_ran_another(
    model, other_model, data, inside, outside
):
    exporter = TrainTestExporter(None, histogram_buckets=[0.0])

    def inner():
        given = data[:1] if inside == "predict" else data
        getattr(other_model, inside)(*given, callbacks=[exporter], verbose=0)

    callbacks = [AtBegin(inner), exporter]
    if outside == "train":
        fit(model, data, *callbacks)
    else:
        model.evaluate(*data, callbacks=callbacks, verbose=0)
    value = exporter.registry.get_sample_value
    assert exporter.model is model
    assert value(f"gangplank_{outside}_model_parameters_count") == 27
    assert value(f"gangplank_{outside}_model_weights_count") == 27


def test_a_run_is_of_its_model_after_predictions_of_several(model, other_model, data):
    def predict():
        for each in (model, other_model):
            each.predict(data[0], callbacks=[exporter], verbose=0)

    exporter = TrainTestExporter(None)
    fit(model, data, AtBegin(predict), exporter)
    assert exporter.registry.get_sample_value("gangplank_train_model_parameters_count") == 27


def test_lists_of_callbacks_that_were_made_before_have_their_own_models(model, other_model):
    exporter = TrainTestExporter(None)
    value = exporter.registry.get_sample_value
    lists = [keras.callbacks.CallbackList([exporter], model=m) for m in (model, other_model)]
    for hooks, expected in zip(lists, (27, other_model.count_params()), strict=True):
        hooks.on_train_begin()
        hooks.on_epoch_end(0, {"loss": 0.5})
        hooks.on_train_end()
        assert value("gangplank_train_model_parameters_count") == expected


def test_no_model_is_kept_that_nothing_began_with(model):
    exporter = TrainTestExporter(None)
    abandoned = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    keras.callbacks.CallbackList([exporter], model=abandoned)
    loop(exporter, model)
    reference = weakref.ref(abandoned)
    del abandoned
    gc.collect()
    assert reference() is None


def test_hooks_in_a_fit_that_they_are_not_of_are_of_the_model_that_they_were_given(
    model, other_model, data
):
    def probe():
        hooks.on_train_begin()
        hooks.on_epoch_end(0, {"loss": 0.5})
        hooks.on_train_end()
        seen.append(exporter.registry.get_sample_value("gangplank_train_model_parameters_count"))

    exporter, seen = TrainTestExporter(None), []
    hooks = keras.callbacks.CallbackList([exporter], model=other_model)
    fit(model, data, keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: probe()), epochs=3)
    assert seen == 3 * [other_model.count_params()]
    assert exporter.model is other_model


def test_a_failure_that_is_raised_is_told_once(model, data, caplog, port):
    exporter = TrainTestExporter(f"127.0.0.1:{port}", "told", ignore_exceptions=False, timeout=1)
    with caplog.at_level(logging.DEBUG, "gangplank"), pytest.raises(PushError):
        fit(model, data, exporter, epochs=3)
    awaited(lambda: not pushing())
    assert [record for record in caplog.records if record.name.startswith("gangplank")] == []


def test_an_inner_fit_that_failed_does_not_make_the_outer_one_seem_to_have_failed(model, data):
    def inner():
        with pytest.raises(RuntimeError):
            fit(model, data, exporter, At(0, fail))
        seen.append(value("gangplank_train_status", {"status": "running"}))
        seen.append(value("gangplank_train_epochs_count"))

    exporter, seen = TrainTestExporter(None), []
    value = exporter.registry.get_sample_value
    fit(model, data, exporter, At(1, inner))
    assert seen == [1, 2]


def test_a_group_is_deleted_after_a_run_inside_of_which_another_failed(
    gateway, model, other_model, data, monkeypatch
):
    exporter = TrainTestExporter(gateway, "digits", delete_on_end=True)
    end = exporter._publisher.end

    def slow_end():
        time.sleep(0.5)  # in which the thread that pushes could take all runs for failed
        return end()

    monkeypatch.setattr(exporter._publisher, "end", slow_end)

    def failing():
        with pytest.raises(ZeroDivisionError):
            fit(other_model, data, exporter, At(0, lambda: 1 / 0))

    fit(model, data, exporter, At(0, failing))
    # The real one answers before it deletes.
    awaited(lambda: metrics_of(gateway, "digits") == {})


def test_the_batches_of_an_inner_fit_are_not_those_of_the_outer_one(
    model, other_model, data, monkeypatch
):
    class Inner(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                fit(other_model, data, exporter, epochs=1, batch_size=10)
            shown.append(value("gangplank_train_loss") == logs["loss"])

    monkeypatch.setattr("gangplank.training.schedule._BETWEEN_BATCHES", 0)
    exporter, shown = TrainTestExporter(None, update_freq=1), []
    value = exporter.registry.get_sample_value
    fit(model, data, exporter, Inner(), epochs=1, batch_size=30)
    assert len(shown) == 10
    assert shown.count(False) <= 1


@pytest.fixture
def often_switched():
    """Threads give way to one another as often as Python lets them."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("often_switched")
def test_a_thread_that_ends_a_run_takes_no_other_away(gateway):
    def begin_and_end(_):
        for _ in range(50):
            exporter.on_train_begin()
            own = [run for run in exporter._runs._runs if run.thread == threading.get_ident()]
            found.append((len(own), exporter._publisher._publisher is not None))
            exporter.on_train_end()

    exporter, found = TrainTestExporter(gateway, "several"), []
    with warnings.catch_warnings(action="ignore"), ThreadPoolExecutor(3) as threads:
        list(threads.map(begin_and_end, range(3)))
    assert found == [(1, True)] * 150


@pytest.mark.usefixtures("often_switched")
def test_threads_that_begin_at_once_lose_no_run():
    def begin():
        together.wait()
        exporter.on_train_begin()
        together.wait()  # since the next thread may get the identifier of one that has ended

    exporter, together = TrainTestExporter(None), threading.Barrier(20)
    threads = [threading.Thread(target=begin) for _ in range(20)]
    with warnings.catch_warnings(action="ignore"):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(exporter._runs._runs) == 20
