"""The background thread of a run: what it pushes, and how it ends."""

import gc
import itertools
import logging
import multiprocessing
import os
import re
import signal
import threading
import time
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import LATE, awaited, fetched, pushgateway_process, pushing
from faulty import saying_nothing, serving
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import default_handler
from prometheus_client.samples import Sample
from runs import Run
from samples import metrics_of

from gangplank import PushError
from gangplank.metrics import Collected
from gangplank.publishing import Pushgateway, process_end, publisher
from gangplank.publishing.bounded_handler import bounded_handler
from gangplank.publishing.delivery import Delivery
from gangplank.publishing.last_push import LastPush
from gangplank.publishing.left_behind import LeftBehind
from gangplank.publishing.run_collector import RunCollector

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


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
        return lambda: (bodies.append(data), release.wait(60))

    run = Run("127.0.0.1:9091", handler=handler)
    run.publish(1)
    awaited(lambda: bodies)
    for epochs in range(2, 100):
        run.publish(epochs)
    release.set()
    assert run.finish(100) is None
    pushed = [float(re.search(rb"^epochs (.*)$", body, re.M)[1]) for body in bodies]
    # A second later, the run would push again although it has not ended.
    assert pushed in ([1, 100], [1, 99, 100])


def test_a_loss_that_was_raised_is_not_told_again_at_the_end_of_the_process(caplog):
    with serving(saying_nothing) as address:
        run = Run(address, timeout=0.5)
        run.publish(1)
        awaited(lambda: run.publisher.error)
        run.publisher.fail(is_told=True)
        process_end._have_last_words()
        awaited(lambda: not pushing())
    assert [each for each in caplog.messages if "It has nothing of this run" in each] == []


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


def test_a_run_that_is_over_without_a_word_has_failed(gateway):
    run = Run(gateway)
    run.publish(1)
    run.is_over = True
    awaited(lambda: not pushing())
    assert run.has_failed
    assert metrics_of(gateway, "job")["epochs"] == -1


def test_the_last_words_of_a_run_that_failed_are_told_of_where_they_are_lost(port, caplog):
    run = Run(f"127.0.0.1:{port}", timeout=0.5)
    run.publisher.fail()
    run.publisher.wait()
    awaited(lambda: not pushing())
    (message,) = caplog.messages
    assert message.endswith("It has nothing of this run.")


def test_a_gateway_that_is_down_when_a_run_is_lost_is_tried_once_more():
    attempts = []

    def handler(**_):
        attempts.append(run.is_over)
        raise ConnectionRefusedError

    run = Run("127.0.0.1:9091", handler=handler)
    run.publish(1)
    awaited(lambda: attempts)
    run.is_over = True
    awaited(lambda: not pushing())
    assert sum(attempts) == 1


def test_a_wait_for_the_last_push_that_was_interrupted_is_waited_for_again(gateway):
    was_interrupted = threading.Event()

    def handler(**options):
        if b"\nepochs 2" in options["data"]:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            assert was_interrupted.wait(30)
        return bounded_handler(**options)

    run = Run(gateway, handler=handler, timeout=60)
    with pytest.raises(KeyboardInterrupt):
        run.finish(2)
    was_interrupted.set()
    process_end._have_last_words()
    assert metrics_of(gateway, "job")["epochs"] == 2
    assert pushing() == []


def test_a_group_is_deleted_at_the_end(gateway):
    run = Run(gateway)
    run.publish(1)
    awaited(lambda: metrics_of(gateway, "job"))
    assert run.finish(2, delete=True) is None
    # The real one answers before it deletes.
    awaited(lambda: metrics_of(gateway, "job") == {})


def test_a_group_that_cannot_be_deleted_is_told_of(port):
    run = Run(f"127.0.0.1:{port}", timeout=2)
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


class Hangs:
    """A collector that hangs, or takes some seconds, once it is told to."""

    def __init__(self, registry):
        self.seconds = 0.0
        self.may_go_on = threading.Event()
        registry.register(self)

    def collect(self):
        self.may_go_on.wait(self.seconds)
        return ()


SLOW = (
    "collecting what the registry holds takes too long (RuntimeError). Check the collectors in the "
    "registry. "
)


def test_the_time_of_the_collectors_is_not_the_gateways(gateway):
    run = Run(gateway, timeout=3)
    collector = Hangs(run.registry)
    collector.seconds = 3.5
    run.publish(1)
    awaited(lambda: metrics_of(gateway, "job").get("epochs") == 1)
    assert run.publisher.error is None
    collector.seconds = 60
    error = str(run.finish(2))
    collector.may_go_on.set()
    assert SLOW in error


class Samples(list):
    """Samples that take a while to be written."""

    def __iter__(self):
        time.sleep(1.5)
        return super().__iter__()


