"""A thread for which one can wait once more after a wait that was interrupted."""

import threading
import time
from collections.abc import Callable

_LONGEST_WAIT = 0.2  # seconds at a time, in case that an interrupted wait has kept the lock


class WorkThread:
    """Calls `work` on a daemon thread.

    Up to Python 3.12 a `Thread.join` that Ctrl-C interrupts takes the thread for one that has ended
    from then on. This one may be interrupted, also by the handler of a signal that waits too.

    Raises:
        RuntimeError: no thread can be started.
    """

    def __init__(self, work: Callable[[], None], name: str) -> None:
        self._has_ended = False
        self._running = threading.Lock()
        self._running.acquire()
        self._thread = threading.Thread(target=self._call, args=(work,), name=name, daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        return not self._has_ended

    def join(self, seconds: float) -> None:
        """Waits until it has ended, at most so long."""
        deadline = time.monotonic() + seconds
        while self.is_alive() and (left := deadline - time.monotonic()) > 0:
            if self._running.acquire(timeout=min(left, _LONGEST_WAIT)):
                self._running.release()
        if not self.is_alive():
            self._thread.join(_LONGEST_WAIT)

    def _call(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            self._has_ended = True
            self._running.release()
