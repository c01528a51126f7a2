"""PyTorch's ops: in blocks, and of any layout."""

import os
import subprocess
import sys
from importlib.util import find_spec

import keras
import numpy as np
import pytest

from gangplank import weights_histogram
from gangplank._native import devices, reference
from gangplank._native.edges import Bounds

if keras.backend.backend() != "torch":
    pytest.skip("Keras does not use PyTorch", allow_module_level=True)

import torch
import torch.distributed.tensor

from gangplank._native import torch_ops

BOUNDS = Bounds.of(np.linspace(-1, 1, 13))
VALUES = np.random.default_rng(0).normal(0, 0.5, (10, 100)).astype(np.float32)


def test_large_tensors_are_counted_in_blocks(monkeypatch):
    monkeypatch.setattr(torch_ops, "BLOCK", 300)
    counts, nan_count = torch_ops.count([torch.from_numpy(VALUES)], BOUNDS)
    assert counts.tolist() == reference.count([VALUES], BOUNDS)[0].tolist()
    assert nan_count == 0


def test_small_tensors_are_joined(monkeypatch):
    parts = np.split(VALUES.ravel(), [7, 7, 150])
    tensors = [*map(torch.from_numpy, parts), torch.from_numpy(VALUES).half()]
    expected = reference.count([VALUES, VALUES.astype(np.float16)], BOUNDS)[0].tolist()
    for small in (1, 200, 10_000):
        monkeypatch.setattr(devices, "SMALL", small)
        assert torch_ops.count(tensors, BOUNDS)[0].tolist() == expected


class OnCuda(torch.Tensor):
    """A tensor that says that it is on CUDA."""

    is_cuda = True


@pytest.fixture
def without_triton(monkeypatch):
    """The kinds of values with which Triton has failed: none yet."""
    monkeypatch.setattr(torch_ops, "_without_triton", set())
    return torch_ops._without_triton


def test_where_triton_fails(without_triton, monkeypatch, caplog):
    asked = []

    def fails(values, *arguments):
        asked.append(values.dtype)
        raise OSError("no compiler here")

    monkeypatch.setattr(torch_ops, "by_triton", fails)
    values = torch.from_numpy(VALUES.ravel()).as_subclass(OnCuda)
    patterns = torch.tensor([-5, 0, 1 << 29], dtype=torch.int32)
    expected, _ = torch_ops.by_operations(values, patterns, False)
    for _ in range(2):
        counts, _ = torch_ops.fastest(values, patterns, False)
        assert counts.tolist() == expected.tolist()
        torch_ops.fastest(values.half(), torch.tensor([0], dtype=torch.int16), False)
    assert asked == [torch.float32, torch.float16]
    assert caplog.messages[0] == (
        "torch.float32 weights on cpu are counted without Triton, which fails: no compiler here"
    )


def test_memory_that_runs_out_is_no_lack_of_triton(without_triton, monkeypatch):
    def fails(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch_ops, "by_triton", fails)
    with pytest.raises(torch.OutOfMemoryError):
        torch_ops.fastest(torch.ones(3).as_subclass(OnCuda), torch.tensor([0]), False)
    assert not without_triton


@pytest.mark.skipif(not find_spec("triton"), reason="there is no Triton")
@pytest.mark.parametrize("has_moments", [False, True])
@pytest.mark.parametrize("bins", [32, torch_ops.MOST_SLOTS])
@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16", "fp64", "i8", "u8", "u16", "i64"])
def test_the_kernel_compiles_for_cuda(dtype, bins, has_moments):
    """Which takes no such device: what Triton refuses is seen, and what does not fit."""
    script = f"""
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from gangplank._native import triton_kernel
bits = triton_kernel._BITS[{8 if dtype.endswith("64") else int(dtype.strip("fpbui")) // 8}]
of_shape = dict(pattern_type=bits, bins={bins}, block=triton_kernel.BLOCK)
of_shape["has_moments"] = {has_moments}
signature = dict(values="*{dtype}", patterns=f"*i{{bits.primitive_bitwidth}}", counts="*i64")
signature |= dict(rows="*fp64", size="i64", blocks="i32", **dict.fromkeys(of_shape, "constexpr"))
source = ASTSource(triton_kernel._find, signature, of_shape)
kernel = triton.compile(source, target=GPUTarget("cuda", 90, 32))
assert kernel.asm["cubin"]
print(kernel.metadata.shared)
"""
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) <= 48 * 1024  # which a program has without being asked for more


def test_layouts():
    tensor = torch.from_numpy(VALUES)
    for each in (tensor.T, tensor[::2, ::3], tensor.expand(3, 10, 100), tensor[0, 0]):
        counts, _ = torch_ops.count([each], BOUNDS)
        assert counts.tolist() == reference.count([each.numpy()], BOUNDS)[0].tolist()


def test_a_lazily_negated_tensor():
    tensor = torch._neg_view(torch.from_numpy(VALUES))
    counts, _ = torch_ops.count([tensor], BOUNDS)
    assert counts.tolist() == reference.count([-VALUES], BOUNDS)[0].tolist()


def test_a_tensor_in_host_memory_is_not_counted_by_torch():
    assert devices.placed(torch.ones(3))[0] == "cpu"


def test_a_tensor_without_values():
    with pytest.raises(RuntimeError, match="element 0 cannot be counted: it is on the meta device"):
        weights_histogram([torch.ones(3, device="meta")], BOUNDS.values)


def test_a_tensor_of_a_mesh(tmp_path):
    distributed = torch.distributed
    distributed.init_process_group("gloo", f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        mesh = distributed.device_mesh.init_device_mesh("cpu", (1,))
        tensor = distributed.tensor.distribute_tensor(torch.ones(3), mesh)
        with pytest.raises(RuntimeError, match=r"it is a DTensor, .* Pass its full_tensor\(\)"):
            weights_histogram([tensor], BOUNDS.values)
        assert weights_histogram([tensor.full_tensor()], BOUNDS.values).count == 3
    finally:
        distributed.destroy_process_group()
