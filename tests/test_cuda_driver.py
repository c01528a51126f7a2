"""What NVIDIA's compiler makes of the kernel, and what is said where it or the driver refuses."""

import contextlib
import locale
from concurrent.futures import ThreadPoolExecutor

import pytest

from gangplank._native.cuda import driver as cuda_driver
from gangplank._native.cuda import kernel as cuda_kernel
from gangplank._native.cuda.driver import CudaError
from gangplank._native.cuda.kernel import SOURCE

needs_nvrtc = pytest.mark.skipif(
    not cuda_driver.compilers(), reason="there is no compiler of NVIDIA's"
)

OF_TABLE = "-DSHIFT=3", "-DFIRST_STEP=2"


@needs_nvrtc
@pytest.mark.parametrize("architecture", ["sm_75", "sm_90"])
def test_what_the_compiler_makes(architecture):
    """It takes no GPU, so that what it refuses is seen without one."""
    compiler = cuda_driver.compilers()[0]
    kinds = [(kind, "true") for kind in cuda_kernel.KINDS.values()]
    kinds += [(kind, "false") for kind in cuda_kernel.OF_WIDTH.values()]
    for kind, has_moments in kinds:
        options = f"-DKIND={kind}", f"-DHAS_MOMENTS={has_moments}", *OF_TABLE
        architecture_option = f"--gpu-architecture={architecture}"
        image = cuda_driver.compiled(compiler, SOURCE, architecture_option, *options)
        assert image.startswith(b"\x7fELF"), kind


@needs_nvrtc
def test_what_the_compiler_refuses():
    options = "-DKIND=Nothing", "-DHAS_MOMENTS=true", *OF_TABLE
    with pytest.raises(CudaError, match=r"NVRTC refuses kernel.cu: [^\0]*Nothing[^\0]*$"):
        cuda_driver.compiled(cuda_driver.compilers()[0], SOURCE, *options)


@needs_nvrtc
@pytest.mark.parametrize("kind", ["Float32", "Nothing"])
def test_the_compiler_leaves_a_thread_its_locale(kind):
    """By which `open` chooses an encoding."""

    def encodings():
        before = locale.getencoding()
        with contextlib.suppress(CudaError):
            options = f"-DKIND={kind}", "-DHAS_MOMENTS=true", *OF_TABLE
            cuda_driver.compiled(cuda_driver.compilers()[0], SOURCE, *options)
        return before, locale.getencoding()

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(encodings).result() == ("UTF-8", "UTF-8")


class Driver:
    """NVIDIA's driver, of a device of which it loads no image."""

    def cuModuleLoadData(self, *_):  # noqa: N802
        return 209

    def cuGetErrorString(self, status, message):  # noqa: N802
        message._obj.value = b"no kernel image is available"

    def __getattr__(self, name):
        return lambda *_: 0


def test_an_image_that_the_driver_refuses(monkeypatch):
    """Is asked for of each compiler, and never again."""
    driver, asked = Driver(), []
    monkeypatch.setattr(cuda_driver, "driver", lambda: driver)
    monkeypatch.setattr(cuda_driver, "compilers", lambda: ["newer", "older"])
    monkeypatch.setattr(cuda_driver, "compiled", lambda compiler, *_: asked.append(compiler) or b"")
    device = cuda_driver.Device(0)
    depths = []
    for _ in range(3):
        message = r"^cuModuleLoadData: no kernel image is available \(209\)$"
        with pytest.raises(CudaError, match=message) as raised:
            device.kernel(SOURCE, KIND="Float32")
        depths.append(len(raised.traceback))
    assert asked == ["newer", "older"]
    assert depths == [2, 2, 2]  # the frames of who asked before are not kept
    monkeypatch.setattr(cuda_driver, "compilers", list)
    with pytest.raises(CudaError, match="no libnvrtc here; pip install nvidia-cuda-nvrtc-cu12"):
        device.kernel(SOURCE, KIND="Int8")


class Occupied(Driver):
    """NVIDIA's driver, of a device that has room for so many blocks."""

    def __init__(self, blocks):
        self.blocks, self.given, self.asked = blocks, [], []

    def cuModuleLoadData(self, *_):  # noqa: N802
        return 0

    def cuFuncSetAttribute(self, function, which, value):  # noqa: N802
        self.given.append(value)
        return 0

    def cuOccupancyMaxActiveBlocksPerMultiprocessor(self, blocks, *_):  # noqa: N802
        self.asked.append(1)
        blocks._obj.value = self.blocks
        return 0


def test_a_kernel_is_never_given_less_shared_memory_than_before(monkeypatch):
    driver = Occupied(blocks=2)
    monkeypatch.setattr(cuda_driver, "driver", lambda: driver)
    kernel = cuda_driver.Kernel(b"")
    assert [kernel.resident(1024, size) for size in (60_000, 50_000, 60_000)] == [2, 2, 2]
    assert driver.given == [60_000, 60_000]
    assert len(driver.asked) == 2


def test_a_block_that_has_no_room(monkeypatch):
    driver = Occupied(blocks=0)
    monkeypatch.setattr(cuda_driver, "driver", lambda: driver)
    kernel = cuda_driver.Kernel(b"")
    for _ in range(2):
        with pytest.raises(CudaError, match="no room for 60,000 bytes of a block"):
            kernel.resident(1024, 60_000)


def test_without_a_driver(monkeypatch):
    monkeypatch.setattr(cuda_driver, "driver", lambda: None)
    for call in (cuda_driver.device_of, cuda_driver.Device):
        with pytest.raises(CudaError, match="there is no driver of NVIDIA's here"):
            call(1)
