"""NVIDIA's driver and runtime compiler, as far as a kernel needs them.

Both come with whatever framework has a GPU to compute on: the driver is the machine's, and the
compiler is in the packages that the builds of PyTorch, JAX and TensorFlow for CUDA ask for. The
kernels run in the context that these share, so that addresses of their arrays hold here.
"""

import ctypes
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import byref, c_char_p, c_int, c_size_t, c_ubyte, c_uint, c_uint64, c_void_p
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The driver's numbers: of what it tells of an address (the type of the memory, the device), of the
# memory of a device, and of what it tells of a device and is told of a kernel.
_OF_ADDRESS = (c_uint * 2)(2, 9)
_ON_DEVICE = 2
_MULTIPROCESSORS, _MAJOR, _MINOR, _MOST_SHARED_MEMORY = 16, 75, 76, 97
_SHARED_MEMORY = 8

NVRTC = tuple(f"libnvrtc.so.{version}" for version in (13, 12, "11.2"))

NO_COMPILER = (
    "there is no libnvrtc here; pip install nvidia-cuda-nvrtc-cu12, or nvidia-cuda-nvrtc for CUDA "
    "13"
)


class CudaError(RuntimeError):
    """What the driver or the compiler refuses, or that there is none."""


@cache
def driver() -> Any | None:
    """The library of NVIDIA's driver; None where there is none."""
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None


def device_of(address: int) -> int | None:
    """The number of the device in whose memory `address` is; None if it is in none."""
    kind, ordinal = c_uint(), c_int()
    values = (c_void_p * 2)(ctypes.addressof(kind), ctypes.addressof(ordinal))
    # Of an address that the driver does not know they are zero.
    _call("cuPointerGetAttributes", 2, _OF_ADDRESS, values, c_uint64(address))
    return ordinal.value if kind.value == _ON_DEVICE else None


@cache
def device(ordinal: int) -> "Device":
    """The device of that number."""
    return Device(ordinal)


class Device:
    """A GPU: memory, and kernels for it. All may raise a `CudaError`.

    Attributes:
        lock: to be held by who uses its memory.
        shared_memory: bytes that a block may have.
    """

    def __init__(self, ordinal: int) -> None:
        self._ordinal = ordinal
        self._context = c_void_p()
        self._memory, self._size = c_uint64(), 0
        self._kernels: dict[tuple[Path, tuple[str, ...]], Kernel | CudaError] = {}
        self.lock = Lock()
        # Kept as long as the process lives: a framework holds it as well.
        _call("cuDevicePrimaryCtxRetain", byref(self._context), ordinal)
        self.multiprocessors = self._attribute(_MULTIPROCESSORS)
        self.shared_memory = self._attribute(_MOST_SHARED_MEMORY)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Has all calls in the block go to this device."""
        _call("cuCtxPushCurrent_v2", self._context)
        try:
            yield
        finally:
            _call("cuCtxPopCurrent_v2", byref(c_void_p()))

    def synchronize(self) -> None:
        """Waits for all that is under way on the device."""
        _call("cuCtxSynchronize")

    def memory(self, size: int) -> int:
        """The address of so many bytes, of twice as many that are kept until more are wanted."""
        if size > self._size:
            if self._size:
                self._size = 0
                _call("cuMemFree_v2", self._memory)
            _call("cuMemAlloc_v2", byref(self._memory), c_size_t(2 * size))
            self._size = 2 * size
        return self._memory.value

    def write(self, address: int, values: NDArray[Any]) -> None:
        """Copies contiguous `values` there."""
        source = c_void_p(values.ctypes.data)
        _call("cuMemcpyHtoD_v2", c_uint64(address), source, c_size_t(values.nbytes))

    def clear(self, address: int, size: int) -> None:
        """Has so many bytes there be 0."""
        _call("cuMemsetD8_v2", c_uint64(address), c_ubyte(0), c_size_t(size))

    def read(self, address: int, size: int) -> NDArray[np.uint8]:
        """A copy of the bytes there, when all that was begun before is done."""
        values = np.empty(size, np.uint8)
        if size:
            target = c_void_p(values.ctypes.data)
            _call("cuMemcpyDtoH_v2", target, c_uint64(address), c_size_t(size))
        return values

    def kernel(self, source: Path, **definitions: str) -> "Kernel":
        """What is made of the function `kernel` in `source`, once for the same definitions."""
        options = tuple(f"-D{name}={value}" for name, value in definitions.items())
        if (source, options) not in self._kernels:
            self._kernels[source, options] = self._made(source, options)
        made = self._kernels[source, options]
        if isinstance(made, CudaError):
            raise CudaError(*made.args)  # what is kept would hold the frames, and their arrays
        return made

    def _made(self, source: Path, options: tuple[str, ...]) -> "Kernel | CudaError":
        architecture = f"sm_{self._attribute(_MAJOR)}{self._attribute(_MINOR)}"
        error = CudaError(NO_COMPILER)
        # One may be too old for the device, or too new for the driver.
        for compiler in compilers():
            try:
                image = compiled(compiler, source, f"--gpu-architecture={architecture}", *options)
                return Kernel(image)
            except CudaError as caught:
                error = caught
        return error

    def _attribute(self, which: int) -> int:
        value = c_int()
        _call("cuDeviceGetAttribute", byref(value), which, self._ordinal)
        return value.value


class Kernel:
    """A kernel that takes one structure, on the device that is current."""

    def __init__(self, image: bytes) -> None:
        module = c_void_p()
        self._function = c_void_p()
        _call("cuModuleLoadData", byref(module), c_char_p(image))
        _call("cuModuleGetFunction", byref(self._function), module, b"kernel")
        self._resident: dict[tuple[int, int], int] = {}
        self._most_shared = 0

    def resident(self, threads: int, shared_memory: int) -> int:
        """How many blocks of that size a multiprocessor has at the same time, at least one."""
        known = self._resident.get((threads, shared_memory))
        if known is None:
            # What it may have at most, also where it was asked for less since.
            most = max(self._most_shared, shared_memory)
            _call("cuFuncSetAttribute", self._function, _SHARED_MEMORY, most)
            self._most_shared = most
            blocks = c_int()
            count = "cuOccupancyMaxActiveBlocksPerMultiprocessor"
            _call(count, byref(blocks), self._function, threads, c_size_t(shared_memory))
            known = self._resident[threads, shared_memory] = blocks.value
        if not known:
            raise CudaError(f"a multiprocessor has no room for {shared_memory:,} bytes of a block")
        return known

    def launch(
        self, blocks: int, threads: int, shared_memory: int, argument: ctypes.Structure
    ) -> None:
        """Begins to run it."""
        arguments = (c_void_p * 1)(ctypes.addressof(argument))
        shape = blocks, 1, 1, threads, 1, 1
        _call("cuLaunchKernel", self._function, *shape, shared_memory, None, arguments, None)


@cache
def compilers() -> list[Any]:
    """The libraries of NVIDIA's runtime compiler, the newest first."""
    spec = importlib.util.find_spec("nvidia")
    folders = map(Path, spec.submodule_search_locations or ()) if spec else ()
    in_packages = [each for folder in folders for each in folder.glob("*/lib/libnvrtc.so.*")]
    found = []
    for name in sorted([*map(str, in_packages), *NVRTC], key=_version, reverse=True):
        try:
            found.append(ctypes.CDLL(name))
        except OSError:
            continue
    return found


