"""A run's metrics on a gateway are that run's: what earlier ones left there is gone."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import keras
import prometheus_client
import pytest
from conftest import (
    awaited,
    fetched,
    pushgateway_process,
    pushing,
)
from faulty import answering, failing_first
from models import classifier
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import default_handler
from runs import At, fit
from samples import metrics_of, status_of
from series import FULL, OF_EPOCHS, OF_TESTS, OWN, RICH, WEIGHTS, names

from gangplank import TrainTestExporter
from gangplank.publishing import Pushgateway


def test_a_run_takes_away_what_the_one_before_it_had(gateway, model, data):
    def look():
        awaited(lambda: status_of(gateway, "digits") == "running")
        seen.append(names(gateway))

    seen = []
    for epochs in (1, 2):
        fit(model, data, TrainTestExporter(gateway, "digits", **RICH), validation_split=0.2)
        assert names(gateway) == FULL
        model.evaluate(*data, callbacks=[TrainTestExporter(gateway, "digits", **RICH)], verbose=0)
        at_its_begin = keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_: look())
        fit(model, data, TrainTestExporter(gateway, "digits"), at_its_begin, epochs=epochs)
        assert names(gateway) == OWN | {"loss", "accuracy"}
        # What the other phase has left is still there, and goes with the next one.
        assert "model_weights_bucket" in names(gateway, "test")
        model.evaluate(*data, callbacks=[TrainTestExporter(gateway, "digits")], verbose=0)
        assert "model_weights_bucket" not in names(gateway, "test")
        assert names(gateway) == OWN | {"loss", "accuracy"}
    assert len(seen) == 3
    for each in seen:
        assert each <= OWN | {"loss", "accuracy"}


def test_a_label_that_is_called_metrics(gateway, model, data):
    for options in ({"validation_split": 0.2}, {}):
        exporter = TrainTestExporter(gateway, "digits", grouping_key={"metrics": "a"})
        fit(model, data, exporter, **options)
    assert names(gateway, metrics="a") == OWN | {"loss", "accuracy"}


def test_one_exporter_for_several_runs(gateway, model, data):
    exporter = TrainTestExporter(gateway, "digits")
    fit(model, data, exporter, validation_split=0.2)
    model.evaluate(*data, callbacks=[exporter], verbose=0)
    fit(model, data, exporter)
    assert names(gateway) == OWN | {"loss", "accuracy"}
    assert names(gateway, "test") == {*OWN - OF_EPOCHS, "loss", "accuracy"}


def test_a_metric_of_somebody_else_s_that_is_called_labels(gateway, model, data):
    registry = CollectorRegistry()
    Gauge("labels", "", registry=registry).set(7)
    prometheus_client.pushadd_to_gateway(gateway, "digits", registry)
    for options in ({"validation_split": 0.2}, {}):
        fit(model, data, TrainTestExporter(gateway, "digits"), **options)
    assert names(gateway) == OWN | {"loss", "accuracy"}
    assert metrics_of(gateway, "digits")["labels"] == 7


def test_what_others_have_pushed_stays(gateway, model, data):
    registry = CollectorRegistry()
    for name in ("gangplank_test_loss", "learning_rate", "gangplank_trained"):
        Gauge(name, "", registry=registry).set(7)
    prometheus_client.pushadd_to_gateway(gateway, "digits", registry)
    fit(model, data, TrainTestExporter(gateway, "other", **RICH), validation_split=0.2)
    for group in None, {"run": "7"}:
        exporter = TrainTestExporter(gateway, "digits", grouping_key=group, **RICH)
        fit(model, data, exporter, validation_split=0.2)
    fit(model, data, TrainTestExporter(gateway, "digits"))
    metrics = metrics_of(gateway, "digits")
    assert {metrics[name] for name in ("gangplank_test_loss", "learning_rate")} == {7}
    assert metrics["gangplank_trained"] == 7
    assert names(gateway, job="other") == names(gateway, run="7") == FULL
    assert names(gateway) == OWN | {"loss", "accuracy"}


def test_what_others_push_meanwhile_is_not_lost(real_gateway, model, data):
    """Tests of the same job push while one training after another begins."""
    ended, pushed = threading.Event(), []

    def push():
        while not ended.is_set():
            registry = CollectorRegistry()
            name = f"gangplank_test_loss_{len(pushed)}"
            Gauge(name, "", registry=registry).set(1)
            prometheus_client.pushadd_to_gateway(real_gateway, "digits", registry)
            pushed.append(name)

    thread = threading.Thread(target=push)
    thread.start()
    for options in [{**RICH}, {}] * 3:
        fit(model, data, TrainTestExporter(real_gateway, "digits", **options), epochs=1)
    ended.set()
    thread.join()
    metrics = metrics_of(real_gateway, "digits")
    assert [name for name in pushed if name not in metrics] == []
    assert names(real_gateway) == OWN | {"loss", "accuracy"}


def test_a_training_and_a_test_at_once_take_away_only_what_is_theirs(real_gateway, data):
    def train():
        for options in [RICH, {}] * 2:
            exporter = TrainTestExporter(real_gateway, "digits", **options)
            fit(classifier(), data, exporter, validation_split=0.2 if options else 0.0)
            seen.append((names(real_gateway), FULL if options else OWN | {"loss", "accuracy"}))

    def test():
        for options in [RICH, {}] * 3:
            exporter = TrainTestExporter(real_gateway, "digits", **options)
            classifier().evaluate(*data, callbacks=[exporter], verbose=0)
            expected = OF_TESTS | (WEIGHTS | {"model_nan_weights"} if options else set())
            seen.append((names(real_gateway, "test"), expected))

    seen = []
    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(train), pool.submit(test)]:
            each.result()
    assert len(seen) == 10
    for found, expected in seen:
        assert found == expected


SCRIPT = """
import os, sys, time
import keras, numpy as np
import gangplank

