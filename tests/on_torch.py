"""Counting NumPy arrays by PyTorch, on its CPU device."""

import shutil
from functools import cache

import numpy as np
import torch

from gangplank._native import torch_ops

# PyTorch's compiler; where there is none of C++, less its last step.
BACKEND = "inductor" if shutil.which("g++") else "aot_eager"


def eager(arrays, bounds):
    return torch_ops.count(map(tensor, arrays), bounds)


def compiled(arrays, bounds):
    def count_slots(bits, patterns):
        return _compiled_slots(bits.dtype)(bits, patterns)

    return torch_ops.count(map(tensor, arrays), bounds, count_slots=count_slots)


@cache
def _compiled_slots(dtype):
    return torch.compile(torch_ops.slots, backend=BACKEND, dynamic=True)


def tensor(array):
    """A tensor of the same values, strides among them where PyTorch has such."""
    native = np.array(array, array.dtype.newbyteorder("="))
    bits = torch.from_numpy(native.view(f"i{native.itemsize}"))
    return bits.view(getattr(torch, native.dtype.name))
