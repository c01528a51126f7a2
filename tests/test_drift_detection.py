"""What monitors find, and what they do not take for drift; more of it in benchmarks/drift.py."""

import numpy as np
import pytest

from gangplank import DriftMonitor, drift_reference

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 5)).astype(np.float32)


def predicted(x):
    scores = np.exp(x[:, :3] * 2)
    return scores / scores.sum(axis=1, keepdims=True)


def test_false_alarms_and_power():
    rng = np.random.default_rng(1)
    alarms = found = 0
    for _ in range(100):
        x = rng.normal(size=(1200, 5)).astype(np.float32)
        monitor = DriftMonitor(drift_reference(x[:1000], predicted(x[:1000])), window=200)
        x = x[1000:]
        alarms += monitor(x, predicted(x)).drift_detected
        found += monitor(x * 2, predicted(x)).drift_detected
    assert alarms <= 8
    assert found >= 95


def test_a_class_that_is_missing_is_found_among_a_thousand_features():
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(1000, 1000)).astype(np.float32), rng.integers(0, 10, 1000)
    monitor = DriftMonitor(drift_reference(x, np.eye(10)[labels]), window=300)
    assert not monitor(x[:300], np.eye(10)[labels[:300]]).drift_detected
    assert monitor(x[:300], np.eye(10)[labels[:300] % 9]).drift_detected
    assert monitor.report()[0].name == "class"


def test_a_class_that_the_reference_never_has():
    labels = np.arange(2000) % 9
    monitor = DriftMonitor(drift_reference(None, np.eye(10)[labels], classifier=True), window=500)
    assert not monitor(None, np.eye(10)[labels[:500]]).drift_detected
    labels[:10] = 9
    monitor(None, np.eye(10)[labels[:500]])
    (found,) = (each for each in monitor.report() if each.name == "class")
    assert (found.test, found.statistic) == ("binom", 1)
    assert found.p_value < 1e-4


def test_one_value_and_others_far_from_it():
    """As of a sensor whose 0 says that there is nothing."""
    rng = np.random.default_rng(0)

    def values(about, count):
        read = rng.normal(about, 2, (count, 1))
        return np.where(rng.random((count, 1)) < 0.6, 0, read)

    for _ in range(5):
        monitor = DriftMonitor(drift_reference(values(300, 2000), np.zeros(2000)), window=500)
        assert not monitor(values(300, 500), np.zeros(500)).drift_detected
        assert monitor(values(302, 500), np.zeros(500)).drift_detected


@pytest.mark.parametrize("constant", [300.0, 101_325.0, 0.5, -7.0])
def test_a_constant_that_changes(constant):
    monitor = DriftMonitor(drift_reference(None, np.full(2000, constant)), window=500)
    assert not monitor(None, np.full(500, constant)).drift_detected
    for share in (1e-4, 1e-3, 0.02):
        assert monitor(None, np.full(500, constant * (1 + share))).drift_detected


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_least_references_and_windows(size):
    monitor = DriftMonitor(drift_reference(X[:size], predicted(X[:size])), window=1)
    drift = monitor(X[:1] + 9, predicted(X[:1]))
    assert drift.drift_detected is False
    assert all(0 < each.p_value <= 1 for each in monitor.report())
