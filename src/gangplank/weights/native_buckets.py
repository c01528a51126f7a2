"""Prometheus's native buckets, which nobody has to choose: their bounds are powers of one base."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gangplank import _native
from gangplank.checked_values import as_float, is_integer

LOWEST_SCHEMA, HIGHEST_SCHEMA = -4, 8

# Prometheus's Go client and its server have a table per schema of the bounds from 0.5 to 1. Each
# halves the steps of the one before: between two bounds there is a new one, the lower bound times 2
# and the number of the schema here, rounded. That is not always the float64 next to the power.
_SECOND_BOUNDS = (
    0.7071067811865475,
    0.5946035575013605,
    0.5452538663326288,
    0.5221368912137069,
    0.5109485743270583,
    0.5054446430258502,
    0.5027149505564014,
    0.5013556375251013,
)

# Of the powers of 2 among float64 numbers, the first one and the one beyond the last.
_FIRST, _BEYOND = -1074, 1024


@dataclass(frozen=True)
class NativeBuckets:
    """Buckets for the weights' histogram whose bounds nobody has to choose.

    The bucket of index i holds the weights w with base^(i - 1) < |w| <= base^i, the positive and
    the negative ones apart, where the base is 2^(2^-schema): at 3, eight buckets from each power of
    2 to the next, none wider than 9% of its bound. The bounds are the float64 numbers with which
    Prometheus computes. Infinities lie in the first bucket beyond the greatest float64 number.

    Attributes:
        schema: how fine the buckets are, from -4 to 8.
        zero_threshold: weights w with |w| <= zero_threshold are in the bucket of zero.

    Raises:
        ValueError: one of the two is out of its range.
    """

    schema: int = 3
    zero_threshold: float = 2.0**-128

    def __post_init__(self) -> None:
        schema, threshold = self.schema, as_float(self.zero_threshold)
        if not is_integer(schema) or not LOWEST_SCHEMA <= schema <= HIGHEST_SCHEMA:
            raise ValueError(
                f"schema must be an integer from {LOWEST_SCHEMA} (coarse) to {HIGHEST_SCHEMA} "
                f"(fine). Received {schema!r}."
            )
        if threshold is None or not 0 <= threshold < math.inf:
            raise ValueError(
                "zero_threshold must be a finite number of at least 0. "
                f"Received {self.zero_threshold!r}."
            )
        object.__setattr__(self, "schema", int(schema))
        object.__setattr__(self, "zero_threshold", abs(threshold))

    @property
    def magnitudes(self) -> NDArray[np.float64]:
        """float64, shape (M,), read-only: the zero threshold and the bounds above it."""
        return _magnitudes(self.schema, self.zero_threshold)

    @property
    def last_index(self) -> int:
        """The index of the bucket of infinities."""
        return 1 + (_BEYOND << self.schema if self.schema >= 0 else _BEYOND >> -self.schema)

    @property
    def first_index(self) -> int:
        """The index of ``magnitudes[1]``, or of infinity where there is none."""
        return self.last_index - (self.magnitudes.size - 1)

    def bound(self, index: int) -> float:
        """The upper bound of the bucket of `index`, whatever the zero threshold; inf at last."""
        bounds = _magnitudes(self.schema, 0.0)
        place = index - self.last_index
        return math.inf if place >= 0 else bounds[max(place, -bounds.size)].item()


@lru_cache(maxsize=8)
def native_bounds(buckets: NativeBuckets) -> _native.Bounds:
    """The bounds of `buckets` as `gangplank._native.measure` takes them."""
    return _native.Bounds.of_magnitudes(buckets.magnitudes)


@lru_cache(maxsize=8)
def _magnitudes(schema: int, zero_threshold: float) -> NDArray[np.float64]:
    # As bit patterns, in whose order positive floats are: a thread may flush subnormal ones.
    significands = np.array(_fractions(schema)).view(np.int64) & ((1 << 52) - 1)
    step = 1 << max(-schema, 0)
    exponents = np.arange(_FIRST + -_FIRST % step, _BEYOND, step)[:, np.newaxis] + 1023
    normal = (exponents << 52) + significands
    # Below the least normal number each power of 2 has one bit less. What is at most a bound is at
    # most the bound rounded down.
    subnormal = (significands + (1 << 52)) >> np.maximum(1 - exponents, 0)
    bounds = np.where(exponents > 0, normal, subnormal).ravel()
    greatest = np.array([np.finfo(np.float64).max]).view(np.int64)
    (threshold,) = np.array([zero_threshold]).view(np.int64)
    patterns = np.concatenate([bounds, greatest])
    magnitudes = np.append(threshold, patterns[patterns > threshold]).view(np.float64)
    magnitudes.flags.writeable = False
    return magnitudes


def _fractions(schema: int) -> list[float]:
    """The bounds from 0.5 to 1."""
    fractions = [0.5]
    for second in _SECOND_BOUNDS[: max(schema, 0)]:
        fractions = [bound for first in fractions for bound in (first, first * (2 * second))]
    return fractions
