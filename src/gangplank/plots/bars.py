"""The bars of a histogram: the one place that knows where each begins and ends, and how high it is.

The area of a bar, as it stands on the axis, is the count of its bucket. A bucket without an end has
an area too, of a width that is chosen: it is to be drawn so that it is told from the others.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from gangplank.plots.counted import Counted
from gangplank.plots.scales import Scale

# Of the axis: about a pixel.
_NARROWEST = 0.004


@dataclass(frozen=True)
class Bar:
    """A bucket as it is drawn.

    Attributes:
        left: the value at which it begins on the axis.
        right: the value at which it ends.
        height: how many weights there are per `unit` of the axis.
        lower: the bucket's lower bound.
        upper: its upper bound.
        count: how many weights lie in it.
    """

    left: float
    right: float
    height: float
    lower: float
    upper: float
    count: int

    @property
    def is_open(self) -> bool:
        """Whether the bucket has no end, where the bar has one."""
        return math.isinf(self.lower) or math.isinf(self.upper)


@dataclass(frozen=True)
class Tick:
    """A value that is written at the axis, and how."""

    value: float
    label: str


def bars_of(counted: Counted, scale: Scale) -> list[Bar]:
    """The bars of all buckets, also of empty ones, from the left to the right."""
    bars = []
    for (lower, upper), count in counted.drawable().items():
        left, right = _places(lower, upper, scale)
        height = count * scale.unit / (right - left)
        begin, end = scale.value([left, right]).tolist()
        bars.append(Bar(begin, end, height, lower, upper, count))
    return bars


def ticks_of(bars: Sequence[Bar], scale: Scale, letter: float) -> list[Tick]:
    """Ticks whose labels do not run into one another; infinity where an open bucket's bar ends.

    Arguments:
        bars: all that stand on the axis.
        scale: the axis.
        letter: how much of the axis a letter takes.
    """
    wanted = [Tick(bar.left, "−∞") for bar in bars if bar.lower == -math.inf][:1]
    wanted += [Tick(bar.right, "∞") for bar in bars if bar.upper == math.inf][-1:]
    wanted += [Tick(value, _written(value, scale.digits)) for value in scale.candidates()]
    left, right = ends(bars)
    first, last = scale.place([left, right]).tolist()
    kept: list[tuple[float, Tick]] = []
    for tick in wanted:
        place = float(scale.place(tick.value))
        if all(
            abs(place - other) > (last - first) * letter * _letters(tick, known)
            and tick.label != known.label
            for other, known in kept
        ):
            kept.append((place, tick))
    return [tick for _, tick in sorted(kept, key=lambda pair: pair[0])]


def ends(bars: Sequence[Bar]) -> tuple[float, float]:
    """The values at which the first bar begins and the last one ends."""
    return min(bar.left for bar in bars), max(bar.right for bar in bars)


def _places(lower: float, upper: float, scale: Scale) -> tuple[float, float]:
    bottom, top = scale.place([scale.bottom, scale.top]).tolist()
    width = max(scale.unit, (top - bottom) / 24)  # of a bar whose bucket has no end
    if upper == math.inf:
        # Infinity, beside which nothing is near, is not taken for the next bucket.
        begin = top + (width / 2 if lower > scale.top else 0)
        return begin, begin + width
    if lower == -math.inf:
        end = bottom - (width / 2 if upper < scale.bottom else 0)
        return end - width, end
    left, right = scale.place([lower, upper]).tolist()
    # What is too narrow to be seen is drawn around where it is.
    missing = max((top - bottom) * _NARROWEST - (right - left), 0) / 2
    return left - missing, right + missing


def _letters(one: Tick, other: Tick) -> float:
    """How many letters apart the middles of two labels are at least; a sign is hardly one."""
    return 2 + sum(len(tick.label.lstrip("−")) for tick in (one, other)) / 2


def _written(value: float, digits: int) -> str:
    return re.sub("e[+]?(-?)0*", r"e\1", f"{value:.{digits}g}").replace("-", "−")
