"""An event for one thread, that the handler of a signal may set."""

import contextlib
import threading


class AutoResetEvent:
    """Once set, it has one wait return, and is unset again.

    The handler of a signal may set it whatever it interrupts, as it may not a `threading.Event`,
    for whose lock it would wait. Nor is it a `queue.SimpleQueue`: up to Python 3.13 at least, a
    `get` that comes after a `put`, and whose timeout is a microsecond or so, may wait for ever.
    """

    def __init__(self) -> None:
        self._unset = threading.Lock()
        self._unset.acquire()

    def set(self) -> None:
        with contextlib.suppress(RuntimeError):  # it is set already
            self._unset.release()

    def wait(self, seconds: float) -> None:
        """Returns when it is set, or after so many seconds."""
        self._unset.acquire(timeout=seconds)
