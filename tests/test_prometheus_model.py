"""The proxy of a served model: it is the model in all that it does, and counts what that was."""

import asyncio
import contextlib
import copy
import inspect
import pickle
import threading

import keras
import numpy as np
import prometheus_client
import pytest
from conftest import fetched
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import gangplank
from gangplank import PrometheusModel

X = np.random.default_rng(0).normal(size=(300, 8)).astype("float32")


@pytest.fixture
def watched(model, registry):
    return PrometheusModel(model, registry)


@pytest.fixture
def several():
    """A model of two inputs and two outputs, by their names."""
    one, two = keras.Input((8,), name="one"), keras.Input((8,), name="two")
    outputs = {"sum": keras.layers.Add()([one, two]), "wide": keras.layers.Dense(9)(one)}
    return keras.Model({"one": one, "two": two}, outputs)


def value(registry, name, **labels):
    return registry.get_sample_value(f"gangplank_predict{name}", labels)


def assert_equal(*tensors):
    np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, tensors))


class Raises(keras.Model):
    """Raises what it is told to."""

    error = KeyError("weights")

    def __call__(self, inputs):
        raise self.error


# What it counts


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


def test_a_generator(watched, registry):
    batches = ((X[start : start + 100],) for start in range(0, 300, 100))
    assert watched.predict(batches, steps=3, verbose=0).shape == (300, 3)
    assert value(registry, "_total") == 300
    assert value(registry, "_batch_samples_sum", method="predict") == 300


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


