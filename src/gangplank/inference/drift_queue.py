"""A function that looks for drift, called where it delays no prediction."""

import contextlib
import logging
import math
import queue
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from gangplank.drift import Drift
from gangplank.inference.predictions import Predictions

_logger = logging.getLogger(__name__)


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
        self._waiting: queue.Queue[_Call | None] = queue.Queue(size)
        self._thread: threading.Thread | None = None
        self._beginning = threading.Lock()
        self._is_told = False
        self._is_closed = False

    def put(self, given: Any, answer: Any) -> None:
        """Has the function called. Raises nothing that it raises, and does not wait for it."""
        if self._is_closed:
            return
        if not self._size:
            self._look(given, answer)
            return
        if self._thread is None or not self._thread.is_alive():
            self._begin()
        try:
            self._waiting.put_nowait(_Call(given, answer))
        except queue.Full:
            self._dropped.inc()

    def _look(self, given: Any, answer: Any) -> None:
        try:
            self._show(self._function(given, answer))
        except Exception as error:
            kind = type(error).__name__
            self._predictions.metric("gangplank_predict_drift_failed", type=kind).inc()
            if not self._is_told:
                self._is_told = True
                _logger.warning(
                    "get_drift_metrics_func failed, which harms no prediction. Further failures "
                    "are counted in gangplank_predict_drift_failed_total and not logged.",
                    exc_info=True,
                )

    def close(self) -> None:
        """Has the thread end after the call that it looks at, and drops what waits."""
        self._is_closed = True
        with contextlib.suppress(queue.Full):  # then the thread sees for itself
            self._waiting.put_nowait(None)

    def _begin(self) -> None:
        with self._beginning:
            if self._thread is None or not self._thread.is_alive():
                # What a process that forked had waiting is that one's.
                waiting = self._waiting = queue.Queue(self._size)
                self._thread = threading.Thread(
                    target=self._work, args=(waiting,), name="gangplank-drift", daemon=True
                )
                self._thread.start()

    def _work(self, waiting: "queue.Queue[_Call | None]") -> None:
        while (call := waiting.get()) is not None and not self._is_closed:
            self._look(*call)
            del call  # and what it holds, until there is another one

    def _show(self, drift: Drift) -> None:
        detected, p_value, statistic = (None if value is None else float(value) for value in drift)
        if detected is not None and not 0 <= detected < math.inf:
            raise ValueError(f"drift_detected must be a bool or a count. Received {detected!r}.")
        metric = self._predictions.metric
        if detected is not None:
            metric("gangplank_predict_drift_detected").inc(detected)
        if p_value is not None:
            metric("gangplank_predict_drift_p_value").set(p_value)
        if statistic is not None:
            metric("gangplank_predict_drift_test_statistic").set(statistic)
