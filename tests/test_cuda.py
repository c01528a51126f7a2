"""The kernel for NVIDIA's GPUs, run on the processor, and what leads to it and away from it."""

import ctypes
import logging
from functools import partial
from unittest.mock import Mock, call

import cuda_on_cpu
import keras
import numpy as np
import pytest
from corpus import FLOATS, hard_values
from cuda_on_cpu import in_host_memory, needs_compiler, normal, of_keras
from implementations import IMPLEMENTATIONS
from native_buckets import near_bounds

from gangplank import NativeBuckets, _native
from gangplank._native import reference
from gangplank._native.cuda import arrays as cuda_arrays
from gangplank._native.cuda import kernel as cuda_kernel
from gangplank._native.cuda import ops as cuda_ops
from gangplank._native.cuda.driver import CudaError
from gangplank._native.edges import Bounds
from gangplank._native.moments import added_up, moments_of
from gangplank.weights.native_buckets import native_bounds

BOUNDS = Bounds.of(np.linspace(-1, 1, 13))
CHUNK = cuda_kernel.CHUNK


def assert_exact(arrays, bounds=BOUNDS):
    """By the kernel, which leaves nothing to others."""
    counts, nan_count = cuda_on_cpu.count(arrays, bounds, operations_of=None)
    expected_counts, expected_nan_count = reference.count(arrays, bounds)
    assert counts.tolist() == expected_counts.tolist()
    assert nan_count == expected_nan_count


@needs_compiler
@pytest.mark.parametrize("size", [1, 3, CHUNK - 1, CHUNK, CHUNK + 1, 7 * CHUNK + 5])
def test_chunks(size):
    values = normal(size + 1)
    for array in (values[:-1], values[1:], values[:-1].astype(np.float16)):
        assert_exact([array])


@needs_compiler
def test_many_arrays():
    sizes = [5, 0, CHUNK, 1, 3 * CHUNK - 1, 0, *range(1, 40)]
    assert_exact([normal(size) for size in sizes])
    assert_exact([normal(size, dtype) for size in sizes for dtype in (np.float32, np.int8)])


@needs_compiler
@pytest.mark.parametrize("bound_count", [1, 300, 12_000])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_many_bounds(dtype, bound_count):
    bounds = Bounds.of(np.sort(np.random.default_rng(0).normal(0, 1, bound_count)))
    assert_exact([normal(5000, dtype), hard_values(dtype, bounds.values[:100])], bounds)


@needs_compiler
@pytest.mark.parametrize("dtype", ["int16", "uint16", "int32"])
def test_bounds_at_the_highest_values_of_cells(dtype):
    """None of which is exceeded in its cell, so that a search has nothing to find."""
    limits = np.iinfo(dtype)
    step = 1 << limits.bits - 8
    highest = np.arange(limits.min + step, limits.max + 1, step, dtype=np.int64) - 1
    values = np.concatenate([highest - 1, highest, highest + 1]).astype(dtype)
    assert_exact([values], Bounds.of(highest))


@needs_compiler
@pytest.mark.parametrize("shift", [0, 1e3])
def test_moments_of_many_blocks(shift):
    """Also where the mean is so far from zero that a further pass sums the distances from it."""
    values = [normal(size) + np.float32(shift) for size in (9 * CHUNK, 100)]
    rows = []
    cuda_on_cpu.count(values, BOUNDS, rows)
    exact = np.concatenate(values).astype(np.float64)
    (row,) = np.concatenate(rows).tolist()
    assert row[:4] == [exact.size, 0, 0, 0]
    assert row[4:6] == pytest.approx([exact.sum(), exact.var() * exact.size], rel=1e-12)
    assert row[6:] == [exact.min(), exact.max()]


@pytest.fixture
def nothing_told(monkeypatch):
    monkeypatch.setattr(cuda_ops, "_told", set())


