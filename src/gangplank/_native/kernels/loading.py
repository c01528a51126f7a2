"""Loading the numba kernels, and forking.

A child that is forked while another thread loads them, or has numba compile whatever it is, would
wait for that thread for ever: it has none. So whoever forks waits for it, for a minute at most.
"""

import os
import sys
import threading
import time
from types import ModuleType
from typing import Any

from gangplank.forks import Forks

_JIT = f"{__package__}.jit"
_lock = threading.RLock()

# Seconds. Loading and compiling takes one or two, and more than ten beside eight busy processes.
_LONGEST_WAIT = 60.0

_forks = Forks()


def is_loaded() -> bool:
    return _JIT in sys.modules


def load() -> ModuleType:
    """Loads all kernels, so that none is half loaded later, and gives the module `jit`."""
    with _lock:
        import numpy.ma  # noqa: F401  # which NumPy loads late, for np.unique

        from gangplank._native.kernels import (  # noqa: F401
            columns_kernel,
            jit,
            lane_kernel,
            moments_kernel,
            table_kernel,
        )
    return jit


def _hold() -> None:
    held: list[Any] = []
    _forks.noted.append(held)
    deadline = time.monotonic() + _LONGEST_WAIT
    if _lock.acquire(timeout=_LONGEST_WAIT):
        held.append(_lock)
        if is_loaded():
            from numba.core.compiler_lock import global_compiler_lock

            of_numba = global_compiler_lock._lock  # which can be waited for within bounds
            if of_numba.acquire(timeout=max(0.0, deadline - time.monotonic())):
                held.append(of_numba)


def _release(held: list[Any]) -> None:
    while held:
        held.pop().release()


def _end() -> None:
    _forks.end(_release)


if sys.platform != "win32":
    os.register_at_fork(before=_hold, after_in_parent=_end, after_in_child=_end)
