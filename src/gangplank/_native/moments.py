"""Sums of values and of their squares, from which mean, deviation and norm follow.

Values in host memory are summed in blocks whose places do not depend on threads, and what the
blocks have is added up exactly: the result has the same bits on every run and with any number of
threads. On a device they are summed there, in an order of its own.
"""

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import reduce
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from gangplank._native.edges import IEEE, Totals

# All that float32 holds exactly. The squares of such values are exact in float64, so that a
# processor which multiplies and adds in one step makes the same bits as one that does not.
NARROW = tuple(
    np.dtype(getattr(ml_dtypes, name, name))
    for name in (
        *("float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"),
        *("int8", "uint8"),
    )
)

# Of the sum of the squares, what the mean may make up: where it is more, the squared distances
# from the mean are summed by themselves, since the difference would have lost three bits.
MOST_OF_MEAN = 7 / 8

# So many float64 values stay in a second cache of 512 KiB.
BLOCK = 1 << 15

# So many values at a time are read twice, to be counted and then summed, or are converted first: of
# float32 they stay in a cache meanwhile, and are few beside what a user's arrays have.
TWICE = 1 << 19

# The sums of a block are those of each value that follows so many others, added up in this order:
# what `moments_kernel` makes of vectors.
LANES = 16

Rows = NDArray[np.float64]
"""`Moments` of some values each: shape (n, 8), in the order of the fields."""

# Of these there are vectors in the kernels. Others are converted to one of them, which is
# exact, but for integers of 64 bits beyond 2^53.
EXPLICIT = (np.dtype(np.float32), np.dtype(np.float64))


class Moments(NamedTuple):
    """What is known of some values by sums; from `total` on, of the finite ones."""

    size: int
    """How many are finite."""
    nan_count: int
    infinite_count: int
    zero_count: int
    total: float
    squares: float
    """The sum of their squared distances from their mean."""
    minimum: float
    maximum: float


class CountAndSum(ABC):
    """A `Count` that can also make the moments, of values that it has at hand anyway."""

    @abstractmethod
    def __call__(self, bits: NDArray[Any]) -> Totals:
        """Counts bit patterns."""

    @abstractmethod
    def with_moments(self, values: NDArray[Any]) -> tuple[Totals, Rows]:
        """Counts values of a dtype of `EXPLICIT`, in one dimension, and gives their moments."""


def moments_of(values: NDArray[Any]) -> Rows:
    """The moments of the blocks of `values`, which has one dimension."""
    blocks = [values[start : start + BLOCK] for start in range(0, values.size, BLOCK)]
    return np.array([_of_block(block) for block in blocks]).reshape(-1, len(Moments._fields))


def of_sums(sums: Rows, dtype: np.dtype[Any], distances: Callable[[float], float]) -> Rows:
    """The moments of values of `dtype` by sums of their parts, as devices make them in one pass.

    Arguments:
        sums: as `Moments`, but with the sum of the squares in the place of their distances'.
        dtype: that of the values.
        distances: sums the squared distances from the mean, which takes a further pass: where the
            sums have lost too much of it.

    Returns:
        One row.
    """
    *counts, total, squares = sums[:, :6].sum(axis=0).tolist()
    mean = total / max(counts[0], 1)
    is_enough = dtype in NARROW and total * mean <= MOST_OF_MEAN * squares
    squares = squares - total * mean if is_enough else distances(mean)
    return np.array([[*counts, total, squares, sums[:, 6].min(), sums[:, 7].max()]])


def _of_block(block: NDArray[Any]) -> Moments:
    with np.errstate(invalid="ignore"):  # which a signalling NaN would report
        values = block.astype(np.float64)
    zero_count = values.size - int(np.count_nonzero(_magnitudes(block)))
    nan_count = infinite_count = 0
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        total = _in_lanes(values)
        if not math.isfinite(total):
            nan_count = int(np.count_nonzero(np.isnan(values)))
            infinite_count = int(np.count_nonzero(np.isinf(values)))
            values = values[np.isfinite(values)]
            total = _in_lanes(values)
        counts = values.size, nan_count, infinite_count, zero_count
        if not values.size:
            return Moments(*counts, 0.0, 0.0, math.inf, -math.inf)
        extremes = float(values.min()), float(values.max())
        mean = total / values.size
        if block.dtype in NARROW:
            squares = _in_lanes(values * values)
            if total * mean <= MOST_OF_MEAN * squares:
                return Moments(*counts, total, squares - total * mean, *extremes)
        values -= mean
        squares = _in_lanes(np.square(values, out=values))
    return Moments(*counts, total, squares, *extremes)


def _magnitudes(block: NDArray[Any]) -> NDArray[Any]:
    """What is zero where `block` is, also where a thread takes subnormals for zero."""
    return block.view(f"u{block.itemsize}") << 1 if block.dtype in IEEE else block


def _in_lanes(values: NDArray[np.float64]) -> float:
    whole = values.size - values.size % LANES
    lanes = values[:whole].reshape(-1, LANES).sum(axis=0)
    lanes[: values.size - whole] += values[whole:]
    # One after the other, as the kernel does: from Python 3.12 on, sum() makes up for rounding.
    return float(reduce(operator.add, lanes.tolist()))


def added_up(parts: Iterable[Rows]) -> Moments:
    """The moments of all values together, in whatever order their parts come."""
    parts = list(parts)
    if len(parts) == 1 and len(parts[0]) == 1:  # as a small variable has
        size, nan_count, infinite_count, zero_count, *sums = parts[0][0].tolist()
        return Moments(int(size), int(nan_count), int(infinite_count), int(zero_count), *sums)
    rows = np.concatenate([np.empty((0, len(Moments._fields))), *parts])
    counts: tuple[int, int, int, int] = tuple(rows[:, :4].sum(axis=0).astype(int).tolist())
    rows = rows[rows[:, 0] > 0]
    if not rows.size:
        return Moments(*counts, 0.0, 0.0, math.inf, -math.inf)
    sizes, totals, squares, minima, maxima = rows.T[[0, 4, 5, 6, 7]]
    total = _sum(totals.tolist())
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        distances = totals / sizes - total / counts[0]
        between = sizes * distances * distances
    all_squares = _sum([*squares.tolist(), *between.tolist()])
    return Moments(*counts, total, all_squares, float(minima.min()), float(maxima.max()))


def _sum(terms: list[float]) -> float:
    """Their sum rounded once, in whatever order they come; infinite where it exceeds float64."""
    if not all(map(math.isfinite, terms)):
        return sum(terms)
    try:
        return math.fsum(terms)
    except OverflowError:  # on the way to a sum that need not
        return 2 * math.fsum(term / 2 / len(terms) for term in terms) * len(terms)
