"""Counting NumPy arrays by TensorFlow, on its accelerator or else its CPU device."""

from functools import partial

import numpy as np
import tensorflow as tf
from kernel_alone import count_on_gpu

from gangplank._native import tensorflow_ops

IS_ON_CUDA = bool(tf.config.list_physical_devices("GPU"))


def _eager(device, program, *arguments):
    tf.config.run_functions_eagerly(True)
    try:
        return tensorflow_ops.without_xla(device, program, *arguments)
    finally:
        tf.config.run_functions_eagerly(False)


def _count(arrays, bounds, moments=None, *, count):
    native = (np.asarray(array, array.dtype.newbyteorder("=")) for array in arrays)
    return count(map(tf.convert_to_tensor, native), bounds, moments)


def _by(run):
    return partial(_count, count=partial(tensorflow_ops.count, run=run))


operations = _by(tensorflow_ops.without_xla)
eager = _by(_eager)
xla = _by(tensorflow_ops.by_xla)
cuda = partial(_count, count=count_on_gpu)
