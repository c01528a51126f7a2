"""Runs inside of runs, in several threads, in loops of one's own, and copies of the exporter."""

import copy
import gc
import logging
import pickle
import sys
import threading
import warnings
import weakref

import keras
import models
import pytest
from conftest import LATE, awaited, pushing
from prometheus_client import CollectorRegistry, generate_latest
from runs import At, fit
from samples import metrics_of, status_of

from gangplank import PushError, TrainTestExporter


@pytest.fixture
def other_model():
    return models.as_new(models.deeper_classifier)


def test_a_fit_inside_of_a_fit_gives_way_to_the_outer_one_again(
    gateway, model, other_model, data, caplog
):
    exporter = TrainTestExporter(gateway, "nested", histogram_buckets=[0.0], timeout=3)
    inner = At(0, lambda: fit(other_model, data, exporter, epochs=7))
    history = fit(model, data, inner, exporter, epochs=3)
    assert exporter.model is model
    metrics = metrics_of(gateway, "nested")
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


def loop(exporter, model, epochs=2, act=lambda: None):
    """A training loop of one's own."""
    hooks = keras.callbacks.CallbackList([exporter], model=model)
    hooks.on_train_begin()
    for epoch in range(epochs):
        hooks.on_epoch_begin(epoch)
        hooks.on_epoch_end(epoch, {"loss": 1 / (epoch + 1)})
        act()
    hooks.on_train_end({"loss": 0.1})


def fail():
    raise RuntimeError("no")


@pytest.mark.parametrize("model_of", [lambda model: model, lambda _: None], ids=["model", "none"])
def test_a_loop_of_ones_own(gateway, model, model_of):
    exporter = TrainTestExporter(gateway, "loop")
    with exporter as entered:
        loop(exporter, model_of(model))
        assert status_of(gateway, "loop") == "completed"
    assert entered is exporter
    metrics = metrics_of(gateway, "loop")
    assert metrics["gangplank_train_epochs_count"] == 2
    assert metrics.get("gangplank_train_model_parameters_count") == (model_of(model) and 27)


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_the_end_of_the_block_tells_that_a_loop_of_ones_own_has_failed(gateway, model, failure):
    def fail():
        raise failure

    exporter = TrainTestExporter(gateway, "loop", ignore_exceptions=False)
    with pytest.raises(failure), exporter:
        loop(exporter, model, act=fail)
    assert status_of(gateway, "loop") == "failed"
    assert metrics_of(gateway, "loop")["gangplank_train_epochs_count"] == 1
    assert pushing() == []


def test_the_end_of_the_block_ends_what_did_not_say_so(gateway, model):
    with TrainTestExporter(gateway, "loop", histogram_buckets=[0.0]) as exporter:
        exporter.set_model(model)
        exporter.on_train_begin()
        exporter.on_epoch_end(0, {"loss": 0.5})
        exporter.set_model(model)
        exporter.on_test_begin()
    metrics = metrics_of(gateway, "loop")
    assert metrics["gangplank_train_model_weights_count"] == 27
    assert metrics["gangplank_test_model_weights_count"] == 27
    assert status_of(gateway, "loop") == status_of(gateway, "loop", "test") == "completed"


def test_a_lost_push_does_not_hide_the_exception_that_ends_the_block(model, caplog):
    exporter = TrainTestExporter("127.0.0.1:1", "loop", ignore_exceptions=False, timeout=0.3)
    exporter.on_train_begin()
    with pytest.raises(RuntimeError, match="no"), exporter:
        fail()
    (message,) = caplog.messages
    assert message.endswith("It has nothing of this run.")


def test_a_loop_that_an_exception_left_does_not_hold_the_next_one_up(gateway, model):
    exporter = TrainTestExporter(gateway, "loop")
    with pytest.raises(RuntimeError):
        loop(exporter, model, act=fail)
    loop(exporter, model, epochs=5)
    assert metrics_of(gateway, "loop")["gangplank_train_epochs_count"] == 5
    assert status_of(gateway, "loop") == "completed"
    assert pushing() == []


