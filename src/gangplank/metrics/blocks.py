"""The blocks of `with exporter` that go on, and what ends with them."""

import threading
from typing import NamedTuple

from gangplank.metrics.run_metrics import Run
from gangplank.metrics.runs import Runs


class _Block(NamedTuple):
    thread: int
    outer: list[Run]
    """What goes on around it."""


class Blocks:
    """The blocks in which an exporter is, on all threads."""

    def __init__(self) -> None:
        self._blocks: list[_Block] = []

    def enter(self, runs: Runs) -> None:
        """A block begins on this thread. An outermost one takes a loop of one's own over."""
        here = threading.get_ident()
        is_inner = self._innermost(here) is not None
        outer = [
            run
            for run in runs.going_on()
            if is_inner or run.status.is_of_keras or run.thread != here
        ]
        self._blocks.append(_Block(here, outer))

    def exit(self, runs: Runs) -> list[Run]:
        """The innermost block of this thread ends, or else of any: what ends with it, inside out.

        That is what began in it on this thread; and where it is the last block, loops of one's own
        on other threads.
        """
        here = threading.get_ident()
        block = self._innermost(here) or self._blocks[-1]
        self._blocks.remove(block)
        return [
            run
            for run in reversed(runs.going_on())
            if run not in block.outer
            and (run.thread in (here, block.thread) or not (run.status.is_of_keras or self._blocks))
        ]

    def outer(self) -> list[Run]:
        """What goes on around the innermost block of this thread, if it is in one."""
        block = self._innermost(threading.get_ident())
        return [] if block is None else block.outer

    def are_in_callbacks_of(self, run: Run) -> bool:
        """Whether a callback of `run` has the innermost block of this thread, and calls its hooks.

        Those of the validation of a `fit` Keras calls from further inside.
        """
        return run in self.outer() and run.status.is_of_this_call()

    def _innermost(self, thread: int) -> _Block | None:
        of_thread = (block for block in reversed(self._blocks) if block.thread == thread)
        return next(of_thread, None)
