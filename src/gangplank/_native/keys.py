"""Weights and bounds as order-preserving integer keys.

An IEEE 754 float is a sign and a magnitude. Read as signed integers, positive floats are
already in order, and negative ones are once every bit but the sign is flipped. Comparing
such keys instead of floats is exact for every dtype and on every device: no kernel can
take a subnormal for zero, and NaN lies outside of [-inf, +inf], so it is found on the way.

The key of a value whose bits are the signed integer ``x`` is

    x ^ ((x >> sign_shift) & magnitude) ^ sign

with the constants of its dtype's `KeyCode`. For bounds ``b`` and a dtype there are *edges*,
the keys of ``-inf, b[0], …, b[B-1], +inf`` rounded down to that dtype, such that ``w <= b[i]``
and ``key(w) <= edges[i + 1]`` are the same for every w of the dtype.
"""

import math
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

FLOATS = (
    np.float64,
    np.float32,
    np.float16,
    ml_dtypes.bfloat16,
    ml_dtypes.float8_e4m3fn,
    ml_dtypes.float8_e5m2,
)
INTEGERS = (
    *(np.int8, np.int16, np.int32, np.int64),
    *(np.uint8, np.uint16, np.uint32, np.uint64),
)


@dataclass(frozen=True)
class KeyCode:
    """How the bits of one dtype become keys, signed integers of the same width."""

    key_dtype: np.dtype[Any]
    sign_shift: Any
    magnitude: Any
    sign: Any

    def keys(self, values: NDArray[Any]) -> NDArray[Any]:
        """The keys of `values`, in their shape."""
        x = values.view(self.key_dtype)
        return x ^ ((x >> self.sign_shift) & self.magnitude) ^ self.sign  # type: ignore[no-any-return]


def _key_code(dtype: np.dtype[Any], *, magnitude: bool = False, sign: bool = False) -> KeyCode:
    key_dtype = np.dtype(f"i{dtype.itemsize}")
    limits = np.iinfo(key_dtype)
    return KeyCode(
        key_dtype,
        sign_shift=key_dtype.type(limits.bits - 1),
        magnitude=key_dtype.type(limits.max if magnitude else 0),
        sign=key_dtype.type(limits.min if sign else 0),
    )


KEY_CODES = {
    dtype: _key_code(dtype, magnitude=dtype.kind not in "iu", sign=dtype.kind == "u")
    for dtype in map(np.dtype, FLOATS + INTEGERS)
}
"""The dtypes that can be counted by keys. Of others (float8_e4m3fnuz and its kin, the 4-bit
types) the bits are not in the order of the values."""


def edges(bounds: NDArray[np.float64], dtype: np.dtype[Any]) -> tuple[NDArray[Any], int]:
    """The edges of `bounds` that a key can reach, and how many lie below every key."""
    if dtype.kind in "iu":
        return _integer_edges(bounds, dtype)
    code = KEY_CODES[dtype]
    largest = ml_dtypes.finfo(dtype).max
    nearest = np.clip(bounds, -float(largest), float(largest)).astype(dtype)
    is_rounded_up = nearest.astype(np.float64) > bounds
    with np.errstate(all="ignore"):
        infinity = np.array(np.inf).astype(dtype)
    ends = np.array([-infinity, infinity] if np.isinf(infinity) else [-largest, largest], dtype)
    below_all, last = code.keys(ends)
    inner = code.keys(nearest) - is_rounded_up.astype(code.key_dtype)
    return np.array([below_all - 1, *inner, last], code.key_dtype), 0


def _integer_edges(bounds: NDArray[np.float64], dtype: np.dtype[Any]) -> tuple[NDArray[Any], int]:
    limits = np.iinfo(dtype)
    unreachable = limits.min - 1
    floors = [min(max(math.floor(bound), unreachable), limits.max) for bound in bounds]
    all_edges = [unreachable, *floors, limits.max]
    below = all_edges.count(unreachable)
    return KEY_CODES[dtype].keys(np.array(all_edges[below:], dtype)), below


def counts_between(
    at_most: NDArray[np.int64], below: int, size: int
) -> tuple[NDArray[np.int64], int]:
    """Counts a bucket and the number of NaN.

    `at_most` says of each edge how many of the `size` keys do not exceed it; `below` is how
    many edges lie below every key. What lies outside of the first and the last edge is NaN.
    """
    counts = np.diff(at_most, prepend=np.zeros(below, np.int64))
    return counts, size - int(counts.sum())
