"""What runs still have to say before their process ends or is terminated."""

import os
import re
import signal
import sys
import threading
from functools import partial
from multiprocessing.util import Finalize
from pathlib import Path
from types import FrameType
from typing import Protocol

from gangplank.forks import Forks


class Unfinished(Protocol):
    """A run that has not ended, or has not yet said that it has."""

    def fail(self) -> None:
        """Begins to say that the run has failed."""

    def wait(self) -> None:
        """Returns when that was said, or its time is over."""


_unfinished: set[Unfinished] = set()
_at_exit: Finalize | None = None


def expect(run: Unfinished) -> None:
    """Lets `run` have its last words if the process ends before `forget`."""
    global _at_exit
    _unfinished.add(run)
    if _at_exit is None:
        # Like atexit, but also called at the end of a multiprocessing.Process.
        _at_exit = Finalize(None, _have_last_words, exitpriority=0)
    if _in_main_thread() and not _is_caught(signal.SIGTERM):
        signal.signal(signal.SIGTERM, _on_sigterm)


def forget(run: Unfinished) -> None:
    """Takes back `expect`."""
    _unfinished.discard(run)
    if not _unfinished and _in_main_thread():
        _restore_sigterm()


def is_expecting() -> bool:
    """Whether a run of this process has not ended, or has not yet said that it has."""
    return bool(_unfinished)


def _have_last_words() -> None:
    runs = list(_unfinished)
    for run in runs:
        run.fail()
    for run in runs:
        run.wait()


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    """Ends the process as SIGTERM would have, but with last words."""
    try:
        _have_last_words()
    finally:
        # Also where it was called by a handler that took its place.
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
        if os.getpid() == 1:  # as in a container, where Linux spares that process
            os._exit(128 + number)


def _restore_sigterm() -> None:
    if signal.getsignal(signal.SIGTERM) is _on_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _is_caught(number: int) -> bool:
    """Whether the signal is handled or ignored, by Python or by native code.

    JAX and TensorFlow can wait for the notice of a preemption in C++.
    """
    if signal.getsignal(number) != signal.SIG_DFL:
        return True
    try:
        # In bytes: the name of the process is in it, cut anywhere.
        caught = re.search(rb"^SigCgt:\s*(\w+)", Path("/proc/self/status").read_bytes(), re.M)
    except OSError:
        return False
    return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)


def _before_fork() -> None:
    # A handler may raise at any line: what was blocked is noted first.
    _forks.noted.append(signal.pthread_sigmask(signal.SIG_BLOCK, []))
    # Python forgets the signals that come to a child before it runs Python, unless they wait.
    if signal.getsignal(signal.SIGTERM) is _on_sigterm:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])


def _after_fork() -> None:
    _forks.end(partial(signal.pthread_sigmask, signal.SIG_SETMASK))


def _after_fork_in_child() -> None:
    global _at_exit
    _unfinished.clear()
    _at_exit = None
    _restore_sigterm()
    _after_fork()


_forks = Forks()
if sys.platform != "win32":
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork,
        after_in_child=_after_fork_in_child,
    )
