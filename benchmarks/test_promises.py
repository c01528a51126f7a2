"""What is promised, as ratios within one run: each asserts the least, and prints the aim too.

Times that a ratio compares are taken in turns, since a shared machine is not the same for long.
"""

import os
import statistics
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import ml_dtypes
import numpy as np
import pytest
from contestants import CONTESTANTS, read_once
from timing import least_median, medians
from weights import normal

import gangplank
from gangplank import weights_histogram
from gangplank._native import reference
from gangplank._native.edges import Bounds

PRESET = gangplank.HISTOGRAM_WEIGHT_BUCKETS_0_3
PRESET_21 = gangplank.HISTOGRAM_WEIGHT_BUCKETS_1_0


def irregular(bound_count):
    return np.sort(np.random.default_rng(1).normal(0, 0.2, bound_count))


def times_over_reading(weights, bounds):
    expected, _ = reference.count([weights[:1000]], Bounds.of(bounds))
    assert weights_histogram([weights[:1000]], bounds).counts.tolist() == expected.tolist()
    reading, counting = medians(
        lambda: read_once(weights), lambda: weights_histogram([weights], bounds)
    )
    return counting / reading


def test_13_bounds(promise, weights):
    ratio = times_over_reading(weights, PRESET)
    promise("1e8 float32, 13 bounds, over reading once", ratio, 1.6, 1.25)


def test_21_bounds(promise, weights):
    ratio = times_over_reading(weights, PRESET_21)
    promise("1e8 float32, 21 bounds, over reading once", ratio, 2.2, 1.5)


@pytest.mark.parametrize(("bound_count", "least", "aim"), [(1024, 5, 3), (4096, 8, 4)])
def test_irregular_bounds(promise, weights, bound_count, least, aim):
    ratio = times_over_reading(weights, irregular(bound_count))
    promise(f"1e8 float32, {bound_count} irregular bounds, over reading once", ratio, least, aim)


def test_float64(promise, weights):
    ratio = times_over_reading(weights.astype(np.float64), PRESET)
    promise("1e8 float64, 13 bounds, over reading once", ratio, 2.5, 1.5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_16_bit_floats(promise, weights, dtype):
    narrow = weights.astype(getattr(ml_dtypes, dtype, dtype))
    float32, taken = medians(
        lambda: weights_histogram([weights], PRESET), lambda: weights_histogram([narrow], PRESET)
    )
    promise(f"{dtype} weights a second, over float32's", float32 / taken, 1.0, 1.8)


def test_over_the_reference(promise):
    weights = normal(10**7)
    taken, numpy = medians(
        lambda: weights_histogram([weights], PRESET),
        lambda: reference.count([weights], Bounds.of(PRESET)),
    )
    promise("times as fast as the NumPy reference, 1e7, 13 bounds", numpy / taken, 60, 120)


def test_over_the_fastest_peer(promise):
    weights, bounds = normal(5 * 10**7), np.linspace(-0.3, 0.3, 13)
    peers = [peer for peer in CONTESTANTS.values() if peer.uniform]
    taken, *others = medians(
        lambda: weights_histogram([weights], bounds),
        *(lambda peer=peer: peer.count(weights, bounds) for peer in peers),
        rounds=5,
    )
    ratio = min(others) / taken
    promise("times as fast as the fastest peer on uniform bounds, 5e7", ratio, 8, 13)


def test_a_keras_model(promise, weights):
    model = keras.Sequential([keras.Input((10_000,)), keras.layers.Dense(10_000, use_bias=False)])
    model.set_weights([weights.reshape(10_000, 10_000)])
    array, taken = medians(
        lambda: weights_histogram([weights], PRESET), lambda: weights_histogram(model, PRESET)
    )
    assert weights_histogram(model, PRESET) == weights_histogram([weights], PRESET)
    promise("a Keras model of 1e8 weights, over its bare array", taken / array, 1.1, 1.02)


def test_a_convnet(promise):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            *(layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D()),
            *(layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D()),
            *(layers.Flatten(), layers.Dense(53, activation="relu"), layers.Dense(10)),
        ]
    )
    taken = least_median(lambda: weights_histogram(model, PRESET), rounds=100)
    name = f"a convnet of {model.count_params():,} weights, warm, the whole call"
    promise(name, 1e3 * taken, 0.3, 0.12, " ms")


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_many_small_variables(promise, backend):
    measured = in_a_new_process(
        f"""
        import keras, numpy as np, gangplank
        from timing import least_median
        from weights import normal

        variables = [keras.Variable(part) for part in np.split(normal(10**6), 5000)]
        large = normal(6 * 10**6)
        gangplank.weights_histogram([large], {PRESET})
        print(least_median(lambda: gangplank.weights_histogram(variables, {PRESET}), rounds=7))
        """,
        KERAS_BACKEND=backend,
    )
    what = f"5,000 variables of 200 weights with Keras on {backend}, a variable"
    promise(what, 1e6 * measured / 5000, 10, 3, " µs")


