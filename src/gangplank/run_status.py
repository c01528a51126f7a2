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
        self._is_over = False
        frame: FrameType | None = sys._getframe()
        while frame is not None and not _is_run(frame):
            frame = frame.f_back
        # Keras wraps both, and whoever debugs a run looks into no wrapper.
        is_wrapped = frame is not None and _module(frame.f_back).startswith("keras.")
        self._frame = frame.f_back if frame is not None and is_wrapped else frame

    def is_over(self) -> bool:
        """Whether the call was left, from any thread; never of a loop that is not Keras's."""
        if self._frame is not None:
            # To walk the stack of another thread would race with its generators, whose frames
            # have callers only while they run.
            try:
                self._frame.clear()
            except RuntimeError:  # it is executing
                return False
            self._is_over = True
            self._frame = None  # which holds the data of the run
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
        self._status: tuple[str, KerasCall | None] = "", None

    def begin(self) -> KerasCall:
        """A run begins, on this thread."""
        call = KerasCall()
        self._status = "running", call
        return call

    def end(self, ending: Ending) -> None:
        """The run has ended."""
        self._status = ending, None

    def fail(self, call: KerasCall) -> None:
        """The run of that call has failed, if it is the one that is shown."""
        if self._status[1] is call:
            self.end("failed")

    def is_running(self) -> bool:
        """Whether a run began, did not end, and is still on the stack of its thread."""
        _, call = self._status
        if call is not None and call.is_over():
            self.fail(call)
        return self._status[0] == "running"

    def collect(self) -> Iterable[Metric]:
        self.is_running()
        status, _ = self._status
        family = self._empty()
        if status:
            for each in ("running", "completed", "failed"):
                family.add_metric([each], each == status)
        return [family] if status else []

    def describe(self) -> Iterable[Metric]:
        return [self._empty()]

    def _empty(self) -> GaugeMetricFamily:
        text = "Whether the run goes on, is completed, or has failed."
        return GaugeMetricFamily(self._name, text, labels=["status"])
