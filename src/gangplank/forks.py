"""Forks that are under way, and what starts afresh in the forked process.

No other thread lives on in that process, and none could give back a lock that it holds.
"""

import os
import sys
import threading
from collections.abc import Callable
from types import MethodType
from typing import Any
from weakref import ref

_methods: dict[int, tuple[ref[Any], Callable[[Any], Any]]] = {}


class Forks(threading.local):
    """The forks of this thread that are under way: the handler of a signal may fork during one.

    Attributes:
        noted: what was noted for each when it began, the innermost last.
    """

    def __init__(self) -> None:
        self.noted: list[Any] = []

    def end(self, act: Callable[[Any], object]) -> None:
        """Calls `act` with what was noted for the innermost one, which ends."""
        if self.noted:  # else a handler has raised before it was
            act(self.noted[-1])
            self.noted.pop()


def call_where_forked(method: Callable[[], Any]) -> None:
    """Has a bound method called in every process that is forked while its object lives.

    An object has one such method: a second one takes the place of the first.
    """
    assert isinstance(method, MethodType)
    # By its id, as it may have no hash, or one of attributes that it has not yet.
    key, function = id(method.__self__), method.__func__
    _methods[key] = ref(method.__self__, lambda _: _methods.pop(key, None)), function


def _call() -> None:
    for reference, function in list(_methods.values()):
        if (each := reference()) is not None:
            function(each)


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_call)
