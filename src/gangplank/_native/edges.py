"""Bounds as edges among the bit patterns of a dtype: exact, and integers from here on.

An IEEE 754 float is a sign bit and a magnitude. Read as an unsigned integer, a positive float
grows with its value, and a negative one, which follows all positive ones, with its distance
from zero. So the patterns that fall into one bucket are runs of integers, two of them for the
bucket around zero; and so are NaN, behind each infinity. Kernels count how many patterns lie
in each run and know nothing of floats: none can take a subnormal for zero, on any device.
"""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import ArrayLike, NDArray

Totals = tuple[NDArray[np.intp], NDArray[np.int64]]
"""Which buckets have values, and how many of them; a bucket may be named more than once."""

Count = Callable[[NDArray[Any]], Totals]
"""Counts bit patterns, unsigned, of any size, in one dimension: `Edges.totals`."""

IEEE = tuple(map(np.dtype, (np.float64, np.float32, np.float16, ml_dtypes.bfloat16)))


@dataclass(frozen=True)
class Bounds:
    """The upper bounds of B + 1 buckets: a value lies in the first one whose bound it is at most.

    Attributes:
        packed: the `values` as bytes, by which two are the same.
        by_magnitude: whether the buckets below zero mirror those above it: a value that equals a
            negative bound then lies above it, as its opposite lies below the opposite bound.
    """

    packed: bytes
    by_magnitude: bool = False

    @classmethod
    def of(cls, values: ArrayLike) -> "Bounds":
        """Those of finite `values`, strictly increasing, B >= 1; zero is 0.0, not -0.0."""
        return cls(np.asarray(values, np.float64).tobytes())

    @classmethod
    def of_magnitudes(cls, magnitudes: NDArray[np.float64]) -> "Bounds":
        """By magnitude, B = 2M: ``-magnitudes`` and `magnitudes`, finite, M >= 1, ascending.

        Where some are the same, the buckets between them are empty.
        """
        return cls(np.concatenate([-magnitudes[::-1], magnitudes]).tobytes(), by_magnitude=True)

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """float64, shape (B,), read-only."""
        return np.frombuffer(self.packed)


