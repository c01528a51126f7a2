"""What the proxy of a served model counts of its calls."""

import asyncio

import keras
import numpy as np
import pytest
from models import classifier
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from served import X, assert_equal, value

from gangplank import PrometheusModel


@pytest.fixture
def model():
    return classifier()


@pytest.fixture
def watched(model, registry):
    return PrometheusModel(model, registry)


@pytest.fixture
def several():
    """A model of two inputs and two outputs, by their names."""
    one, two = keras.Input((8,), name="one"), keras.Input((8,), name="two")
    outputs = {"sum": keras.layers.Add()([one, two]), "wide": keras.layers.Dense(9)(one)}
    return keras.Model({"one": one, "two": two}, outputs)


class Raises(keras.Model):
    """Raises what it is told to."""

    error = KeyError("weights")

    def __call__(self, inputs):
        raise self.error


def test_samples_and_time_of_predict(watched, model, registry):
    np.testing.assert_array_equal(watched.predict(X, verbose=0), model.predict(X, verbose=0))
    assert value(registry, "_total") == 300
    assert 0 < value(registry, "_time_seconds_total") < 60
    assert value(registry, "_call_total") == 0


def test_samples_and_time_of_calls(watched, model, registry):
    first, second = watched(X), watched(X[:5], training=False)
    assert_equal(first, model(X))
    assert second.shape == (5, 3)
    assert value(registry, "_call_total") == 305
    assert 0 < value(registry, "_call_time_seconds_total") < 60
    assert value(registry, "_total") == 0


def test_predict_on_batch_counts_with_predict_and_has_a_latency_of_its_own(watched, registry):
    watched.predict_on_batch(X[:7])
    watched.predict(X[:2], verbose=0)
    assert value(registry, "_total") == 9
    assert value(registry, "_latency_seconds_count", method="predict_on_batch") == 1
    assert value(registry, "_latency_seconds_count", method="predict") == 1
    assert value(registry, "_latency_seconds_count", method="call") is None


@pytest.mark.parametrize("as_keyword", [False, True])
def test_dicts_in_and_out(several, registry, as_keyword):
    watched = PrometheusModel(several, registry)
    given = {"one": X[:50], "two": X[:50]}
    answer = (
        watched.predict(x=given, verbose=0) if as_keyword else watched.predict(given, verbose=0)
    )
    assert sorted(answer) == ["sum", "wide"]
    watched(inputs=given) if as_keyword else watched(given)
    assert value(registry, "_total") == value(registry, "_call_total") == 50


def test_lists_out(registry):
    inputs = keras.Input((8,))
    model = keras.Model(inputs, [keras.layers.Dense(2)(inputs) for _ in range(3)])
    watched = PrometheusModel(model, registry)
    assert len(watched.predict(X[:20], verbose=0)) == 3
    assert value(registry, "_total") == 20


class Texts(keras.Model):
    """Predicts a word for each sample."""

    def predict(self, x):
        return ["cat"] * len(x)


def test_samples_are_those_of_the_input_where_the_answer_is_no_array(registry):
    assert len(PrometheusModel(Texts(), registry).predict(X[:20])) == 20
    assert value(registry, "_total") == 20


def test_an_input_that_does_not_tell_its_shape(registry):
    class Ragged:
        def __init__(self, is_nested):
            self.is_nested = is_nested

        @property
        def shape(self):
            if self.is_nested:
                raise RuntimeError("it is nested")
            return 3, 8

    class Counts(keras.Model):
        def __call__(self, inputs):
            return X[:3]

    watched = PrometheusModel(Counts(), registry)
    for is_nested in (True, False, True):
        assert len(watched(Ragged(is_nested))) == 3
    assert value(registry, "_call_total") == 9


def test_a_generator(watched, registry):
    batches = ((X[start : start + 100],) for start in range(0, 300, 100))
    assert watched.predict(batches, steps=3, verbose=0).shape == (300, 3)
    assert value(registry, "_total") == 300
    assert value(registry, "_batch_samples_sum", method="predict") == 300


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="it is TensorFlow's")
def test_a_variable_of_any_number_of_samples(watched, registry):
    import tensorflow as tf

    for shape in (None, X.shape, None):
        watched(tf.Variable(X, shape=shape and tf.TensorShape(shape)))
        watched(tf.Variable(X, shape=tf.TensorShape([None, X.shape[1]])))
    assert value(registry, "_call_total") == 6 * len(X)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.data is TensorFlow's")
def test_a_dataset(watched, registry):
    import tensorflow as tf

    watched.predict(tf.data.Dataset.from_tensor_slices(X).batch(32), steps=2, verbose=0)
    assert value(registry, "_total") == 64


