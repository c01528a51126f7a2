"""How the numba kernels are compiled and called.

They hold no GIL, and are safe to call from several threads at once (numba's own threads are
not: its workqueue layer ends a process that two threads enter).
"""

from typing import Any

import numba
from numpy.typing import NDArray

CAN_COMPILE = not numba.config.DISABLE_JIT
THREADS: int = numba.config.NUMBA_NUM_THREADS


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A view, since numba compiles a kernel each for read-only and for writable arrays."""
    view = array.view()
    view.flags.writeable = False
    return view


def compiled(function: Any) -> Any:
    """`function` compiled on first use, kept on disk where numba finds a folder to write to."""
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:
        return numba.njit(nogil=True)(function)
