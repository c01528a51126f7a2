"""What wakes the thread that pushes."""

import signal
import threading
import time

from alarms import alarms, times_interrupted

from gangplank.publishing import auto_reset_event
from gangplank.publishing.auto_reset_event import AutoResetEvent


def seconds_of_wait(event, seconds):
    began = time.monotonic()
    event.wait(seconds)
    return time.monotonic() - began


def test_it_has_one_wait_return_however_often_it_was_set():
    event = AutoResetEvent()
    for _ in range(3):
        event.set()
    assert seconds_of_wait(event, 60) < 30
    assert seconds_of_wait(event, 0.2) > 0.1


def test_with_locks_of_python_as_others_put_in_the_place_of_its_own(monkeypatch):
    class Lock:
        def __init__(self):
            self.lock = make()

        def acquire(self, **options):
            return self.lock.acquire(**options)

        def release(self):
            if not self.lock.locked():
                raise RuntimeError("it is free")
            self.lock.release()

    make = threading.Lock
    monkeypatch.setattr(threading, "Lock", Lock)
    monkeypatch.setattr(auto_reset_event, "_REFUSAL", auto_reset_event._refusal())
    event = AutoResetEvent()
    for _ in range(3):
        event.set()
    assert seconds_of_wait(event, 60) < 30


def test_it_has_a_wait_return_that_has_begun():
    event = AutoResetEvent()
    timer = threading.Timer(0.1, event.set)
    timer.start()
    assert seconds_of_wait(event, 60) < 30
    timer.join()


def test_waits_that_are_over_before_they_begin():
    # With a queue.SimpleQueue in its place, one run in two to four found a wait that never ends.
    event = AutoResetEvent()

    def wait():
        for _ in range(10_000):
            event.set()
            event.wait(60)
            event.wait(1e-6)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


def test_the_handler_of_a_signal_may_set_it_whatever_it_interrupts():
    event, times = AutoResetEvent(), []

    def handle(number, frame):
        times.append(number)
        event.set()

    with alarms(handle):
        signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
        while len(times) < 1_000:
            event.set()
            event.wait(1e-5)
    event.set()
    assert seconds_of_wait(event, 60) < 30


def test_nothing_is_lost_that_the_handler_of_a_signal_raises():
    event, raised = AutoResetEvent(), []

    def set_and_wait():
        event.set()
        event.wait(0)

    caught = times_interrupted(set_and_wait, lambda: raised.append(True), RuntimeError)
    assert caught == len(raised) > 100