def test_a_histogram_where_there_is_no_model():
    exporter = TrainTestExporter(None, histogram_buckets=[0.0])
    with pytest.warns(UserWarning, match=r"no histogram of the weights: there is no model\. Call"):
        loop(exporter, None)
    assert exporter.registry.get_sample_value("gangplank_train_loss") == 0.5


def test_a_heartbeat_with_a_fresh_time(gateway, monkeypatch):
    monkeypatch.setattr("gangplank.publishing.publisher._LONGEST_SILENCE", 1.0)
    monkeypatch.setattr("gangplank.metrics.run_metrics._LONG", 0.5)
    exporter = TrainTestExporter(gateway, "long")
    name = "gangplank_train_elapsed_time_seconds"
    with exporter:
        exporter.on_train_begin()
        first = awaited(lambda: metrics_of(gateway, "long").get(name))
        later = awaited(lambda: (m := metrics_of(gateway, "long"))[name] > first and m)
        assert later["gangplank_train_push_failures_total"] == 0
        assert status_of(gateway, "long") == "running"


def test_no_time_before_the_first_metrics_of_a_short_run():
    exporter = TrainTestExporter(None)
    exporter.on_train_begin()
    assert b"elapsed" not in b"".join(
        line for line in generate_latest(exporter.registry).splitlines() if line[:1] != b"#"
    )


COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda each: pickle.loads(pickle.dumps(each))}


def handler(**options):
    return lambda: None


class Sub(TrainTestExporter):
    """A subclass with attributes of its own."""

    def __init__(self, *arguments, **options):
        self.first = [0]
        super().__init__(*arguments, **options)
        self.own = [1]


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_a_copy_is_a_fresh_exporter_of_the_same_arguments(copied, model, data):
    arguments = {
        "metrics": ["loss"],
        "histogram_buckets": [0.0, 0.1],
        "handler": handler,
        "ignore_exceptions": False,
        "weights": "all",
        "histogram_freq": 2,
        "histogram_per": "layer",
        "statistics": "variable",
        "update_ratio": True,
        "update_freq": 3,
        "grouping_key": {"run": "7"},
        "push_from": "all",
        "delete_on_end": True,
        "timeout": 3.0,
    }
    exporter = Sub("127.0.0.1:9091", "travels", **arguments)
    fit(model, data, exporter, epochs=1)
    other = copied(exporter)
    assert type(other) is Sub
    assert (other.first, other.own) == ([0], [1])
    assert other.own is not exporter.own
    assert repr(other) == repr(exporter)
    assert other._arguments == exporter._arguments
    assert {**other._arguments, **arguments, "histogram_buckets": (0.0, 0.1)} == {
        "pgw_addr": "127.0.0.1:9091",
        "job": "travels",
        **arguments,
        "metrics": ["loss"],
        "histogram_buckets": (0.0, 0.1),
    }
    assert other.registry is not exporter.registry
    assert other.registry.get_sample_value("gangplank_train_loss") is None
    assert exporter.registry.get_sample_value("gangplank_train_loss") is not None
    fit(model, data, other, epochs=1)
    assert other.registry.get_sample_value("gangplank_train_epochs_count") == 1


def test_a_repr_names_where_the_metrics_go():
    exporter = TrainTestExporter("127.0.0.1:9091", "mnist", grouping_key={"run": "7"})
    assert (
        repr(exporter) == "TrainTestExporter('127.0.0.1:9091', 'mnist', grouping_key={'run': '7'})"
    )
    assert repr(TrainTestExporter(None)) == "TrainTestExporter(None, None)"


