"""What is checked of checkpoints of every format."""

import ml_dtypes
import numpy as np
import pytest
from corpus import BOUNDS, hard_values

from gangplank import _native, weights_histogram
from gangplank._native import reference
from gangplank.checkpoints import CheckpointError, open_checkpoint

BYTES = tuple(
    np.dtype(getattr(ml_dtypes, name))
    for name in ("float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu")
)


def values_of(dtype):
    """The values at which counting goes wrong, of one byte all there are; some thousand times."""
    if dtype in BYTES:
        return np.tile(np.arange(256, dtype=np.uint8).view(dtype), 200)
    hard = np.concatenate([hard_values(dtype, bounds) for bounds in BOUNDS.values()])
    return np.tile(hard, 20_000 // hard.size + 1)


def assert_counted(path, arrays):
    """A file is counted as the reference counts its arrays, by any bounds."""
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.left_out == {}
        for bounds in BOUNDS.values():
            counts, nan_count = reference.count(arrays, _native.Bounds.of(bounds))
            histogram = weights_histogram(checkpoint.arrays, bounds)
            np.testing.assert_array_equal(histogram.counts, counts, strict=True)
            assert histogram.nan_count == nan_count


def refused(path):
    """The message of the error that reading a file raises: one line that begins with its path."""
    with pytest.raises(CheckpointError) as caught, open_checkpoint(path) as checkpoint:
        weights_histogram(checkpoint.arrays, [0.0])
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < len(str(path)) + 500
    return message.removeprefix(f"{path}: ")
