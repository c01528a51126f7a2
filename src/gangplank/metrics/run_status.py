"""Whether a run is going on, is completed or has failed."""

import math
import sys
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, Literal

from gangplank.metrics.metric_names import number

Ending = Literal["completed", "failed"]
STATUSES = ("running", "completed", "failed")


def ending_of_training(model: Any, logs: Mapping[str, Any]) -> Ending:
    """How a training ended that no exception did: TerminateOnNaN stops it with its last `logs`."""
    # It has no other way of telling than that of EarlyStopping.
    is_stopped = getattr(model, "stop_training", False)
    loss = number(logs.get("loss"))
    has_lost = loss is not None and not math.isfinite(loss)
    return "failed" if is_stopped and has_lost else "completed"


class KerasCall:
    """The call of Keras's `fit` or `evaluate` that the thread which makes this is in, if any.

    Keras calls no hook when an exception ends a run, and exceptions keep what they passed through
    alive, so that nothing is finalized either. What always ends is the call itself. The one way
    that the language documents to ask whether a frame has ended is to clear it, which a frame that
    still executes refuses: https://docs.python.org/3/reference/datamodel.html. So the frame that
    is asked is not that of `fit`, whose variables a debugger may want to see, but that of the
    wrapper by which Keras filters tracebacks, which has no variables but the arguments.
    """

    def __init__(self) -> None:
        self._is_over = False
        frame: FrameType | None = sys._getframe()
        while frame is not None and not _is_run(frame):
            frame = frame.f_back
        wrapper = None if frame is None else frame.f_back
        self._frame = wrapper if wrapper is not None and _is_of_keras(wrapper) else None
        self.is_known = self._frame is not None

    def forget(self) -> None:
        """Lets go of the frame, and with it of the data of the run."""
        self._frame = None

    def is_current(self) -> bool:
        """Whether this thread is in it, and in none inside of it."""
        return self._frame is not None and self._frame is KerasCall()._frame

    def is_over(self) -> bool:
        """Whether the call was left, from any thread; never of a loop that is not Keras's."""
        frame = self._frame
        if frame is not None:
            # To look for it on the stack of its thread would race with generators, whose frames
            # have callers only while they run.
            try:
                frame.clear()
            except RuntimeError:
                return False
            self._is_over = True
            self._frame = None
        return self._is_over


def model_of_hook(callback: Any) -> Any:
    """The model of Keras's list of callbacks that calls a hook of `callback`; None if none does.

    What `callback` was told of last may be another model, which a callback before it has called.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_locals.get("self") is callback:
        frame = frame.f_back
    if frame is None or not _is_of_keras(frame):
        return None
    # Not `model`, which copies all weights where JAX trains.
    return getattr(frame.f_locals.get("self"), "_model", None)


def _is_run(frame: FrameType) -> bool:
    return frame.f_code.co_name in ("fit", "evaluate") and _is_of_keras(frame)


def _is_of_keras(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith("keras.")


class RunStatus:
    """The status of a run that begins where this is made, on this thread.

    Arguments:
        on_end: called when it ends, on whatever thread sees that.

    Attributes:
        is_of_keras: whether it is a `fit` or `evaluate` of Keras, whose end is seen in any case.
    """

    def __init__(self, on_end: Callable[[], None] = lambda: None) -> None:
        self._on_end = on_end
        self._call = KerasCall()
        self._began = time.monotonic()
        self._ended: float | None = None
        self._ending: Ending | None = None
        self._was_left = False
        self.is_of_keras = self._call.is_known

    def end(self, ending: Ending) -> None:
        """The run has ended; what is said of it first holds."""
        if self._ending is None:
            self._ended = time.monotonic()
            self._ending = ending
            self._call.forget()
            self._on_end()

    def is_of_this_call(self) -> bool:
        """Whether it is of the call of Keras that this thread is in."""
        return self._call.is_current()

    def was_left(self) -> bool:
        """Whether an exception has ended the call of Keras, so that the run has failed."""
        if self._ending is None and self._call.is_over():
            self._was_left = True
            self.end("failed")
        return self._was_left

    def current(self) -> Literal["running"] | Ending:
        self.was_left()
        return self._ending or "running"

    def is_running(self) -> bool:
        return self.current() == "running"

    def seconds(self) -> float:
        """How long the run takes or took."""
        return (self._ended or time.monotonic()) - self._began
