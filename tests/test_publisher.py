"""The background thread of a run, against gateways that work, hang, drip, refuse and come back."""

import gc
import itertools
import logging
import multiprocessing
import signal
import socket
import threading
import time
import warnings
import weakref

import pytest
from conftest import awaited, fetched, free_port, pushgateway_process
from faulty import answering, dripping, saying_nothing, serving
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import default_handler
from samples import metrics_of

from gangplank.gateway import Gateway
from gangplank.publishing import Publisher, Pushgateway, PushMetrics, last_words


class Run:
    """A run that shows one gauge, and its publisher."""

    def __init__(self, address, timeout=10.0, handler=None, group=None, **options):
        self.registry = CollectorRegistry()
        self.epochs = Gauge("epochs", "", registry=self.registry)
        self.metrics = PushMetrics("run_")
        self.registry.register(self.metrics)
        self.is_over = False
        self.has_failed = False
        self.publisher = Publisher(
            Pushgateway(address, "job", group, handler, timeout),
            self.registry,
            self.metrics,
            is_over=lambda: self.is_over,
            on_failure=self.fail,
            **options,
        )

    def fail(self):
        self.has_failed = True
        self.epochs.set(-1)

    def publish(self, epochs):
        self.epochs.set(epochs)
        self.publisher.publish()

    def finish(self, epochs, **options):
        self.epochs.set(epochs)
        return self.publisher.finish(**options)


def pushing():
    return [thread for thread in threading.enumerate() if thread.name == "gangplank-push"]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    awaited(lambda: not pushing())


def test_the_last_state_is_there_when_the_run_has_ended(gateway):
    run = Run(gateway)
    for epochs in range(20):
        run.publish(epochs)
    assert run.finish(20) is None
    assert metrics_of(gateway, "job")["epochs"] == 20
    assert pushing() == []


def test_what_was_overtaken_is_not_pushed():
    release = threading.Event()
    bodies = []

    def handler(url, method, timeout, headers, data):
        return lambda: (bodies.append(data), release.wait(30))

    run = Run("127.0.0.1:9091", handler=handler)
    run.publish(1)
    awaited(lambda: bodies)
    for epochs in range(2, 100):
        run.publish(epochs)
    release.set()
    assert run.finish(100) is None
    assert [body.count(b"epochs 1.0\n") for body in bodies] == [1, 0]
    assert [body.count(b"epochs 100.0\n") for body in bodies] == [0, 1]


def test_a_state_is_what_it_was_when_it_was_handed_over(gateway):
    run = Run(gateway)
    run.publish(1)
    run.epochs.set(2)
    assert awaited(lambda: metrics_of(gateway, "job").get("epochs")) == 1
    run.publisher.stop()


def test_at_most_one_push_a_second(gateway):
    times = []

    def handler(**options):
        times.append(time.monotonic())
        return default_handler(**options)

    run = Run(gateway, handler=handler)
    for epochs in itertools.takewhile(lambda _: len(times) < 3, itertools.count()):
        run.publish(epochs)
        time.sleep(0.001)
    run.finish(0)
    assert all(later - earlier >= 1 for earlier, later in itertools.pairwise(times[:-1]))


ENDLESS = {
    "hangs": saying_nothing,
    "drips a head": dripping(b"HTTP/1.1 200 OK\r\nX: "),
    "drips a body": dripping(b"HTTP/1.1 500 Oh\r\n\r\n"),
}


@pytest.mark.parametrize("handler", [None, default_handler], ids=["own", "prometheus_client's"])
@pytest.mark.parametrize("speak", ENDLESS.values(), ids=ENDLESS)
def test_no_gateway_is_waited_for_longer_than_the_timeout(speak, handler):
    with serving(speak) as address:
        run = Run(address, timeout=0.5, handler=handler)
        run.publish(1)
        began = time.monotonic()
        loss = run.finish(2)
        assert time.monotonic() - began < 3
    assert str(loss).endswith("It has nothing of this run.")
    assert run.metrics.failures >= 1


