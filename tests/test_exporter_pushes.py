"""What the callback pushes, and where to."""

import contextlib
import logging

import keras
import prometheus_client
import pytest
from conftest import awaited, pushing
from prometheus_client import CollectorRegistry
from runs import At, Run, fit
from samples import metrics_of, status_of

from gangplank import PushError, TrainTestExporter
from gangplank.gateway import Gateway


def test_a_gateway_that_is_down_is_logged_in_two_lines_and_the_run_goes_on(
    model, data, port, caplog
):
    address = f"127.0.0.1:{port}"
    exporter = TrainTestExporter(address, "digits", histogram_buckets=[0.0], timeout=1)
    logged = At(0, lambda: awaited(lambda: caplog.records))
    with caplog.at_level(logging.INFO):
        history = fit(model, data, exporter, logged, epochs=5)
    assert len(history.epoch) == 5
    records = [record for record in caplog.records if record.name.startswith("gangplank")]
    assert [record.levelname for record in records] == ["WARNING", "ERROR"]
    for record, ending in zip(
        records,
        ["Nothing more is logged until a push succeeds.", "It has nothing of this run."],
        strict=True,
    ):
        message = record.getMessage()
        assert f"of job 'digits' were not pushed to the Pushgateway at {address}" in message
        assert message.endswith(ending)
        assert "\n" not in message


def test_a_gateway_that_is_down_ends_the_run_if_asked_to(model, data, port):
    exporter = TrainTestExporter(f"127.0.0.1:{port}", "digits", ignore_exceptions=False)
    with pytest.raises(PushError, match="Connection refused"):
        fit(model, data, exporter)


def test_a_refused_push_leaves_the_group_whole(gateway, model, data):
    squatter = CollectorRegistry()
    prometheus_client.Histogram("gangplank_train_loss", "", registry=squatter)
    prometheus_client.push_to_gateway(gateway, "squatter", squatter)
    exporter = TrainTestExporter(gateway, "digits", ignore_exceptions=False)
    with pytest.raises(PushError, match="answered 400 Bad Request"):
        fit(model, data, exporter)
    # What was pushed as the run began stands there, and nothing of what was refused.
    names = {name for name in metrics_of(gateway, "digits") if "gangplank" in str(name)}
    assert names <= {
        "gangplank_train_push_failures_total",
        "gangplank_train_last_push_success_timestamp_seconds",
    }


def test_a_handler_is_used(model, data):
    calls = []

    def handler(url, method, timeout, headers, data):
        return lambda: calls.append((url, method, timeout, data))

    exporter = TrainTestExporter("gateway:9091", "digits", handler=handler, timeout=3)
    fit(model, data, exporter, At(0, lambda: awaited(lambda: calls)), epochs=1)
    for url, method, timeout, _ in calls:
        assert (url, method) == ("http://gateway:9091/metrics/job/digits", "POST")
        assert 0 < timeout <= 3
    assert b'gangplank_train_status{status="running"} 1' in calls[0][-1]
    assert b'gangplank_train_status{status="completed"} 1' in calls[-1][-1]
    assert b"gangplank_train_loss" in calls[-1][-1]


def test_the_metrics_of_a_registry_of_the_users_own_are_pushed_too(gateway, model, data):
    registry = CollectorRegistry()
    prometheus_client.Gauge("learning_rate", "", registry=registry).set(0.1)
    exporter = TrainTestExporter(gateway, "digits", registry=registry)
    assert exporter.registry is registry
    fit(model, data, exporter, epochs=1)
    assert metrics_of(gateway, "digits")["learning_rate"] == 0.1


@pytest.mark.parametrize("is_first", [True, False])
def test_a_metric_of_the_users_own_with_the_name_of_one_of_the_runs(
    gateway, model, data, is_first, caplog
):
    registry = CollectorRegistry()
    if is_first:
        prometheus_client.Gauge("gangplank_train_loss", "", registry=registry).set(-9)
    exporter = TrainTestExporter(gateway, "digits", registry=registry)
    if not is_first:
        prometheus_client.Gauge("gangplank_train_loss", "", registry=registry).set(-9)
    # Which is called gangplank_train_accuracy_total on the gateway.
    prometheus_client.Counter("gangplank_train_accuracy", "", registry=registry).inc(3)
    fit(model, data, exporter)
    history = fit(model, data, exporter).history
    assert status_of(gateway, "digits") == "completed"
    metrics = metrics_of(gateway, "digits")
    for name in ("loss", "accuracy"):
        assert metrics[f"gangplank_train_{name}"] == pytest.approx(history[name][-1])
    assert metrics["gangplank_train_accuracy_total"] == 3
    (message,) = caplog.messages
    assert "two metrics of the name 'gangplank_train_loss'. Pushed is the exporter's" in message


@pytest.mark.parametrize("hook", ["on_train_begin", "on_epoch_end"])
@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_a_gateway_hears_what_ended_its_with(model, data, caplog, failure, hook):
    def fails(*_):
        raise failure

    failing = keras.callbacks.LambdaCallback(**{hook: fails})
    with contextlib.suppress(failure), Gateway() as gateway:
        fit(model, data, TrainTestExporter(gateway.address, "digits"), failing)
    awaited(lambda: not pushing())
    assert 'gangplank_train_status{instance="",job="digits",status="failed"} 1' in gateway.metrics()
    assert caplog.messages == []


def test_a_run_that_goes_on_keeps_no_gateway_from_closing(monkeypatch):
    monkeypatch.setattr("gangplank.gateway._LAST_WORDS", 0.1)
    with contextlib.suppress(KeyboardInterrupt), Gateway() as gateway:
        run = Run(gateway.address)
        run.publish(1)
        raise KeyboardInterrupt
    assert repr(gateway).endswith("closed>")
    run.publisher.stop()


def test_a_grouping_key(gateway, model, data):
    exporter = TrainTestExporter(gateway, "digits", grouping_key={"run": "7"})
    fit(model, data, exporter, epochs=1)
    assert metrics_of(gateway, "digits", run="7")["gangplank_train_epochs_count"] == 1
