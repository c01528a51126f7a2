"""Counting NumPy arrays by JAX, on its accelerators or else its CPU devices."""

import contextlib
from functools import partial

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from kernel_alone import count_on_gpu

from gangplank._native import jax_ops

IS_ON_CUDA = jax.devices()[0].platform == "gpu"


def compiled(arrays, bounds, moments=None):
    return jax_ops.count(list(map(jax_array, arrays)), bounds, moments)


def eager(arrays, bounds, moments=None):
    def program_for(mesh, specs, has_moments):
        return partial(jax_ops.found_in_all, specs=specs, has_moments=has_moments)

    with jax.disable_jit():
        arrays = list(map(jax_array, arrays))
        return jax_ops.count(arrays, bounds, moments, program_for=program_for)


def sharded(arrays, bounds, moments=None):
    """Of each array as many values as the devices can share, and the rest on one of them."""
    devices = jax.devices()
    sharding = NamedSharding(Mesh(np.array(devices), "x"), PartitionSpec("x"))
    parts = []
    for row in map(jax.numpy.ravel, map(jax_array, arrays)):
        shared = row.size // len(devices) * len(devices)
        parts += [jax.device_put(row[:shared], sharding), row[shared:]]
    return jax_ops.count(parts, bounds, moments)


def cuda(arrays, bounds, moments=None):
    return count_on_gpu(list(map(jax_array, arrays)), bounds, moments)


def jax_array(array):
    """`array` as JAX's, also where it is of 64 bits, which JAX has only if it is told so."""
    native = np.asarray(array, array.dtype.newbyteorder("="))
    with jax.enable_x64(True) if native.itemsize == 8 else contextlib.nullcontext():
        return jax.numpy.asarray(native)
