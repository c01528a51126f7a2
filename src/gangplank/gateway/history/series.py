"""The points of one series, in arrays of 20 bytes a point."""

import math
from array import array
from bisect import bisect_right
from collections.abc import Mapping
from itertools import chain
from typing import Any

from gangplank.gateway.bodies import go_float

Labels = Mapping[str, str]


class Series:
    """The last points of one series.

    Arguments:
        identity: what tells it apart from every other series of a history.
        name: of the metric.
        labels: its own, without those of its group.

    Attributes:
        times: when each point was pushed, in seconds of the Unix epoch, ascending.
        epochs: how many epochs were completed then; NaN where nobody told.
        values: its value.
    """

    def __init__(self, identity: int, name: str, labels: Labels) -> None:
        self.identity = identity
        self.name = name
        self.labels = labels
        self.times = array("d")
        self.epochs = array("f")  # exact up to 2^24
        self.values = array("d")

    def add(self, time: float, epoch: float, value: float) -> None:
        """Takes a point, unless an epoch is told of again."""
        is_old = bool(self.values) and epoch == self.epochs[-1] and _same(value, self.values[-1])
        if not is_old:
            self.times.append(time)
            self.epochs.append(epoch)
            self.values.append(value)

    def trim(self, most: int) -> None:
        """Forgets the first points, so that `most` are left."""
        if (excess := len(self.values) - most) > 0:
            for column in (self.times, self.epochs, self.values):
                del column[:excess]

    def described(self, after: float, until: float) -> dict[str, Any] | None:
        """The points with ``after < time <= until``, for JSON; None if there are none."""
        begin, end = bisect_right(self.times, after), bisect_right(self.times, until)
        if begin == end:
            return None
        return {
            "id": self.identity,
            "name": self.name,
            "labels": self.labels,
            "times": self.times[begin:end].tolist(),
            "epochs": epochs_for_json(self.epochs[begin:end]),
            "values": [as_json(value) for value in self.values[begin:end]],
        }


def as_json(value: float) -> float | str:
    """A number, or its name where JSON has no number for it."""
    return value if math.isfinite(value) else go_float(value)


def epochs_for_json(epochs: "array[float]") -> list[int | float | None]:
    """Whole numbers without their ``.0``, and None for what is no number."""
    return [
        int(epoch) if epoch.is_integer() else epoch if math.isfinite(epoch) else None
        for epoch in epochs
    ]


def size_of_text(name: str, labels: Labels) -> int:
    """How many characters a series' name and labels have."""
    return sum(map(len, chain((name,), labels, labels.values())))


def _same(a: float, b: float) -> bool:
    return a == b or (a != a and b != b)