def test_a_name_that_is_not_resolved_is_not_waited_for(monkeypatch):
    resolved = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: resolved.wait(30) and [])
    run = Run("gateway.example:9091", timeout=0.5)
    run.publish(1)
    began = time.monotonic()
    loss = run.finish(2)
    assert time.monotonic() - began < 3
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
    assert metrics_of(gateway, "job")["run_push_failures_total"] == 3
    pauses = [later - earlier for earlier, later in itertools.pairwise(calls)]
    assert len(pauses) == 3
    for pause, least in zip(pauses, (0.05, 0.1, 0.2), strict=True):
        assert pause >= least


def test_the_gateway_says_when_to_come_again(gateway):
    handler, calls = failing(1, "429 Too Many", "Retry-After: 1")
    assert Run(gateway, handler=handler).finish(1) is None
    assert calls[1] - calls[0] >= 1
    handler, calls = failing(1, "503 Unavailable", "Retry-After: 60")
    began = time.monotonic()
    assert "it answered 503 Unavailable: 'words'" in str(Run(gateway, handler=handler).finish(2))
    assert len(calls) == 1
    assert time.monotonic() - began < 5
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


def test_an_outage_is_logged_twice_and_leaves_a_gap_only(caplog):
    port = free_port()
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
    assert metrics["run_push_failures_total"] == run.metrics.failures
    assert time.time() - metrics["run_last_push_success_timestamp_seconds"] < 60
    down, up = caplog.messages
    assert "Connection refused" in down
    assert f"The Pushgateway at 127.0.0.1:{port} takes the metrics of job 'job' again" in up
    assert f"and {run.metrics.failures} pushes that failed." in up


def test_a_gateway_that_dies_at_the_end_is_waited_for():
    port = free_port()
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


def test_what_was_lost_is_told():
    port = free_port()
    with Gateway(port):
        run = Run(f"127.0.0.1:{port}", timeout=0.5)
        run.publish(1)
        awaited(lambda: run.metrics.succeeded)
    loss = str(run.finish(2))
    assert "Connection refused" in loss
    assert "What is newer than its last push, " in loss


def test_a_run_whose_gateway_was_never_there_is_lost_at_once_and_another_later():
    port = free_port()
    lost = Run(f"127.0.0.1:{port}", timeout=30)
    lost.publish(1)
    awaited(lambda: lost.publisher.error)
    lost.publisher.stop()
    with Gateway(port):
        run = Run(f"127.0.0.1:{port}", timeout=2)
        run.publish(1)
        awaited(lambda: run.metrics.succeeded)
    began = time.monotonic()
    run.publish(2)
    awaited(lambda: run.metrics.failures > 1)
    assert run.publisher.error is None
    awaited(lambda: run.publisher.error)
    assert time.monotonic() - began >= 2
    run.publisher.stop()


def test_a_run_that_is_over_without_a_word_has_failed(gateway):
    run = Run(gateway)
    run.publish(1)
    run.is_over = True
    awaited(lambda: not pushing())
    assert run.has_failed
    assert metrics_of(gateway, "job")["epochs"] == -1


def test_the_last_words_of_a_run_that_failed_are_told_of_where_they_are_lost(caplog):
    run = Run(f"127.0.0.1:{free_port()}", timeout=0.5)
    run.publisher.fail()
    run.publisher.wait()
    awaited(lambda: not pushing())
    (message,) = caplog.messages
    assert message.endswith("It has nothing of this run.")


def test_a_group_is_deleted_at_the_end(gateway):
    run = Run(gateway)
    run.publish(1)
    awaited(lambda: metrics_of(gateway, "job"))
    assert run.finish(2, delete=True) is None
    assert metrics_of(gateway, "job") == {}


def test_a_group_that_cannot_be_deleted_is_told_of():
    run = Run(f"127.0.0.1:{free_port()}", timeout=0.3)
    assert str(run.finish(1, delete=True)).startswith("The group of job 'job' was not deleted")


