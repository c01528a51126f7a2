"""Statistics of weights: `WeightsStatistics`, and `weights_statistics` to make one."""

import math
from dataclasses import dataclass
from typing import Any, Literal, overload

from gangplank import _native
from gangplank.weights.parts import PER, Parts, Per, checked_per


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


@overload
def weights_statistics(
    model: Any,
    *,
    per: Literal["model"] = ...,
    weights: Literal["trainable", "all"] = ...,
) -> WeightsStatistics: ...


@overload
def weights_statistics(
    model: Any,
    *,
    per: Literal["layer", "variable"],
    weights: Literal["trainable", "all"] = ...,
) -> dict[str, WeightsStatistics]: ...


def weights_statistics(
    model: Any, *, per: Per = "model", weights: Literal["trainable", "all"] = "trainable"
) -> WeightsStatistics | dict[str, WeightsStatistics]:
    """The statistics of a model's weights, computed in float64 and where the weights lie.

    Of weights in host memory they have the same bits whatever the number of threads. A sum of
    squares that exceeds the greatest float64 number is infinite, or makes NaN.

    Arguments:
        model: as `weights_histogram` takes it.
        per: "model" for all weights together, "layer" or "variable" for each one's.
        weights: "trainable" or "all", as `weights_histogram` has it.

    Returns:
        The statistics; by layer or variable a dict from its path, in Keras's order.

    Raises:
        ValueError: `per` or `weights` is none of these words, or the model is not built.
        TypeError, RuntimeError: as `weights_histogram` does.
    """
    parts = Parts(model, weights, checked_per(per, PER), None, has_moments=True)
    if per == "model":
        return statistics_of(parts.whole())
    return {name: statistics_of(measured) for name, measured in parts.by(per).items()}


def statistics_of(measured: _native.Measured) -> WeightsStatistics:
    """The statistics of values whose moments are known."""
    moments = measured.moments()
    if moments.size:
        mean = moments.total / moments.size
        deviation = math.sqrt(moments.squares / moments.size)
        norm = math.hypot(math.sqrt(moments.squares), math.sqrt(moments.size) * mean)
        values = moments.minimum, moments.maximum, mean, deviation, norm
    else:
        values = (math.nan,) * 5
    counts = moments.nan_count, moments.infinite_count, moments.zero_count
    return WeightsStatistics(moments.size + moments.infinite_count, *counts, *values)
