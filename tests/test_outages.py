"""Runs of Keras whose gateway is wrong, goes away, comes back, or is not to keep what it has."""

import contextlib
import io
import logging
import math
import ssl
import threading
from urllib.error import HTTPError

import keras
import numpy as np
import pytest
from conftest import PASSWORD_CONFIG, awaited, pushgateway, pushgateway_process, pushing
from faulty import answering, saying_nothing, serving
from prometheus_client.exposition import default_handler
from runs import At, fit
from samples import metrics_of, status_of

from gangplank import PushError, TrainTestExporter
from gangplank.gateway import Gateway
from gangplank.publishing import Pushgateway
from gangplank.publishing.publisher import Publisher


@pytest.fixture(params=["refused", "400", "401"])
def wrong_gateway(request, tmp_path, port):
    if request.param == "refused":
        yield f"127.0.0.1:{port}", "Connection refused", "Check that a Pushgateway is up"
    elif request.param == "401":
        (tmp_path / "web.yml").write_text(PASSWORD_CONFIG)
        with pushgateway(f"--web.config.file={tmp_path / 'web.yml'}") as address:
            yield address, "it answered 401 Unauthorized: 'Unauthorized'", "Check the credentials"
    else:
        with serving(answering("400 Bad Request", b"no")) as address:
            yield address, "it answered 400 Bad Request: 'no'", "Check whether metrics of these"


def test_a_gateway_that_is_wrong_from_the_start_ends_the_run_in_its_first_epoch(
    model, data, wrong_gateway
):
    address, reason, advice = wrong_gateway
    exporter = TrainTestExporter(address, "digits", ignore_exceptions=False)
    # However slow its answer is, and however fast the epochs are.
    answered = At(0, lambda: awaited(lambda: exporter._publisher._publisher.error))
    with pytest.raises(PushError) as error:
        fit(model, data, exporter, answered, epochs=5)
    assert answered.begun <= 1
    message = str(error.value)
    assert f"of job 'digits' were not pushed to the Pushgateway at {address}: " in message
    assert reason in message
    assert advice in message
    assert error.value.__cause__ is not None
    assert exporter.registry.get_sample_value("gangplank_train_epochs_count") in (None, 1)
    awaited(lambda: not pushing())
    assert exporter.registry.get_sample_value("gangplank_train_status", {"status": "failed"}) == 1


def test_a_gateway_that_goes_away_ends_the_run_at_the_latest_at_its_end(model, data):
    with pushgateway_process() as (address, process):
        exporter = TrainTestExporter(address, "digits", ignore_exceptions=False, timeout=3)

        def kill():
            name = "gangplank_train_last_push_success_timestamp_seconds"
            awaited(lambda: exporter.registry.get_sample_value(name))
            process.kill()
            process.wait()

        with pytest.raises(PushError, match="Connection refused"):
            fit(model, data, exporter, At(1, kill), epochs=4)


def test_a_filter_of_the_log_that_raises_harms_neither_the_run_nor_its_pushes(
    model, data, port, capsys
):
    class OfRequests(logging.Filter):
        def filter(self, record):
            return record.request is not None

    def failures(exporter):
        return exporter.registry.get_sample_value("gangplank_train_push_failures_total")

    handler = logging.StreamHandler(io.StringIO())
    handler.addFilter(OfRequests())
    address = f"127.0.0.1:{port}"
    exporter = TrainTestExporter(address, "digits", timeout=1)

    def begin():
        awaited(lambda: failures(exporter))
        gateway.enter_context(pushgateway(port=port))

    logging.getLogger().addHandler(handler)
    try:
        fit(model, data, exporter, At(0, lambda: awaited(lambda: failures(exporter))))
        assert capsys.readouterr().err.count("has no attribute 'request'") == 2
        with contextlib.ExitStack() as gateway:
            exporter = TrainTestExporter(address, "digits")
            fit(model, data, exporter, At(0, begin), epochs=2)
            assert status_of(address, "digits") == "completed"
        assert capsys.readouterr().err.count("has no attribute 'request'") == 2
    finally:
        logging.getLogger().removeHandler(handler)


def test_a_gateway_that_is_restarted_has_the_whole_state_again(model, data, caplog, port):
    caplog.set_level(logging.INFO)
    address = f"127.0.0.1:{port}"
    exporter = TrainTestExporter(address, "digits", histogram_buckets=[0.0], histogram_freq=1)

    def kill():
        first.kill()
        first.wait()

    def restart():
        awaited(lambda: exporter.registry.get_sample_value("gangplank_train_push_failures_total"))
        second.enter_context(pushgateway(port=port))

    with contextlib.ExitStack() as second:
        with pushgateway_process(port=port) as (_, first):
            # What the epoch between has is pushed while there is no gateway.
            history = fit(model, data, exporter, At(0, kill), At(1, restart), epochs=4).history
        metrics = metrics_of(address, "digits")
    assert metrics["gangplank_train_epochs_count"] == 4
    assert metrics["gangplank_train_loss"] == pytest.approx(history["loss"][-1], rel=1e-15)
    assert metrics["gangplank_train_model_weights_count"] == 27
    assert metrics["gangplank_train_push_failures_total"] >= 1
    assert [record.levelname for record in caplog.records if "gangplank" in record.name] == [
        "WARNING",
        "WARNING",
    ]