def test_a_collector_that_fails_is_told_of(gateway, caplog):
    class Broken:
        def collect(self):
            raise RuntimeError("the sensor is gone")

    run = Run(gateway)
    run.registry.register(Broken())
    run.publish(1)
    awaited(lambda: caplog.messages)
    assert "the sensor is gone (RuntimeError)" in caplog.messages[0]
    assert "the sensor is gone" in str(run.finish(2))


def test_the_next_run_waits_for_a_push_that_was_left_behind(gateway):
    release = threading.Event()

    def handler(url, method, timeout, headers, data):
        send = default_handler(url, method, timeout, headers, data)
        return lambda: (release.wait(30), send())

    first = Run(gateway, timeout=0.3, handler=handler)
    first.finish(1)
    second = Run(gateway, after=first.publisher)
    second.publish(2)
    release.set()
    assert second.finish(3) is None
    awaited(lambda: not pushing())
    assert metrics_of(gateway, "job")["epochs"] == 3


def test_a_gateway_that_hung_shows_the_newest_state_when_it_comes_back():
    with pushgateway_process() as (address, process):
        run = Run(address, timeout=0.3)
        process.send_signal(signal.SIGSTOP)
        for epochs in range(4):
            failures = run.metrics.failures
            run.publish(epochs)
            awaited(lambda failures=failures: run.metrics.failures > failures)
        process.send_signal(signal.SIGCONT)
        run.publish(4)
        awaited(lambda: run.metrics.succeeded)
        assert run.finish(5) is None
        time.sleep(0.2)
        assert metrics_of(address, "job")["epochs"] == 5


@pytest.mark.parametrize("handler", [None, default_handler], ids=["own", "prometheus_client's"])
def test_a_push_that_hangs_is_counted_once(handler):
    attempts = []

    def speak(connection, end):
        attempts.append(connection)
        saying_nothing(connection, end)

    with serving(speak) as address:
        run = Run(address, timeout=0.2, handler=handler)
        while len(attempts) < 4:
            run.publish(1)
            time.sleep(0.005)
        run.finish(2)
        awaited(lambda: not pushing())
        assert run.metrics.failures == len(attempts)


def test_many_runs_that_fail_together_are_waited_for_together():
    with serving(saying_nothing) as address:
        runs = [Run(address, timeout=1) for _ in range(5)]
        began = time.monotonic()
        last_words._have_last_words()
        assert time.monotonic() - began < 3
    awaited(lambda: not pushing())
    assert all(run.has_failed for run in runs)


def test_the_data_of_runs_that_failed_is_not_kept(gateway):
    class Data:
        pass

    before, kept = None, []
    for _ in range(3):
        data = Data()
        kept.append(weakref.ref(data))
        run = Run(gateway, after=before)
        run.publisher._is_over = lambda data=data: data is not None
        before = run.publisher
        awaited(lambda: not pushing())
    del data, run
    gc.collect()
    assert [reference() for reference in kept] == [None] * 3


def test_a_forked_child_has_no_part_in_the_run(gateway):
    run = Run(gateway)
    run.publish(1)

    def in_the_child():
        run.publish(2)
        assert run.finish(3) is None

    child = multiprocessing.get_context("fork").Process(target=in_the_child)
    with warnings.catch_warnings(action="ignore"):  # of the threads that a fork leaves behind
        child.start()
    child.join(30)
    assert child.exitcode == 0
    awaited(lambda: metrics_of(gateway, "job").get("epochs") == 1)
    assert run.finish(4) is None
    assert metrics_of(gateway, "job")["epochs"] == 4


def test_a_hundred_runs_at_once(real_gateway):
    runs = [Run(real_gateway, group={"run": str(i)}) for i in range(100)]
    for run in runs:
        run.publish(1)
    enders = [threading.Thread(target=run.finish, args=(2,)) for run in runs]
    for ender in enders:
        ender.start()
    for ender in enders:
        ender.join()
    for i in range(100):
        assert metrics_of(real_gateway, "job", run=str(i))["epochs"] == 2
    assert fetched(f"http://{real_gateway}/-/ready")
