"""A run's metrics on a gateway are that run's: what earlier ones left there is gone."""

import logging
import os
import socket
import subprocess
import sys
import threading
import urllib.request

import keras
import prometheus_client
import pytest
from conftest import (
    LATE,
    PASSWORD_CONFIG,
    awaited,
    fetched,
    pushgateway,
    pushgateway_process,
    pushing,
)
from faulty import answering, forwarding, resetting, saying_nothing, serving
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import basic_auth_handler, default_handler
from runs import At, fit
from samples import metrics_of, samples_in, status_of

from gangplank import TrainTestExporter


def names(gateway, phase="train", job="digits", **group):
    """The names of a phase that stand in a group, less those of pushing."""
    prefix = f"gangplank_{phase}_"
    found = {key if isinstance(key, str) else key[0] for key in metrics_of(gateway, job, **group)}
    return {n.removeprefix(prefix) for n in found if n.startswith(prefix) and "push" not in n}


OF_EPOCHS = {"epochs_count", "epoch_time_seconds", "learning_rate", "samples_per_second"}
OWN = {"elapsed_time_seconds", "model_parameters_count"} | OF_EPOCHS
RICH = {"histogram_buckets": [0.0], "histogram_freq": 1}
WEIGHTS = {f"model_weights_{series}" for series in ("bucket", "sum", "count", "created")}
FULL = OWN | WEIGHTS | {"loss", "accuracy", "val_loss", "val_accuracy", "model_nan_weights"}


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


def test_one_exporter_for_several_runs(gateway, model, data):
    exporter = TrainTestExporter(gateway, "digits")
    fit(model, data, exporter, validation_split=0.2)
    model.evaluate(*data, callbacks=[exporter], verbose=0)
    fit(model, data, exporter)
    assert names(gateway) == OWN | {"loss", "accuracy"}
    assert names(gateway, "test") == {*OWN - OF_EPOCHS, "loss", "accuracy"}


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


def with_password(**options):
    return basic_auth_handler(**options, username="keras", password="open sesame")


@pytest.fixture
def secured(tmp_path):
    """A gateway that wants a password of whoever writes or reads."""
    (tmp_path / "web.yml").write_text(PASSWORD_CONFIG)
    with pushgateway(f"--web.config.file={tmp_path / 'web.yml'}") as address:
        yield address


