"""Who can count float32 weights into buckets: gangplank's own ways, and its peers'.

A contestant takes weights, shape (n,), and bounds, shape (B,), and gives B + 1 counts, or the
B - 1 between the bounds where it knows no others.
"""

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import boost_histogram
import fast_histogram
import numba
import numpy as np
import tensorflow as tf
import torch
from implementations import IMPLEMENTATIONS
from numpy.typing import NDArray
from prometheus_client import Histogram

import gangplank
from gangplank._native.edges import Bounds

Count = Callable[[NDArray[np.float32], NDArray[np.float64]], NDArray[np.int64] | None]

CORES = numba.config.NUMBA_NUM_THREADS


@dataclass(frozen=True)
class Contestant:
    """One way of counting.

    Attributes:
        count: counts weights into buckets.
        inexact: why its answer differs from the exact one, "" where it does not.
        uniform: whether bounds must be equally spaced.
        most_weights: beyond that it would take minutes, or more memory than there is.
        most_outcomes: weights times bounds, the same.
    """

    count: Count
    inexact: str = ""
    uniform: bool = False
    most_weights: int = 10**9
    most_outcomes: int = 10**13


def weights_histogram(weights, bounds):
    return gangplank.weights_histogram([weights], bounds).counts


def implementation(name):
    return lambda weights, bounds: IMPLEMENTATIONS[name]([weights], Bounds.of(bounds))[0]


def observe(weights, bounds):
    histogram = Histogram("weights", "", buckets=bounds.tolist(), registry=None)
    for weight in weights:
        histogram.observe(weight)
    (metric,) = histogram.collect()
    cumulative = [sample.value for sample in metric.samples if sample.name.endswith("_bucket")]
    return np.diff(cumulative, prepend=0).astype(np.int64)


def numpy_histogram(weights, bounds):
    return np.histogram(weights, bounds)[0]


def boost_variable(weights, bounds):
    histogram = boost_histogram.Histogram(boost_histogram.axis.Variable(bounds))
    return histogram.fill(weights, threads=CORES).values(flow=True)


def boost_regular(weights, bounds):
    axis = boost_histogram.axis.Regular(bounds.size - 1, bounds[0], bounds[-1])
    return boost_histogram.Histogram(axis).fill(weights, threads=CORES).values(flow=True)


def fast(weights, bounds):
    return fast_histogram.histogram1d(weights, bounds.size - 1, (bounds[0], bounds[-1]))


def tf_fixed_width(weights, bounds):
    value_range = tf.constant([bounds[0], bounds[-1]], tf.float32)
    counts = tf.histogram_fixed_width(weights, value_range, bounds.size - 1, tf.int64).numpy()
    # What lies outside is in the outer buckets, where the others do not count it.
    counts[0] -= np.count_nonzero(weights < np.float32(bounds[0]))
    counts[-1] -= np.count_nonzero(weights > np.float32(bounds[-1]))
    return counts


def tf_summary(weights, bounds):
    """What Keras's TensorBoard callback calls; with its answer read back from the file."""
    with tempfile.TemporaryDirectory() as folder:
        writer = tf.summary.create_file_writer(folder)
        with writer.as_default(step=0):
            tf.summary.histogram("weights", weights, buckets=bounds.size + 1)
        writer.close()
        (file,) = Path(folder).iterdir()
        *_, event = tf.compat.v1.train.summary_iterator(str(file))
    return tf.make_ndarray(event.summary.value[0].tensor)[:, 2].astype(np.int64)


def torch_histc(weights, bounds):
    low, high = float(bounds[0]), float(bounds[-1])
    return torch.histc(torch.from_numpy(weights), bounds.size - 1, low, high).numpy()


OWN_BOUNDS = "bounds of its own, from minimum to maximum"
RIGHT_OPEN = "buckets without their upper bound"
IN_FLOATS = "edges computed in floats"

CONTESTANTS = {
    "gangplank": Contestant(weights_histogram),
    "gangplank's TensorFlow ops, on its CPU device": Contestant(
        implementation("tensorflow"), most_weights=10**8
    ),
    "NumPy reference": Contestant(implementation("reference"), most_weights=10**8),
    "prometheus_client, observe in a loop": Contestant(observe, most_weights=10**6),
    "np.histogram": Contestant(numpy_histogram, RIGHT_OPEN, most_weights=10**8),
    "boost-histogram, variable axis": Contestant(boost_variable, RIGHT_OPEN, most_weights=10**8),
    "boost-histogram, regular axis": Contestant(boost_regular, IN_FLOATS, uniform=True),
    "fast-histogram": Contestant(fast, IN_FLOATS, uniform=True),
    "tf.histogram_fixed_width": Contestant(
        tf_fixed_width, IN_FLOATS, uniform=True, most_weights=10**8
    ),
    "tf.summary.histogram": Contestant(
        tf_summary, OWN_BOUNDS, most_weights=10**7, most_outcomes=10**9
    ),
    "torch.histc": Contestant(torch_histc, IN_FLOATS, uniform=True, most_weights=10**8),
}


@numba.njit(nogil=True, fastmath=True)
def _sum(values):
    total = values.dtype.type(0)
    for i in range(values.size):
        total += values[i]
    return total


_pool = ThreadPoolExecutor(CORES)


def read_once(values):
    """The limit: the sum of `values`, with a thread for each core."""
    return sum(_pool.map(_sum, np.array_split(values, CORES)))