def test_a_transformer(promise):
    layers = keras.layers
    tokens = keras.Input((8,), dtype="int32")
    x = layers.Embedding(18_000, 640)(tokens)
    for _ in range(18):
        attended = layers.MultiHeadAttention(10, 64)(x, x)
        x = layers.LayerNormalization()(layers.Add()([x, attended]))
        projected = layers.Dense(640)(layers.Dense(2560, "gelu")(x))
        x = layers.LayerNormalization()(layers.Add()([x, projected]))
    model = keras.Model(tokens, layers.Dense(10)(x))
    weights = np.concatenate([each.numpy().ravel() for each in model.trainable_variables])
    array, taken = medians(
        lambda: weights_histogram([weights], PRESET), lambda: weights_histogram(model, PRESET)
    )
    assert weights_histogram(model, PRESET) == weights_histogram([weights], PRESET)
    what = f"a transformer of {len(model.weights)} variables and {weights.size:.1e} weights"
    promise(f"{what}, over its bytes in one array", taken / array, 1.05, 1.01)


def in_a_new_process(script, **environment):
    """The number that `script` prints."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(result.stdout.split()[-1])


def test_peak_memory(promise):
    measured = in_a_new_process(
        f"""
        import keras, numpy as np, gangplank

        def resident(name):
            lines = dict(line.split(":") for line in open("/proc/self/status"))
            return int(lines[name].split()[0]) / 1024

        large = [keras.Variable(np.full(10**8, 0.1, np.float32)) for _ in range(8)]
        small = [keras.Variable(np.full(1000, 0.1, np.float32)) for _ in range(5000)]
        gangplank.weights_histogram([large[0], *small], {PRESET})
        large[0].value.scatter_nd_add([[0]], [0.0])  # as an embedding is updated
        open("/proc/self/clear_refs", "w").write("5")
        before = resident("VmRSS")
        assert gangplank.weights_histogram([*large, *small], {PRESET}).count == 805 * 10**6
        print(resident("VmHWM") - before)
        """
    )
    promise("peak memory on top of a model of 3.2 GB", measured, 32, 4, " MiB")


FIRST_CALL = """
    import time
    import keras, numpy as np
    weights = [np.random.default_rng(0).normal(0, 0.1, {size}).astype(np.float32)]
    start = time.perf_counter()
    import gangplank
    gangplank.weights_histogram(weights, gangplank.HISTOGRAM_WEIGHT_BUCKETS_0_3)
    print(time.perf_counter() - start)
"""


def test_the_first_call_of_a_process(promise):
    times = [in_a_new_process(FIRST_CALL.format(size=104_202)) for _ in range(5)]
    what = "import gangplank and the first call on a small model"
    promise(what, statistics.median(times), 1.0, 0.2, " s")


@pytest.mark.parametrize("compiled", [True, False])
def test_the_first_call_that_loads_numba(promise, compiled, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    script = FIRST_CALL.format(size=6_000_000)
    times = [in_a_new_process(script)]
    if compiled:
        times = [in_a_new_process(script) for _ in range(5)]
    what = "kernels in numba's cache" if compiled else "nothing compiled yet"
    least, aim = (1.0, 0.2) if compiled else (5, 2)
    promise(f"the same on 6e6 weights, {what}", statistics.median(times), least, aim, " s")
