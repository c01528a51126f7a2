"""Training loops of one's own, and what the end of an exporter's block makes of them."""

import gc
import threading
import time
import weakref
from collections import OrderedDict
from functools import partial
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from conftest import LATE, awaited, pushing
from prometheus_client import CollectorRegistry, generate_latest
from runs import fail, loop
from samples import metrics_of, status_of

from gangplank import PushError, TrainTestExporter
from gangplank.metrics import run_metrics
from gangplank.publishing import publisher


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


def test_a_lost_push_does_not_hide_the_exception_that_ends_the_block(model, caplog, port):
    address = f"127.0.0.1:{port}"
    exporter = TrainTestExporter(address, "loop", ignore_exceptions=False, timeout=0.3)
    exporter.on_train_begin()
    with pytest.raises(RuntimeError, match="no"), exporter:
        fail()
    (message,) = caplog.messages
    assert message.endswith("It has nothing of this run.")


def test_a_lost_push_hides_it_of_nested_runs_neither(model, port, caplog):
    have_begun = threading.Event()

    def refused(**_):
        have_begun.wait(LATE)
        raise ConnectionRefusedError

    exporter = TrainTestExporter(
        f"127.0.0.1:{port}", "loop", handler=refused, ignore_exceptions=False, timeout=1
    )
    value = exporter.registry.get_sample_value

    def nest():
        for begin in (exporter.on_train_begin, exporter.on_test_begin):
            exporter.set_model(model)
            begin()
        have_begun.set()
        awaited(lambda: value("gangplank_train_push_failures_total"))
        fail()

    with pytest.raises(RuntimeError, match="no"), exporter:
        nest()
    assert value("gangplank_train_status", {"status": "failed"}) == 1
    assert value("gangplank_test_status", {"status": "failed"}) == 1
    assert len(caplog.messages) == 1


def lost_loop(exporter, model):
    with pytest.raises(PushError) as raised:
        loop(exporter, model, epochs=1000, act=partial(time.sleep, 0.05))
    return raised.value


def test_what_a_hook_raised_is_not_logged_at_the_end_of_the_block(model, caplog, port):
    exporter = TrainTestExporter(f"127.0.0.1:{port}", "loop", ignore_exceptions=False, timeout=1)
    with pytest.raises(PushError), exporter:
        raise lost_loop(exporter, model)
    awaited(lambda: not pushing())
    assert caplog.messages == []


def test_what_is_lost_after_a_push_error_that_was_caught_is_logged(model, caplog, port):
    exporter = TrainTestExporter(f"127.0.0.1:{port}", "loop", ignore_exceptions=False, timeout=1)
    lost_loop(exporter, model)
    with pytest.raises(RuntimeError), exporter:
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
    hooks = keras.callbacks.CallbackList([TrainTestExporter(None, histogram_buckets=[0.0])])
    hooks.on_test_begin()
    with pytest.warns(UserWarning, match="there is no model"):
        hooks.on_test_end({"loss": 0.25})


@pytest.mark.parametrize("has_logs", [True, False])
@pytest.mark.parametrize(("loss", "ending"), [(float("nan"), "failed"), (0.5, "completed")])
def test_a_loss_that_ends_a_loop_of_ones_own(model, loss, ending, has_logs):
    exporter = TrainTestExporter(None, metrics=["mae"])
    hooks = keras.callbacks.CallbackList([keras.callbacks.TerminateOnNaN(), exporter], model=model)
    model.stop_training = False
    with exporter:
        hooks.on_train_begin()
        hooks.on_epoch_begin(0)
        hooks.on_train_batch_end(0, {"loss": loss})
        hooks.on_epoch_end(0, {"loss": loss, "mae": 0.5})
        assert model.stop_training == (ending == "failed")
        if has_logs:
            hooks.on_train_end({"loss": loss, "mae": 0.5})
    assert exporter.registry.get_sample_value("gangplank_train_status", {"status": ending}) == 1


@pytest.mark.parametrize("model", [SimpleNamespace(), SimpleNamespace(weights=[0.1])])
def test_a_model_that_is_not_keras_s_has_metrics_but_no_histogram(model):
    exporter = TrainTestExporter(None, histogram_buckets=[0.0], update_ratio=True)
    with pytest.warns(UserWarning, match="no histogram of the weights: model must be a Keras mod"):
        loop(exporter, model)
    value = exporter.registry.get_sample_value
    assert value("gangplank_train_loss") == 0.5
    assert value("gangplank_train_model_parameters_count") is None
    assert value("gangplank_train_status", {"status": "completed"}) == 1


@pytest.mark.parametrize("mapping", [dict, OrderedDict])
def test_a_mapping_of_arrays_in_place_of_a_model(mapping):
    exporter = TrainTestExporter(None, histogram_buckets=[0.0])
    loop(exporter, mapping(kernel=np.zeros((2, 3)), bias=np.ones(3)))
    value = exporter.registry.get_sample_value
    assert value("gangplank_train_model_weights_count") == 9
    assert value("gangplank_train_model_weights_bucket", {"le": "0.0"}) == 6
    assert value("gangplank_train_status", {"status": "completed"}) == 1


def test_a_run_keeps_no_loss_but_its_number():
    exporter = TrainTestExporter(None)
    exporter.on_train_begin()
    exporter.on_epoch_end(0, {"loss": np.array(0.5)})
    exporter.on_train_end()
    assert type(exporter._train.run.loss) is float


def test_a_heartbeat_with_a_fresh_time(gateway, monkeypatch):
    assert publisher._LONGEST_SILENCE == run_metrics._LONG == 60
    monkeypatch.setattr(publisher, "_LONGEST_SILENCE", 1.0)
    monkeypatch.setattr(run_metrics, "_LONG", 0.5)
    exporter = TrainTestExporter(gateway, "long")
    name = "gangplank_train_elapsed_time_seconds"
    with exporter:
        exporter.on_train_begin()
        assert awaited(lambda: metrics_of(gateway, "long").get(name))
        exporter.on_epoch_end(0, {"loss": 0.5})
        epoch = awaited(lambda: "gangplank_train_loss" in (m := metrics_of(gateway, "long")) and m)
        later = awaited(lambda: (m := metrics_of(gateway, "long"))[name] > epoch[name] and m)
        assert later["gangplank_train_push_failures_total"] == 0
        assert status_of(gateway, "long") == "running"


def test_no_time_before_the_first_metrics_of_a_short_run():
    exporter = TrainTestExporter(None)
    exporter.on_train_begin()
    assert b"elapsed" not in b"".join(
        line for line in generate_latest(exporter.registry).splitlines() if line[:1] != b"#"
    )


def test_a_registry_does_not_keep_models_alive():
    registry, model = CollectorRegistry(), keras.Sequential([keras.Input((8,))])
    exporter = TrainTestExporter(None, registry=registry)
    loop(exporter, model)
    reference = weakref.ref(model)
    del exporter, model
    gc.collect()
    assert reference() is None
    assert registry.get_sample_value("gangplank_train_epochs_count") == 2
