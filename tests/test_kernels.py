"""The numba kernels: every length and place in memory, threads, and where compiled code is kept."""

import ctypes
import mmap
import os
import shutil
import subprocess
import sys
from functools import cache, partial

import numba
import numpy as np
import pytest
from corpus import FLOATS, INTEGERS

from gangplank import NativeBuckets
from gangplank._native import cpu, edges, reference
from gangplank._native.edges import Bounds
from gangplank._native.kernels import jit, lane_kernel, table_kernel, vectors
from gangplank._native.measured import Measured

BLOCK_BYTES = vectors.BLOCK_BYTES
KERNELS = {
    "lane": partial(lane_kernel.lane_kernel, for_both_signs=False),
    "lane, both signs": partial(lane_kernel.lane_kernel, for_both_signs=True),
    "table": table_kernel.table_kernel,
}
BOUNDS = Bounds.of(np.arange(-6, 7) / 20)
SEARCHED = Bounds.of([-0.1, 0.1, 0.2, 0.2000001])  # two in one cell of a table
VALUES = np.random.default_rng(0).normal(0, 0.2, 100_000).astype(np.float32)


def counted(kernel, values, bounds):
    """Counts as the reference gives them."""
    measured = Measured()
    count = kernel(edges.edges_of(bounds, values.dtype))
    measured.add(count(values.view(f"u{values.itemsize}")), None)
    counts, nan_count = measured.counts(bounds)
    return counts.tolist(), nan_count


def expected(values, bounds):
    counts, nan_count = reference.count([values], bounds)
    return counts.tolist(), nan_count


@cache
def counted_up_to(dtype, bounds):
    """Values of any bits, and of each how many of those before it fall where, NaN in the end."""
    values = np.random.default_rng(0).integers(0, 256, 4 * BLOCK_BYTES, np.uint8).view(dtype)
    each = [reference.count([values[i : i + 1]], bounds) for i in range(values.size)]
    rows = [[*counts, nan_count] for counts, nan_count in each]
    return values, np.cumsum([[0] * len(rows[0]), *rows], axis=0)


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS, ids=str)
@pytest.mark.parametrize("name", KERNELS)
def test_every_length_and_misalignment(name, dtype):
    block = BLOCK_BYTES // dtype.itemsize
    bounds = Bounds.of([-3.0, -1e-3, 0.0, 1e-3, 3.0])
    values, before = counted_up_to(dtype, bounds)
    count = KERNELS[name](edges.edges_of(bounds, dtype))
    lengths = {*range(min(block, 66)), *range(block - 2, block + 3), 2 * block, 3 * block + 1}
    for start in range(min(block, 18)):
        for length in lengths:
            stop = start + length
            buckets, totals = count(values[start:stop].view(f"u{dtype.itemsize}"))
            found = np.bincount(buckets, totals, before.shape[1]).tolist()
            assert found == (before[stop] - before[start]).tolist(), (start, length)


@pytest.mark.parametrize("name", KERNELS)
def test_nothing_is_read_beyond_the_end_of_an_array(name):
    pages = mmap.mmap(-1, 4 * mmap.PAGESIZE)
    values = np.frombuffer(pages, np.float32)
    values[:] = VALUES[: values.size]
    half = values[: values.size // 2]
    # Whoever reads the second half ends the process.
    protect = ctypes.CDLL(None).mprotect
    protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    assert protect(values.ctypes.data + half.nbytes, half.nbytes, 0) == 0
    for part in (half, half[1:], half[-1:]):
        assert counted(KERNELS[name], part, BOUNDS) == expected(part, BOUNDS)


@pytest.mark.parametrize("bound_count", [1, 2, 39, 40, 41, 1024, 4096, 40_000])
@pytest.mark.parametrize("name", KERNELS)
def test_numbers_of_bounds(name, bound_count):
    bounds = Bounds.of(np.sort(np.random.default_rng(1).normal(0, 0.2, bound_count)))
    for size in (2000, 2 * bound_count + 3 if name == "table" else 0):
        values = VALUES[:size]
        assert counted(KERNELS[name], values, bounds) == expected(values, bounds)


@pytest.mark.parametrize("name", KERNELS)
def test_bounds_that_are_neighbours(name):
    near = np.float32(0.1).view(np.uint32) + np.arange(500, dtype=np.uint32)
    bounds = Bounds.of(np.concatenate([[-2.0], near.view(np.float32).astype(np.float64), [3.0]]))
    values = (near[0] + np.random.default_rng(0).integers(-9, 509, 5000)).astype(np.uint32)
    assert counted(KERNELS[name], values.view(np.float32), bounds) == expected(
        values.view(np.float32), bounds
    )


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS, ids=str)
def test_cells_with_as_many_edges_as_there_are_bounds(dtype):
    """As where few leading bits tell the bounds apart, and a table leads to a search."""
    values = np.random.default_rng(0).integers(0, 256, 1 << 16, np.uint8).view(dtype)
    for bound_count in (2, 3, 700, 6000):
        bounds = Bounds.of(np.linspace(1.0, 1.0 + 2.0**-10, bound_count))
        assert counted(KERNELS["table"], values, bounds) == expected(values, bounds)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_rows_of_counts_add_up(dtype):
    values = np.full(4_000_001, 0.1, dtype)
    bounds = Bounds.of(np.arange(-300, 300) / 1000)
    assert counted(KERNELS["table"], values, bounds) == expected(values, bounds)