def _version(name: str) -> list[int]:
    return [int(part) for part in name.rpartition(".so.")[2].split(".")]


@contextmanager
def _locale_of_thread() -> Iterator[None]:
    """Gives the thread its locale back: NVRTC leaves that of C, with which open() reads ASCII."""
    use = ctypes.CDLL(None).uselocale
    use.argtypes, use.restype = (c_void_p,), c_void_p
    before = use(None)
    try:
        yield
    finally:
        use(before)


@_locale_of_thread()
def compiled(compiler: Any, source: Path, *options: str) -> bytes:
    """What a compiler makes of a file of CUDA C++.

    Raises:
        CudaError: it refuses the file or an option.
    """
    program = c_void_p()
    text, name = source.read_bytes(), source.name.encode()
    if status := compiler.nvrtcCreateProgram(byref(program), text, name, 0, None, None):
        raise CudaError(f"NVRTC refuses {source.name} ({status})")
    try:
        chosen = [option.encode() for option in ("--std=c++17", *options)]
        if compiler.nvrtcCompileProgram(program, len(chosen), (c_char_p * len(chosen))(*chosen)):
            log = _output(program, compiler.nvrtcGetProgramLogSize, compiler.nvrtcGetProgramLog)
            raise CudaError(f"NVRTC refuses {source.name}: {log.rstrip(bytes(1)).decode().strip()}")
        return _output(program, compiler.nvrtcGetCUBINSize, compiler.nvrtcGetCUBIN)
    finally:
        compiler.nvrtcDestroyProgram(byref(program))


def _output(program: c_void_p, get_size: Any, get: Any) -> bytes:
    size = c_size_t()
    status = get_size(program, byref(size))
    output = ctypes.create_string_buffer(size.value)
    if status or get(program, output):
        raise CudaError("NVRTC gives nothing out")
    return output.raw


def _call(name: str, *arguments: Any) -> None:
    library = driver()
    if library is None:
        raise CudaError("there is no driver of NVIDIA's here")
    if status := getattr(library, name)(*arguments):
        message = c_char_p()
        library.cuGetErrorString(status, byref(message))
        raise CudaError(f"{name}: {(message.value or b'error').decode()} ({status})")
