"""Many small arrays, each of a group of its own, which are measured by one call of a kernel."""

import keras
import numpy as np
import pytest
from corpus import BOUNDS, FLOATS, INTEGERS, hard_values
from cuda_on_cpu import in_host_memory
from native_buckets import near_bounds

from gangplank import NativeBuckets, weights_histogram, weights_histograms, weights_statistics
from gangplank._native import cpu, reference
from gangplank._native.edges import Bounds
from gangplank._native.kernels import table_kernel
from gangplank._native.measured import Measured
from gangplank._native.moments import moments_of
from gangplank.weights.native_buckets import native_bounds

PRESET = Bounds.of(BOUNDS["presets"])


def measure(parts, bounds, **options):
    groups = [Measured() for _ in parts]
    options = {"has_moments": True, "kernel": cpu.fastest_compiled} | options
    cpu.measure(enumerate(parts), bounds, groups, **options)
    return groups


def assert_measured(parts, bounds, **options):
    for part, measured in zip(parts, measure(parts, bounds, **options), strict=True):
        if bounds is not None:
            counts, nan_count = measured.counts(bounds)
            expected, expected_nan_count = reference.count([part], bounds)
            assert (counts.tolist(), nan_count) == (expected.tolist(), expected_nan_count)
        assert bits_of(*measured.rows) == bits_of(moments_of(part))


def bits_of(*rows):
    """Of all rows together, but for the sign of zero: which zero is the minimum is not said."""
    return b"".join((row + 0.0).tobytes() for row in rows)


def cut(values, most=90):
    """Parts of many sizes, the first of them and some others without values."""
    sizes = np.random.default_rng(0).integers(0, most, 2 * values.size // most)
    ends = sizes.cumsum()
    return np.split(values, np.sort([0, *ends, *ends[::9]]))


@pytest.fixture
def calls(monkeypatch):
    """How many parts each call had."""
    calls = []
    each = table_kernel.Table.each

    def noting(self, bits, ends):
        calls.append(len(ends))
        return each(self, bits, ends)

    monkeypatch.setattr(table_kernel.Table, "each", noting)
    return calls


@pytest.mark.once
@pytest.mark.parametrize("key", BOUNDS)
@pytest.mark.parametrize("dtype", FLOATS + INTEGERS, ids=str)
def test_hard_values(dtype, key, calls):
    values = np.resize(hard_values(dtype, BOUNDS[key]), 3000)
    assert_measured(cut(values), Bounds.of(BOUNDS[key]))
    assert max(calls) >= cpu.MANY / 2


@pytest.mark.once
@pytest.mark.parametrize("dtype", FLOATS + INTEGERS, ids=str)
def test_native_buckets_and_statistics_alone(dtype, calls):
    values = np.resize(near_bounds(dtype, 3, 2.0**-128), 3000)
    assert_measured(cut(values), native_bounds(NativeBuckets()))
    assert max(calls) >= cpu.MANY / 2
    assert_measured(cut(values), None)


@pytest.mark.once
def test_of_many_sizes_and_dtypes():
    values = np.random.default_rng(0).normal(0, 0.2, 400_000).astype(np.float32)
    small, middling, large = np.split(values, [9000, 150_000])
    doubles = [part.astype(np.float64) for part in cut(small)]
    middling = [*cut(middling, 50_000), *cut(middling, 2 * cpu.SMALL_PIECE)]
    parts = [*cut(small), *doubles, large, *middling, large[:5]]
    for threads in (1, 3):
        assert_measured(parts, PRESET, threads=threads)


@pytest.mark.once
def test_what_is_large_or_of_another_dtype_is_measured_by_itself(calls):
    values = np.random.default_rng(0).normal(0, 0.2, cpu.SMALL_PIECE + 1).astype(np.float32)
    doubles = values.astype(np.float64)
    # As the kernel and the bias of each layer follow one another.
    parts = [values, doubles[:3], values[:2]] * cpu.MANY
    assert_measured(parts, PRESET)
    assert sorted(calls) == [cpu.MANY, cpu.MANY]
    calls.clear()
    assert_measured([values[:-1]] * cpu.MANY, PRESET)
    assert calls == [cpu.CALL // cpu.SMALL_PIECE] * (cpu.MANY * cpu.SMALL_PIECE // cpu.CALL)


@pytest.mark.once
def test_of_few_arrays_and_without_numba_each_is_measured_by_itself(calls):
    parts = np.split(np.ones(8 * cpu.MANY, np.float32), cpu.MANY)
    assert_measured(parts[1:], PRESET)
    assert_measured(parts, PRESET, kernel=cpu.numpy_kernel)
    assert not calls


@pytest.mark.once
def test_a_table_is_made_once(monkeypatch):
    made = []
    init = table_kernel.Table.__init__
    monkeypatch.setattr(
        table_kernel.Table, "__init__", lambda *arguments: made.append(1) or init(*arguments)
    )
    bounds = Bounds.of(np.linspace(-1, 1, 333))
    parts = np.split(np.ones(8 * cpu.MANY, np.float32), cpu.MANY)
    for threads in (1, 8):
        for has_moments in (False, True):
            measure(parts, bounds, threads=threads, has_moments=has_moments)
    assert len(made) == 1


@in_host_memory
def test_variables_of_a_model(calls):
    keras.utils.set_random_seed(0)
    layers = keras.layers
    inputs = x = keras.Input((8,))
    for i in range(cpu.MANY):
        x = layers.Dense(8, activation="relu", dtype="bfloat16" if i % 7 == 3 else None)(x)
    model = keras.Model(inputs, x)
    weights_histogram([np.zeros(cpu.LOAD_NUMBA_AFTER + 1, np.float32)], [0.0])
    calls.clear()
    for buckets in (BOUNDS["presets"], NativeBuckets()):
        for name, histogram in weights_histograms(model, buckets, per="variable").items():
            (variable,) = (each for each in model.trainable_variables if each.path == name)
            assert histogram == weights_histogram(variable, buckets)
    statistics = weights_statistics(model, per="variable")
    assert list(statistics.values()) == [weights_statistics(v) for v in model.trainable_variables]
    assert max(calls) > cpu.MANY
