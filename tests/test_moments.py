"""Sums of values and of squares: exact to a few bits, and the same ones whatever the threads."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from corpus import FLOATS, INTEGERS
from implementations import IMPLEMENTATIONS
from subnormals import flushed

from gangplank._native import cpu
from gangplank._native.edges import Bounds
from gangplank._native.kernels.moments_kernel import compiled_moments_of
from gangplank._native.moments import BLOCK, Moments, added_up, moments_of

BOUNDS = Bounds.of([0.0])
COUNTING = {name: each for name, each in IMPLEMENTATIONS.items() if name != "reference"}
# Those of the CPU that count otherwise have no other sums.
WAYS = {
    name: each
    for name, each in COUNTING.items()
    if not name.startswith("cpu-") or name in ("cpu-table", "cpu-numpy")
}


NOTHING = Moments(0, 0, 0, 0, 0.0, 0.0, math.inf, -math.inf)


def moments(count, *arrays):
    blocks = []
    count(arrays, BOUNDS, blocks)
    return added_up(blocks)


def exact(values):
    """The moments of finite values in exact arithmetic: of whole numbers, the values' multiples."""
    numbers = [float(value) for value in values]
    ratios = [number.as_integer_ratio() for number in numbers]
    unit = max(denominator for _, denominator in ratios)  # all are powers of 2
    wholes = [numerator * (unit // denominator) for numerator, denominator in ratios]
    size, total = len(wholes), sum(wholes)
    squares = Fraction(size * sum(each * each for each in wholes) - total * total, size * unit**2)
    moments = float(Fraction(total, unit)), float(squares)
    return Moments(size, 0, 0, numbers.count(0), *moments, min(numbers), max(numbers))


def assert_close(found, expected):
    assert found[:4] == expected[:4]
    assert found[4:6] == pytest.approx(expected[4:6], rel=1e-12)
    assert found[6:] == expected[6:]


def assert_same(found, expected):
    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS, ids=str)
@pytest.mark.parametrize("name", WAYS)
def test_of_every_dtype(name, dtype):
    rng = np.random.default_rng(0)
    values = rng.normal(1, 3, 500).astype(dtype) if dtype.kind != "u" else rng.integers(0, 99, 500)
    values = values.astype(dtype)
    assert_close(moments(WAYS[name], values, values[:10]), exact([*values, *values[:10]]))


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS, ids=str)
def test_the_kernel_has_the_bits_of_numpy(dtype):
    rng = np.random.default_rng(0)
    many = rng.lognormal(0, 2, 2 * BLOCK + 1000) if dtype.kind == "f" else rng.normal(0, 9, BLOCK)
    values = many.astype(dtype)
    sizes = [*range(1, 140), BLOCK - 1, BLOCK, BLOCK + 1, values.size]
    for part in [*(values[:size] for size in sizes), values[3:500], values[:0]]:
        assert_same(compiled_moments_of(part), moments_of(part))


@pytest.mark.parametrize("dtype", FLOATS[:4], ids=str)
@pytest.mark.parametrize("place", [0, 5, 63, 64, 99])
def test_the_kernel_leaves_out_what_is_not_finite(dtype, place):
    values = np.random.default_rng(0).normal(0, 1, 100).astype(dtype)
    for special in (np.nan, np.inf, -np.inf):
        values[place] = special
        assert_same(compiled_moments_of(values), moments_of(values))
        values[(place + 7) % 100] = -special
        assert_same(compiled_moments_of(values), moments_of(values))
    (row,) = compiled_moments_of(np.full(70, np.nan, dtype)).tolist()
    assert row == [*NOTHING._replace(nan_count=70)]


@pytest.mark.parametrize("name", WAYS)
def test_what_is_not_finite_is_left_out(name):
    values = np.array([1.0, np.nan, 3.0, np.inf, -np.inf, -np.nan], np.float32)
    assert moments(WAYS[name], values) == Moments(2, 2, 2, 0, 4.0, 2.0, 1.0, 3.0)
    left_out = NOTHING._replace(nan_count=1, infinite_count=2)
    assert moments(WAYS[name], values[3:]) == left_out
    assert moments(WAYS[name], values[:0]) == NOTHING
    assert moments(WAYS[name]) == NOTHING