def family_of(samples):
    family = Metric("slow", "", "gauge")
    family.samples = samples
    return family


def test_the_time_to_write_what_was_collected_is_not_the_gateways(gateway):
    run = Run(gateway, timeout=1)
    samples = Samples([Sample("slow", {}, 1.0)])
    run.registry.register(Collected([family_of(samples)]))
    run.publish(1)
    awaited(lambda: run.publish(2) or metrics_of(gateway, "job").get("slow") == 1)
    assert run.publisher.error is None
    run.publisher.stop()


def test_what_cannot_be_written_is_the_collectors(gateway):
    run = Run(gateway)
    run.registry.register(Collected([family_of([Sample("slow", {}, "fast")])]))
    run.publish(1)
    error = str(run.finish(2))
    assert "could not convert string to float: 'fast'" in error
    assert "(ValueError). Check the collectors in the registry. It has nothing of" in error


def test_a_failed_run_without_time_for_its_collectors_tells_of_them(gateway, caplog):
    run = Run(gateway, timeout=2)
    Hangs(run.registry).seconds = 2.5
    run.publisher.fail()
    awaited(lambda: not pushing())
    assert SLOW in caplog.messages[-1]


@pytest.mark.parametrize(("seconds", "told"), [(0.0, "it did not answer within 2 s"), (1.2, SLOW)])
def test_whoever_took_the_time_of_a_run_is_told_of(gateway, seconds, told):
    registry = CollectorRegistry()
    Hangs(registry).seconds = seconds
    pushed = RunCollector(registry, (), set())
    where = Pushgateway(gateway, "job", timeout=2.0)
    delivery = Delivery(where, pushed, LeftBehind(where))
    with pytest.raises(PushError) as raised:
        delivery.push(LastPush(began=time.monotonic() - 2, timeout=2.0))
    assert told in f"{raised.value} "


def test_a_collector_that_hangs_is_told_of_while_the_run_goes_on(gateway, caplog, monkeypatch):
    monkeypatch.setattr(publisher, "_LONGEST_SILENCE", 0.5)
    run = Run(gateway)
    collector = Hangs(run.registry)
    collector.seconds = 60
    awaited(lambda: run.publish(1) or run.publisher.error)
    assert SLOW in f"{run.publisher.error} "
    assert SLOW in caplog.messages[0]
    collector.seconds = 0
    collector.may_go_on.set()
    assert run.finish(2) is None


@pytest.mark.parametrize(
    ("error", "may_pass"), [(TimeoutError("the sensor is slow"), True), (KeyError("it"), False)]
)
def test_what_a_collector_raises_is_not_the_gateways(gateway, monkeypatch, error, may_pass):
    class Broken:
        def collect(self):
            raise error

    monkeypatch.setenv("http_proxy", "http://proxy.invalid")
    run = Run(gateway, handler=default_handler)
    run.registry.register(Broken())
    run.publish(1)
    found = awaited(lambda: run.publisher.error)
    assert found.reason is error
    assert found.may_pass == may_pass
    assert str(found).endswith(
        f": {error} ({type(error).__name__}). Check the collectors in the registry."
    )
    run.publisher.stop()


def test_the_next_run_waits_for_a_push_that_was_left_behind(gateway):
    release = threading.Event()

    def handler(url, method, timeout, headers, data):
        # In the second that the end has, a busy machine may not get it there.
        send = default_handler(url, method, 60, headers, data)
        return lambda: (release.wait(60), send())

    first = Run(gateway, timeout=1, handler=handler)
    first.finish(1)
    second = Run(gateway, after=first.publisher)
    second.publish(2)
    release.set()
    assert second.finish(3) is None
    awaited(lambda: not pushing())
    assert metrics_of(gateway, "job")["epochs"] == 3


def test_a_run_that_the_collectors_of_the_one_before_held_up_is_told_of_these(gateway):
    first = Run(gateway, timeout=1)
    collector = Hangs(first.registry)
    collector.seconds = 60
    assert SLOW in str(first.finish(1))
    second = Run(gateway, timeout=1, after=first.publisher).publisher
    second._ending = LastPush(time.monotonic() - 1, timeout=1)  # it waited until the end
    assert SLOW in str(second._loss())
    awaited(lambda: not second._thread.is_alive())
    assert SLOW in str(second._loss())
    collector.may_go_on.set()
    awaited(lambda: not pushing())


def test_a_gateway_that_hung_shows_the_newest_state_when_it_comes_back():
    timeouts = []

    def handler(url, method, timeout, headers, data):
        return bounded_handler(url, method, min([timeout, *timeouts]), headers, data)

    with pushgateway_process() as (address, process):
        run = Run(address, handler=handler)
        timeouts.append(0.3)
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)  # until then it may serve
        for epochs in range(4):
            failures = run.metrics.failures
            run.publish(epochs)
            awaited(lambda failures=failures: run.metrics.failures > failures)
        timeouts.clear()
        process.send_signal(signal.SIGCONT)
        run.publish(4)
        awaited(lambda: run.metrics.succeeded)
        assert run.finish(5) is None
        time.sleep(0.2)
        assert metrics_of(address, "job")["epochs"] == 5