@pytest.mark.parametrize("raises", [False, True])
def test_a_loss_that_is_nan_is_a_failure(gateway, model, data, raises):
    # Keras has raise_error only in its later versions.
    class TerminateOnNaN(keras.callbacks.TerminateOnNaN):
        def on_batch_end(self, batch, logs=None):
            super().on_batch_end(batch, logs)
            if raises:
                raise RuntimeError("NaN")

    model.set_weights([np.full_like(weights, np.nan) for weights in model.get_weights()])
    exporter = TrainTestExporter(gateway, "digits", histogram_buckets=[0.0])
    try:
        fit(model, data, TerminateOnNaN(), exporter, epochs=3)
    except RuntimeError:
        assert raises
    assert awaited(lambda: status_of(gateway, "digits") == "failed")
    assert "gangplank_train_push_failures_total" in metrics_of(gateway, "digits")
    fit(model, data, exporter)  # without the callback it goes on to its end
    assert status_of(gateway, "digits") == "completed"
    assert math.isnan(metrics_of(gateway, "digits")["gangplank_train_loss"])


def test_a_run_that_stops_early_is_completed(gateway, model, data):
    stop = keras.callbacks.EarlyStopping(monitor="loss", patience=0, min_delta=100)
    exporter = TrainTestExporter(gateway, "digits")
    assert len(fit(model, data, stop, exporter, epochs=9).epoch) < 9
    assert status_of(gateway, "digits") == "completed"


def test_a_run_that_goes_on_says_so(gateway, model, data):
    seen = []
    exporter = TrainTestExporter(gateway, "digits")
    look = At(0, lambda: seen.append(awaited(lambda: status_of(gateway, "digits"))))
    fit(model, data, exporter, look)
    model.evaluate(*data, callbacks=[exporter], verbose=0)
    assert seen == ["running"]
    assert status_of(gateway, "digits") == "completed"
    assert status_of(gateway, "digits", phase="test") == "completed"


def test_an_exception_is_the_last_that_is_pushed(gateway, model, data):
    exporter = TrainTestExporter(gateway, "digits")

    def fail():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(model, data, exporter, At(1, fail), epochs=3)
    awaited(lambda: status_of(gateway, "digits") == "failed")
    assert metrics_of(gateway, "digits")["gangplank_train_epochs_count"] == 2
    # A run after it is one like any other.
    fit(model, data, exporter, epochs=1)
    assert status_of(gateway, "digits") == "completed"
    assert metrics_of(gateway, "digits")["gangplank_train_epochs_count"] == 1


def test_a_run_right_after_one_that_failed(gateway, model, data):
    exporter = TrainTestExporter(gateway, "digits")

    def fail():
        raise RuntimeError

    with pytest.raises(RuntimeError):
        fit(model, data, exporter, At(0, fail))
    model.evaluate(*data, callbacks=[exporter], verbose=0)
    assert (status_of(gateway, "digits"), status_of(gateway, "digits", "test")) == (
        "failed",
        "completed",
    )


def test_a_run_that_the_exporter_ends_says_that_it_failed(model, data):
    def handler(url, data, **options):
        if b'gangplank_train_status{status="running"} 1' in data:
            raise HTTPError(url, 400, "Bad Request", None, None)
        return default_handler(url, data=data, **options)

    with Gateway() as gateway:
        exporter = TrainTestExporter(gateway.address, "digits", None, None, handler, False)
        refused = At(0, lambda: awaited(lambda: exporter._publisher._publisher.error))
        with pytest.raises(PushError, match="400 Bad Request"):
            fit(model, data, exporter, refused, epochs=2)
        awaited(lambda: status_of(gateway.address, "digits") == "failed")


def test_a_run_that_comes_while_the_last_push_of_another_is_under_way(gateway, model, data):
    release = threading.Event()

    def handler(**options):
        send = default_handler(**options)
        return lambda: (release.wait(60), send())

    exporter = TrainTestExporter(gateway, "digits", handler=handler, timeout=5)
    fit(model, data, exporter, epochs=2)
    release.set()
    fit(model, data, exporter, epochs=1)
    assert metrics_of(gateway, "digits")["gangplank_train_epochs_count"] == 1


def test_an_evaluation_inside_fit_that_fails_does_not_make_a_test_of_the_validation(model, data):
    def evaluate():
        with pytest.raises(ValueError, match="no such data"):
            model.evaluate(broken(), callbacks=[exporter], verbose=0)

    def broken():
        raise ValueError("no such data")
        yield

    exporter = TrainTestExporter(None, "digits")
    fit(model, data, exporter, At(0, evaluate), epochs=2, validation_split=0.2)
    assert exporter.registry.get_sample_value("gangplank_test_loss") is None


