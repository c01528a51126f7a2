"""The promises once more, measured in another way: `python benchmarks/verify.py`.

Shares no code with `make bench`: weights of other values, numba's own parallel loop reads them,
and a ratio is the median of many, each of two runs that followed one another.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import boost_histogram
import fast_histogram
import keras
import ml_dtypes
import numba
import numpy as np

import gangplank
from gangplank import _native
from gangplank.metrics.histogram_family import histogram_family
from gangplank.metrics.messages import messages
from gangplank.metrics.protobuf import encoded

PRESET = gangplank.HISTOGRAM_WEIGHT_BUCKETS_0_3


@numba.njit(parallel=True, fastmath=True)
def total(values):
    result = 0.0
    for i in numba.prange(values.size):
        result += values[i]
    return result


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def fastest(function, repeats):
    return min(seconds(function) for _ in range(repeats))


def ratio(slow, fast, repeats=15):
    """How many times as long `slow` takes as `fast`."""
    slow()
    fast()
    return statistics.median(seconds(slow) / seconds(fast) for _ in range(repeats))


def count(weights, bounds=PRESET):
    return gangplank.weights_histogram(weights, bounds)


def searched(weights, bounds):
    """The definition, written once more."""
    places = np.searchsorted(bounds, weights.astype(np.float64), side="left")
    return np.bincount(places, minlength=len(bounds) + 1)


def report(what, measured, least, aim, unit=""):
    kept = measured <= least if least > aim else measured >= least
    print(f"{'' if kept else 'NOT KEPT: '}{what}: {measured:.3g}{unit} (least {least}, aim {aim})")
    return kept


def on_the_same_array():
    weights = np.random.default_rng(7).standard_normal(10**8, np.float32)
    weights *= np.float32(0.1)
    some = weights[: 10**7]
    for bounds in (PRESET, gangplank.HISTOGRAM_WEIGHT_BUCKETS_1_0):
        np.testing.assert_array_equal(count([some], bounds).counts, searched(some, bounds))
    irregular = np.cumsum(np.random.default_rng(8).exponential(1 / 1024, 1024)) - 0.5
    more = np.cumsum(np.random.default_rng(9).exponential(1 / 4096, 4096)) - 0.5
    for what, bounds, least, aim in (
        ("13 bounds", PRESET, 1.6, 1.25),
        ("21 bounds", gangplank.HISTOGRAM_WEIGHT_BUCKETS_1_0, 2.2, 1.5),
        ("1,024 irregular bounds", irregular, 5, 3),
        ("4,096 irregular bounds", more, 8, 4),
    ):
        over = ratio(lambda bounds=bounds: count([weights], bounds), lambda: total(weights))
        yield report(f"{what}, over reading", over, least, aim)
    for dtype in (ml_dtypes.bfloat16, np.float16):
        narrow = weights.astype(dtype)
        speed = ratio(lambda: count([weights]), lambda narrow=narrow: count([narrow]))
        yield report(f"{np.dtype(dtype)} weights a second, over float32's", speed, 1.0, 1.8)
    model = keras.Sequential([keras.Input((10**4,)), keras.layers.Dense(10**4, use_bias=False)])
    model.layers[0].kernel.assign(weights.reshape(10**4, 10**4))
    over = ratio(lambda: count(model), lambda: count([weights]))
    yield report("a Keras model, over its array", over, 1.1, 1.02)
    wide = weights.astype(np.float64)
    over = ratio(lambda: count([wide]), lambda: total(wide))
    yield report("float64, over reading", over, 2.5, 1.5)


def what_weights_look_like():
    weights = np.random.default_rng(10).standard_normal(10**8, np.float32)
    weights *= np.float32(0.1)
    some = weights[: 10**5]
    indices = np.ceil(8 * np.log2(some[some > 0].astype(np.float64)))
    assert [*count([some], gangplank.NativeBuckets()).positive.values()] == [
        *np.unique(indices, return_counts=True)[1]
    ]
    native, reading = partial(count, [weights], gangplank.NativeBuckets()), partial(total, weights)
    yield report("native schema 3, over reading", ratio(native, reading), 5, 3)
    found, wide = gangplank.weights_statistics([some]), some.astype(np.float64)
    np.testing.assert_allclose(
        [found.mean, found.standard_deviation, found.norm, found.minimum],
        [wide.mean(), wide.std(), np.linalg.norm(wide), wide.min()],
        rtol=1e-10,
    )
    statistics_alone = partial(gangplank.weights_statistics, [weights])
    yield report("statistics alone, over reading", ratio(statistics_alone, reading), 2.0, 1.2)
    bounds = _native.Bounds.of(PRESET)
    both = partial(_native.measure, [[weights]], bounds, has_moments=True)
    over = ratio(both, partial(_native.measure, [[weights]], bounds))
    yield report("13 bounds with statistics, over without", over, 1.6, 1.15)
    layers = {f"{i}/kernel": part for i, part in enumerate(weights.reshape(100, 10**6))}
    over = ratio(lambda: gangplank.weights_histograms(layers, PRESET), lambda: count(layers))
    yield report("100 layers of 1e6, over the whole at once", over, 1.15, 1.02)


def pushes_of_layers():
    weights = np.random.default_rng(11).normal(0, 0.1, (1000, 10**4))
    layers = {f"{i}/kernel": of_layer for i, of_layer in enumerate(weights)}
    histograms = gangplank.weights_histograms(layers, gangplank.NativeBuckets())
    series = [({"layer": layer}, [histogram]) for layer, histogram in histograms.items()]

    def push():
        return encoded(messages([histogram_family("layer_weights", "", series, 0)]))

    yield report("a push of 1,000 layers, a layer", len(push()) / 1e6, 1.5, 0.7, " kB")
    yield report("to serialize all", 1e3 * fastest(push, 15), 100, 20, " ms")


def against_others():
    weights = np.random.default_rng(7).standard_normal(10**7, np.float32) * np.float32(0.1)
    speed = ratio(lambda: searched(weights, PRESET), lambda: count([weights]), 7)
    yield report("times as fast as np.searchsorted and np.bincount", speed, 60, 120)
    weights = np.tile(weights, 5)
    fast = partial(fast_histogram.histogram1d, weights, 12, (-0.3, 0.3))
    axis = boost_histogram.axis.Regular(12, -0.3, 0.3)
    boost = partial(boost_histogram.Histogram(axis).fill, weights, threads=0)
    for what, peer in (("fast-histogram", fast), ("boost-histogram", boost)):
        speed = ratio(peer, lambda: count([weights]), 7)
        yield report(f"times as fast as {what}", speed, 8, 13)


def small_ones():
    convnet = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            *(keras.layers.Conv2D(32, 3), keras.layers.MaxPooling2D()),
            *(keras.layers.Conv2D(64, 3), keras.layers.MaxPooling2D(), keras.layers.Flatten()),
            *(keras.layers.Dense(53), keras.layers.Dense(10)),
        ]
    )
    taken = 1e3 * fastest(lambda: count(convnet), 200)
    yield report("a convnet, warm", taken, 0.3, 0.12, " ms")
    values = np.random.default_rng(7).normal(0, 0.1, 200)
    variables = [keras.Variable(values, dtype="float32") for _ in range(5000)]
    taken = 1e6 * fastest(lambda: count(variables), 15) / 5000
    yield report("5,000 variables, each", taken, 10, 3, " µs")
    for kind, buckets in (("13 bounds", PRESET), ("native", gangplank.NativeBuckets())):
        apart = partial(gangplank.weights_histograms, variables, buckets, per="variable")
        taken = 1e6 * fastest(apart, 15) / 5000
        yield report(f"5,000 variables with histograms of their own, {kind}", taken, 40, 8, " µs")


def many_layers():
    x = inputs = keras.Input((820,))
    for _ in range(149):
        x = keras.layers.Dense(820)(x)
    model = keras.Model(inputs, keras.layers.Dense(10)(x))
    weights = np.concatenate([each.numpy().ravel() for each in model.weights])
    over = ratio(lambda: count(model), lambda: count([weights]))
    yield report(f"300 variables and {weights.size:.1e} weights, over one array", over, 1.05, 1.01)


def peak_memory():
    weights = [np.full(2 * 10**8, 0.01 * i, np.float32) for i in range(4)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert count(weights).count == 8 * 10**8
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    yield report("memory on top of 3.2 GB", grown, 32, 4, " MiB")


def first_calls():
    script = (
        "import time, keras, numpy; start = time.perf_counter(); import gangplank; "
        "gangplank.weights_histogram([numpy.zeros({}, 'f4')], [0.0, 0.1]); "
        "print(time.perf_counter() - start)"
    )
    for what, size, least, aim in (("100,000", 10**5, 1.0, 0.2), ("10,000,000", 10**7, 1.0, 0.2)):
        command = [sys.executable, "-c", script.format(size)]
        runs = [subprocess.run(command, capture_output=True, check=True) for _ in range(3)]
        taken = min(float(run.stdout) for run in runs)
        yield report(f"the first call of a process, {what} weights", taken, least, aim, " s")
    with tempfile.TemporaryDirectory() as empty:
        environment = {**os.environ, "NUMBA_CACHE_DIR": empty}
        run = subprocess.run(command, env=environment, capture_output=True, check=True)
    yield report("the same, nothing compiled", float(run.stdout), 5, 2, " s")


if __name__ == "__main__":
    count([np.zeros(10**7, np.float32)])
    parts = (
        *(on_the_same_array, what_weights_look_like, pushes_of_layers, against_others),
        *(small_ones, many_layers, peak_memory, first_calls),
    )
    outcomes = [kept for part in parts for kept in part()]
    sys.exit(not all(outcomes))