def test_sizes_and_latencies(watched, registry):
    for size in (1, 3, 3, 200):
        watched(X[:size])
    sizes = {"1.0": 1, "2.0": 1, "4.0": 3, "128.0": 3, "256.0": 4, "+Inf": 4}
    for bound, count in sizes.items():
        assert value(registry, "_batch_samples_bucket", le=bound, method="call") == count
    assert value(registry, "_latency_seconds_count", method="call") == 4
    assert value(registry, "_latency_seconds_bucket", le="10.0", method="call") == 4
    seconds = value(registry, "_latency_seconds_sum", method="call")
    assert seconds == pytest.approx(value(registry, "_call_time_seconds_total"))


def test_native_buckets_of_the_latency(watched, registry):
    for _ in range(70):  # more than are noted before they are shown
        watched(X[:1])
    (native,) = (
        sample.native_histogram
        for family in registry.collect()
        for sample in family.samples
        if sample.native_histogram is not None
    )
    assert native.count_value == 70
    assert native.sum_value == pytest.approx(value(registry, "_call_time_seconds_total"))
    assert native.schema == 3


def test_bounds_of_the_latency_are_the_users(model, registry):
    PrometheusModel(model, registry, latency_buckets=[0.5, 60.0])(X)
    families = text_string_to_metric_families(generate_latest(registry).decode())
    samples = [sample for family in families for sample in family.samples]
    bounds = [s.labels["le"] for s in samples if s.name.endswith("latency_seconds_bucket")]
    assert bounds == ["0.5", "60.0", "+Inf"]


def test_time_to_the_first_answer_stays(watched, registry):
    assert value(registry, "_first_answer_seconds") is None
    watched(X)
    first = value(registry, "_first_answer_seconds")
    assert first > 0
    watched.predict(X, verbose=0)
    assert value(registry, "_first_answer_seconds") == first


def test_samples_in_flight(model, registry):
    seen = []

    class Looks(keras.layers.Layer):
        def call(self, inputs):
            seen.append(value(registry, "_in_flight_samples", method="call"))
            return inputs

    watched = PrometheusModel(keras.Sequential([Looks()]), registry)
    watched(X[:11])
    assert seen[-1] == 11
    assert value(registry, "_in_flight_samples", method="call") == 0


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ValueError("3 features"), "rejected"),
        (TypeError("a text"), "rejected"),
        (KeyError("weights"), "failed"),
        (KeyboardInterrupt(), "failed"),
        (asyncio.CancelledError(), "failed"),
    ],
)
def test_exceptions_are_counted_and_raised_on(registry, error, name):
    watched = PrometheusModel(Raises(), registry)
    watched.error = error
    with pytest.raises(type(error)) as raised:
        watched(X)
    assert raised.value is error
    labels = {"method": "call", "type": type(error).__name__}
    assert value(registry, f"_{name}_total", **labels) == 1
    assert value(registry, "_call_total") == value(registry, "_call_time_seconds_total") == 0
    assert not value(registry, "_in_flight_samples", method="call")


def test_input_that_the_model_refuses(watched, registry):
    for call in (watched, watched.predict):
        with pytest.raises(ValueError, match="shape"):
            call(np.zeros((2, 5)))
    assert value(registry, "_rejected_total", method="call", type="ValueError") == 1
    assert value(registry, "_rejected_total", method="predict", type="ValueError") == 1


def test_an_empty_batch_and_nan(watched, registry):
    assert watched(X[:0]).shape == (0, 3)
    assert np.isnan(watched.predict(np.full((4, 8), np.nan), verbose=0)).all()
    assert value(registry, "_call_total") == 0
    assert value(registry, "_latency_seconds_count", method="call") == 1
    assert value(registry, "_total") == 4


def test_wrong_arguments_are_the_models_to_refuse(watched):
    with pytest.raises(TypeError):
        watched()
    with pytest.raises(TypeError):
        watched.predict()


def test_building_a_graph_is_no_prediction(watched, registry):
    inputs = keras.Input((8,))
    outer = keras.Model(inputs, keras.layers.Dense(1)(watched(inputs)))
    with pytest.raises(ValueError, match="shape"):
        watched(keras.Input((5,)))
    assert outer.predict(X, verbose=0).shape == (300, 1)
    assert value(registry, "_call_total") == 0
    assert value(registry, "_rejected_total", method="call", type="ValueError") is None
    assert value(registry, "_latency_seconds_count", method="call") is None


def traced(watched):
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(watched)(tf.constant(X))
    if backend == "jax":
        import jax

        return jax.jit(lambda x: watched(x))(X)
    pytest.skip("PyTorch's compiler takes longer than the rest of the tests")


def test_tracing_is_no_prediction(watched, registry):
    assert traced(watched).shape == (300, 3)
    assert value(registry, "_call_total") == 0


def test_what_the_model_does_beside_is_no_prediction(watched, data, registry):
    watched.fit(*data, verbose=0)
    watched.evaluate(*data, verbose=0)
    assert value(registry, "_call_total") == value(registry, "_total") == 0