@pytest.mark.parametrize("dtype", [*FLOATS[1:4]], ids=str)
@pytest.mark.parametrize("name", WAYS)
def test_subnormals_are_not_zero(name, dtype):
    values = np.array([1, 3, 1], f"u{dtype.itemsize}").view(dtype)
    values[2] = -values[2]
    assert_close(moments(WAYS[name], values), exact(values))
    with_zeros = np.concatenate([values, np.array([0.0, -0.0], dtype)])
    assert moments(WAYS[name], with_zeros).zero_count == 2


@pytest.mark.parametrize("name", WAYS)
def test_subnormals_of_float64_are_not_zero(name):
    """Sums in float64 lose them where a framework's threads do, but zeros are counted by bits."""
    values = np.array([5e-324, -5e-324, 1e-310, 0.0, -0.0, 1.0])
    assert moments(WAYS[name], values).zero_count == 2


@pytest.mark.parametrize("name", WAYS)
def test_a_deviation_that_is_small_beside_the_mean(name):
    values = (1 + np.random.default_rng(0).normal(0, 1e-5, 5000)).astype(np.float32)
    assert_close(moments(WAYS[name], values), exact(values))


@pytest.mark.parametrize("mean", [0.0, 0.1, 0.26, 0.27, 1.0, 30.0])
@pytest.mark.parametrize("name", WAYS)
def test_a_mean_beside_the_deviation(name, mean):
    """Whether the mean makes up little or most of the squares, which are summed in two ways."""
    values = np.random.default_rng(1).normal(mean, 0.1, 2 * BLOCK + 77).astype(np.float32)
    found, expected = moments(WAYS[name], values), exact(values)
    assert found.total == pytest.approx(expected.total, rel=1e-12, abs=1e-12 * 2 * BLOCK * 0.1)
    assert found.squares == pytest.approx(expected.squares, rel=1e-12)


@pytest.fixture(scope="module")
def many():
    """Values whose sums depend on how they are parted."""
    return np.random.default_rng(0).lognormal(0, 3, 20 * BLOCK + 1234)


def by_threads(*arrays):
    return [moments(lambda *a, n=n: cpu.count(*a, threads=n), *arrays) for n in (1, 2, 3, 7)]


def test_the_same_bits_with_any_number_of_threads(many):
    first, *others = by_threads(many, many[:BLOCK], many[7:99])
    assert others == [first] * 3
    assert first.size == many.size + BLOCK + 92


def test_blocks_that_threads_part_would_be_seen(many, monkeypatch):
    monkeypatch.setattr(cpu, "BLOCK", 1)
    assert len(set(by_threads(many))) > 1


def test_many_blocks_are_added_up_exactly(many):
    found = moments(cpu.count, many)
    assert found.total == pytest.approx(math.fsum(many.tolist()), rel=1e-13)
    variance = np.var(many.astype(np.longdouble))
    assert found.squares / found.size == pytest.approx(float(variance), rel=1e-12)


def test_the_order_of_blocks_is_nothing(many):
    blocks = moments_of(many)
    assert added_up([blocks[::-1]]) == added_up([blocks]) == added_up([blocks[5:], blocks[:5]])


def test_a_sum_that_exceeds_float64_is_infinite():
    values = np.array([1.7e308, 1.7e308, -1.0])
    found = added_up([moments_of(values)])
    assert (found.total, found.minimum, found.maximum) == (math.inf, -1.0, 1.7e308)
    one_by_one = [moments_of(np.array([total])) for total in (1e308, 1e308, -1e308)]
    (total,) = {added_up(blocks).total for blocks in itertools.permutations(one_by_one)}
    assert total == pytest.approx(1e308)


def test_a_thread_that_flushes_subnormals_sums_the_others(many):
    expected = added_up([moments_of(many)])
    with flushed():
        assert added_up([moments_of(many)]) == expected
