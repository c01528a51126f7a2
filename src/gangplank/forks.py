"""What begins anew in a forked process."""

import os
import sys
from typing import Protocol
from weakref import WeakSet


class Forgetful(Protocol):
    """Something with locks or threads."""

    def forget(self) -> None:
        """Begins anew: no other thread is in this process, nor will any give a lock back."""


_forgetful: WeakSet[Forgetful] = WeakSet()


def forget_where_forked(each: Forgetful) -> None:
    """Has `each` forget in every process that is forked while it lives."""
    _forgetful.add(each)


def _forget() -> None:
    for each in list(_forgetful):
        each.forget()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget)
