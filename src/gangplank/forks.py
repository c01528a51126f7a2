"""What begins anew in a forked process, where no other thread is, nor gives a lock back."""

import itertools
import os
import sys
from collections.abc import Callable
from typing import Any
from weakref import WeakMethod

_numbers = itertools.count()
_methods: dict[int, WeakMethod[Callable[[], Any]]] = {}


def call_where_forked(method: Callable[[], Any]) -> None:
    """Has a bound method called in every process that is forked while its object lives."""
    number = next(_numbers)
    _methods[number] = WeakMethod(method, lambda _: _methods.pop(number, None))


def _call() -> None:
    for each in _methods.copy().values():
        if (method := each()) is not None:
            method()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_call)
