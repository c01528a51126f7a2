"""The runs of one exporter that go on at once: one, or some that are nested."""

import threading
from collections.abc import Collection

from gangplank.metrics.run_metrics import Run, RunMetrics


class CallOfThread(threading.local):
    """What each thread knows of the call of Keras that it is in.

    Attributes:
        is_new: whether it was told of a model, but not yet of a beginning.
        ending: the run that the end of a block of `with` is ending, if it is.
    """

    is_new = True
    ending: Run | None = None


class Runs:
    """Runs that began one inside another.

    A callback of `fit` may call `evaluate`, or `fit` of another model, with the same exporter.
    No hook is told which run it is of: it is of the innermost one of its thread that goes on or,
    where that thread has none, of all threads, since Keras may call hooks of batches from others.
    """

    def __init__(self) -> None:
        self._runs: list[Run] = []

    def joined_by(self, run: Run, outer_runs: Collection[Run] = ()) -> "Runs":
        """These runs and `run`, which begins inside of them; or it alone if none goes on.

        Of `outer_runs` it is known that they go on.
        """
        outer = self.innermost(run.phase)
        # Nobody tells of an exception that leaves a loop of one's own. Another one of its kind
        # that begins on its thread has not begun inside of it, unless in a block of its own.
        if outer is not None and outer not in outer_runs and _are_alike(outer, run):
            outer.status.end("failed")
            self.end(outer)
        run.outer = self.innermost(run.phase)
        joined = self if self.innermost() is not None else Runs()
        joined._runs = [each for each in joined._runs if not each.status.was_left()]
        joined._runs.append(run)
        return joined

    def end(self, run: Run) -> None:
        """The run has ended. So have those that exceptions ended, inside of it or before."""
        self._runs = [each for each in self._runs if each is not run and not each.status.was_left()]

    def innermost(self, phase: RunMetrics | None = None) -> Run | None:
        """The run, of `phase` if given, that a hook on this thread is of; None if none goes on."""
        running = [run for run in self.going_on() if phase in (None, run.phase)]
        own = [run for run in running if run.thread == threading.get_ident()]
        return next(reversed(own or running), None)

    def going_on(self) -> list[Run]:
        """Those that go on, the innermost last."""
        return [run for run in self._runs if run.status.is_running()]

    def have_one_of_this_call(self, phase: RunMetrics, outer_runs: Collection[Run]) -> bool:
        """Whether the innermost is of `phase`, and of the call of Keras that this thread is in.

        It is not of `outer_runs`, which go on around a block.
        """
        run = self.innermost()
        if run is None or run in outer_runs:
            return False
        return run.phase is phase and run.status.is_of_this_call()

    def are_of_several_threads(self) -> bool:
        return len({run.thread for run in self._runs}) > 1

    def are_left(self) -> bool:
        """Whether exceptions have ended them all, so that no hook will."""
        runs = self._runs
        return bool(runs) and all(run.status.was_left() for run in runs)

    def fail(self) -> None:
        """They have all failed."""
        for run in self._runs:
            run.status.end("failed")


def _are_alike(first: Run, second: Run) -> bool:
    """Whether both are loops of one's own in the same thread."""
    return first.thread == second.thread and not (
        first.status.is_of_keras or second.status.is_of_keras
    )
