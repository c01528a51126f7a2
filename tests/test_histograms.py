"""WeightsHistograms, the dict of a model's layers: what it is besides what it looks like."""

import copy
import json
import pickle

import numpy as np
import pytest

from gangplank import (
    HISTOGRAM_WEIGHT_BUCKETS_0_3,
    NativeBuckets,
    WeightsHistograms,
    weights_histogram,
    weights_histograms,
)

ARRAYS = {"encoder/dense/kernel": np.array([0.1, 0.2]), "head/kernel": np.array([0.3])}


@pytest.fixture(params=[HISTOGRAM_WEIGHT_BUCKETS_0_3, NativeBuckets()], ids=str)
def buckets(request):
    return request.param


@pytest.fixture
def histograms(buckets):
    return weights_histograms(ARRAYS, buckets)


def test_is_a_dict(histograms, buckets):
    expected = {
        "encoder/dense": weights_histogram([np.array([0.1, 0.2])], buckets),
        "head": weights_histogram([np.array([0.3])], buckets),
    }
    assert isinstance(histograms, dict)
    assert histograms == expected == WeightsHistograms(expected)
    assert repr(histograms) == repr(expected)
    assert [*histograms] == ["encoder/dense", "head"]
    assert json.loads(json.dumps({name: h.count for name, h in histograms.items()})) == {
        "encoder/dense": 2,
        "head": 1,
    }


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda dictionary: pickle.loads(pickle.dumps(dictionary))]
)
def test_a_copy_can_be_looked_at_too(histograms, copied):
    duplicate = copied(histograms)
    assert duplicate == histograms
    assert duplicate is not histograms
    assert duplicate._repr_html_() == histograms._repr_html_()


def test_can_be_changed(histograms):
    del histograms["head"]
    histograms["both"] = sum(histograms.values())
    assert [*histograms] == ["encoder/dense", "both"]
    assert "both" in histograms._repr_html_()
