"""A function that looks for drift, for which no prediction waits."""

import math
import queue
import threading
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from typing import Any, NamedTuple

import keras
import numpy as np

from gangplank.drift import Drift
from gangplank.inference.harmless import METRIC_ERRORS, OneWarning
from gangplank.inference.predictions import Predictions
from gangplank.inference.samples import first_array


class _Call(NamedTuple):
    given: Any
    answer: Any


def _kept(answer: Any) -> Any:
    """A copy of what `predict` answers, as whoever called it may write into its arrays."""
    if not isinstance(first_array(answer), np.ndarray):
        return answer
    return keras.tree.map_structure(copy, answer)


class _Here(threading.local):
    """What one thread knows: whether it is in the function."""

    is_looking = False


class DriftQueue:
    """Has a function look at answered calls, one after another, on a thread of its own.

    The thread begins with the first call, and anew in a process that was forked since.

    Arguments:
        function: is called with what a model was given and answered, and returns a `Drift`.
        predictions: where that is shown.
        size: how many calls may wait; further ones are dropped, and counted. 0 looks at once.
    """

    def __init__(
        self, function: Callable[[Any, Any], Drift], predictions: Predictions, size: int
    ) -> None:
        self._function, self._predictions, self._size = function, predictions, size
        self._dropped = predictions.metric("gangplank_predict_drift_dropped")
        self._warning = OneWarning(
            "get_drift_metrics_func failed, or no thread could be started for it. That harms no "
            "prediction. gangplank_predict_drift_failed_total and …_dropped_total count further "
            "failures, which are not logged."
        )
        self._is_closed = False
        self.forget()

    def forget(self) -> None:
        """Begins anew, in a forked process too: the thread and what waits for it are another's."""
        self._here = _Here()
        # A signal's handler that predicts would wait for a Queue, or a metric, that it interrupts.
        self._waiting: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._newly_dropped: deque[None] = deque()
        self._thread: threading.Thread | None = None
        self._beginning = threading.RLock()

    def put(self, given: Any, answer: Any) -> None:
        """Has the function called. Raises nothing that it raises, and does not wait for it.

        What the function itself calls the model with is not looked at, which would have no end.
        """
        if self._here.is_looking or self._is_closed:
            return
        try:
            if not self._size:
                self._look(given, answer)
            else:
                self._put(given, answer)
        except (RuntimeError, MemoryError, *METRIC_ERRORS):
            self._warning.log()

    def show_dropped(self) -> None:
        """Shows how many calls were dropped since the last time. Only one thread may call it."""
        if count := len(self._newly_dropped):
            for _ in range(count):
                self._newly_dropped.popleft()
            self._dropped.inc(count)

    def close(self) -> None:
        """Has the thread end after the call that it looks at, and drops what waits."""
        self._is_closed = True
        self._drop()

    def _drop(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._waiting.get_nowait()
        self._waiting.put(None)

    def _look(self, given: Any, answer: Any) -> None:
        self._here.is_looking = True
        try:
            self._show(self._function(given, answer))
        except (Exception, SystemExit, CancelledError) as error:
            self._warning.log()
            kind = type(error).__name__
            with suppress(RuntimeError, MemoryError, *METRIC_ERRORS):
                self._predictions.metric("gangplank_predict_drift_failed", type=kind).inc()
        finally:
            self._here.is_looking = False

    def _put(self, given: Any, answer: Any) -> None:
        if self._waiting.qsize() >= self._size:
            self._newly_dropped.append(None)
            return
        try:
            if self._thread is None:
                self._begin()
            call = _Call(given, _kept(answer))
        except (RuntimeError, MemoryError):  # no thread can be started, or there is no room
            self._newly_dropped.append(None)
            raise
        self._waiting.put(call)
        if self._is_closed:  # since then
            self._drop()

    def _begin(self) -> None:
        with self._beginning:
            # Not is_alive(): where a signal's handler raises in it, Python 3.11 takes the thread
            # for one that has ended.
            if self._thread is not None:
                return
            self._thread = threading.Thread(
                target=self._work, args=(self._waiting,), name="gangplank-drift", daemon=True
            )
            try:
                self._thread.start()
            except BaseException:
                self._thread = None
                raise

    def _work(self, waiting: "queue.SimpleQueue[_Call | None]") -> None:
        try:
            # Where a handler raises as a thread begins, there may be another one.
            while self._thread is threading.current_thread():
                call = waiting.get()
                if call is None or self._is_closed:
                    waiting.put(None)
                    return
                self._look(*call)
                del call  # and what it holds, until there is another one
        finally:
            if self._thread is threading.current_thread():
                self._thread = None

    def _show(self, drift: Drift) -> None:
        if not isinstance(drift, tuple) or len(drift) != 3:
            raise TypeError(
                "get_drift_metrics_func must return a gangplank.Drift. It has returned "
                f"{drift!r:.200}."
            )
        detected, p_value, statistic = (None if each is None else float(each) for each in drift)
        if detected is not None and not 0 <= detected < math.inf:
            raise ValueError(f"drift_detected must be a bool or a count. Received {detected!r}.")
        metric = self._predictions.metric
        if detected is not None:
            metric("gangplank_predict_drift_detected").inc(detected)
        if p_value is not None:
            metric("gangplank_predict_drift_p_value").set(p_value)
        if statistic is not None:
            metric("gangplank_predict_drift_test_statistic").set(statistic)
