"""Every way of counting, under a name: what is tested here is what is timed in benchmarks/."""

import os
from functools import partial

import keras
import numpy as np
import tensorflow as tf

from gangplank._native import cpu, reference, tensorflow_ops
from gangplank._native.compare_kernel import compare_kernel
from gangplank._native.lane_kernel import lane_kernel
from gangplank._native.numpy_kernel import numpy_kernel
from gangplank._native.table_kernel import table_kernel


def _on_tensorflow(count, arrays, bounds, moments=None):
    """`count` of TensorFlow tensors, for NumPy arrays: here, on TensorFlow's CPU device."""
    native = (np.asarray(array, array.dtype.newbyteorder("=")) for array in arrays)
    return count(map(tf.convert_to_tensor, native), bounds, moments)


def _tensorflow(run):
    return partial(_on_tensorflow, partial(tensorflow_ops.count, run=run))


def _eager(device, program, *arguments):
    tf.config.run_functions_eagerly(True)
    try:
        return tensorflow_ops.without_xla(device, program, *arguments)
    finally:
        tf.config.run_functions_eagerly(False)


IMPLEMENTATIONS = {
    "reference": reference.count,
    "cpu": cpu.count,
    "cpu-compare": partial(cpu.count, kernel=compare_kernel),
    "cpu-lane": partial(cpu.count, kernel=lane_kernel),
    "cpu-table": partial(cpu.count, kernel=table_kernel),
    "cpu-numpy": partial(cpu.count, kernel=numpy_kernel),
    "cpu-three-threads": partial(cpu.count, kernel=cpu.fastest_compiled, threads=3),
}

# What counts on devices, here on the CPU device of the framework that Keras uses.
if keras.backend.backend() == "tensorflow":
    IMPLEMENTATIONS |= {
        "tensorflow": _tensorflow(tensorflow_ops.without_xla),
        "tensorflow-eager": _tensorflow(_eager),
        "tensorflow-xla": _tensorflow(tensorflow_ops.by_xla),
    }
elif keras.backend.backend() == "jax":
    import on_jax

    IMPLEMENTATIONS |= {
        "jax": on_jax.compiled,
        "jax-eager": on_jax.eager,
        "jax-sharded": on_jax.sharded,
    }
else:
    import on_torch

    IMPLEMENTATIONS |= {"torch": on_torch.operations, "torch-compiled": on_torch.compiled}
    if os.environ.get("TRITON_INTERPRET") == "1":
        IMPLEMENTATIONS["torch-triton"] = on_torch.triton
