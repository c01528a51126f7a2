"""TensorFlow's ops: what XLA makes of them, where there is no XLA, and in parts."""

import re

import numpy as np
import pytest
import tensorflow as tf
from cuda_on_cpu import in_host_memory
from tensorflow.python.framework import config

from gangplank._native import devices, reference, tensorflow_ops
from gangplank._native.edges import Bounds

VALUES = np.random.default_rng(0).normal(0, 0.2, 1000).astype(np.float32)
BOUNDS = Bounds.of(np.linspace(-1, 1, 13))


def forget():
    """Forgets what was traced."""
    tensorflow_ops.traced.cache_clear()
    tensorflow_ops.traced_distances.cache_clear()
    tensorflow_ops._without_xla.clear()


@pytest.fixture(autouse=True)
def anew():
    forget()


def assert_exact(arrays, bounds=BOUNDS):
    counts, nan_count = tensorflow_ops.count(map(tf.constant, arrays), bounds, [])
    expected, expected_nan_count = reference.count(arrays, bounds)
    assert counts.tolist() == expected.tolist()
    assert nan_count == expected_nan_count


def test_one_trace_serves_every_shape_and_all_bounds_of_a_number():
    for size in (1, 10, 1000, 999):
        assert_exact([VALUES[:size]], Bounds.of(BOUNDS.values / size))
    assert tensorflow_ops.traced.cache_info().currsize == 1
    traced = tensorflow_ops.traced(tf.float32, 16, True, under_xla=True)
    assert traced.experimental_get_tracing_count() == 1


@in_host_memory
@pytest.mark.parametrize("has_moments", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("edge_count", [4, 16, devices.FEW])
def test_each_weight_is_read_once(edge_count, dtype, has_moments):
    program = tensorflow_ops.traced(tf.as_dtype(dtype), edge_count, has_moments, under_xla=True)
    assert_read_once(program, dtype, tf.range(edge_count, dtype=tf.int64))


@in_host_memory
def test_each_weight_is_read_once_more_for_distances():
    program = tensorflow_ops.traced_distances(tf.float32, under_xla=True)
    assert_read_once(program, "float32", tf.constant(0.5, tf.float64))


def assert_read_once(program, dtype, argument):
    values = tf.zeros([123_457], dtype)
    text = program.experimental_get_compiler_ir(values, argument)(stage="optimized_hlo")
    (entry,) = text.split("ENTRY ")[1:]
    lines = [line for line in entry.splitlines()[1:] if line.startswith("  ")]
    made = [line for line in lines if "[123457]" in line.split("(")[0]]
    assert ["parameter(0)" in line for line in made] == [True], made
    assert len(re.findall(r"[( ]%arg0\.1[,)]", entry)) == 1


@pytest.mark.parametrize("bound_count", [13, 300])
def test_large_tensors_are_counted_in_parts(bound_count, monkeypatch):
    monkeypatch.setattr(tensorflow_ops, "BLOCK", 300)
    monkeypatch.setattr(tensorflow_ops, "MOST_IN_32_BITS", 400)
    assert_exact([VALUES.reshape(10, 100)], Bounds.of(np.linspace(-1, 1, bound_count)))


@pytest.mark.parametrize("small", [1, 100, 10_000])
def test_small_tensors_are_joined(small, monkeypatch):
    monkeypatch.setattr(devices, "SMALL", small)
    monkeypatch.setattr(devices, "TOGETHER", 2 * small)
    arrays = [*np.split(VALUES, [7, 7, 150, 300]), VALUES.astype(np.float16), VALUES[:0]]
    assert_exact([*arrays, np.array([np.nan, -0.0, np.inf], np.float32)])


@pytest.mark.parametrize("bound_count", [13, 300])
def test_where_there_is_no_xla(bound_count, monkeypatch, caplog):
    asked = []

    def fails(reductions):
        asked.append(reductions)
        raise tf.errors.UnimplementedError(None, None, "no XLA here")

    monkeypatch.setattr(tensorflow_ops, "_reduced", fails)
    for _ in range(2):
        assert_exact([VALUES], Bounds.of(np.linspace(-1, 1, bound_count)))
    assert len(asked) == 1
    kind = tf.DeviceSpec.from_string(tf.constant(VALUES).device).device_type
    assert tensorflow_ops._without_xla == {kind}
    # TensorFlow has its own to say of functions that are traced often, as tests before did.
    messages = [each.message for each in caplog.records if each.name.startswith("gangplank")]
    assert messages == [f"Weights on a {kind} are counted without XLA, which fails: no XLA here"]


def test_parts_without_xla_are_small_ones(monkeypatch):
    monkeypatch.setattr(tensorflow_ops, "BLOCK", 300)
    sizes = []

    def program(under_xla):
        return lambda part, _: sizes.append((under_xla, part.shape[0]))

    tensorflow_ops.without_xla(
        "", program, tensorflow_ops.MOST_IN_32_BITS, tf.constant(VALUES), None
    )
    assert sizes == [(False, 300)] * 3 + [(False, 100)]


def test_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr(devices, "MOST_KEPT", 2500)
    monkeypatch.setattr(devices, "SMALL", 1)
    kept, finish = [], devices.Running.finish

    def noting(self):
        kept.append(len(self._begun))
        finish(self)

    monkeypatch.setattr(devices.Running, "finish", noting)
    assert_exact([VALUES] * 7)
    assert kept == [3, 3, 1]


def test_memory_that_runs_out_is_no_lack_of_xla(monkeypatch):
    def fails(reductions):
        raise tf.errors.ResourceExhaustedError(None, None, "out of memory")

    monkeypatch.setattr(tensorflow_ops, "_reduced", fails)
    with pytest.raises(tf.errors.ResourceExhaustedError):
        tensorflow_ops.count([tf.constant(VALUES)], BOUNDS)
    assert not tensorflow_ops._without_xla


@pytest.fixture
def deterministic():
    tf.config.experimental.enable_op_determinism()
    yield
    # There is no public way back.
    config.disable_op_determinism()
    forget()


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("bound_count", [13, 300])
def test_where_operations_have_to_be_deterministic(bound_count):
    assert_exact([VALUES], Bounds.of(np.linspace(-1, 1, bound_count)))
