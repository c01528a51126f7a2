"""Every way of counting, under a name: what is tested here is what is timed in benchmarks/."""

from functools import partial

import numpy as np
import tensorflow as tf

from gangplank._native import cpu, kernels, reference, tensorflow_ops, without_numba


def _on_tensorflow(count, arrays, bounds):
    """`count` of TensorFlow tensors, for NumPy arrays: here, on TensorFlow's CPU device."""
    native = (np.asarray(array, array.dtype.newbyteorder("=")) for array in arrays)
    return count(map(tf.convert_to_tensor, native), bounds)


def _tensorflow(slots_for):
    return partial(_on_tensorflow, partial(tensorflow_ops.count, slots_for=slots_for))


_UNDER_XLA = tf.function(tensorflow_ops.slots, jit_compile=True)

IMPLEMENTATIONS = {
    "reference": reference.count,
    "cpu": cpu.count,
    "cpu-comparing": partial(cpu.count, kernel=kernels.comparing),
    "cpu-looking-up": partial(cpu.count, kernel=kernels.looking_up),
    "cpu-without-numba": partial(cpu.count, kernel=without_numba.comparing_or_searching),
    "cpu-three-threads": partial(cpu.count, kernel=kernels.fastest, threads=3),
    "tensorflow": _tensorflow(tensorflow_ops.traced_slots),
    "tensorflow-eager": _tensorflow(lambda *_: tensorflow_ops.slots),
    "tensorflow-xla": _tensorflow(lambda *_: _UNDER_XLA),
}
