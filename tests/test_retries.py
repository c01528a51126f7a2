"""The background thread of a run, against gateways that hang, drip, refuse and come back."""

import logging
import socket
import threading
import time
from itertools import chain, pairwise, repeat

import pytest
from conftest import LATE, awaited
from faulty import answering, dripping, saying_nothing, serving
from prometheus_client.exposition import default_handler
from prometheus_client.registry import Collector
from runs import Run
from samples import metrics_of

from gangplank.gateway import Gateway

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


ENDLESS = {
    "hangs": saying_nothing,
    "drips a head": dripping(b"HTTP/1.1 200 OK\r\nX: "),
    "drips a body": dripping(b"HTTP/1.1 500 Oh\r\n\r\n"),
}


@pytest.mark.parametrize("handler", [None, default_handler], ids=["own", "prometheus_client's"])
@pytest.mark.parametrize("speak", ENDLESS.values(), ids=ENDLESS)
def test_no_gateway_is_waited_for_longer_than_the_timeout(speak, handler):
    with serving(speak) as address:
        run = Run(address, timeout=1, handler=handler)
        run.publish(1)
        began = time.monotonic()
        loss = run.finish(2)
        assert time.monotonic() - began < 1 + LATE
    assert str(loss).endswith("It has nothing of this run.")
    assert run.metrics.failures >= 1


def test_a_name_that_is_not_resolved_is_not_waited_for(monkeypatch):
    resolved = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: resolved.wait(60) and [])
    run = Run("gateway.example:9091", timeout=0.5)
    run.publish(1)
    began = time.monotonic()
    loss = run.finish(2)
    assert time.monotonic() - began < 0.5 + LATE
    assert "it did not answer within 0.5 s" in str(loss)
    resolved.set()


def test_a_push_that_the_handler_does_not_bound_is_told_of_meanwhile(caplog):
    with serving(dripping(b"HTTP/1.1 200 OK\r\nX: ")) as address:
        run = Run(address, timeout=0.3, handler=default_handler)

        def logged():
            run.publish(1)
            return caplog.messages

        (message,) = awaited(logged)
        assert "it did not answer within 0.3 s" in message
        assert run.publisher.error is not None
        run.publisher.stop()


def failing(times, status, *headers):
    """A handler that has `status` answered so many times before it pushes, and when it did."""
    calls = []

    def handler(url, **options):
        calls.append(time.monotonic())
        if len(calls) > times:
            return default_handler(url, **options)

        def send():
            with serving(answering(status, b"words", *headers)) as address:
                default_handler(f"http://{address}", **options)()

        return send

    return handler, calls


@pytest.mark.parametrize("status", ["500 Oh", "503 Unavailable", "429 Too Many", "408 Timeout"])
def test_what_may_pass_is_tried_again_with_pauses_that_grow(gateway, status):
    handler, calls = failing(3, status)
    run = Run(gateway, handler=handler)
    assert run.finish(1) is None
    assert metrics_of(gateway, "job")["epochs"] == 1
    assert metrics_of(gateway, "job")["gangplank_run_push_failures_total"] == 3
    pauses = [later - earlier for earlier, later in pairwise(calls)]
    assert len(pauses) == 3
    for pause, least in zip(pauses, (0.05, 0.1, 0.2), strict=True):
        assert pause >= least


def test_the_gateway_says_when_to_come_again(gateway):
    handler, calls = failing(1, "429 Too Many", "Retry-After: 1")
    assert Run(gateway, handler=handler).finish(1) is None
    assert calls[1] - calls[0] >= 1
    handler, calls = failing(1, "503 Unavailable", "Retry-After: 600")
    began = time.monotonic()
    loss = Run(gateway, handler=handler, timeout=300).finish(2)
    assert time.monotonic() - began < LATE
    assert "it answered 503 Unavailable: 'words'" in str(loss)
    assert len(calls) == 1
    assert metrics_of(gateway, "job")["epochs"] == 1


