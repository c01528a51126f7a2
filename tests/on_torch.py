"""Counting NumPy arrays by PyTorch, on CUDA or else its CPU device."""

import shutil

import numpy as np
import torch
import torch._dynamo.config
from kernel_alone import count_on_gpu

from gangplank._native import torch_ops

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

# PyTorch's compiler; where there is none of C++, less its last step.
BACKEND = "inductor" if shutil.which("g++") else "aot_eager"

# Else it would leave bincount out, whose shape it cannot know.
torch._dynamo.config.capture_dynamic_output_shape_ops = True
torch._dynamo.config.recompile_limit = 64
SLOTS = torch.compile(torch_ops.slots, backend=BACKEND, dynamic=True, fullgraph=True)


def operations(arrays, bounds, moments=None):
    return torch_ops.count(map(tensor, arrays), bounds, moments)


def compiled(arrays, bounds, moments=None):
    return torch_ops.count(map(tensor, arrays), bounds, moments, count_slots=SLOTS)


def cuda(arrays, bounds, moments=None):
    return count_on_gpu(map(tensor, arrays), bounds, moments)


def tensor(array):
    """A tensor of the same values, strides among them where PyTorch has such."""
    native = np.array(array, array.dtype.newbyteorder("="))
    bits = torch.from_numpy(native.view(f"i{native.itemsize}")).to(DEVICE)
    return bits.view(getattr(torch, native.dtype.name))
