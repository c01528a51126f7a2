"""A function that looks for drift, called where it delays no prediction."""

import contextlib
import math
import queue
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from gangplank.drift import Drift
from gangplank.inference.harmless import NO_FILES, OneWarning
from gangplank.inference.predictions import Predictions


class _Call(NamedTuple):
    given: Any
    answer: Any


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
        self._waiting: queue.Queue[_Call | None] = queue.Queue(self._size)
        self._thread: threading.Thread | None = None
        self._beginning = threading.Lock()

    def put(self, given: Any, answer: Any) -> None:
        """Has the function called. Raises nothing that it raises, and does not wait for it."""
        try:
            if not self._size:
                self._look(given, answer)
            elif not self._is_closed:
                self._put(given, answer)
        except (RuntimeError, *NO_FILES):
            self._warning.log()

    def close(self) -> None:
        """Has the thread end after the call that it looks at, and drops what waits."""
        self._is_closed = True
        with contextlib.suppress(queue.Full):  # then the thread sees for itself
            self._waiting.put_nowait(None)

    def _look(self, given: Any, answer: Any) -> None:
        try:
            self._show(self._function(given, answer))
        except (Exception, SystemExit) as error:
            kind = type(error).__name__
            self._predictions.metric("gangplank_predict_drift_failed", type=kind).inc()
            self._warning.log()

    def _put(self, given: Any, answer: Any) -> None:
        try:
            if self._thread is None or not self._thread.is_alive():
                self._begin()
            self._waiting.put_nowait(_Call(given, answer))
        except queue.Full:
            self._dropped.inc()
        except RuntimeError:  # no thread can be started
            self._dropped.inc()
            raise

    def _begin(self) -> None:
        with self._beginning:
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(
                    target=self._work, args=(self._waiting,), name="gangplank-drift", daemon=True
                )
                thread.start()
                self._thread = thread

    def _work(self, waiting: "queue.Queue[_Call | None]") -> None:
        while (call := waiting.get()) is not None and not self._is_closed:
            self._look(*call)
            del call  # and what it holds, until there is another one

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
