"""Every way of counting, beside one another: `make bench`.

The column that says something is the ratio in parentheses: the times are this machine's.
"""

import numba
import numpy as np
import pytest
from implementations import IMPLEMENTATIONS
from prometheus_client import Histogram

from gangplank import HISTOGRAM_WEIGHT_BUCKETS_0_3
from gangplank._native import reference

BOUNDS = np.array(HISTOGRAM_WEIGHT_BUCKETS_0_3)


def observe_in_a_loop(arrays, bounds):
    """What one does without gangplank."""
    histogram = Histogram("weights", "", buckets=bounds.tolist(), registry=None)
    for array in arrays:
        for value in array:
            histogram.observe(value)
    (metric,) = histogram.collect()
    cumulative = [sample.value for sample in metric.samples if sample.name.endswith("_bucket")]
    return np.diff(cumulative, prepend=0).astype(np.int64), 0


@numba.njit(parallel=True, fastmath=True)
def read_once(array):
    """The limit: the sum of an array, with as many threads as there are cores."""
    total = 0.0
    for i in numba.prange(array.size):
        total += array[i]
    return total


CONTESTANTS = {
    "observe in a loop": observe_in_a_loop,
    **{name: IMPLEMENTATIONS[name] for name in ("reference", "cpu", "tensorflow")},
}


@pytest.fixture(scope="module", params=[10**5, 10**7], ids="{:.0e}".format)
def weights(request):
    rng = np.random.default_rng(0)
    return rng.standard_normal(request.param, np.float32) * np.float32(0.1)


@pytest.mark.parametrize("name", CONTESTANTS)
def test_count(benchmark, name, weights):
    benchmark.group = f"{weights.size:.0e} float32 weights, {BOUNDS.size} bounds"
    is_slow = name == "observe in a loop"
    counts, nan_count = benchmark.pedantic(
        CONTESTANTS[name],
        args=([weights], BOUNDS),
        rounds=1 if is_slow else 10,
        warmup_rounds=0 if is_slow else 2,
    )
    expected, _ = reference.count([weights], BOUNDS)
    np.testing.assert_array_equal(counts, expected)
    assert nan_count == 0


def test_read_once(benchmark, weights):
    benchmark.group = f"{weights.size:.0e} float32 weights, {BOUNDS.size} bounds"
    total = benchmark.pedantic(read_once, args=(weights,), rounds=10, warmup_rounds=2)
    assert total == pytest.approx(float(weights.sum(dtype=np.float64)), abs=1e-4 * weights.size)
