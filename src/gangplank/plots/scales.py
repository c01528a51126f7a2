"""Where on an axis a value lies: on a linear one, or on one of octaves on both sides of zero."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gangplank.plots.counted import Counted

# Beyond these, buckets on a linear axis are too unlike, or their places no numbers for a chart.
_WIDEST_TO_NARROWEST = 100
_LEAST_SPAN, _GREATEST_SPAN = 1e-100, 1e100


@dataclass(frozen=True)
class Linear:
    """An axis on which a value's place is the value.

    Attributes:
        unit: the width for which the height of a bar tells the count.
        bottom: the least bound.
        top: the greatest one.
    """

    unit: float
    bottom: float
    top: float
    digits: ClassVar = 10

    @property
    def height_label(self) -> str:
        """What the height of a bar tells."""
        return f"weights per {self.unit:.3g}"

    def place(self, values: ArrayLike) -> NDArray[np.float64]:
        """Where the values lie."""
        return np.asarray(values, np.float64)

    def value(self, places: ArrayLike) -> NDArray[np.float64]:
        """Which values lie there."""
        return np.asarray(places, np.float64)

    def joined(self, other: "Scale") -> "Linear":
        """This axis with room for what lies on another one."""
        bottom, top = min(self.bottom, other.bottom), max(self.top, other.top)
        return replace(self, bottom=bottom, top=top)

    def candidates(self) -> list[float]:
        """The values at which there may be ticks, those first that should be there."""
        span = self.top - self.bottom
        if not span:
            return [self.bottom]
        step = nice_step(span / 6)
        first = math.ceil(self.bottom / step)
        last = math.floor(self.top / step * (1 + 1e-12))
        return sorted((i * step for i in range(first, last + 1)), key=abs)


@dataclass(frozen=True)
class Symlog:
    """An axis of octaves, the positive above `least`, the negative below -`least`; linear at zero.

    Attributes:
        zero: the magnitudes up to it lie within `half` of the place of zero.
        least: the least magnitude that any other bucket has. From `zero` to it there is little
            room, since nothing lies there.
        half: the width that those up to `zero` take, in octaves; where there is something to skip
            to `least`, that takes as much.
        bottom: the least bound.
        top: the greatest one.
    """

    zero: float
    least: float
    half: float
    bottom: float
    top: float
    unit: ClassVar = 1.0
    digits: ClassVar = 3
    height_label: ClassVar = "weights per factor of 2"

    def place(self, values: ArrayLike) -> NDArray[np.float64]:
        """Where the values lie, in octaves from the place of zero."""
        values = np.asarray(values, np.float64)
        magnitudes = np.abs(values)
        inside = np.minimum(magnitudes, self.zero) / self.zero * self.half
        known, places = self._anchors()
        octaves = np.log2(np.maximum(magnitudes, self.zero))
        outside = np.interp(octaves, known, places) + np.maximum(octaves - known[-1], 0)
        return _of_both_sides(values, np.where(magnitudes <= self.zero, inside, outside))

    def value(self, places: ArrayLike) -> NDArray[np.float64]:
        """Which values lie there."""
        places = np.asarray(places, np.float64)
        distances = np.abs(places)
        inside = np.minimum(distances / self.half, 1) * self.zero
        known, ends = self._anchors()
        octaves = np.interp(distances, ends, known) + np.maximum(distances - ends[-1], 0)
        outside = np.exp2(np.minimum(octaves, 1023))
        return _of_both_sides(places, np.where(distances <= self.half, inside, outside))

    def joined(self, other: "Scale") -> "Symlog":
        """This axis with room for what lies on another one."""
        bottom, top = min(self.bottom, other.bottom), max(self.top, other.top)
        zero, least = self.zero, self.least
        if isinstance(other, Symlog):
            zero, least = min(zero, other.zero), min(least, other.least)
        return replace(self, zero=zero, least=least, bottom=bottom, top=top)

    def candidates(self) -> list[float]:
        """The values at which there may be ticks, those first that should be there."""
        greatest = max(-self.bottom, self.top)
        first, last = math.log10(self.least), math.log10(greatest)
        if last - first >= 1.5:
            # Counted from the greatest, near which most weights are.
            step = math.ceil((last - first) / 4)
            magnitudes = [10.0**i for i in range(math.floor(last), math.ceil(first) - 1, -step)]
        else:
            magnitudes = [greatest, self.least]
        sides = [*magnitudes, *(-each for each in magnitudes)]
        return [value for value in [0.0, *sides] if self.bottom <= value <= self.top]

    def _anchors(self) -> tuple[list[float], list[float]]:
        """Magnitudes, as logarithms to base 2, and their places."""
        if self.least == self.zero:
            return [math.log2(self.zero)], [self.half]
        return [math.log2(self.zero), math.log2(self.least)], [self.half, 2 * self.half]


Scale = Linear | Symlog


def scale_of(all_counted: Sequence[Counted]) -> Scale:
    """The axis on which the buckets of all can be read."""
    bounds = [pair for counted in all_counted for pair in counted.drawable()]
    closed = [pair for pair in bounds if all(map(math.isfinite, pair))]
    edges = sorted({edge for pair in closed or bounds for edge in pair if math.isfinite(edge)})
    bottom, top = edges[0], edges[-1]
    widths = [upper - lower for lower, upper in closed] or [abs(top) or 1.0]
    is_even = max(widths) <= _WIDEST_TO_NARROWEST * min(widths)
    is_native = any(counted.zero_threshold is not None for counted in all_counted)
    if not is_native and is_even and _LEAST_SPAN < max(widths) < _GREATEST_SPAN:
        return Linear(min(widths), bottom, top)
    zero = min(abs(edge) for edge in edges if edge)
    besides = [edge for pair in closed if pair[0] != -pair[1] for edge in map(abs, pair) if edge]
    least = min(besides, default=zero)
    octaves = sum(math.log2(end) - math.log2(least) for end in (-bottom, top) if end > least)
    return Symlog(zero, least, max(0.5, octaves / 100), bottom, top)


def nice_step(step: float) -> float:
    """The least of 1, 2 and 5 times a power of 10 that is at least `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(times * power for times in (1, 2, 5, 10) if times * power >= step * (1 - 1e-9))


def _of_both_sides(
    signed: NDArray[np.float64], magnitudes: NDArray[np.float64]
) -> NDArray[np.float64]:
    signs: NDArray[np.float64] = np.sign(signed)
    return signs * magnitudes
