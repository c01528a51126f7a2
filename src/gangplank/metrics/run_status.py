"""Whether a run of Keras is going on, is completed or has failed."""

import sys
from collections.abc import Iterable
from types import FrameType
from typing import Literal

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Ending = Literal["completed", "failed"]


class KerasCall:
    """The call of Keras's `fit` or `evaluate` that the thread which makes this is in, if any.

    Keras calls no hook when an exception ends a run, and exceptions keep what they passed
    through alive, so that nothing is finalized either. What always ends is the call itself.
    """

    def __init__(self) -> None:
        self.ending: Ending | None = None
        self._is_over = False
        frame: FrameType | None = sys._getframe()
        while frame is not None and not _is_run(frame):
            frame = frame.f_back
        # Keras wraps both. To clear a frame empties its variables, and those of the wrapper, the
        # arguments of the call, are missed least by whoever debugs a run that failed.
        is_wrapped = frame is not None and _module(frame.f_back).startswith("keras.")
        self._frame = frame.f_back if frame is not None and is_wrapped else frame

    def end(self, ending: Ending) -> None:
        """The run has ended."""
        self.ending = ending
        self._frame = None  # which holds the data of the run

    def is_over(self) -> bool:
        """Whether the call was left, from any thread; never of a loop that is not Keras's."""
        frame = self._frame
        if frame is not None:
            # A frame that executes refuses, https://docs.python.org/3/reference/datamodel.html.
            # To look for it on the stack of its thread would race with generators, whose frames
            # have callers only while they run.
            try:
                frame.clear()
            except RuntimeError:
                return False
            self._is_over = True
            self._frame = None
        return self._is_over


def _is_run(frame: FrameType) -> bool:
    return frame.f_code.co_name in ("fit", "evaluate") and _module(frame).startswith("keras.")


def _module(frame: FrameType | None) -> str:
    return "" if frame is None else str(frame.f_globals.get("__name__", ""))


class RunStatus(Collector):
    """A gauge ``{status="running"|"completed"|"failed"}``, 1 for the one that is true.

    Shows nothing before the first run.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._call: KerasCall | None = None

    def begin(self) -> KerasCall:
        """A run begins, on this thread."""
        self._call = KerasCall()
        return self._call

    def end(self, ending: Ending) -> None:
        """The run has ended."""
        if self._call is not None:
            self._call.end(ending)

    def is_running(self) -> bool:
        """Whether a run began, did not end, and its call is not over."""
        return self._status() == "running"

    def collect(self) -> Iterable[Metric]:
        status = self._status()
        if status is None:
            return []
        family = self._empty()
        for each in ("running", "completed", "failed"):
            family.add_metric([each], each == status)
        return [family]

    def describe(self) -> Iterable[Metric]:
        return [self._empty()]

    def _status(self) -> Literal["running"] | Ending | None:
        call = self._call
        if call is None:
            return None
        if call.ending is None and call.is_over():
            call.end("failed")
        return call.ending or "running"

    def _empty(self) -> GaugeMetricFamily:
        text = "Whether the run goes on, is completed, or has failed."
        return GaugeMetricFamily(self._name, text, labels=["status"])
