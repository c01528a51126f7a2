"""An event for one thread, that the handler of a signal may set."""

import threading


def _refusal() -> tuple[object, ...]:
    """What a lock says that cannot be given back; that of gevent says something else."""
    try:
        threading.Lock().release()
    except RuntimeError as error:
        return error.args
    raise AssertionError("a lock was given back that nobody had taken")


_REFUSAL = _refusal()


class AutoResetEvent:
    """Once set, it has one wait return, and is unset again.

    The handler of a signal may set it whatever it interrupts, as it may not a `threading.Event`,
    for whose lock it would wait. Nor is it a `queue.SimpleQueue`: up to Python 3.12 a `get` whose
    timeout is a microsecond or so may wait for ever.
    """

    def __init__(self) -> None:
        self._unset = threading.Lock()
        self._unset.acquire()

    def set(self) -> None:
        try:
            self._unset.release()
        except RuntimeError as error:
            is_set_already = error.args == _REFUSAL
            if not is_set_already:  # it is a handler's
                raise

    def wait(self, seconds: float) -> None:
        """Returns when it is set, or after so many seconds."""
        self._unset.acquire(timeout=seconds)
