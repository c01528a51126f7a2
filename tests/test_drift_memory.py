"""The memory of monitors, which docs/drift.md states and which does not grow."""

import tracemalloc

import numpy as np
import pytest

from gangplank import DriftMonitor, drift_reference

FEATURES, BUCKETS = 200, 128
X = np.random.default_rng(0).normal(size=(2000, FEATURES)).astype(np.float32)
REFERENCE = drift_reference(None, X)


@pytest.fixture
def traced():
    """What is held of what the test has allocated, and what was most, in bytes."""
    tracemalloc.start()
    yield tracemalloc.get_traced_memory
    tracemalloc.stop()


@pytest.fixture(scope="module", autouse=True)
def loaded():
    """SciPy and, after enough values, numba, which take memory of their own."""
    monitor = DriftMonitor(REFERENCE, window=len(X))
    for _ in range(30):
        monitor(None, X)


@pytest.mark.parametrize("samples", [1, 32])
@pytest.mark.parametrize("window", [500, 8000])
def test_it_is_what_the_documents_say(window, samples, traced):
    """By the numbers of features, of samples that wait, and of buckets."""
    batches = [X[start : start + samples] for start in range(0, len(X), samples)]
    waiting = 4 * FEATURES * min(window, 2**20 // FEATURES)
    monitor = DriftMonitor(REFERENCE, window=window)
    for _ in range(2 * window // len(X) + 1):
        for batch in batches:
            monitor(None, batch)
    held, most = traced()
    stated = waiting + 32 * FEATURES * BUCKETS
    assert stated / 3 < held <= stated
    assert most <= stated + waiting + 24 * FEATURES * BUCKETS


def test_it_does_not_grow(traced):
    monitor = DriftMonitor(REFERENCE, window=10_000)

    def held_and_most():
        for _ in range(15):
            monitor(None, X)
        return traced()

    held, most = held_and_most()
    held_later, most_later = held_and_most()
    assert held_later - held < 10_000
    assert most_later - most < 100_000
