"""Statistics of weights: `WeightsStatistics`."""

import math
from dataclasses import dataclass

from gangplank import _native


@dataclass(frozen=True)
class WeightsStatistics:
    """What weights are like. Those from `minimum` on are of the finite ones; NaN without any.

    Attributes:
        count: how many weights there are, NaN not among them.
        nan_count: how many are NaN.
        infinite_count: how many are infinite.
        zero_count: how many are zero.
        minimum: the least weight.
        maximum: the greatest one.
        mean: their mean.
        standard_deviation: of the population, which is divided by their number.
        norm: the square root of the sum of their squares.
    """

    count: int
    nan_count: int
    infinite_count: int
    zero_count: int
    minimum: float
    maximum: float
    mean: float
    standard_deviation: float
    norm: float


def statistics_of(measured: _native.Measured) -> WeightsStatistics:
    """The statistics of values whose moments are known."""
    moments = measured.moments()
    if moments.size:
        mean = moments.total / moments.size
        deviation = math.sqrt(moments.squares / moments.size)
        norm = math.hypot(math.sqrt(moments.squares), math.sqrt(moments.size) * mean)
        # Of zeros of both signs the one or the other is the least.
        extremes = moments.minimum + 0.0, moments.maximum + 0.0
        values = *extremes, mean, deviation, norm
    else:
        values = (math.nan,) * 5
    counts = moments.nan_count, moments.infinite_count, moments.zero_count
    return WeightsStatistics(moments.size + moments.infinite_count, *counts, *values)
