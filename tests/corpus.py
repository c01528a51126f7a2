"""Values and bounds at which counting goes wrong where it is not exact."""

import ml_dtypes
import numpy as np

FLOATS = tuple(
    map(
        np.dtype,
        (
            np.float64,
            np.float32,
            np.float16,
            ml_dtypes.bfloat16,
            ml_dtypes.float8_e4m3fn,
            ml_dtypes.float8_e5m2,
        ),
    )
)
INTEGERS = tuple(
    map(
        np.dtype,
        (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64),
    )
)

BOUNDS = {
    "presets": tuple(i / 20 for i in range(-6, 7)),
    "one": (0.1,),
    "zero": (0.0,),
    "around zero": (-5e-324, 0.0, 5e-324),
    "subnormal": (-1e-40, -1e-45, 0.0, 1e-45, 1e-40, 6e-8),
    "neighbours": (np.nextafter(0.1, 0), 0.1, np.nextafter(0.1, 1), float(np.float32(0.1))),
    "beyond every dtype": (-1e300, -1e39, -500.0, 500.0, 1e39, 1e300),
    "large integers": (-(2.0**63), -(2.0**31) - 0.5, -129.0, 255.5, 2.0**53, 2.0**63, 2.0**64),
    "halves": tuple(i + 0.5 for i in range(-4, 4)),
    "many": tuple(np.linspace(-1, 1, 300)),
}


def hard_values(dtype, bounds):
    """Every bound in `dtype` with its neighbours, the ends of the dtype, and what is no number."""
    with np.errstate(over="ignore", invalid="ignore"):
        if dtype.kind in "iu":
            return _hard_integers(dtype, bounds)
        near = np.array(bounds).astype(dtype)
        bits = near.view(f"u{dtype.itemsize}")
        neighbours = [(bits + np.array(step, bits.dtype)).view(dtype) for step in (0, 1)]
        neighbours.append((bits - np.array(1, bits.dtype)).view(dtype))
        largest = ml_dtypes.finfo(dtype).max
        special = np.array(
            [0.0, -0.0, 0.05, -0.05, 0.3, 1.0, -1.0, np.nan, -np.nan, np.inf, -np.inf], np.float64
        ).astype(dtype)
        tiny = np.array([1, 2, 3], bits.dtype)
        sign = np.array(1, bits.dtype) << np.array(8 * dtype.itemsize - 1, bits.dtype)
        ends = np.array([largest, -largest], dtype)
    return np.concatenate([*neighbours, special, ends, tiny.view(dtype), (tiny | sign).view(dtype)])


def _hard_integers(dtype, bounds):
    limits = np.iinfo(dtype)
    near = {int(np.floor(bound)) + step for bound in bounds for step in (-1, 0, 1)}
    near |= {limits.min, limits.min + 1, limits.max - 1, limits.max, 0, 1}
    return np.array(sorted(value for value in near if limits.min <= value <= limits.max), dtype)


def shaped(values):
    """The same values in every shape and memory layout that an array can have."""
    padded = np.resize(values, (4, 3, values.size))
    unaligned = np.frombuffer(b"x" + values.tobytes(), np.uint8)[1:].view(values.dtype)
    read_only = values.copy()
    read_only.flags.writeable = False
    return {
        "flat": values,
        "read-only": read_only,
        "empty": values[:0],
        "empty in two dimensions": np.zeros((3, 0), values.dtype),
        "0-d": values[0],
        "0-d array": values[:1].reshape(()),
        "three dimensions": padded,
        "Fortran order": np.asfortranarray(padded),
        "transposed": padded.transpose(1, 2, 0),
        "every second": np.repeat(values, 2)[::2],
        "reversed": values[::-1],
        "broadcast": np.broadcast_to(values, (3, values.size)),
        "unaligned": unaligned,
        "big-endian": values.astype(values.dtype.newbyteorder(">")),
    }