def names_behind_password(address):
    import base64

    token = base64.b64encode(b"keras:open sesame").decode()
    request = urllib.request.Request(
        f"http://{address}/metrics", headers={"Authorization": f"Basic {token}"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        samples = samples_in(answer.read().decode())
    found = {name for name, _ in samples if name.startswith("gangplank_train_")}
    return {n.removeprefix("gangplank_train_") for n in found if "push" not in n} - {"status"}


def test_through_a_handler(gateway, model, data):
    for options in [{**RICH, "handler": default_handler}, {"handler": default_handler}]:
        exporter = TrainTestExporter(gateway, "digits", ignore_exceptions=False, **options)
        fit(model, data, exporter, validation_split=0.2 if "histogram_freq" in options else 0)
    assert names(gateway) == OWN | {"loss", "accuracy"}


def test_a_gateway_that_does_not_let_us_read(secured, model, data, caplog):
    caplog.set_level(logging.WARNING, "gangplank")
    rich = TrainTestExporter(secured, "digits", handler=with_password, **RICH)
    fit(model, data, rich, validation_split=0.2)
    assert names_behind_password(secured) == FULL
    (message,) = caplog.messages
    assert message == (
        "Metrics that an earlier run of job 'digits' had, and this one has not, may still stand on "
        f"the Pushgateway at {secured}, which does not let them be read or removed: HTTP Error "
        "401: Unauthorized."
    )
    fit(model, data, rich)  # it is told once
    assert len(caplog.messages) == 1
    assert names_behind_password(secured) == FULL - {"val_loss", "val_accuracy"}
    # Another process cannot know what this one has pushed, only what all runs have.
    fit(model, data, rich, validation_split=0.2)
    fit(model, data, TrainTestExporter(secured, "digits", handler=with_password))
    assert names_behind_password(secured) == OWN | {"loss", "accuracy"}


def test_a_gateway_that_takes_text_only(real_gateway, model, data, caplog):
    def handler(url, method, timeout, headers, data):
        if "text/plain" in dict(headers)["Content-Type"]:
            return default_handler(url, method, timeout, headers, data)

        def refused():
            with serving(answering("415 Unsupported Media Type")) as address:
                default_handler(f"http://{address}", method, timeout, headers, data)()

        return refused

    options = {"handler": handler, "ignore_exceptions": False}
    for validation_split in (0.2, 0.0):
        exporter = TrainTestExporter(real_gateway, "digits", **options)
        fit(model, data, exporter, validation_split=validation_split)
    (message,) = caplog.messages
    assert message.endswith("be read or removed: HTTP Error 415: Unsupported Media Type.")
    assert {"loss", "val_loss"} <= names(real_gateway)
    assert status_of(real_gateway, "digits") == "completed"


def test_weights_that_can_no_longer_be_counted(gateway, model, data, monkeypatch):
    exporter = TrainTestExporter(gateway, "digits", **RICH)
    seen = []

    def fail(*_, **__):
        raise RuntimeError("the device is gone")

    def act(epoch, _):
        seen.append(awaited(lambda: "model_weights_count" in names(gateway)))
        monkeypatch.setattr("gangplank.weights_watch.Parts", fail)

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


@pytest.mark.parametrize("status", ["404 Not Found", "501 Not Implemented", "200 OK"])
def test_what_does_not_know_the_question_is_pushed_text_and_told_of_once(
    model, data, status, caplog
):
    requests = []

    def speak(connection, end):
        requests.append(connection.recv(1 << 20, socket.MSG_PEEK))
        is_push = requests[-1].startswith(b"POST")
        answering("200 OK" if is_push else status, b"ok")(connection, end)

    with serving(speak, peek=True) as address:
        exporter = TrainTestExporter(address, "digits", ignore_exceptions=False, **RICH)
        fit(model, data, exporter, validation_split=0.2)
        fit(model, data, exporter)
    assert len([request for request in requests if request.startswith(b"GET")]) == 2
    assert not any(b"application/vnd.google.protobuf" in request for request in requests)
    (message,) = caplog.messages
    assert "which does not let them be read or removed: " in message


def failing_first(gateway, *answers):
    """A proxy before `gateway` that gives these answers to the first questions."""
    left = list(answers)

    def speak(connection, end):
        is_question = connection.recv(1 << 16, socket.MSG_PEEK).startswith(b"GET")
        (left.pop(0) if is_question and left else forwarding(gateway, []))(connection, end)

    return serving(speak, peek=True)


def pushed_until(exporter, condition):
    awaited(lambda: exporter._publisher.push() or condition())


@pytest.mark.parametrize(
    "answer",
    [answering("503 Unavailable"), resetting, saying_nothing],
    ids=["503", "reset", "hang"],
)
def test_a_gateway_that_does_not_answer_at_first_is_asked_again(
    real_gateway, model, data, answer, caplog
):
    def is_clean():
        return names(real_gateway) <= OWN | {"loss", "accuracy"}

    fit(model, data, TrainTestExporter(real_gateway, "digits", **RICH), validation_split=0.2)
    with failing_first(real_gateway, answer, answer) as address:
        exporter = TrainTestExporter(address, "digits", ignore_exceptions=False, timeout=2)
        fit(model, data, exporter, At(0, lambda: pushed_until(exporter, is_clean)), epochs=2)
    assert names(real_gateway) == OWN | {"loss", "accuracy"}
    assert caplog.messages == []


def test_a_gateway_that_never_answers_gets_its_metrics_and_is_told_of_once(
    real_gateway, model, data, caplog
):
    fit(model, data, TrainTestExporter(real_gateway, "digits"), validation_split=0.2)
    with failing_first(real_gateway, *[saying_nothing] * 100) as address:
        exporter = TrainTestExporter(address, "digits", ignore_exceptions=False, timeout=1)
        told = At(0, lambda: pushed_until(exporter, lambda: caplog.messages))
        fit(model, data, exporter, told, epochs=5)
    metrics = metrics_of(real_gateway, "digits")
    assert metrics["gangplank_train_epochs_count"] == 5
    assert "gangplank_train_val_loss" in metrics
    (message,) = caplog.messages
    assert message.endswith("which does not let them be read or removed: timed out.")


def test_what_could_not_be_read_is_told_of_after_a_run_of_few_pushes(
    real_gateway, model, data, caplog
):
    fit(model, data, TrainTestExporter(real_gateway, "digits"), validation_split=0.2)
    model.evaluate(*data, callbacks=[TrainTestExporter(real_gateway, "digits")], verbose=0)
    with failing_first(real_gateway, *[answering("500 Internal Server Error")] * 100) as address:
        fit(model, data, TrainTestExporter(address, "digits"), epochs=1)
        exporter = TrainTestExporter(address, "digits")
        for _ in range(3):
            model.evaluate(*data, callbacks=[exporter], verbose=0)
    assert "gangplank_train_val_loss" in metrics_of(real_gateway, "digits")
    assert len(caplog.messages) == 2
    assert all("may still stand on the Pushgateway at" in each for each in caplog.messages)


def test_an_end_during_the_first_push_leaves_time_for_another_question(
    real_gateway, model, data, caplog
):
    release = threading.Event()

    def handler(**options):
        send = default_handler(**options)
        return lambda: (release.wait(LATE), send())

    fit(model, data, TrainTestExporter(real_gateway, "digits"), validation_split=0.2)
    with failing_first(real_gateway, answering("500 Internal Server Error")) as address:
        exporter = TrainTestExporter(address, "digits", handler=handler)
        end = exporter._publisher.end
        exporter._publisher.end = lambda **options: (
            threading.Timer(0.3, release.set).start(),
            end(**options),
        )
        fit(model, data, exporter, epochs=1)
    assert names(real_gateway) == OWN | {"loss", "accuracy"}
    assert caplog.messages == []


def test_a_group_that_is_deleted_at_the_end_has_nothing_left(real_gateway, model, data, caplog):
    with failing_first(real_gateway, *[answering("500 Internal Server Error")] * 100) as address:
        fit(model, data, TrainTestExporter(address, "digits", delete_on_end=True), epochs=1)
    assert caplog.messages == []


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
    monkeypatch.setattr("gangplank.processes.process_index", lambda _: 1)
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
