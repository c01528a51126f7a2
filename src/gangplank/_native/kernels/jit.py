"""How the numba kernels are compiled and called.

They hold no GIL, and are safe to call from several threads at once (numba's own threads are
not: its workqueue layer ends a process that two threads enter).
"""

import pickle
import zlib
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any

import numba
from llvmlite.binding import get_host_cpu_features
from numpy.typing import NDArray

CAN_COMPILE = not numba.config.DISABLE_JIT
THREADS: int = numba.config.NUMBA_NUM_THREADS


@cache  # of when this is loaded: llvmlite has a lock, in which a child that is forked would wait
def has_avx512() -> bool:
    """Whether numba compiles for a processor whose comparisons fill mask registers."""
    if numba.config.CPU_NAME or numba.config.CPU_FEATURES:
        return "+avx512bw" in (numba.config.CPU_FEATURES or "")
    return bool(get_host_cpu_features().get("avx512bw"))


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A view, since numba compiles a kernel each for read-only and for writable arrays."""
    view = array.view()
    view.flags.writeable = False
    return view


# numba compiles anew what it has on disk where the file of a kernel changes, but not where those of
# the functions and numbers do that the kernel has from elsewhere, here and one folder up.
_SOURCES = zlib.crc32(
    b"".join(
        each.read_bytes()
        for folder in Path(__file__).parents[:2]
        for each in sorted(folder.glob("*.py"))
    )
)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` compiled on first use, kept on disk where numba finds a folder to write to."""
    function.__qualname__ = f"{function.__name__}-{_SOURCES:08x}"  # by which the file is named
    try:
        kernel = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no such folder
        kernel = _compiled_anew(function)

    @wraps(function)
    def call(*arguments: Any) -> Any:
        nonlocal kernel
        try:
            return kernel(*arguments)
        except (OSError, EOFError, pickle.UnpicklingError):  # a full disk, or half a file on it
            kernel = _compiled_anew(function)
            return kernel(*arguments)

    return call


def _compiled_anew(function: Callable[..., Any]) -> Callable[..., Any]:
    return numba.njit(nogil=True)(function)  # type: ignore[no-any-return]