@dataclass(frozen=True)
class Edges:
    """The E + 1 slots that E edges make among the bit patterns of a dtype.

    Attributes:
        patterns: unsigned (or `signed`), of the dtype's width, shape (E,), strictly increasing:
            the last pattern of every slot but the last slot.
        buckets: shape (E + 1,): which bucket each slot belongs to, B + 1 for NaN.
    """

    patterns: NDArray[Any]
    buckets: NDArray[np.intp]

    def totals(self, slots: NDArray[np.int64]) -> Totals:
        """Counts per bucket, NaN in that of B + 1, from those per slot: int64, shape (E + 1,)."""
        places = slots.nonzero()[0]
        return self.buckets[places], slots[places]

    def signed(self) -> "Edges":
        """The same among patterns as signed integers: those with the sign bit come first."""
        last = np.iinfo(self.patterns.dtype).max
        ends = np.union1d(self.patterns, np.array([last >> 1, last], self.patterns.dtype))
        buckets = self.buckets[np.searchsorted(self.patterns, ends)]
        signed_ends = ends.view(f"i{ends.itemsize}")
        order = np.argsort(signed_ends)
        return Edges(signed_ends[order][:-1], buckets[order])

    def mirrored(self) -> "Mirrored":
        """The same, with edges that serve both signs: among patterns doubled.

        That is twice the magnitude of a value, and one more if it is negative. After a positive
        magnitude p a slot may end at 2p or at 2p + 1, and after a negative one n at 2n + 1 or at
        2n + 2. So one number does for both if p is n, as for bounds of -b and b that are not exact
        in the dtype, or n + 1, as for those that are.
        """
        last = np.iinfo(self.patterns.dtype).max
        greatest = self.patterns.dtype.type(last >> 1)
        positive = self.patterns[self.patterns < greatest]
        negative = self.patterns[self.patterns > greatest] - greatest - 1
        of_positive = 2 * positive + np.isin(positive, negative)
        of_negative = 2 * negative + 1
        doubled = np.union1d(of_positive, of_negative[~np.isin(of_negative + 1, of_positive)])
        # No negative value is doubled to 0.
        negative_ends = (np.maximum(doubled, 1) - 1) // 2 + greatest + 1
        patterns = np.concatenate([doubled // 2, [greatest], negative_ends])
        slots = np.searchsorted(self.patterns, np.append(patterns, self.patterns.dtype.type(last)))
        return Mirrored(patterns, self.buckets[slots], doubled)


@dataclass(frozen=True)
class Mirrored(Edges):
    """Edges at the last positive, and at the last negative patterns that are at most some numbers.

    Two of them may be the same, of neighbouring numbers: the slot between them is empty.

    Attributes:
        doubled: the numbers, to which patterns compare when they are doubled; strictly increasing.
    """

    doubled: NDArray[Any]


def edges_of(bounds: Bounds, dtype: np.dtype[Any]) -> Edges:
    """The edges of `bounds` among the values of `dtype`."""
    if dtype in IEEE:
        ends, buckets = _ieee_ends(bounds, dtype)
    elif dtype.itemsize == 1:
        ends, buckets = _byte_ends(bounds, dtype)
    else:
        ends, buckets = _integer_ends(bounds, dtype)
    # Of bounds that are one and the same in `dtype`, the first one has the values.
    is_first = np.append(True, ends[1:] != ends[:-1])
    return Edges(ends[is_first][:-1], buckets[is_first].astype(np.intp))


def _ieee_ends(bounds: Bounds, dtype: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    unsigned = np.dtype(f"u{dtype.itemsize}")
    greatest = int(np.iinfo(unsigned).max >> 1)
    infinity = int(np.array(np.inf).astype(dtype).view(unsigned))
    magnitudes, is_exact = _magnitudes(bounds.values, dtype, infinity)
    zero = np.count_nonzero(bounds.values.view(np.int64) < 0)
    positive = np.append(magnitudes[zero:], [infinity, greatest])
    if not bounds.by_magnitude:
        # A negative value exceeds its bound where its magnitude is smaller.
        magnitudes = magnitudes - is_exact
    negative = np.append(magnitudes[:zero][::-1], [infinity, greatest])
    nan = bounds.values.size + 1
    ends = np.concatenate([positive, negative]).astype(unsigned)
    ends[positive.size :] |= unsigned.type(greatest + 1)
    return ends, np.concatenate([np.arange(zero, nan + 1), np.arange(zero, -1, -1), [nan]])


def _magnitudes(
    bounds: NDArray[np.float64], dtype: np.dtype[Any], infinity: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The magnitudes of `bounds` rounded down to `dtype` as bit patterns, and whether exact.

    By integers alone, since a thread may flush subnormal floats to zero.
    """
    wide, narrow = ml_dtypes.finfo(np.float64), ml_dtypes.finfo(dtype)
    patterns = bounds.view(np.int64) & np.iinfo(np.int64).max
    exponent = patterns >> wide.nmant
    significand = patterns - (np.maximum(exponent - 1, 0) << wide.nmant)
    # Above the smallest normal number of `dtype`; below it every step loses one bit more.
    steps = np.maximum(exponent, 1) - 1 + wide.minexp - narrow.minexp
    dropped = np.minimum(wide.nmant - narrow.nmant + np.maximum(-steps, 0), 63)
    kept = significand >> dropped
    magnitudes = kept + (np.maximum(steps, 0) << narrow.nmant)
    is_exact = (kept << dropped == significand) & (magnitudes < infinity)
    return np.minimum(magnitudes, infinity - 1), is_exact


def _byte_ends(bounds: Bounds, dtype: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Of one byte all 256 patterns are known, whatever they mean."""
    patterns = np.arange(256, dtype=np.uint8)
    with np.errstate(invalid="ignore"):  # which a signalling NaN would report
        values = patterns.view(dtype).astype(np.float64)
    exact = edges_of(bounds, values.dtype)
    buckets = exact.buckets[np.searchsorted(exact.patterns, values.view(np.uint64))]
    is_end = np.append(buckets[1:] != buckets[:-1], True)
    return patterns[is_end], buckets[is_end]


def _integer_ends(bounds: Bounds, dtype: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    limits = np.iinfo(dtype)
    all_ones = (1 << limits.bits) - 1
    # Beyond the dtype there are many at most, and of those one on each side tells all.
    start = max(int(np.searchsorted(bounds.values, float(limits.min))) - 1, 0)
    values = bounds.values[start : np.searchsorted(bounds.values, float(limits.max)) + 1]
    whole = np.floor(values)
    # A thread may flush a negative subnormal bound to zero, but its floor is -1.
    is_negative = values.view(np.int64) < 0
    whole[is_negative] = np.minimum(whole[is_negative], -1)
    # By magnitude, a value that equals a negative bound is not below it.
    is_above = is_negative & (whole == values) & bounds.by_magnitude
    is_first = np.append(True, (whole[1:] != whole[:-1]) | (is_above[1:] != is_above[:-1]))
    floors = [
        int(floor) - int(above)
        for floor, above in zip(whole[is_first].tolist(), is_above[is_first].tolist(), strict=True)
    ]
    ends = {end for end in (*floors, -1, limits.max) if limits.min <= end <= limits.max}
    in_order = sorted(ends, key=lambda end: end & all_ones)
    buckets = start + np.append(is_first.nonzero()[0], values.size)
    patterns = np.array([end & all_ones for end in in_order], f"u{dtype.itemsize}")
    return patterns, buckets[[bisect_left(floors, end) for end in in_order]]
