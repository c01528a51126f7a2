"""Arithmetic that takes subnormal floats for what they are.

Threads of TensorFlow and JAX take them for zero, also while they run a callback, as do those for
which PyTorch was asked to, and those that such threads start.
"""

import ctypes
import platform
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# C's fenv.h, whose FE_DFL_ENV is another one elsewhere.
_FE_DFL_ENV = ctypes.c_void_p(-1)
_BYTES = 64  # more than an fenv_t has
_C: Any = None
if sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64"):
    _C = ctypes.PyDLL(None)
_IS_KNOWN = hasattr(_C, "fesetenv")


def keep_subnormals() -> None:
    """Has this thread keep them from now on."""
    if _IS_KNOWN:
        _C.fesetenv(_FE_DFL_ENV)


def keeping_subnormals(function: Callable[P, T]) -> Callable[P, T]:
    """`function`, during which its thread keeps them, and afterwards does again what it did."""
    if not _IS_KNOWN:
        return function

    @wraps(function)
    def call(*arguments: P.args, **options: P.kwargs) -> T:
        before = ctypes.create_string_buffer(_BYTES)
        _C.fegetenv(before)
        try:
            keep_subnormals()
            return function(*arguments, **options)
        finally:
            _C.fesetenv(before)

    return call
