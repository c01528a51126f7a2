"""Checks of those arguments of the callback that no other module takes."""

import math
from typing import Any


def checked_histogram_freq(freq: Any, bounds: tuple[float, ...] | None) -> int | None:
    """The number of epochs from one histogram to the next, or None for one at the end."""
    if freq is None:
        return None
    if not isinstance(freq, int) or isinstance(freq, bool) or freq < 1:
        raise ValueError(
            f"histogram_freq must be a number of epochs, 1 or more, or None. Received {freq!r}."
        )
    if bounds is None:
        raise ValueError(
            "histogram_freq needs histogram_buckets. Pass for instance "
            "histogram_buckets=gangplank.HISTOGRAM_WEIGHT_BUCKETS_0_3."
        )
    return freq


def checked_update_freq(freq: Any) -> float:
    """The number of batches, infinite for "epoch"."""
    if freq == "epoch":
        return math.inf
    if not isinstance(freq, int) or isinstance(freq, bool) or freq < 1:
        raise ValueError(
            f"update_freq must be 'epoch' or a number of batches, 1 or more. Received {freq!r}."
        )
    return freq
