"""Every way of counting side by side, as work grows: weights, bounds, variables."""

import keras
import numpy as np
import pytest
from contestants import CONTESTANTS, read_once
from weights import DISTINCT, normal

import gangplank
from gangplank._native import reference
from gangplank._native.edges import Bounds

MANY_WEIGHTS = 10**7


def expected_counts(size, bounds):
    """The reference's, of the weights that a large array repeats."""
    repeats, rest = divmod(size, DISTINCT)
    counts = np.zeros(bounds.size + 1, np.int64)
    for times, part in ((repeats, DISTINCT), (1, rest)):
        if times and part:
            counts += times * reference.count([normal(DISTINCT)[:part]], Bounds.of(bounds))[0]
    return counts


def assert_counted(contestant, counts, expected):
    if not contestant.inexact:
        np.testing.assert_array_equal(counts, expected)
    elif counts.size == expected.size - 2:
        tolerance = 2 + 1e-3 * expected.sum()
        np.testing.assert_allclose(counts, expected[1:-1], atol=tolerance)
    else:
        assert counts.sum() == expected.sum()


def rounds_for(size):
    return 3 if size >= 10**8 else 5 if size >= 10**7 else 20


def race(benchmark, name, weights, bounds):
    contestant = CONTESTANTS[name]
    outcomes = weights.size * bounds.size
    if weights.size > contestant.most_weights or outcomes > contestant.most_outcomes:
        pytest.skip("it would take minutes, or more memory than there is")
    benchmark.extra_info.update(contestant=name, inexact=contestant.inexact)
    slow = name.startswith("prometheus_client")
    counts = benchmark.pedantic(
        contestant.count,
        args=(weights, bounds),
        rounds=1 if slow else rounds_for(weights.size),
        warmup_rounds=0 if slow else 1,
    )
    assert_counted(contestant, counts, expected_counts(weights.size, bounds))


@pytest.mark.parametrize("name", CONTESTANTS)
@pytest.mark.parametrize("size", [10**i for i in range(3, 10)], ids="{:.0e}".format)
@pytest.mark.benchmark(group="weights")
def test_weights(benchmark, size, name):
    race(benchmark, name, normal(size), np.linspace(-0.3, 0.3, 13))


@pytest.mark.parametrize("size", [10**i for i in range(3, 10)], ids="{:.0e}".format)
@pytest.mark.benchmark(group="weights")
def test_reading_weights_once(benchmark, size):
    weights = normal(size)
    benchmark.extra_info.update(contestant="reading once", inexact="")
    total = benchmark.pedantic(
        read_once, args=(weights,), rounds=2 * rounds_for(size), warmup_rounds=1
    )
    assert total == pytest.approx(float(weights.sum(dtype=np.float64)), abs=1e-3 * size)


@pytest.mark.parametrize("name", CONTESTANTS)
@pytest.mark.parametrize("bound_count", [2, 8, 13, 21, 64, 256, 1024, 4096])
@pytest.mark.benchmark(group="bounds")
def test_bounds(benchmark, bound_count, name):
    race(benchmark, name, normal(MANY_WEIGHTS), np.linspace(-0.3, 0.3, bound_count))


def count_each(variables, bounds):
    """What one writes without gangplank."""
    counts = sum(np.histogram(variable.numpy(), bounds)[0] for variable in variables)
    return np.pad(counts, 1)


def count_together(variables, bounds):
    return gangplank.weights_histogram(variables, bounds).counts


WAYS = {"gangplank": count_together, "np.histogram of each": count_each}


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("variable_count", [1, 10, 100, 1000, 5000, 20_000])
@pytest.mark.benchmark(group="variables")
def test_variables(benchmark, variable_count, name):
    weights, bounds = normal(200 * variable_count), np.linspace(-0.3, 0.3, 13)
    variables = [keras.Variable(part) for part in np.split(weights, variable_count)]
    benchmark.extra_info.update(contestant=name, inexact="")
    counts = benchmark.pedantic(WAYS[name], args=(variables, bounds), rounds=5, warmup_rounds=1)
    expected = reference.count([weights], Bounds.of(bounds))[0]
    tolerance = 0 if name == "gangplank" else 2
    np.testing.assert_allclose(counts[1:-1], expected[1:-1], atol=tolerance)
