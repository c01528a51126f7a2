"""When a run shows its metrics, and when its weights."""

import contextlib
import math
import threading
import time
from collections.abc import Iterator
from typing import Any

from gangplank.checked_values import is_integer
from gangplank.metrics import Run

_BETWEEN_BATCHES = 1.0  # seconds, at least, between two batches that are shown


class Schedule:
    """The epochs after which weights are looked at, and the batches after which metrics are shown.

    Arguments:
        update_freq: "epoch", or the number of batches from one that is shown to the next.
        histogram_freq: the number of epochs from one look at the weights to the next, or None.
        is_wanted: whether there is anything to look at.

    Raises:
        ValueError: a number is none, or `histogram_freq` has nothing to look at.
    """

    def __init__(self, update_freq: Any, histogram_freq: Any, *, is_wanted: bool) -> None:
        if update_freq != "epoch" and not _is_count(update_freq):
            raise ValueError(
                "update_freq must be 'epoch' or a number of batches, 1 or more. "
                f"Received {update_freq!r}."
            )
        if histogram_freq is not None and not _is_count(histogram_freq):
            raise ValueError(
                "histogram_freq must be a number of epochs, 1 or more, or None. "
                f"Received {histogram_freq!r}."
            )
        if histogram_freq is not None and not is_wanted:
            raise ValueError(
                "histogram_freq needs histogram_buckets, statistics or update_ratio. Pass for "
                "instance histogram_buckets=gangplank.HISTOGRAM_WEIGHT_BUCKETS_0_3."
            )
        self._batches: float = math.inf if update_freq == "epoch" else update_freq
        self._epochs: float = histogram_freq or math.inf
        self._shown_at = -math.inf
        self._showing = threading.Lock()

    def begin_epoch(self, run: Run) -> None:
        """The batches of `run` are counted from 0 again."""
        run.next_batch = self._batches

    def is_by_batch(self) -> bool:
        """Whether metrics are shown after batches at all."""
        return self._batches < math.inf

    def is_of_weights(self, epoch: int) -> bool:
        """Whether the weights are looked at after the epoch of this index."""
        return (epoch + 1) % self._epochs == 0

    @contextlib.contextmanager
    def batch(self, run: Run, index: int) -> Iterator[bool]:
        """Whether `run` is shown after the batch of this index, which one thread does."""
        if index + 1 < run.next_batch or not self._showing.acquire(blocking=False):
            yield False
            return
        # Keras calls the hooks of batches from several threads.
        try:
            run.next_batch = index + 1 + self._batches
            is_due = time.monotonic() - self._shown_at >= _BETWEEN_BATCHES
            if is_due:
                self._shown_at = time.monotonic()
            yield is_due
        finally:
            self._showing.release()


def _is_count(number: Any) -> bool:
    return is_integer(number) and number >= 1
