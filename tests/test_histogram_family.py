"""Families of histograms: how native buckets are written, and which series there are."""

import numpy as np
import pytest
from prometheus_client.samples import BucketSpan

from gangplank import NativeBuckets, weights_histogram
from gangplank.metrics.histogram_family import histogram_family
from gangplank.metrics.messages import messages, native_histogram
from gangplank.metrics.protobuf import decoded, encoded
from gangplank.weights import NativeWeightsHistogram


def family(*histograms):
    return histogram_family("w", "W.", [({"layer": "a"}, histograms)], 1.0)


def native(positive, negative=None, zero_threshold=0.0):
    return NativeWeightsHistogram(0, zero_threshold, 0, positive, negative or {})


@pytest.mark.parametrize(
    ("positive", "spans", "deltas"),
    [
        ({}, [], []),
        ({0: 5}, [(0, 1)], [5]),
        ({-3: 5}, [(-3, 1)], [5]),
        ({-1: 5, 0: 2, 1: 9}, [(-1, 3)], [5, -3, 7]),
        ({0: 5, 2: 6}, [(0, 3)], [5, -5, 6]),
        ({0: 5, 3: 6}, [(0, 4)], [5, -5, 0, 6]),
        ({0: 5, 4: 6}, [(0, 1), (3, 1)], [5, 1]),
        ({7: 1, 8: 1, 20: 2, 22: 3, 40: 1}, [(7, 2), (11, 3), (17, 1)], [1, 0, 1, -2, 3, -2]),
    ],
)
def test_runs_of_buckets(positive, spans, deltas):
    written = family(native(positive, {1: 1})).samples[0].native_histogram
    assert [tuple(span) for span in written.pos_spans] == spans
    assert list(written.pos_deltas) == deltas
    assert (written.neg_spans, written.neg_deltas) == ([BucketSpan(1, 1)], [1])


@pytest.mark.parametrize("weights", [[1.0, 2.0], [-1.0], [0.0, 0.0], [np.nan], []])
def test_weights_of_one_sign_and_none(weights):
    histogram = weights_histogram([np.array(weights)], NativeBuckets())
    samples = family(histogram).samples
    assert samples[0].native_histogram.count_value == histogram.count
    (message,) = decoded(encoded(messages([family(histogram)])))
    assert native_histogram(message.metric[0].histogram) == samples[0].native_histogram


def test_one_without_weights_and_threshold_is_still_native():
    (message,) = decoded(encoded(messages([family(native({}))])))
    histogram = message.metric[0].histogram
    assert [(span.offset, span.length) for span in histogram.positive_span] == [(0, 1)]
    assert list(histogram.positive_delta) == [0]


def test_a_native_histogram_is_one_series():
    bounds = [-1.0, 1.0]
    weights = [np.ones(3)]
    both = [weights_histogram(weights, buckets) for buckets in (NativeBuckets(), bounds)]
    for histograms, expected in ((both[:1], 1), (both[1:], 1 + 1), (both, 1 + 1)):
        pushed = decoded(encoded(messages([family(*histograms)])))
        assert sum(len(message.metric) for message in pushed) == expected


def test_labels_in_another_order_are_of_the_same_metric():
    one = family(weights_histogram([np.ones(3)], [1.0]))
    one.samples = [
        sample._replace(labels=dict(reversed({"job": "b", **sample.labels}.items())))
        if i % 2
        else sample._replace(labels={"job": "b", **sample.labels})
        for i, sample in enumerate(one.samples)
    ]
    message, _ = decoded(encoded(messages([one])))
    assert len(message.metric) == 1
