"""TensorFlow's ops: traced once, and in blocks."""

import numpy as np
import tensorflow as tf

from gangplank._native import reference, tensorflow_ops
from gangplank._native.edges import Bounds

VALUES = np.random.default_rng(0).normal(0, 0.2, 1000).astype(np.float32)


def test_one_trace_serves_every_shape_and_number_of_bounds():
    tensorflow_ops.traced_slots.cache_clear()
    for size, bound_count in [(1, 1), (10, 13), (1000, 21), (999, 300)]:
        tensor, bounds = tf.constant(VALUES[:size]), Bounds.of(np.linspace(-1, 1, bound_count))
        counts, _ = tensorflow_ops.count([tensor], bounds)
        assert counts.tolist() == reference.count([VALUES[:size]], bounds)[0].tolist()
    traced = tensorflow_ops.traced_slots(tf.float32)
    assert tensorflow_ops.traced_slots.cache_info().currsize == 1
    assert traced.experimental_get_tracing_count() == 1


def test_large_tensors_are_counted_in_blocks(monkeypatch):
    monkeypatch.setattr(tensorflow_ops, "BLOCK", 300)
    bounds = Bounds.of(np.linspace(-1, 1, 13))
    counts, nan_count = tensorflow_ops.count([tf.constant(VALUES.reshape(10, 100))], bounds)
    assert counts.tolist() == reference.count([VALUES], bounds)[0].tolist()
    assert nan_count == 0
