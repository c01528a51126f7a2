"""Native buckets in exact arithmetic, and the values at which counting into them goes wrong."""

import struct
from bisect import bisect_left
from fractions import Fraction
from functools import cache

import numpy as np
from corpus import hard_values

# As Prometheus's server holds them, one schema after the other (tests/test_native_buckets.py).
SECOND_BOUNDS = [
    float.fromhex(second)
    for second in (
        "0x1.6a09e667f3bccp-1",
        "0x1.306fe0a31b715p-1",
        "0x1.172b83c7d517bp-1",
        "0x1.0b5586cf9890fp-1",
        "0x1.059b0d3158574p-1",
        "0x1.02c9a3e778061p-1",
        "0x1.0163da9fb3335p-1",
        "0x1.00b1afa5abcbfp-1",
    )
]


@cache
def fractions(schema):
    """The bounds from 0.5 to 1 of a schema above 0."""
    if schema == 0:
        return [0.5]
    factor = 2 * SECOND_BOUNDS[schema - 1]
    return [bound for first in fractions(schema - 1) for bound in (first, first * factor)]


def index_of(magnitude, schema):
    """The index of the bucket of a Fraction, or of infinity."""
    if magnitude == float("inf"):
        return 1 + (1024 << schema if schema >= 0 else 1024 >> -schema)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length() + 1
    while Fraction(2) ** (exponent - 1) > magnitude:
        exponent -= 1
    fraction = magnitude / Fraction(2) ** exponent  # from 0.5 to 1
    if schema > 0:
        table = fractions(schema)
        return (exponent - 1) * len(table) + bisect_left(table, fraction)
    power = exponent - (fraction == Fraction(1, 2))
    return -(-power // (1 << -schema))


def counted(values, schema, zero_threshold):
    """What a NativeWeightsHistogram of `values` has: positive, negative, zero_count, nan_count."""
    positive, negative, zero, nan = {}, {}, 0, 0
    with np.errstate(invalid="ignore"):  # of a signalling NaN
        exact = values if values.dtype.kind in "iu" else values.astype(np.float64)
    for value in exact.tolist():
        if value != value:
            nan += 1
            continue
        magnitude = abs(value) if abs(value) == float("inf") else Fraction(abs(value))
        if magnitude <= zero_threshold:
            zero += 1
            continue
        side, index = positive if value > 0 else negative, index_of(magnitude, schema)
        side[index] = side.get(index, 0) + 1
    return dict(sorted(positive.items())), dict(sorted(negative.items())), zero, nan


def near_bounds(dtype, schema, zero_threshold):
    """Values of `dtype` on bounds, beside them, and at the ends."""
    rng = np.random.default_rng(schema + 4)
    exponents = np.concatenate([[-1074, -1, 0, 1, 1023], rng.integers(-150, 130, 60)])
    bounds = np.ldexp(rng.choice(fractions(max(schema, 0)), exponents.size), exponents + 1)
    magnitudes = np.unique([*bounds, zero_threshold])
    return hard_values(dtype, [*-magnitudes[::-1], *magnitudes])


def packed(schema):
    """The table of a schema as it lies in the memory of a program."""
    return struct.pack(f"<{1 << schema}d", *fractions(schema))
