"""Counting by the kernel for CUDA, compiled for the processor, of arrays in its memory."""

import contextlib
import ctypes
import shutil
import subprocess
import tempfile
import threading
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest

from gangplank._native import cpu, devices
from gangplank._native.cuda import ops as cuda_ops
from gangplank._native.cuda.arrays import Located
from gangplank._native.measured import counted

COMPILER = shutil.which("g++")

needs_compiler = pytest.mark.skipif(not COMPILER, reason="there is no compiler of C++")


def of_keras(values):
    return keras.ops.convert_to_tensor(values)


IS_IN_HOST_MEMORY = devices.placed(of_keras(np.ones(1, np.float32)))[0] == "cpu"

in_host_memory = pytest.mark.skipif(
    not IS_IN_HOST_MEMORY,
    reason="what the framework makes is on a device, where no test can read it",
)


def normal(size, dtype=np.float32):
    return np.random.default_rng(size).normal(0.1, 0.5, size).astype(dtype)


class Processor:
    """As `gangplank._native.cuda.driver.Device`: its memory is this process's."""

    multiprocessors = 2
    shared_memory = 227 << 10

    def __init__(self):
        self.lock = threading.Lock()
        self._memory = np.empty(0, np.uint64)

    @contextlib.contextmanager
    def current(self):
        assert self.lock.locked()
        yield

    def synchronize(self):
        pass

    def memory(self, size):
        self._memory = np.full(size // 8 + 2, 0xDEADBEEF, np.uint64)
        return -(-self._memory.ctypes.data // 16) * 16

    def write(self, address, values):
        assert values.flags.c_contiguous
        ctypes.memmove(address, values.ctypes.data, values.nbytes)

    def clear(self, address, size):
        ctypes.memset(address, 0, size)

    def read(self, address, size):
        return np.frombuffer(ctypes.string_at(address, size), np.uint8)

    def kernel(self, source, *, KIND, HAS_MOMENTS, SHIFT, FIRST_STEP):  # noqa: N803
        return Kernel(source, KIND, HAS_MOMENTS == "true", (int(SHIFT), int(FIRST_STEP)))


class Kernel:
    def __init__(self, source, kind, has_moments, defined):
        self._launch = compiled(source).launch
        self._kind, self._has_moments, self._defined = kind.encode(), has_moments, defined

    def resident(self, threads, shared_memory):
        return 3

    def launch(self, blocks, threads, shared_memory, argument):
        # A GPU has these two by their definitions alone.
        assert (argument.shift, argument.first_step) == self._defined
        work = ctypes.byref(argument)
        assert self._launch(self._kind, self._has_moments, blocks, work) == 0


def noted_launches(monkeypatch):
    """A list that has an item for each launch of a kernel from now on."""
    launched = []
    launch = Kernel.launch
    monkeypatch.setattr(
        Kernel, "launch", lambda *arguments: launched.append(1) or launch(*arguments)
    )
    return launched


@cache
def compiled(source):
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "kernel.so"
        options = ["-O1", "-std=c++17", "-shared", "-fPIC", "-fno-strict-aliasing", "-w"]
        # A GPU does not load a line from where none begins.
        options += ["-fsanitize=alignment", "-fsanitize-undefined-trap-on-error"]
        includes = ["-I", str(source.parent)]
        program = str(Path(__file__).with_name("cuda_on_cpu.cpp"))
        subprocess.run([COMPILER, *options, *includes, program, "-o", str(library)], check=True)
        return ctypes.CDLL(str(library))


def located(array):
    """Where the values of a NumPy array are."""
    values = np.require(array, array.dtype.newbyteorder("="), "CA")
    return Located(0, values.dtype.name, values.ctypes.data, values.size, array, values)


processor = Processor()


# What the kernel does not count is left to the other one for host memory.
ON_PROCESSOR = {
    "locate": located,
    "device": lambda _: processor,
    "operations_of": lambda _: cpu.count,
}


def measure(pieces, bounds, groups, *, has_moments=False, **functions):
    functions = ON_PROCESSOR | functions
    cuda_ops.measure(pieces, bounds, groups, has_moments=has_moments, **functions)


def count(arrays, bounds, moments=None, **functions):
    return counted(measure, arrays, bounds, moments, **functions)
