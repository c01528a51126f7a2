"""The kernel for NVIDIA's GPUs, run on the processor, and what leads to it and away from it."""

import ctypes
import logging

import keras
import numpy as np
import on_cuda
import pytest
from corpus import FLOATS, hard_values

from gangplank import NativeBuckets
from gangplank._native import cuda_arrays, cuda_driver, cuda_ops, reference
from gangplank._native.cuda_driver import CudaError
from gangplank._native.edges import Bounds
from gangplank.weights.native_buckets import native_bounds

BOUNDS = Bounds.of(np.linspace(-1, 1, 13))
CHUNK = cuda_ops.CHUNK
FLOAT32 = np.dtype(np.float32)

needs_compiler = pytest.mark.skipif(not on_cuda.COMPILER, reason="there is no compiler of C++")


def normal(size, dtype=np.float32):
    return np.random.default_rng(size).normal(0.1, 0.5, size).astype(dtype)


def assert_exact(arrays, bounds=BOUNDS):
    counts, nan_count = on_cuda.count(arrays, bounds)
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
def test_many_arrays_in_one_call(monkeypatch):
    launched = []
    launch = on_cuda.Kernel.launch
    monkeypatch.setattr(
        on_cuda.Kernel, "launch", lambda *arguments: launched.append(1) or launch(*arguments)
    )
    sizes = [5, 0, CHUNK, 1, 3 * CHUNK - 1, 0, *range(1, 40)]
    assert_exact([normal(size) for size in sizes])
    assert len(launched) == 1
    assert_exact([normal(size, dtype) for size in sizes for dtype in (np.float32, np.int8)])
    assert len(launched) == 3


@needs_compiler
@pytest.mark.parametrize("edge_count", [1, 300, 8190, 8191, 8192, 12_000])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_as_many_edges_as_there_may_be(dtype, edge_count):
    bounds = Bounds.of(np.sort(np.random.default_rng(0).normal(0, 1, edge_count)))
    values = normal(5000, dtype)
    assert_exact([values, hard_values(dtype, bounds.values[:100])], bounds)


def test_a_table_of_one_look_up():
    assert cuda_ops.table_of(BOUNDS, "float32").first_step == 0
    close = Bounds.of([0.1, 0.1 + 1e-6, 0.1 + 2e-6])
    assert cuda_ops.table_of(close, "float32").first_step == 2
    # Neighbours in bfloat16 share a cell, but of bytes each has its own.
    assert cuda_ops.table_of(Bounds.of(np.arange(64, 80, 0.5)), "bfloat16").first_step == 4
    assert cuda_ops.table_of(Bounds.of(np.arange(64, 80, 0.5)), "int8").first_step == 0


@needs_compiler
@pytest.mark.parametrize("shift", [0, 1e3])
def test_moments_of_many_blocks(shift):
    """Also where the mean is so far from zero that a further pass sums the distances from it."""
    values = [normal(size) + np.float32(shift) for size in (9 * CHUNK, 100)]
    rows = []
    on_cuda.count(values, BOUNDS, rows)
    exact = np.concatenate(values).astype(np.float64)
    (row,) = np.concatenate(rows).tolist()
    assert row[:4] == [exact.size, 0, 0, 0]
    assert row[4:6] == pytest.approx([exact.sum(), exact.var() * exact.size], rel=1e-12)
    assert row[6:] == [exact.min(), exact.max()]


@needs_compiler
def test_what_does_not_fit_is_left_to_the_framework(monkeypatch, caplog):
    left = []

    def operations_of(framework):
        return lambda arrays, *arguments: (
            left.append((framework, len(arrays))) or reference.count(arrays, *arguments[:1])
        )

    many = native_bounds(NativeBuckets(8))
    arrays = [normal(100), normal(100, np.float16)]
    counts, _ = on_cuda.count(arrays, many, operations_of=operations_of)
    assert counts.tolist() == reference.count(arrays, many)[0].tolist()
    assert left == [("numpy", 1)]  # that of float32
    assert not caplog.messages


@pytest.fixture
def nothing_told(monkeypatch):
    monkeypatch.setattr(cuda_ops, "_told", set())