@pytest.mark.parametrize("status", ["400 Bad", "401 No", "403 Never", "404 None", "302 Found"])
def test_what_cannot_pass_is_told_of_at_once_and_not_tried_again(gateway, status, caplog):
    handler, calls = failing(1, status)
    run = Run(gateway, handler=handler)
    run.publish(1)
    awaited(lambda: run.publisher.error)
    assert not run.publisher.error.may_pass
    awaited(lambda: caplog.messages)
    time.sleep(0.5)  # in which it would be tried again
    assert len(calls) == 1
    assert f"it answered {status}: 'words'" in caplog.messages[0]
    # What comes later is tried.
    assert run.finish(2) is None
    assert metrics_of(gateway, "job")["epochs"] == 2


def test_an_outage_is_logged_twice_and_leaves_a_gap_only(port, caplog):
    caplog.set_level(logging.INFO)
    run = Run(f"127.0.0.1:{port}")
    for epochs in range(50):
        run.publish(epochs)
    awaited(lambda: run.metrics.failures > 2)
    with Gateway(port) as gateway:
        assert awaited(lambda: metrics_of(gateway.address, "job").get("epochs")) == 49
        run.publish(50)
        awaited(lambda: len(caplog.messages) == 2)
        assert run.finish(51) is None
        metrics = metrics_of(gateway.address, "job")
    assert metrics["epochs"] == 51
    assert metrics["gangplank_run_push_failures_total"] == run.metrics.failures
    assert time.time() - metrics["gangplank_run_last_push_success_timestamp_seconds"] < 60
    down, up = caplog.messages
    assert "Connection refused" in down
    assert f"The Pushgateway at 127.0.0.1:{port} takes the metrics of job 'job' again" in up
    assert f"and {run.metrics.failures} pushes that failed." in up


def test_a_gateway_that_dies_at_the_end_is_waited_for(port):
    with Gateway(port):
        run = Run(f"127.0.0.1:{port}")
        run.publish(1)
        awaited(lambda: run.metrics.succeeded)
    come_back = []
    timer = threading.Timer(0.5, lambda: come_back.append(Gateway(port)))
    timer.start()
    assert run.finish(2) is None
    timer.join()
    assert metrics_of(come_back[0].address, "job")["epochs"] == 2
    come_back[0].close()


def test_what_was_lost_is_told(port):
    with Gateway(port):
        run = Run(f"127.0.0.1:{port}", timeout=0.5)
        run.publish(1)
        awaited(lambda: run.metrics.succeeded)
    loss = str(run.finish(2))
    assert "Connection refused" in loss
    assert "What is newer than its last push, " in loss


def test_an_attempt_that_there_was_no_time_for_does_not_hide_why_the_others_failed():
    failures = chain([ConnectionRefusedError("Connection refused")], repeat(TimeoutError))

    def handler(**_):
        raise next(failures)

    run = Run("127.0.0.1:9091", timeout=2, handler=handler)
    assert "Connection refused" in str(run.finish(1))


def test_a_run_whose_gateway_was_never_there_is_lost_at_once_and_another_later(port):
    lost = Run(f"127.0.0.1:{port}", timeout=30)
    lost.publish(1)
    awaited(lambda: lost.publisher.error)
    lost.publisher.stop()
    with Gateway(port):
        run = Run(f"127.0.0.1:{port}", timeout=4)
        run.publish(1)
        awaited(lambda: run.metrics.succeeded)
    began = time.monotonic()
    run.publish(2)
    awaited(lambda: run.metrics.failures > 1)
    assert run.publisher.error is None
    awaited(lambda: run.publisher.error)
    assert time.monotonic() - began >= 4
    run.publisher.stop()


class FailsOnce(Collector):
    """Waits where it is to fail, and fails; before and after it has nothing."""

    def __init__(self):
        self.is_failing = False
        self.has_begun, self.may_go_on = threading.Event(), threading.Event()

    def collect(self):
        if self.is_failing:
            self.is_failing = False
            self.has_begun.set()
            self.may_go_on.wait(LATE)
            raise RuntimeError("dictionary changed size during iteration")
        return []


def test_the_end_is_pushed_although_the_push_before_it_fails_for_good(gateway):
    run, collector = Run(gateway), FailsOnce()
    run.publish(1)
    awaited(lambda: metrics_of(gateway, "job"))
    collector.is_failing = True
    run.registry.register(collector)
    run.publish(2)
    assert collector.has_begun.wait(LATE)
    threading.Timer(0.3, collector.may_go_on.set).start()
    assert run.finish(3) is None
    assert metrics_of(gateway, "job")["epochs"] == 3
