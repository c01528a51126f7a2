"""Where arrays are counted, and what is said of those that cannot be read there."""

import numpy as np
import pytest
import tensorflow as tf

from gangplank import weights_histogram
from gangplank._native import places, tensorflow_ops

BOUNDS = (-0.1, 0.0, 0.1)
VALUES = np.array([-1.0, 0.05, 2.0, np.nan], np.float32)


@pytest.fixture
def on_device(monkeypatch):
    """Has TensorFlow's tensors counted as on an accelerator."""
    monkeypatch.setattr(places, "_is_on_accelerator", lambda _: True)


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("/job:localhost/replica:0/task:0/device:CPU:0", False),
        ("/job:localhost/replica:0/task:0/device:GPU:1", True),
        ("/job:worker/replica:0/task:1/device:TPU:0", True),
        ("", False),
    ],
)
def test_accelerators_of_tensorflow(device, expected):
    assert places._is_on_accelerator(device) == expected


def test_arrays_on_a_device_and_in_host_memory_add_up(on_device, monkeypatch):
    counted, count = [], tensorflow_ops.count

    def noting(tensors, bounds):
        counted.extend(tensors)
        return count(tensors, bounds)

    monkeypatch.setattr(tensorflow_ops, "count", noting)
    histogram = weights_histogram([VALUES, tf.constant(VALUES), VALUES], BOUNDS)
    assert histogram.counts.tolist() == [3, 0, 3, 3]
    assert histogram.nan_count == 3
    assert len(counted) == 1


def test_a_framework_that_fails_on_the_device(on_device, monkeypatch):
    def fails(*arguments, **options):
        raise ValueError("the device is lost")

    monkeypatch.setattr(tensorflow_ops, "count", fails)
    message = r"Weights on .*CPU:0 cannot be read there: the device is lost"
    with pytest.raises(RuntimeError, match=message) as caught:
        weights_histogram([tf.constant(VALUES)], BOUNDS)
    assert isinstance(caught.value.__cause__, ValueError)
