"""Where the choices of the CPU's core lie: `cpu.COMPARE_UP_TO` and `cpu.VALUES_A_THREAD`."""

import numpy as np
import pytest

from gangplank._native import cpu, reference

WEIGHTS = np.random.default_rng(0).standard_normal(10**6, np.float32) * np.float32(0.1)
KERNELS = {"compare": cpu.compare, "search": cpu.search}


@pytest.mark.parametrize("bound_count", [8, 32, 64, 96, 128, 256, 1024])
@pytest.mark.parametrize("name", KERNELS)
def test_kernel(benchmark, name, bound_count):
    benchmark.group = f"{bound_count} bounds, 1e6 float32 weights, one thread"
    bounds = np.linspace(-0.4, 0.4, bound_count)
    counts, _ = benchmark.pedantic(
        cpu.count,
        args=([WEIGHTS], bounds),
        kwargs={"kernel": KERNELS[name], "threads": 1},
        rounds=10,
        warmup_rounds=1,
    )
    np.testing.assert_array_equal(counts, reference.count([WEIGHTS], bounds)[0])


@pytest.mark.parametrize("size", [10**6, 2 * 10**6, 4 * 10**6, 8 * 10**6])
@pytest.mark.parametrize("threads", [1, 2])
def test_threads(benchmark, threads, size):
    benchmark.group = f"{size / 1e6:g}e6 float32 weights, 13 bounds, by threads"
    bounds = np.linspace(-0.3, 0.3, 13)
    weights = np.resize(WEIGHTS, size)
    counts, _ = benchmark.pedantic(
        cpu.count, args=([weights], bounds), kwargs={"threads": threads}, rounds=20, warmup_rounds=2
    )
    np.testing.assert_array_equal(counts, reference.count([weights], bounds)[0])
