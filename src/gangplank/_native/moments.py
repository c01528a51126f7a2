"""Sums of values and of their squares, from which mean, deviation and norm follow.

Values in host memory are summed in blocks whose places do not depend on threads, and what the
blocks have is added up exactly: the result has the same bits on every run and with any number of
threads. On a device its framework sums, in an order of its own.
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# So many float64 values stay in a second cache of 512 KiB.
BLOCK = 1 << 15

# The sums of a block are those of each value that follows so many others, added up in this order:
# what `moments_kernel` makes of vectors.
LANES = 16


class Moments(NamedTuple):
    """What is summed of the finite ones among some values."""

    size: int
    total: float
    squares: float
    """The sum of their squared distances from their mean."""
    minimum: float
    maximum: float


NOTHING = Moments(0, 0.0, 0.0, math.inf, -math.inf)


def moments_of(values: NDArray[Any]) -> list[Moments]:
    """The moments of the blocks of `values`, which has one dimension."""
    return [
        _of_block(_exact(values[start : start + BLOCK])) for start in range(0, values.size, BLOCK)
    ]


def _exact(values: NDArray[Any]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):  # which a signalling NaN would report
        return values.astype(np.float64)


def _of_block(values: NDArray[np.float64]) -> Moments:
    with np.errstate(over="ignore", invalid="ignore"):
        total = _in_lanes(values)
        if not math.isfinite(total):
            values = values[np.isfinite(values)]
            total = _in_lanes(values)
        if not values.size:
            return NOTHING
        minimum, maximum = values.min(), values.max()
        values -= total / values.size
        squares = _in_lanes(np.square(values, out=values))
    return Moments(values.size, total, squares, float(minimum), float(maximum))


def _in_lanes(values: NDArray[np.float64]) -> float:
    whole = values.size - values.size % LANES
    lanes = values[:whole].reshape(-1, LANES).sum(axis=0)
    lanes[: values.size - whole] += values[whole:]
    return float(sum(lanes.tolist()))


def added_up(blocks: Iterable[Moments]) -> Moments:
    """The moments of the values of all blocks, in whatever order these come."""
    blocks = [block for block in blocks if block.size]
    if not blocks:
        return NOTHING
    sizes, totals, squares, minima, maxima = zip(*blocks, strict=True)
    size, total = sum(sizes), _sum(totals)
    mean = total / size
    distances = [part / n - mean for n, part in zip(sizes, totals, strict=True)]
    between = [n * distance * distance for n, distance in zip(sizes, distances, strict=True)]
    return Moments(size, total, _sum([*squares, *between]), min(minima), max(maxima))


def _sum(terms: Iterable[float]) -> float:
    """Their sum rounded once, in whatever order they come; infinite where it exceeds float64."""
    terms = list(terms)
    if not all(map(math.isfinite, terms)):
        return sum(terms)
    try:
        return math.fsum(terms)
    except OverflowError:  # on the way to a sum that need not
        return 2 * math.fsum(term / 2 / len(terms) for term in terms) * len(terms)
