"""Where an array of TensorFlow, JAX or PyTorch lies in the memory of one of NVIDIA's GPUs."""

import ctypes
import sys
from functools import cache
from typing import Any, NamedTuple

from gangplank._native.arrays import dtype_name, framework
from gangplank._native.cuda_driver import device_of

# In a DLTensor, which DLPack's structure begins with, in bytes: where the address is, and what is
# to be added to it.
_DATA, _BYTE_OFFSET = 0, 40


class Located(NamedTuple):
    """Values one behind the other on a device.

    Attributes:
        device: its number.
        dtype: as NumPy calls it.
        address: that of the first value.
        size: how many there are.
        array: whose values they are.
        owner: what keeps them there.
    """

    device: int
    dtype: str
    address: int
    size: int
    array: Any
    owner: Any


def located(array: Any) -> Located | None:
    """Where the values of `array` are; None where that is not known or elsewhere.

    Raises:
        CudaError: there is no driver.
    """
    name = dtype_name(array)
    found = _LOCATE[str(framework(array))](array) if _is_of_whole_bytes(name) else None
    if found is None:
        return None
    address, size, owner = found
    device = device_of(address) if size else 0
    return None if device is None else Located(device, name, address, size, array, owner)


@cache
def _is_of_whole_bytes(name: str) -> bool:
    """Whether a dtype is: several values of others may be packed into one."""
    return any(bits in name for bits in ("8", "16", "32", "64"))


def _of_torch(tensor: Any) -> tuple[int, int, Any]:
    values = tensor
    if tensor.is_neg() or not tensor.is_contiguous():
        values = tensor.detach().resolve_neg().contiguous()
    return values.data_ptr(), values.numel(), values


def _of_jax(array: Any) -> tuple[int, int, Any]:
    array.block_until_ready()
    return array.unsafe_buffer_pointer(), array.size, array


def _of_tensorflow(array: Any) -> tuple[int, int, Any] | None:
    tensorflow = sys.modules["tensorflow"]
    tensor = tensorflow.convert_to_tensor(array)
    if "float8" in tensor.dtype.name:  # of which TensorFlow's DLPack has none
        return None
    capsule = tensorflow.experimental.dlpack.to_dlpack(tensor)
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    start = pointer(capsule, b"dltensor")
    data, offset = (ctypes.c_uint64.from_address(start + at) for at in (_DATA, _BYTE_OFFSET))
    return data.value + offset.value, int(tensor.shape.num_elements()), capsule


_LOCATE = {"torch": _of_torch, "jax": _of_jax, "tensorflow": _of_tensorflow}