class Stay(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if "stay" in sys.argv:
            os.write(1, b"trained\\n")
            time.sleep(600)

x, y = np.zeros((32, 2), "float32"), np.zeros(32)
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
exporter = gangplank.TrainTestExporter(
    sys.argv[1], "digits", histogram_buckets=[0], histogram_freq=1
)
model.fit(x, y, validation_split=0.5, callbacks=[exporter, Stay()], verbose=0)
"""


def test_what_a_process_has_left_that_was_killed(real_gateway, model, data):
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, real_gateway, "stay"],
        stdout=subprocess.PIPE,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    ) as process:
        process.stdout.read(1)
        awaited(lambda: "val_loss" in names(real_gateway))
        process.kill()
    assert WEIGHTS | {"val_loss"} <= names(real_gateway)
    fit(model, data, TrainTestExporter(real_gateway, "digits"))
    assert names(real_gateway) == OWN | {"loss", "accuracy"}


def test_each_process_cleans_the_group_that_it_pushes_to(gateway, model, data):
    for options in [RICH, {}]:
        fit(model, data, TrainTestExporter(gateway, "digits", push_from="all", **options))
    assert names(gateway, process="0") == OWN | {"loss", "accuracy"}


def test_weights_that_can_no_longer_be_counted(gateway, model, data, monkeypatch):
    exporter = TrainTestExporter(gateway, "digits", **RICH)
    seen = []

    def fail(*_, **__):
        raise RuntimeError("the device is gone")

    def act(epoch, _):
        seen.append(awaited(lambda: "model_weights_count" in names(gateway)))
        monkeypatch.setattr("gangplank.training.weights_watch.Parts", fail)

    look = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, _: epoch or act(epoch, _))
    with pytest.warns(UserWarning, match="the device is gone"):
        fit(model, data, exporter, look)
    assert seen == [True]
    assert names(gateway) == OWN | {"loss", "accuracy"}


def test_a_gateway_that_has_kept_its_metrics_over_a_restart(model, data, tmp_path):
    kept = tmp_path / "metrics"
    with pushgateway_process(kept_in=kept) as (address, _):
        fit(model, data, TrainTestExporter(address, "digits", **RICH), validation_split=0.2)
        fit(model, data, TrainTestExporter(address, "digits"))
    with pushgateway_process(kept_in=kept) as (address, _):
        assert names(address) == OWN | {"loss", "accuracy"}
        fit(model, data, TrainTestExporter(address, "digits", **RICH), validation_split=0.2)
        assert names(address) == FULL
        assert "gangplank_train_val_loss" in fetched(f"http://{address}/")
    assert pushing() == []


def test_a_group_that_is_deleted_at_the_end_has_nothing_left(real_gateway, model, data, caplog):
    with failing_first(real_gateway, *[answering("500 Internal Server Error")] * 100) as address:
        fit(model, data, TrainTestExporter(address, "digits", delete_on_end=True), epochs=1)
    assert caplog.messages == []


def test_after_a_group_was_deleted_the_next_run_takes_nothing_away(
    gateway, model, data, monkeypatch
):
    exporter = TrainTestExporter(gateway, "digits", delete_on_end=True, **RICH)
    fit(model, data, exporter, validation_split=0.2)
    removed = []
    monkeypatch.setattr(Pushgateway, "remove", lambda *arguments: removed.append(arguments))
    fit(model, data, exporter)
    assert removed == []


def test_a_run_that_failed_while_the_gateway_was_away_and_a_test_right_after_it(
    real_gateway, model, data
):
    def fail():
        raise RuntimeError

    fit(model, data, TrainTestExporter(real_gateway, "digits", **RICH), validation_split=0.2)
    attempts = []

    def handler(**options):
        attempts.append(options)
        if len(attempts) < 2:
            raise ConnectionRefusedError
        return default_handler(**options)

    exporter = TrainTestExporter(real_gateway, "digits", handler=handler)
    with pytest.raises(RuntimeError):
        fit(model, data, exporter, At(0, fail))
    model.evaluate(*data, callbacks=[exporter], verbose=0)
    assert status_of(real_gateway, "digits") == "failed"
    assert status_of(real_gateway, "digits", "test") == "completed"
    assert names(real_gateway) == OWN | {"loss", "accuracy"}


def test_each_group_is_cleaned_by_itself_where_the_process_s_index_changes(
    gateway, model, data, monkeypatch
):
    exporter = TrainTestExporter(gateway, "digits", push_from="all")
    fit(model, data, exporter, validation_split=0.2)
    monkeypatch.setattr("gangplank.training.processes.process_index", lambda _: 1)
    fit(model, data, exporter)
    assert "val_loss" in names(gateway, process="0")
    assert names(gateway, process="1") == OWN | {"loss", "accuracy"}


def test_a_metric_of_another_kind_under_our_prefix(gateway, model, data):
    registry = CollectorRegistry()
    config = prometheus_client.Info("gangplank_train_config", "", registry=registry)
    exporter = TrainTestExporter(gateway, "digits", registry=registry, ignore_exceptions=False)
    fit(model, data, exporter)
    assert "config_info" in names(gateway)
    registry.unregister(config)
    fit(model, data, exporter)
    assert names(gateway) == OWN | {"loss", "accuracy"}
