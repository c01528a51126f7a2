"""Counting NumPy arrays by JAX, on its CPU device."""

import contextlib

import jax
import numpy as np

from gangplank._native import jax_ops


def compiled(arrays, bounds):
    return jax_ops.count(list(map(jax_array, arrays)), bounds)


def eager(arrays, bounds):
    with jax.disable_jit():
        return compiled(arrays, bounds)


def jax_array(array):
    """`array` as JAX's, also where it is of 64 bits, which JAX has only if it is told so."""
    native = np.asarray(array, array.dtype.newbyteorder("="))
    with jax.enable_x64(True) if native.itemsize == 8 else contextlib.nullcontext():
        return jax.numpy.asarray(native)