@pytest.mark.parametrize("at", ["locate", "device_of"])
def test_where_there_is_no_kernel(at, nothing_told, caplog):
    def fails(_):
        raise CudaError("there is no driver of NVIDIA's here")

    arrays = [normal(100), normal(0), normal(50)]
    for _ in range(2):
        counts, _ = on_cuda.count(arrays, BOUNDS, **{at: fails})
        assert counts.tolist() == reference.count(arrays, BOUNDS)[0].tolist()
    assert caplog.messages == [
        "Weights on a GPU are counted by their framework's operations: there is no driver of "
        "NVIDIA's here"
    ]
    assert caplog.records[0].levelno == logging.WARNING


@needs_compiler
def test_a_device_waits_for_what_the_framework_has_begun(monkeypatch):
    calls = []
    for owner, name in ((on_cuda.Processor, "synchronize"), (on_cuda.Kernel, "launch")):
        called = getattr(owner, name)
        monkeypatch.setattr(
            owner, name, lambda *a, name=name, called=called: calls.append(name) or called(*a)
        )
    assert_exact([normal(10)])
    assert calls == ["synchronize", "launch"]


def of_keras(values):
    return keras.ops.convert_to_tensor(values)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8", "uint8", "int32"])
def test_where_the_values_of_an_array_are(dtype, monkeypatch):
    monkeypatch.setattr(cuda_arrays, "device_of", lambda _: 3)
    array = keras.ops.cast(of_keras(np.arange(12).reshape(3, 4)), dtype)
    there = cuda_arrays.located(array)
    assert (there.device, there.dtype, there.size) == (3, dtype, 12)
    assert there.array is array
    held = ctypes.string_at(there.address, 12 * np.dtype(dtype).itemsize)
    assert np.frombuffer(held, dtype).tolist() == list(range(12))


def test_an_array_that_is_in_no_device_memory(monkeypatch):
    monkeypatch.setattr(cuda_arrays, "device_of", lambda _: None)
    assert cuda_arrays.located(of_keras(np.ones(3, np.float32))) is None
    assert cuda_arrays.located(of_keras(np.ones(0, np.float32))).size == 0


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="of PyTorch's tensors")
def test_a_tensor_whose_values_lie_otherwise(monkeypatch):
    import torch

    monkeypatch.setattr(cuda_arrays, "device_of", lambda _: 0)
    values = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    for tensor in (values.T, values[:, ::2], torch._neg_view(values), values[1:]):
        there = cuda_arrays.located(tensor)
        held = np.frombuffer(ctypes.string_at(there.address, 4 * there.size), np.float32)
        assert held.tolist() == tensor.flatten().tolist()


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="of JAX's arrays")
def test_values_that_may_share_a_byte():
    import jax

    assert cuda_arrays.located(jax.numpy.ones(3, "int4")) is None


def has_compiler():
    try:
        return cuda_driver._compiler() is not None
    except CudaError:
        return False


@pytest.mark.skipif(not has_compiler(), reason="there is no compiler of NVIDIA's")
@pytest.mark.parametrize("architecture", ["sm_75", "sm_90"])
def test_what_the_compiler_makes(architecture):
    """It takes no GPU, so that what it refuses is seen without one."""
    kinds = [(kind, "true") for kind in cuda_ops.KINDS.values()]
    kinds += [(kind, "false") for kind in cuda_ops._OF_WIDTH.values()]
    for kind, has_moments in kinds:
        options = f"--gpu-architecture={architecture}", f"-DKIND={kind}"
        image = cuda_driver.compiled(cuda_ops.SOURCE, *options, f"-DHAS_MOMENTS={has_moments}")
        assert image.startswith(b"\x7fELF"), kind


@pytest.mark.skipif(not has_compiler(), reason="there is no compiler of NVIDIA's")
def test_what_the_compiler_refuses():
    with pytest.raises(CudaError, match=r"NVRTC refuses cuda_kernel.cu: [^\0]*Nothing[^\0]*$"):
        cuda_driver.compiled(cuda_ops.SOURCE, "-DKIND=Nothing", "-DHAS_MOMENTS=true")


def test_without_a_driver(monkeypatch):
    def fails(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", fails)
    for cached in (cuda_driver._driver, cuda_driver._compiler):
        cached.cache_clear()
    with pytest.raises(CudaError, match="there is no driver of NVIDIA's here: libcuda"):
        cuda_driver.device_of(1)
    with pytest.raises(CudaError, match="there is no driver"):
        cuda_driver.device(0)
    with pytest.raises(CudaError, match="there is no libnvrtc, which the package nvidia-cuda-nvrt"):
        cuda_driver.compiled(cuda_ops.SOURCE)
    for cached in (cuda_driver._driver, cuda_driver._compiler):
        cached.cache_clear()
