"""What wakes the thread that pushes."""

import contextlib
import gc
import signal
import threading
import time

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


@contextlib.contextmanager
def handling(handle):
    """Has `handle` called for SIGALRM. A garbage collection would lose what it raises."""
    previous = signal.signal(signal.SIGALRM, handle)
    gc.disable()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        gc.enable()


def test_the_handler_of_a_signal_may_set_it_whatever_it_interrupts():
    event, times = AutoResetEvent(), []

    def handle(number, frame):
        times.append(number)
        event.set()

    with handling(handle):
        signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
        while len(times) < 1_000:
            event.set()
            event.wait(1e-5)
    event.set()
    assert seconds_of_wait(event, 60) < 30


def test_nothing_is_lost_that_the_handler_of_a_signal_raises():
    event, raised, caught = AutoResetEvent(), 0, 0

    def handle(number, frame):
        nonlocal raised
        raised += 1
        raise RuntimeError("of a handler")

    with handling(handle):
        for turn in range(1_000):
            try:
                signal.setitimer(signal.ITIMER_REAL, 2e-5 + turn % 50 * 1e-6)
                for _ in range(300):
                    event.set()
                    event.wait(0)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except RuntimeError:
                caught += 1
    assert caught == raised > 100
