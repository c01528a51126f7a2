"""Histograms of features: which buckets, how many, and that nothing is lost."""

import itertools

import numpy as np
import pytest

from gangplank.drift import features as module
from gangplank.drift import window as window_module
from gangplank.drift.features import features_of
from gangplank.drift.window import Window

RNG = np.random.default_rng(0)
SAMPLES = {
    "normal": RNG.normal(size=4000),
    "kelvin": RNG.uniform(290, 300, 4000),
    "pressure": RNG.normal(101_325, 500, 4000),
    "years": RNG.integers(1990, 2026, 4000),
    "wide": np.exp(3 * RNG.normal(size=4000)),
    "mostly zero": np.maximum(RNG.normal(size=4000), 0),
    "narrow": RNG.normal(300, 0.01, 4000),
    "far": np.where(RNG.random(4000) < 0.6, 0, RNG.normal(300, 2, 4000)),
    "bits": RNG.integers(0, 2, 4000),
    "constant": np.full(4000, 0.1),
    "infinite": np.where(np.arange(4000) % 2, np.inf, -np.inf),
    "nan": np.full(4000, np.nan),
    "some nan": np.where(np.arange(4000) % 4, 1.0, np.nan),
    "least": np.full(4000, 1e-45),
    "greatest": np.where(np.arange(4000) % 2, 3.4e38, -3.4e38),
}
ROWS = np.stack(list(SAMPLES.values()), axis=1).astype(np.float32)
LEAVES = (("", (len(SAMPLES),)),)


@pytest.fixture(scope="module")
def features():
    return features_of(ROWS, LEAVES, 128)


@pytest.mark.parametrize("buckets", [8, 9, 128, 4096])
def test_each_sample_is_in_one_bucket_and_there_are_no_more_than_wanted(buckets):
    features = features_of(ROWS, LEAVES, buckets)
    assert features.counts.dtype == np.int64
    np.testing.assert_array_equal(features.counts.sum(axis=1), len(ROWS))
    assert features.ends.shape[1] + 1 <= buckets
    np.testing.assert_array_equal(features.counts[:, -1], np.isnan(ROWS).sum(axis=0))
    assert features.sample_count == 4000


def test_the_same_samples_have_the_same_counts(features):
    np.testing.assert_array_equal(features.count(ROWS), features.counts, strict=True)


@pytest.mark.parametrize("name", ["normal", "kelvin", "pressure", "mostly zero", "years"])
def test_no_bucket_has_many_unless_a_value_has(features, name):
    counts = features.counts[list(SAMPLES).index(name)]
    most = np.unique(SAMPLES[name], return_counts=True)[1].max()
    assert counts.max() <= max(most, 4000 / 20)


@pytest.mark.parametrize(
    "name", ["normal", "kelvin", "pressure", "wide", "narrow", "mostly zero", "far"]
)
def test_buckets_have_as_many_samples_each_wherever_the_values_are(features, name):
    counts = np.sort(features.counts[list(SAMPLES).index(name)])
    others = counts[:-1] if name in ("mostly zero", "far") else counts  # than that of the zeros
    assert others[-1] <= 4000 / 127 * 1.3


@pytest.mark.parametrize("constant", [0.0, -0.0, 0.1, 300.0, -101_325.0, 1e-45, 3.4e38, np.inf])
def test_what_lies_beside_a_constant_is_in_another_bucket(constant):
    features = features_of(np.full((10, 1), constant, np.float32), (("", (1,)),), 128)
    near = {constant * (1 - 1e-4), constant * 0.98, constant * -1.0} - {constant}
    for other in (*near, 7.0, np.nan):
        here = features.count(np.full((10, 1), other, np.float32))
        assert np.float32(other) == np.float32(constant) or not (features.counts * here).any()


def test_values_that_underflow_are_told_to_nobody():
    values = np.repeat(np.float32([1e-45, 1e-40, 1]), 8)[:, np.newaxis]
    expected = features_of(values, (("", (1,)),), 128)
    with np.errstate(all="raise"):
        features = features_of(values, (("", (1,)),), 128)
    np.testing.assert_array_equal(features.counts, expected.counts)


@pytest.mark.parametrize("count", [1, 2, 63, 64, 1000])
def test_a_value_that_is_rounded_differently_is_in_the_same_bucket(count):
    values = np.linspace(-3, 500, count, dtype=np.float32) if count > 1 else np.float32([0.1])
    rows = np.repeat(values, 8)[:, np.newaxis]
    features = features_of(rows, (("", (1,)),), 128)
    for share in (-5e-5, -1e-7, 1e-7, 5e-5):
        moved = rows * np.float32(1 + share)
        np.testing.assert_array_equal(features.count(moved), features.counts)


@pytest.mark.parametrize(
    "values",
    [
        [101_325, 101_326],
        [1, np.nextafter(np.float32(1), np.float32(2))],
        [-1e-45, 0, 1e-45],
        [-np.inf, -3.4e38, 3.4e38, np.inf],
    ],
)
def test_values_that_are_near_one_another_are_parted(values):
    rows = np.repeat(np.float32(values), 5)[:, np.newaxis]
    features = features_of(rows, (("", (1,)),), 128)
    (counts,) = features.counts
    np.testing.assert_array_equal(counts[counts > 0], [5] * len(values))


def test_no_zero_is_below_another():
    rows = np.repeat(np.float32([[-0.0], [0.0], [1.0]]), 5, axis=0)
    features = features_of(rows, (("", (1,)),), 8)
    for zero in (-0.0, 0.0):
        np.testing.assert_array_equal(features.count(np.float32([[zero]]))[0].nonzero(), [[1]])


def test_counts_of_parts_add_up(features, monkeypatch):
    monkeypatch.setattr(module, "VALUES_TOGETHER", 7 * len(SAMPLES))
    in_blocks = features_of(ROWS, LEAVES, 128)
    np.testing.assert_array_equal(in_blocks.counts, features.counts)
    np.testing.assert_array_equal(in_blocks.ends, features.ends)


def test_nothing_can_be_written(features):
    for array in (features.ends, features.counts):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize("block", [1, 7, 5000])
def test_a_window_counts_what_comes_in_any_pieces(features, block):
    window = Window(features, block)
    for start, stop in itertools.pairwise([0, 1, 2, 100, 100, 234, 400]):
        window.add(ROWS[start:stop])
    expected = features.count(ROWS[:400])
    np.testing.assert_array_equal(window.taken(), expected, strict=True)
    window.add(ROWS[:10])
    assert window.taken()[0].sum() == 10


def test_what_waits_in_a_window_is_bounded(features, monkeypatch):
    assert Window(features, 10**9)._waiting.nbytes <= 4 * module.VALUES_TOGETHER
    assert Window(features, 10)._waiting.shape == (10, len(SAMPLES))
    monkeypatch.setattr(window_module, "VALUES_TOGETHER", 5)
    assert Window(features, 10)._waiting.shape == (1, len(SAMPLES))
