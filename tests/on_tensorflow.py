"""Counting NumPy arrays by TensorFlow, on the device where it puts them: here, the CPU."""

from functools import partial

import numpy as np
import tensorflow as tf

from gangplank._native import tensorflow_ops


def _eager(device, program, *arguments):
    tf.config.run_functions_eagerly(True)
    try:
        return tensorflow_ops.without_xla(device, program, *arguments)
    finally:
        tf.config.run_functions_eagerly(False)


def _count(arrays, bounds, moments=None, *, run):
    native = (np.asarray(array, array.dtype.newbyteorder("=")) for array in arrays)
    return tensorflow_ops.count(map(tf.convert_to_tensor, native), bounds, moments, run=run)


operations = partial(_count, run=tensorflow_ops.without_xla)
eager = partial(_count, run=_eager)
xla = partial(_count, run=tensorflow_ops.by_xla)