def test_a_gateway_that_hung_at_the_end_of_a_run_is_sent_the_first_state_of_the_next_twice(gateway):
    def hanging(**_):
        raise TimeoutError

    calls = []

    def handler(**options):
        calls.append(options)
        return default_handler(**options)

    first = Run(gateway, timeout=0.3, handler=hanging)
    assert first.finish(1) is not None
    second = Run(gateway, handler=handler, after=first.publisher)
    assert second.finish(2) is None
    assert len(calls) == 2
    third = Run(gateway, handler=handler, after=second.publisher)
    assert third.finish(3) is None
    assert len(calls) == 3


@pytest.mark.parametrize("handler", [bounded_handler, default_handler], ids=lambda h: h.__module__)
def test_a_push_that_hangs_is_counted_once(handler):
    attempts = []

    def noting(url, method, timeout, headers, data):
        attempts.append(timeout)
        return handler(url, method, timeout, headers, data)

    with serving(saying_nothing) as address:
        run = Run(address, timeout=0.2, handler=noting)
        while len(attempts) < 4:
            run.publish(1)
            time.sleep(0.005)
        run.finish(2)
        awaited(lambda: not pushing())
        assert run.metrics.failures == len(attempts)


def test_a_push_that_arrives_while_it_is_told_to_be_late(monkeypatch, caplog):
    arrives = threading.Event()

    class Slow(logging.Handler):
        def emit(self, record):
            arrives.set()
            awaited(lambda: run.metrics.succeeded)

    monkeypatch.setattr(publisher, "_GRACE", -10.0)  # late at once
    slow = Slow()
    publisher._logger.logger.addHandler(slow)
    try:
        run = Run("127.0.0.1:9091", handler=lambda **_: lambda: arrives.wait(60))
        while not arrives.is_set():
            run.publish(1)
            time.sleep(0.01)
        assert run.finish(2) is None
    finally:
        publisher._logger.logger.removeHandler(slow)
    late, again = caplog.messages
    assert "did not answer within 10 s" in late
    assert re.search(r"takes the metrics of job 'job' again, .* and 1 pushes that failed", again)


def test_what_another_thread_has_pushed_at_the_end_is_not_taken_for_lost(gateway, monkeypatch):
    run = Run(gateway)
    waited = run.publisher.wait

    def wait():
        waited()
        run.publish(3)

    monkeypatch.setattr(run.publisher, "wait", wait)
    assert run.finish(2) is None
    assert metrics_of(gateway, "job")["epochs"] == 2


def test_many_runs_that_fail_together_are_waited_for_together():
    with serving(saying_nothing) as address:
        runs = [Run(address, timeout=1) for _ in range(30)]
        began = time.monotonic()
        process_end._have_last_words()
        assert time.monotonic() - began < 1 + LATE
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


def test_the_frames_that_an_error_has_passed_are_not_kept(port):
    class Data:
        pass

    def fail(data):
        raise run.publisher.error

    run, data = Run(f"127.0.0.1:{port}"), Data()
    reference = weakref.ref(data)
    run.publish(1)
    awaited(lambda: run.publisher.error is not None)
    with pytest.raises(PushError, match="refused"):
        fail(data)
    del data
    gc.collect()
    assert reference() is None
    run.publisher.stop()


def test_a_forked_child_has_no_part_in_the_run(gateway):
    run = Run(gateway)
    run.publish(1)

    def in_the_child():
        run.publish(2)
        assert run.finish(3) is None

    child = multiprocessing.get_context("fork").Process(target=in_the_child)
    with warnings.catch_warnings(action="ignore"):  # of the threads that a fork leaves behind
        child.start()
    child.join(120)
    assert child.exitcode == 0
    awaited(lambda: metrics_of(gateway, "job").get("epochs") == 1)
    assert run.finish(4) is None
    assert metrics_of(gateway, "job")["epochs"] == 4


def test_a_hundred_runs_at_once(real_gateway):
    runs = [Run(real_gateway, group={"run": str(i)}, timeout=120) for i in range(100)]
    for run in runs:
        run.publish(1)
    with ThreadPoolExecutor(100) as pool:
        assert list(pool.map(lambda run: run.finish(2), runs)) == [None] * 100
    for i in range(100):
        assert metrics_of(real_gateway, "job", run=str(i))["epochs"] == 2
    assert fetched(f"http://{real_gateway}/-/ready")
