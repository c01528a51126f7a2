"""Gateways that do not tell what stands on them, or not at first."""

import base64
import logging
import socket
import threading
import urllib.request

import pytest
from conftest import (
    LATE,
    PASSWORD_CONFIG,
    awaited,
    pushgateway,
)
from faulty import answering, failing_first, resetting, saying_nothing, serving
from prometheus_client.exposition import basic_auth_handler, default_handler
from runs import At, fit
from samples import metrics_of, samples_in, status_of
from series import FULL, OWN, RICH, names

from gangplank import TrainTestExporter


def with_password(**options):
    return basic_auth_handler(**options, username="keras", password="open sesame")


@pytest.fixture
def secured(tmp_path):
    """A gateway that wants a password of whoever writes or reads."""
    (tmp_path / "web.yml").write_text(PASSWORD_CONFIG)
    with pushgateway(f"--web.config.file={tmp_path / 'web.yml'}") as address:
        yield address


def names_behind_password(address):
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
        exporter = TrainTestExporter(address, "digits", ignore_exceptions=False, timeout=4)
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
        finish = exporter._publisher.finish
        exporter._publisher.finish = lambda *ended, **options: (
            threading.Timer(0.3, release.set).start(),
            finish(*ended, **options),
        )
        fit(model, data, exporter, epochs=1)
    assert names(real_gateway) == OWN | {"loss", "accuracy"}
    assert caplog.messages == []
