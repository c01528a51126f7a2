"""Loading the numba kernels, and forking.

A child that is forked while another thread loads them, or compiles one, would wait for that thread
for ever: it has none. So whoever forks waits for it.
"""

import os
import sys
from threading import RLock
from types import ModuleType
from typing import Any

_JIT = f"{__package__}.jit"
_lock = RLock()
_held: list[Any] = []


def is_loaded() -> bool:
    return _JIT in sys.modules


def load() -> ModuleType:
    """Loads all kernels, so that none is half loaded later, and gives the module `jit`."""
    with _lock:
        from gangplank._native.kernels import (  # noqa: F401
            columns_kernel,
            jit,
            lane_kernel,
            table_kernel,
        )
    return jit


def _hold() -> None:
    _lock.acquire()
    if is_loaded():
        from numba.core.compiler_lock import global_compiler_lock

        global_compiler_lock.acquire()
        _held.append(global_compiler_lock)


def _release() -> None:
    while _held:
        _held.pop().release()
    _lock.release()


if sys.platform != "win32":
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_release)