@needs_compiler
def test_what_does_not_fit_is_left_to_the_framework(nothing_told, caplog):
    left = []

    def operations_of(framework):
        return lambda arrays, *arguments: (
            left.append((framework, len(arrays))) or reference.count(arrays, *arguments[:1])
        )

    many = native_bounds(NativeBuckets(8))
    arrays = [normal(100), normal(100, np.float16)]
    counts, _ = cuda_on_cpu.count(arrays, many, operations_of=operations_of)
    assert counts.tolist() == reference.count(arrays, many)[0].tolist()
    assert left == [("numpy", 1)]  # that of float32
    assert [each.partition(": ")[2] for each in caplog.messages] == [
        f"{many.values.size} bounds do not fit into its shared memory"
    ]


@pytest.mark.parametrize("at", ["locate", "device"])
def test_where_there_is_no_kernel(at, nothing_told, caplog):
    def fails(_):
        raise CudaError("there is no compiler")

    arrays = [normal(100), normal(0), normal(50)]
    for _ in range(2):
        counts, _ = cuda_on_cpu.count(arrays, BOUNDS, **{at: fails})
        assert counts.tolist() == reference.count(arrays, BOUNDS)[0].tolist()
    assert caplog.messages == [
        "Weights on a GPU are counted by their framework's operations: there is no compiler"
    ]
    assert caplog.records[0].levelno == logging.WARNING


@needs_compiler
def test_a_device_waits_for_what_the_framework_has_begun(monkeypatch):
    calls = []
    for owner, name in ((cuda_on_cpu.Processor, "synchronize"), (cuda_on_cpu.Kernel, "launch")):
        called = getattr(owner, name)
        monkeypatch.setattr(
            owner, name, lambda *a, name=name, called=called: calls.append(name) or called(*a)
        )
    assert_exact([normal(10)])
    assert calls == ["synchronize", "launch"]


@needs_compiler
def test_groups_come_to_the_kernel(monkeypatch):
    """All of them by one call of it."""
    launched = cuda_on_cpu.noted_launches(monkeypatch)
    monkeypatch.setattr(_native, "placed", lambda array: ("cuda.ops", array))
    on_processor = partial(cuda_ops.measure, **cuda_on_cpu.ON_PROCESSOR)
    monkeypatch.setattr(cuda_ops, "measure", on_processor)
    groups = [[normal(100)], [], [normal(50), normal(CHUNK)]]
    measured = _native.measure(groups, BOUNDS, has_moments=True)
    for each, group in zip(measured, groups, strict=True):
        assert each.counts(BOUNDS)[0].tolist() == reference.count(group, BOUNDS)[0].tolist()
        assert each.moments().size == sum(array.size for array in group)
    assert len(launched) == 1


def test_a_count_that_others_have_made_for_the_kernel_is_no_parity(nothing_told, monkeypatch):
    def fails(*_, **__):
        raise CudaError("there is no compiler")

    monkeypatch.setattr(cuda_on_cpu.Processor, "kernel", fails)
    with pytest.raises(AssertionError, match="an array of float32 was not counted by the kernel"):
        IMPLEMENTATIONS["cuda-on-cpu"]([normal(10)], BOUNDS)


@needs_compiler
@pytest.mark.parametrize("schema", [-4, 0, 3, 5])
@pytest.mark.parametrize("dtype", cuda_kernel.KINDS)
def test_native_buckets_and_statistics_in_one_pass(dtype, schema, monkeypatch):
    launched = cuda_on_cpu.noted_launches(monkeypatch)
    buckets = NativeBuckets(schema)
    near = near_bounds(np.dtype(dtype), schema, buckets.zero_threshold)
    values, bounds, rows = np.resize(near, 3 * CHUNK), native_bounds(buckets), []
    counts, nan_count = cuda_on_cpu.count([values], bounds, rows, operations_of=None)
    expected_counts, expected_nan_count = reference.count([values], bounds)
    assert (counts.tolist(), nan_count) == (expected_counts.tolist(), expected_nan_count)
    found, expected = added_up(rows), added_up([moments_of(values)])
    assert (found[:4], found[6:]) == (expected[:4], expected[6:])
    assert found[4:6] == pytest.approx(expected[4:6], rel=1e-12)
    assert len(launched) == 1