@pytest.mark.parametrize(
    ("module", "compiled", "bounds", "size"),
    [
        (lane_kernel, "_count", BOUNDS, VALUES.size),
        (table_kernel, "_count", BOUNDS, VALUES.size),
        (table_kernel, "_count", SEARCHED, VALUES.size),
        (table_kernel, "_count_each", BOUNDS, 5),
        (table_kernel, "_count_each", SEARCHED, 3),
    ],
)
def test_read_only_and_writable_arrays_share_one_compiled_kernel(
    module, compiled, bounds, size, monkeypatch
):
    given = []
    kernel = getattr(module, compiled)

    def noting(*arguments):
        given.append(writable_among(arguments))
        return kernel(*arguments)

    monkeypatch.setattr(module, compiled, noting)
    writable = VALUES[:size]
    read_only = writable.view()
    read_only.flags.writeable = False
    for values in (read_only, writable):
        name = module.__name__.rpartition(".")[2]
        assert counted(getattr(module, name), values, bounds) == expected(values, bounds)
    assert given
    assert all(flags == given[0] for flags in given)


def writable_among(arguments):
    """Which arrays are, also of those in tuples."""
    flags = []
    for each in arguments:
        if isinstance(each, tuple):
            flags += writable_among(each)
        elif isinstance(each, np.ndarray):
            flags.append(each.flags.writeable)
    return flags


@pytest.mark.parametrize("dtype", ["f4", "f2", "i1"])
@pytest.mark.parametrize("value", [-1, 0, 1])
@pytest.mark.parametrize("name", KERNELS)
def test_more_values_in_one_bucket_than_a_counter_of_their_width_holds(name, dtype, value):
    values = np.full(2_500_000, value, dtype)
    bounds = Bounds.of([-0.5, 0.5])
    assert counted(KERNELS[name], values, bounds) == expected(values, bounds)


@pytest.mark.parametrize(
    ("most", "most_of_searches", "dtype", "avx512"),
    [
        (25, 35, "f4", True),
        (51, None, "f2", True),
        (12, 17, "f8", True),
        (16, 23, "f4", False),
        (35, None, "f2", False),
        (6, 10, "f8", False),
    ],
)
def test_the_fastest_kernel_is_chosen_by_the_bytes_of_the_ends(
    most, most_of_searches, dtype, avx512, monkeypatch
):
    monkeypatch.setattr(lane_kernel, "has_avx512", lambda: avx512)
    assert chosen_for(np.linspace(0.1, 0.4, most), dtype) == "lane_kernel"
    assert chosen_for(np.linspace(0.1, 0.4, most + 1), dtype) == "table_kernel"
    if most_of_searches is not None:
        near = 0.5, 0.500001  # in one cell of a table
        few = np.linspace(0.1, 0.4, most_of_searches - 2)
        many = np.linspace(0.1, 0.4, most_of_searches - 1)
        assert chosen_for([*few, *near], dtype) == "lane_kernel"
        assert chosen_for([*many, *near], dtype) == "table_kernel"


@pytest.mark.parametrize("dtype", ["f4", "f2", "f8"])
def test_native_buckets_need_no_search_above_the_threshold_that_they_have(dtype):
    assert not needs_search(NativeBuckets(), dtype)
    assert needs_search(NativeBuckets(zero_threshold=0.0), dtype) == (dtype != "f2")


def needs_search(buckets, dtype):
    bounds = Bounds.of_magnitudes(buckets.magnitudes)
    return table_kernel.needs_search(edges.edges_of(bounds, np.dtype(dtype)))


