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


def test_what_is_far_from_zero_is_counted_about_its_median(features):
    centres = dict(zip(SAMPLES, features.centres.tolist(), strict=True))
    assert 294 < centres["kelvin"] < 296
    assert 101_000 < centres["pressure"] < 101_600
    assert centres["bits"] == centres["constant"] == centres["nan"] == centres["wide"] == 0


@pytest.mark.parametrize("beside", [0.09, 0.11, -0.1, 0.0, np.inf, np.nan])
def test_what_lies_beside_a_constant_is_in_another_bucket(beside):
    features = features_of(np.full((10, 1), 0.1, np.float32), (("", (1,)),), 128)
    here = np.full((10, 1), beside, np.float32)
    assert not (features.counts[0] * features.count(here)[0]).any()


def test_counts_of_parts_add_up(features, monkeypatch):
    monkeypatch.setattr(module, "VALUES_TOGETHER", 7 * len(SAMPLES))
    in_blocks = features_of(ROWS, LEAVES, 128)
    np.testing.assert_array_equal(in_blocks.counts, features.counts)
    np.testing.assert_array_equal(in_blocks.ends, features.ends)


def test_nothing_can_be_written(features):
    for array in (features.centres, features.ends, features.counts):
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