@in_host_memory
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8", "uint8", "int32"])
def test_where_the_values_of_an_array_are(dtype, monkeypatch):
    monkeypatch.setattr(cuda_arrays, "device_of", lambda _: 3)
    array = keras.ops.cast(of_keras(np.arange(12).reshape(3, 4)), dtype)
    there = cuda_arrays.located(array)
    assert (there.device, there.dtype, there.size) == (3, dtype, 12)
    assert there.array is array
    held = ctypes.string_at(there.address, 12 * np.dtype(dtype).itemsize)
    assert np.frombuffer(held, dtype).tolist() == list(range(12))


@in_host_memory
def test_an_array_that_is_in_no_device_memory(monkeypatch):
    monkeypatch.setattr(cuda_arrays, "device_of", lambda _: None)
    assert cuda_arrays.located(of_keras(np.ones(3, np.float32))) is None
    assert cuda_arrays.located(of_keras(np.ones(0, np.float32))).size == 0


@in_host_memory
@pytest.mark.skipif(keras.backend.backend() != "torch", reason="of PyTorch's tensors")
def test_a_tensor_whose_values_lie_in_another_order(monkeypatch):
    import torch

    monkeypatch.setattr(cuda_arrays, "device_of", lambda _: 0)
    values = torch.arange(24, dtype=torch.float32).reshape(1, 2, 3, 4)
    channels_last = values.to(memory_format=torch.channels_last)
    for tensor in (values.transpose(1, 3), channels_last, values[:, 1:], values[0, 0, 0, 1]):
        there = cuda_arrays.located(tensor.requires_grad_())
        held = np.frombuffer(ctypes.string_at(there.address, 4 * there.size), np.float32)
        assert sorted(held.tolist()) == sorted(tensor.flatten().tolist())
        assert there.address == tensor.data_ptr()
    for tensor in (values[..., ::2], torch._neg_view(values), values[0, 0, 0].expand(3, 4)):
        assert cuda_arrays.located(tensor) is None


@in_host_memory
@needs_compiler
@pytest.mark.skipif(keras.backend.backend() != "jax", reason="of JAX's arrays")
def test_an_array_that_is_donated_meanwhile(monkeypatch):
    import jax

    array = jax.numpy.arange(1000.0)
    launch = cuda_on_cpu.Kernel.launch

    def launching(*arguments):
        launch(*arguments)
        jax.jit(lambda x: x + 1, donate_argnums=0)(array)

    monkeypatch.setattr(cuda_arrays, "device_of", lambda _: 0)
    count = partial(cuda_on_cpu.count, locate=cuda_arrays.located)
    assert count([array], BOUNDS)[0].sum() == 1000
    monkeypatch.setattr(cuda_on_cpu.Kernel, "launch", launching)
    with pytest.raises(RuntimeError, match=r"they were donated to a step meanwhile\. Count when"):
        count([array], BOUNDS)


@in_host_memory
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow's variables")
def test_values_that_were_located_are_kept_while_a_variable_is_updated(monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(cuda_arrays, "device_of", lambda _: 0)
    values = normal(6400).reshape(100, 64)
    variable = tf.Variable(values)
    row = tf.IndexedSlices(tf.ones((1, 64)), [1])
    for update, value in ((variable.scatter_update, row), (variable.assign, 1 - values)):
        variable.assign(values)
        there = cuda_arrays.located(variable)
        assert cuda_arrays.located(variable).address == there.address  # it is no copy
        update(value)
        others = [tf.fill((100, 64), 7.0) for _ in range(30)]
        held = np.frombuffer(ctypes.string_at(there.address, 4 * there.size), np.float32)
        np.testing.assert_array_equal(held, values.ravel())
        assert len(others) == 30


def test_an_array_of_jax_is_waited_for():
    array = Mock(name="an array", size=3)
    assert cuda_arrays._of_jax(array) == (array.unsafe_buffer_pointer(), 3, array)
    assert array.method_calls[:2] == [call.block_until_ready(), call.unsafe_buffer_pointer()]


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="of JAX's arrays")
def test_values_that_may_share_a_byte():
    import jax

    assert cuda_arrays.located(jax.numpy.ones(3, "int4")) is None