def test_a_group_that_is_deleted_at_the_end(gateway, model, data):
    seen = []
    exporter = TrainTestExporter(
        gateway, "digits", grouping_key={"run": "7"}, delete_on_end=True, histogram_buckets=[0.0]
    )
    look = At(0, lambda: seen.append(awaited(lambda: metrics_of(gateway, "digits", run="7"))))
    other = TrainTestExporter(gateway, "digits", grouping_key={"run": "8"})
    fit(model, data, exporter, look, other)
    assert seen != [{}]
    # The real one answers before it deletes.
    awaited(lambda: metrics_of(gateway, "digits", run="7") == {})
    assert metrics_of(gateway, "digits", run="8")["gangplank_train_epochs_count"] == 2

    def fail():
        raise RuntimeError

    with pytest.raises(RuntimeError):
        fit(model, data, exporter, At(0, fail))
    awaited(lambda: not pushing())
    assert metrics_of(gateway, "digits", run="7")["gangplank_train_epochs_count"] == 1


def test_a_run_that_is_resumed_counts_on(gateway, model, data, tmp_path):
    def resumed(*callbacks):
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        exporter = TrainTestExporter(gateway, "digits")
        return fit(model, data, backup, exporter, *callbacks, epochs=5)

    def fail():
        raise RuntimeError

    with pytest.raises(RuntimeError):
        resumed(At(2, fail))
    awaited(lambda: status_of(gateway, "digits") == "failed")
    assert metrics_of(gateway, "digits")["gangplank_train_epochs_count"] == 3
    assert resumed().epoch[0] >= 2
    assert metrics_of(gateway, "digits")["gangplank_train_epochs_count"] == 5


def test_several_exporters_in_several_threads(gateway, data):
    def train(run):
        model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        fit(model, data, TrainTestExporter(gateway, "digits", grouping_key={"run": run}), epochs=3)

    threads = [threading.Thread(target=train, args=(str(i),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(4):
        assert metrics_of(gateway, "digits", run=str(i))["gangplank_train_epochs_count"] == 3
    assert pushing() == []


def test_an_evaluation_inside_fit_does_not_wait_for_the_gateway(model, data, port):
    calls = []

    def handler(**options):
        calls.append(options)
        return lambda: released.wait(60)

    released = threading.Event()
    exporter = TrainTestExporter(f"127.0.0.1:{port}", "digits", handler=handler, timeout=20)

    def evaluate():
        awaited(lambda: calls)
        model.evaluate(*data, callbacks=[exporter], verbose=0)
        assert len(calls) == 1
        released.set()

    fit(model, data, exporter, At(0, evaluate))
    assert b'gangplank_test_status{status="completed"} 1' in calls[-1]["data"]
    assert b'gangplank_train_status{status="completed"} 1' in calls[-1]["data"]


def test_a_gateway_that_hangs_costs_the_timeout_once(model, data, monkeypatch):
    waits, wait = [], Publisher.wait
    monkeypatch.setattr(Publisher, "wait", lambda self: waits.append(self) or wait(self))
    with serving(saying_nothing) as address:
        exporter = TrainTestExporter(address, "digits", timeout=0.5)
        before_the_end = At(4, lambda: waits.append("the end"))
        assert len(fit(model, data, exporter, before_the_end, epochs=5).epoch) == 5
        assert [type(each) for each in waits] == [str, Publisher]
        awaited(lambda: not pushing())


@pytest.mark.parametrize("ignores", [True, False])
def test_no_thread_can_be_started(ignores, gateway, model, data, caplog, monkeypatch):
    def start(thread):
        if thread.name == "gangplank-push":
            raise RuntimeError("can't start new thread")
        return real_start(thread)

    real_start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", start)
    exporter = TrainTestExporter(gateway, "job", ignore_exceptions=ignores)
    told = (
        f"The metrics of job 'job' were not pushed to the Pushgateway at {gateway}, nor will be: "
        "can't start new thread. Check how many threads this process may have."
    )
    if ignores:
        assert len(fit(model, data, exporter, epochs=3).history["loss"]) == 3
        assert caplog.messages == [told]
    else:
        with pytest.raises(PushError) as caught:
            fit(model, data, exporter)
        assert str(caught.value) == told


def closed_answer():
    error = HTTPError("", 503, "busy", {}, io.BytesIO(b"closed"))
    error.close()
    return error


OF_HANDLERS = {
    "no words": (lambda: HTTPError("", 503, None, {}, None), "it answered 503"),
    "a number to wait": (lambda: HTTPError("", 503, "", {"Retry-After": 0}, None), "it answered"),
    "a closed answer": (closed_answer, "it answered 503 busy: ''"),
    "no OpenSSL": (lambda: ssl.SSLCertVerificationError("bad certificate"), "bad certificate"),
}


@pytest.mark.parametrize(("make", "words"), OF_HANDLERS.values(), ids=OF_HANDLERS)
def test_what_a_handler_has_made_itself_is_told_of(make, words):
    def handler(**_):
        raise make()

    with pytest.raises(PushError) as caught:
        Pushgateway("127.0.0.1:9091", "job", None, handler).delete(1.0)
    assert words in str(caught.value)
    assert caught.value.may_pass == isinstance(caught.value.reason, HTTPError)
