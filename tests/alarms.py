"""Signals that come again and again, whose handler may raise at any instruction."""

import contextlib
import gc
import signal


@contextlib.contextmanager
def alarms(handle):
    """Has `handle` called for SIGALRM, which `signal.setitimer` sends.

    Until the end no garbage is collected: what is raised in its callbacks is raised to nobody.
    """
    signal.signal(signal.SIGALRM, handle)
    gc.disable()
    try:
        yield
    finally:
        # Not the default: another thread may have the last one, and tell Python of it later.
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, 0)
        gc.enable()


class OfHandlerError(Exception):
    """What nobody catches but who waits for it."""


def times_interrupted(act, meanwhile=lambda: None, error=OfHandlerError):
    """How often a signal's handler came in between, called `meanwhile`, and raised an `error`.

    It comes 2,000 times at most, each time a little later in a hundred calls of `act`.
    """
    caught, may_raise = 0, False

    def handle(*_):
        if may_raise:
            meanwhile()
            raise error

    with alarms(handle):
        for turn in range(2_000):
            try:
                may_raise = True
                signal.setitimer(signal.ITIMER_REAL, 2e-5 + turn % 50 * 1e-6)
                for _ in range(100):
                    act()
                may_raise = False
            except error:
                may_raise = False
                caught += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
    return caught
