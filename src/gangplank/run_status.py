"""Whether a run of Keras is going on, is completed or has failed."""

import sys
import threading
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
        self._thread = threading.get_ident()
        frame: FrameType | None = sys._getframe()
        while frame is not None and not _is_run(frame):
            frame = frame.f_back
        self._frame = frame

    def is_over(self) -> bool:
        """Whether the call was left, from any thread; never of a loop that is not Keras's."""
        if self._frame is None:
            return False
        frame = sys._current_frames().get(self._thread)
        while frame is not None and frame is not self._frame:
            frame = frame.f_back
        return frame is None


def _is_run(frame: FrameType) -> bool:
    module = frame.f_globals.get("__name__", "")
    return frame.f_code.co_name in ("fit", "evaluate") and module.startswith("keras.")


class RunStatus(Collector):
    """A gauge ``{status="running"|"completed"|"failed"}``, 1 for the one that is true.

    Shows nothing before the first run.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._status = ""
        self._call: KerasCall | None = None

    def begin(self) -> KerasCall:
        """A run begins, on this thread."""
        self._call = call = KerasCall()
        self._status = "running"
        return call

    def end(self, ending: Ending) -> None:
        """The run has ended."""
        self._status = ending
        self._call = None  # its frame holds the data of the run

    def is_running(self) -> bool:
        """Whether a run began, did not end, and is still on the stack of its thread."""
        call = self._call
        if call is not None and call.is_over():
            self.end("failed")
        return self._status == "running"

    def collect(self) -> Iterable[Metric]:
        self.is_running()
        status = self._status
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
