"""Statistics of weights: `WeightsStatistics`, and `weights_statistics` to make one."""

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np

from gangplank import _native
from gangplank.weights.groups import PER, Per, checked_per, grouped

# Infinity, numbers below zero, zero, numbers above zero, infinity: whatever a float can be but NaN.
_KINDS = _native.Bounds.of_magnitudes(np.array([0.0, sys.float_info.max]))


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
    groups = grouped(model, checked_per(per, PER), weights)
    if per == "model":
        return _statistics(array for arrays in groups.values() for array in arrays)
    return {name: _statistics(arrays) for name, arrays in groups.items()}


def _statistics(arrays: Iterable[Any]) -> WeightsStatistics:
    blocks: list[_native.Moments] = []
    counts, nan_count = _native.count(arrays, _KINDS, blocks)
    finite = _native.added_up(blocks)
    if finite.size:
        mean = finite.total / finite.size
        deviation = math.sqrt(finite.squares / finite.size)
        norm = math.hypot(math.sqrt(finite.squares), math.sqrt(finite.size) * mean)
        values = finite.minimum, finite.maximum, mean, deviation, norm
    else:
        values = (math.nan,) * 5
    below, zero, above = counts.size // 2 - 2, counts.size // 2, counts.size // 2 + 2
    return WeightsStatistics(
        int(counts.sum()), nan_count, int(counts[below] + counts[above]), int(counts[zero]), *values
    )
