"""What is promised of native histograms, of statistics and of layers, as in `test_promises`."""

import keras
import numpy as np
import pytest
from contestants import read_once
from timing import least_median, medians
from weights import normal

import gangplank
from gangplank import NativeBuckets, _native, weights_histogram, weights_histograms
from gangplank.metrics.histogram_family import histogram_family
from gangplank.metrics.messages import messages
from gangplank.metrics.protobuf import decoded, encoded

PRESET = gangplank.HISTOGRAM_WEIGHT_BUCKETS_0_3


def by_logarithm(magnitudes):
    """Counts a native bucket of schema 3, where none of the values is a bound."""
    indices = np.ceil(8 * np.log2(magnitudes.astype(np.float64))).astype(int)
    return dict(
        zip(*(each.tolist() for each in np.unique(indices, return_counts=True)), strict=True)
    )


def test_native_buckets(promise, weights):
    some = weights[:100_000]
    histogram = weights_histogram([some], NativeBuckets())
    assert histogram.positive == by_logarithm(some[some > 0])
    assert histogram.negative == by_logarithm(-some[some < 0])
    reading, counting = medians(
        lambda: read_once(weights), lambda: weights_histogram([weights], NativeBuckets())
    )
    promise("1e8 float32, native schema 3, over reading once", counting / reading, 5, 3)


def test_counts_with_statistics(promise, weights):
    bounds = _native.Bounds.of(PRESET)
    (measured,) = _native.measure([[weights]], bounds, has_moments=True)
    assert (
        measured.counts(bounds)[0].tolist() == weights_histogram([weights], PRESET).counts.tolist()
    )
    assert measured.moments().total == pytest.approx(weights.sum(dtype=np.float64), rel=1e-12)
    counting, both = medians(
        lambda: _native.measure([[weights]], bounds),
        lambda: _native.measure([[weights]], bounds, has_moments=True),
    )
    what = "1e8 float32, 13 bounds and statistics together, over the bounds alone"
    promise(what, both / counting, 1.6, 1.15)


def test_statistics(promise, weights):
    statistics = gangplank.weights_statistics([weights])
    assert (statistics.minimum, statistics.maximum) == (weights.min(), weights.max())
    assert statistics.norm == pytest.approx(np.linalg.norm(weights.astype(np.float64)), rel=1e-12)
    reading, summing = medians(
        lambda: read_once(weights), lambda: gangplank.weights_statistics([weights])
    )
    promise("1e8 float32, statistics, over reading once", summing / reading, 2, 1.2)


def test_layers(promise, weights):
    layers = {f"layer_{i}/kernel": part for i, part in enumerate(np.split(weights, 100))}
    whole, by_layer = medians(
        lambda: weights_histogram(layers, PRESET), lambda: weights_histograms(layers, PRESET)
    )
    assert sum(weights_histograms(layers, PRESET).values()) == weights_histogram(layers, PRESET)
    promise("100 layers of 1e6 weights, over the whole at once", by_layer / whole, 1.15, 1.02)


@pytest.mark.parametrize(
    ("buckets", "kind"), [(PRESET, "13 bounds"), (NativeBuckets(), "native schema 3")]
)
def test_variables(promise, buckets, kind):
    variables = [keras.Variable(part) for part in np.split(normal(10**6), 5000)]
    histograms = weights_histograms(variables, buckets, per="variable")
    assert sum(histograms.values()).count == 10**6
    assert list(histograms.values())[7] == weights_histogram(variables[7], buckets)
    taken = least_median(lambda: weights_histograms(variables, buckets, per="variable"), rounds=7)
    what = f"5,000 Keras variables of 200 weights, one histogram each, {kind}, a variable"
    promise(what, 1e6 * taken / 5000, 40, 8, " µs")


@pytest.fixture
def pushed():
    """Makes the body of a push of 1,000 layers of 10,000 weights, as protobuf."""
    layers = {f"layer_{i}/kernel": part for i, part in enumerate(np.split(normal(10**7), 1000))}
    histograms = weights_histograms(layers, NativeBuckets())
    series = [({"layer": layer}, [histogram]) for layer, histogram in histograms.items()]
    return lambda: encoded(
        messages([histogram_family("gangplank_train_layer_weights", "", series, 0)])
    )


def test_bytes_of_a_push(promise, pushed):
    (family,) = decoded(pushed())
    assert sum(metric.histogram.sample_count for metric in family.metric) == 10**7
    what = "a push of 1,000 layers of 1e4 weights, native schema 3, bytes a layer"
    promise(what, len(pushed()) / 1e6, 1.5, 0.7, " kB")


def test_time_to_serialize_a_push(promise, pushed):
    taken = least_median(pushed, rounds=7)
    promise("the same, time to serialize all", 1e3 * taken, 100, 20, " ms")