def test_where_nothing_is_pushed_the_grouping_key_is_on_the_series_and_a_registry_is_shared(
    model, data
):
    registry = CollectorRegistry()
    exporters = [
        TrainTestExporter(
            None, grouping_key={"run": run}, registry=registry, histogram_buckets=[0.0]
        )
        for run in "ab"
    ]
    fit(model, data, exporters[0], epochs=1)
    fit(model, data, exporters[1], epochs=2)
    for run, epochs in ("a", 1), ("b", 2):
        value = registry.get_sample_value
        assert value("gangplank_train_epochs_count", {"run": run}) == epochs
        assert value("gangplank_train_model_weights_bucket", {"run": run, "le": "+Inf"}) == 27
        assert value("gangplank_train_status", {"run": run, "status": "completed"}) == 1
    lines = generate_latest(registry).decode().splitlines()
    types = [line for line in lines if line.startswith("# TYPE")]
    assert len(types) == len(set(types))
    assert generate_latest(registry).decode().splitlines() == lines
    with pytest.raises(ValueError, match="registry has metrics of these names already"):
        TrainTestExporter(None, grouping_key={"run": "a"}, registry=registry)


def test_a_job_may_be_left_out_only_where_nothing_is_pushed():
    TrainTestExporter(None)
    with pytest.raises(ValueError, match="job must name the job where pgw_addr is given"):
        TrainTestExporter("127.0.0.1:9091")


def test_the_weights_that_are_counted(model, data):
    frozen = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3, trainable=False)])
    frozen.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    exporter = TrainTestExporter(None, histogram_buckets=[0.0])
    name = "gangplank_test_model_weights_count"
    with pytest.warns(UserWarning, match=r"has 0 of the 27 weights of the model.*weights='all'"):
        frozen.evaluate(*data, callbacks=[exporter], verbose=0)
    frozen.evaluate(*data, callbacks=[exporter], verbose=0)  # it is told once
    assert exporter.registry.get_sample_value(name) == 0
    exporter = TrainTestExporter(None, histogram_buckets=[0.0], weights="all")
    frozen.evaluate(*data, callbacks=[exporter], verbose=0)
    assert exporter.registry.get_sample_value(name) == 27
    with pytest.raises(ValueError, match=r"weights must be 'trainable' or 'all'. Received 'some'"):
        TrainTestExporter(None, weights="some")


def test_a_failure_that_is_raised_is_told_once(model, data, caplog):
    exporter = TrainTestExporter("127.0.0.1:1", "told", ignore_exceptions=False, timeout=1)
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


def test_the_batches_of_an_inner_fit_are_not_those_of_the_outer_one(
    model, other_model, data, monkeypatch
):
    class Inner(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                fit(other_model, data, exporter, epochs=1, batch_size=10)
            shown.append(value("gangplank_train_loss") == logs["loss"])

    monkeypatch.setattr("gangplank.schedule._BETWEEN_BATCHES", 0)
    exporter, shown = TrainTestExporter(None, update_freq=1), []
    value = exporter.registry.get_sample_value
    fit(model, data, exporter, Inner(), epochs=1, batch_size=30)
    assert len(shown) == 10
    assert shown.count(False) <= 1


def test_a_registry_does_not_keep_models_alive():
    registry, model = CollectorRegistry(), keras.Sequential([keras.Input((8,))])
    exporter = TrainTestExporter(None, registry=registry)
    loop(exporter, model)
    reference = weakref.ref(model)
    del exporter, model
    gc.collect()
    assert reference() is None
    assert registry.get_sample_value("gangplank_train_epochs_count") == 2


def test_threads_that_begin_at_once_lose_no_run():
    def begin():
        together.wait()
        exporter.on_train_begin()
        together.wait()  # since the next thread may get the identifier of one that has ended

    exporter, together = TrainTestExporter(None), threading.Barrier(20)
    interval = sys.getswitchinterval()
    threads = [threading.Thread(target=begin) for _ in range(20)]
    sys.setswitchinterval(1e-6)
    try:
        with warnings.catch_warnings(action="ignore"):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert len(exporter._runs._runs) == 20