def test_64_threads_at_once(watched, registry):
    barrier = threading.Barrier(64)

    def call(size):
        barrier.wait()
        for _ in range(20):
            watched(X[: size % 4])

    threads = [threading.Thread(target=call, args=(size,)) for size in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert value(registry, "_call_total") == 20 * 16 * (0 + 1 + 2 + 3)
    assert value(registry, "_latency_seconds_count", method="call") == 64 * 20
    assert value(registry, "_in_flight_samples", method="call") == 0


# It is the model


def test_it_is_of_the_models_class_and_its_own(watched, model):
    assert isinstance(watched, keras.Model)
    assert isinstance(watched, keras.Sequential)
    assert isinstance(watched, PrometheusModel)
    assert issubclass(watched.__class__, keras.Sequential)
    assert "Sequential" in repr(watched)
    assert callable(watched)


def test_attributes_are_the_models(watched, model):
    assert watched.name == model.name
    assert watched.layers is model.layers or watched.layers == model.layers
    watched.trainable = False
    assert not model.trainable
    watched.remark = "of mine"
    assert model.remark == "of mine"
    del watched.remark
    assert not hasattr(model, "remark")
    assert {"predict", "summary", "metrics_port"} <= set(dir(watched))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = watched.nothing


def test_saving_copying_and_pickling_are_the_models(watched, model, registry, tmp_path):
    watched.save(tmp_path / "model.keras")
    copies = [
        keras.models.load_model(tmp_path / "model.keras"),
        copy.deepcopy(watched),
        pickle.loads(pickle.dumps(watched)),
    ]
    for each in copies:
        assert type(each) is keras.Sequential
        assert_equal(each(X), model(X))
    assert type(keras.models.clone_model(watched)) is keras.Sequential
    watched.summary(print_fn=lambda *_, **__: None)
    assert value(registry, "_call_total") == 0


def test_weights_and_training_are_the_models(watched, model, data):
    buckets = gangplank.HISTOGRAM_WEIGHT_BUCKETS_1_0
    expected = gangplank.weights_histogram(model, buckets)
    assert gangplank.weights_histogram(watched, buckets) == expected
    callback = gangplank.TrainTestExporter(None)
    watched.fit(*data, callbacks=[callback], verbose=0)
    assert callback.registry.get_sample_value("gangplank_train_epochs_count") == 1


# Registries, labels and the port


def test_names_without_labels_are_the_contracts(watched, registry):
    watched(X)
    watched.predict(X, verbose=0)
    text = generate_latest(registry).decode().splitlines()
    assert "gangplank_predict_total 300.0" in text
    assert "gangplank_predict_call_total 300.0" in text
    assert "# TYPE gangplank_predict_total counter" in text
    assert sum(line.startswith("gangplank_predict_time_seconds_total ") for line in text) == 1


def test_the_default_registry_is_prometheus_clients(model):
    with contextlib.closing(PrometheusModel(model)) as watched:
        watched(X)
        assert value(prometheus_client.REGISTRY, "_call_total") == 300
    assert value(prometheus_client.REGISTRY, "_call_total") is None


def test_two_models_in_one_registry(model, several, registry):
    one = PrometheusModel(model, registry, name="digits", version=3)
    two = PrometheusModel(several, registry, name="pairs", version="a")
    plain = PrometheusModel(model, registry)
    one(X)
    two.predict({"one": X[:2], "two": X[:2]}, verbose=0)
    plain(X[:4])
    assert value(registry, "_call_total", model="digits", version="3") == 300
    assert value(registry, "_total", model="pairs", version="a") == 2
    assert value(registry, "_call_total", model="pairs", version="a") == 0
    assert value(registry, "_call_total") == 4
    latency = {"method": "call", "model": "digits", "version": "3"}
    assert value(registry, "_latency_seconds_count", **latency) == 1
    text = generate_latest(registry).decode()
    assert text.count("# TYPE gangplank_predict_call_total counter") == 1


def test_a_version_alone_goes_with_the_models_own_name(model, registry):
    PrometheusModel(model, registry, version="2")(X)
    assert value(registry, "_call_total", model=model.name, version="2") == 300


def test_a_new_version_in_place_of_an_old_one(model, registry):
    old = PrometheusModel(model, registry, name="m", version="1")
    old(X)
    with pytest.raises(ValueError, match=r"registry has metrics of these names already.*close\(\)"):
        PrometheusModel(model, registry, name="m", version="1")
    new = PrometheusModel(model, registry, name="m", version="2")
    old.close()
    old.close()
    assert old(X).shape == (300, 3)
    assert value(registry, "_call_total", model="m", version="1") is None
    assert value(registry, "_call_total", model="m", version="2") == 0
    PrometheusModel(model, registry, name="m", version="1").close()
    new.close()
    assert not [each for each in registry.collect() if each.name.startswith("gangplank")]


def test_a_registry_that_has_such_a_name(model, registry):
    other = Counter("gangplank_predict_drift_detected", "Somebody else's.", registry=registry)
    with pytest.raises(ValueError, match="registry has metrics of these names already"):
        PrometheusModel(model, registry)
    registry.unregister(other)
    PrometheusModel(model, registry)(X)
    assert value(registry, "_call_total") == 300


def test_port_serves_the_registry(model, registry):
    with contextlib.closing(PrometheusModel(model, registry, 0, address="127.0.0.1")) as watched:
        watched(X)
        url = f"http://127.0.0.1:{watched.metrics_port}/metrics"
        assert "gangplank_predict_call_total 300.0" in fetched(url)
        other = CollectorRegistry()
        with pytest.raises(OSError, match=r"port must be a free port .* multiprocess mode"):
            PrometheusModel(model, other, watched.metrics_port, address="127.0.0.1")
        assert list(other.collect()) == []
    with pytest.raises(OSError, match="refused"):
        fetched(url)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"registry": None}, ValueError, "registry must be a prometheus_client.CollectorRegistry"),
        ({"port": "80"}, ValueError, "port must be an integer from 0 to 65535. Received '80'"),
        ({"port": 70000}, ValueError, "port must be an integer from 0 to 65535"),
        ({"get_drift_metrics_func": 3}, TypeError, "get_drift_metrics_func must be a function"),
        ({"name": ""}, ValueError, "name must be a text, such as 'mnist', or None. Received ''"),
        ({"name": 3}, ValueError, "name must be a text"),
        ({"version": 1.5}, ValueError, "version must be a text"),
        ({"latency_buckets": [1, 1]}, ValueError, "latency_buckets must be strictly increasing"),
        ({"drift_queue_size": -1}, ValueError, "drift_queue_size must be an integer of at least 0"),
    ],
)
def test_bad_arguments_leave_nothing_behind(model, registry, arguments, error, message):
    with pytest.raises(error, match=message):
        PrometheusModel(model, **{"registry": registry, **arguments})
    PrometheusModel(model, registry)


@pytest.mark.parametrize("model", [3, None, keras.layers.Dense(1), keras.Model])
def test_what_is_no_model(model, registry):
    with pytest.raises(TypeError, match=r"model must be a Keras model\. Received"):
        PrometheusModel(model, registry)


def test_the_arguments_of_the_contract_stand_first():
    names = list(inspect.signature(PrometheusModel).parameters)
    assert names[:4] == ["model", "registry", "port", "get_drift_metrics_func"]
    assert inspect.signature(PrometheusModel).parameters["registry"].default is (
        prometheus_client.REGISTRY
    )
