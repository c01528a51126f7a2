"""Counting NumPy arrays by PyTorch, on CUDA or else its CPU device."""

import shutil
from functools import partial

import numpy as np
import torch
import torch._dynamo.config

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
    find = partial(torch_ops.by_operations, count_slots=SLOTS)
    return torch_ops.count(map(tensor, arrays), bounds, moments, find=find)


def triton(arrays, bounds, moments=None):
    """By Triton's kernel; elsewhere than on CUDA its interpreter, by TRITON_INTERPRET=1."""
    return torch_ops.count(map(tensor, arrays), bounds, moments, find=_by_triton)


def _by_triton(values, patterns, has_moments):
    is_for_triton = patterns.numel() < torch_ops.MOST_SLOTS
    find = torch_ops.by_triton if is_for_triton else torch_ops.by_operations
    return find(values, patterns, has_moments)


def tensor(array):
    """A tensor of the same values, strides among them where PyTorch has such."""
    native = np.array(array, array.dtype.newbyteorder("="))
    bits = torch.from_numpy(native.view(f"i{native.itemsize}")).to(DEVICE)
    return bits.view(getattr(torch, native.dtype.name))
