"""Where the choices of `_native/cpu.py` and of the kernels come from.

With NUMBA_CPU_NAME=haswell or NUMBA_CPU_NAME=nehalem, and NUMBA_CPU_FEATURES empty, it tells of
the code for AVX2 and SSE4.2.
"""

from functools import partial

import numba
import numpy as np
import pytest
from implementations import IMPLEMENTATIONS
from weights import normal

from gangplank._native import cpu, edges, reference
from gangplank._native.edges import Bounds
from gangplank._native.kernels.lane_kernel import lane_kernel
from gangplank._native.kernels.moments_kernel import compiled_moments_of
from gangplank._native.kernels.numpy_kernel import numpy_kernel
from gangplank._native.kernels.table_kernel import table_kernel
from gangplank._native.measured import Measured
from gangplank._native.moments import moments_of

DTYPES = ["float32", "float16", "float64"]
CHUNK = 2048


@numba.njit(nogil=True)
def _scalar_loop(bits, patterns):
    at_most = np.zeros(patterns.size + 1, np.int64)
    at_most[-1] = bits.size
    for start in range(0, bits.size, CHUNK):
        chunk = bits[start : start + CHUNK]
        for i in range(patterns.size):
            count = 0
            for j in range(chunk.size):
                count += chunk[j] <= patterns[i]
            at_most[i] += count
    return at_most


def scalar_loop(parts):
    """What LLVM's own vectorizer makes of comparing: the kernel that explicit vectors replace."""
    return lambda bits: parts.totals(np.diff(_scalar_loop(bits, parts.patterns), prepend=0))


MOMENTS = {"compiled": compiled_moments_of, "numpy": moments_of}

KERNELS = {
    "lane": partial(lane_kernel, for_both_signs=False),
    "lane, both signs": partial(lane_kernel, for_both_signs=True),
    "table": table_kernel,
    "scalar loop": scalar_loop,
    "numpy": numpy_kernel,
}


@pytest.mark.parametrize("bound_count", [8, 16, 24, 32, 40, 48, 64, 96, 128, 256, 1024])
@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_kernel(benchmark, dtype, name, bound_count):
    weights = normal(10**6).astype(dtype)
    bounds = Bounds.of(np.sort(np.random.default_rng(1).normal(0, 0.2, bound_count)))
    parts = edges.edges_of(bounds, weights.dtype)
    benchmark.group = f"{bound_count} bounds, 1e6 {weights.dtype}, one thread"
    benchmark.extra_info.update(kernel=name)
    bits = weights.view(f"u{weights.itemsize}")
    totals = benchmark.pedantic(KERNELS[name](parts), args=(bits,), rounds=10, warmup_rounds=1)
    counts = np.zeros(bound_count + 1, np.int64)
    np.add.at(counts, *totals)
    np.testing.assert_array_equal(counts, reference.count([weights], bounds)[0])


@pytest.mark.parametrize("size", [10**6, 2 * 10**6, 4 * 10**6, 8 * 10**6])
@pytest.mark.parametrize("threads", [1, 2])
def test_threads(benchmark, threads, size):
    benchmark.group = f"{size / 1e6:g}e6 float32 weights, 13 bounds, by threads"
    weights, bounds = normal(size), Bounds.of(np.linspace(-0.3, 0.3, 13))
    counts, _ = benchmark.pedantic(
        cpu.count,
        args=([weights], bounds),
        kwargs={"kernel": cpu.fastest_compiled, "threads": threads},
        rounds=20,
        warmup_rounds=2,
    )
    np.testing.assert_array_equal(counts, reference.count([weights], bounds)[0])


@pytest.mark.parametrize(
    "name", [name for name in IMPLEMENTATIONS if name not in ("tensorflow-xla", "cuda-on-cpu")]
)
def test_implementation(benchmark, name):
    benchmark.group = "1e6 float32 weights, 13 bounds, by implementation"
    weights, bounds = normal(10**6), Bounds.of(np.linspace(-0.3, 0.3, 13))
    counts, _ = benchmark.pedantic(
        IMPLEMENTATIONS[name], args=([weights], bounds), rounds=10, warmup_rounds=2
    )
    np.testing.assert_array_equal(counts, reference.count([weights], bounds)[0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MOMENTS)
def test_moments(benchmark, name, dtype):
    benchmark.group = f"moments of 1e6 {dtype} weights, one thread"
    weights = normal(10**6).astype(dtype)
    benchmark.pedantic(MOMENTS[name], args=(weights,), rounds=10, warmup_rounds=2)


@pytest.mark.parametrize("bound_count", [13, 1024])
@pytest.mark.parametrize("size", [200, 1000, 2000, 4000, 8000, 16_000])
@pytest.mark.parametrize("way", ["by one call", "by a call each"])
def test_small_arrays(benchmark, monkeypatch, way, size, bound_count):
    benchmark.group = f"arrays of {size} float32, each counted apart, {bound_count} bounds"
    monkeypatch.setattr(cpu, "SMALL_PIECE", size if way == "by one call" else 0)
    arrays = np.split(normal(100 * size), 100)
    bounds = Bounds.of(np.sort(np.random.default_rng(1).normal(0, 0.2, bound_count)))

    def measure():
        groups = [Measured() for _ in arrays]
        cpu.measure(enumerate(arrays), bounds, groups, kernel=cpu.fastest_compiled)
        return groups

    groups = benchmark.pedantic(measure, rounds=20, warmup_rounds=2)
    for array, group in zip(arrays, groups, strict=True):
        np.testing.assert_array_equal(group.counts(bounds)[0], reference.count([array], bounds)[0])