@pytest.mark.parametrize("avx512", [True, False])
def test_bytes_have_an_end_for_each_sign(avx512, monkeypatch):
    monkeypatch.setattr(lane_kernel, "has_avx512", lambda: avx512)
    assert chosen_for(np.arange(76) - 50.0, "i1") == "lane_kernel"
    assert chosen_for(np.arange(77) - 50.0, "i1") == "table_kernel"


def chosen_for(bounds, dtype):
    count = cpu.fastest_compiled(edges.edges_of(Bounds.of(bounds), np.dtype(dtype)))
    return count.__module__.rpartition(".")[2]


def test_no_folder_for_the_compiled_code(monkeypatch):
    compiled = numba.njit

    def njit(*functions, **options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return compiled(*functions, **options)  # numba's own, too, when it loads more of itself

    monkeypatch.setattr(numba, "njit", njit)
    kernel = jit.compiled(lane_kernel._count.__wrapped__)
    monkeypatch.setattr(lane_kernel, "_count", kernel)
    assert counted(lane_kernel.lane_kernel, VALUES, BOUNDS) == expected(VALUES, BOUNDS)


@pytest.mark.parametrize("kept", [0, 100])
def test_half_a_file_where_the_compiled_code_is_kept(kept, tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    for spoil in (False, True):
        kernel = jit.compiled(lane_kernel._count.__wrapped__)
        monkeypatch.setattr(lane_kernel, "_count", kernel)
        assert counted(lane_kernel.lane_kernel, VALUES, BOUNDS) == expected(VALUES, BOUNDS)
        files = [file for file in tmp_path.rglob("*.nb*") if not spoil]
        assert files or spoil
        for file in files:
            file.write_bytes(file.read_bytes()[:kept])


@pytest.mark.parametrize("folder", ["kernels", "."])
def test_a_kernel_is_compiled_anew_where_what_it_calls_in_another_file_changes(
    folder, tmp_path, monkeypatch
):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)  # so that it is kept beside its source
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (tmp_path / "kernels", tmp_path))))
    (kernels := tmp_path / "kernels").mkdir()
    shutil.copy(jit.__file__, kernels)
    (called := tmp_path / folder / "called.py").write_text(
        "import numba\n@numba.njit\ndef called(x): return x + 1\n"
    )
    (kernels / "kernel.py").write_text(
        "from called import called\nfrom jit import compiled\n"
        "def kernel(x): return called(x)\nkernel = compiled(kernel)\n"
    )

    def result():
        command = [sys.executable, "-c", "import kernel; print(kernel.kernel(64))"]
        return int(subprocess.check_output(command, cwd=tmp_path, text=True))

    assert result() == 65
    assert list(tmp_path.rglob("kernel.kernel-*.nbc"))
    called.write_text(called.read_text().replace("+ 1", "+ 1 + 1"))
    assert result() == 66


def test_a_full_disk_where_the_compiled_code_is_kept(monkeypatch):
    compiled = numba.njit

    def njit(*functions, **options):
        def full(*_):
            raise OSError(28, "No space left on device")

        return (lambda _: full) if options.get("cache") else compiled(*functions, **options)

    monkeypatch.setattr(numba, "njit", njit)
    kernel = jit.compiled(lane_kernel._count.__wrapped__)
    monkeypatch.setattr(lane_kernel, "_count", kernel)
    assert counted(lane_kernel.lane_kernel, VALUES, BOUNDS) == expected(VALUES, BOUNDS)


def test_without_just_in_time_compilation():
    script = """
import numba
import numpy as np
from corpus import BOUNDS, FLOATS, INTEGERS, hard_values
from gangplank._native import cpu, reference
from gangplank._native.edges import Bounds
assert numba.config.DISABLE_JIT
for bounds in map(Bounds.of, BOUNDS.values()):
    for dtype in FLOATS + INTEGERS:
        values = [hard_values(dtype, bounds.values)]
        expected_counts, expected_nan_count = reference.count(values, bounds)
        counts, nan_count = cpu.count(values, bounds)
        assert counts.tolist() == expected_counts.tolist(), (bounds, dtype)
        assert nan_count == expected_nan_count
print(numba.config.DISABLE_JIT)
"""
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": "tests"}
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["1"]


def test_nothing_is_asked_of_llvmlite_by_a_kernel_that_is_loaded(monkeypatch):
    """It has a lock, in which a child would wait that is forked meanwhile."""
    monkeypatch.setattr(jit, "get_host_cpu_features", None)
    bounds = edges.edges_of(BOUNDS, np.dtype(np.float32))
    assert lane_kernel.lane_kernel(bounds).ends.size
