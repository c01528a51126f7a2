"""The proxy of a served model: it is the model in all that it does, and counts what that was."""

import contextlib
import copy
import gc
import inspect
import pickle
import socket
import sys
import threading
import weakref

import keras
import prometheus_client
import pytest
from conftest import awaited, fetched, in_a_process
from models import classifier
from prometheus_client import CollectorRegistry, Counter, generate_latest
from served import X, assert_equal, value

import gangplank
from gangplank import PrometheusModel


@pytest.fixture
def model():
    return classifier()


@pytest.fixture
def watched(model, registry):
    return PrometheusModel(model, registry)


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


def test_two_models_in_one_registry(model, registry):
    one = PrometheusModel(model, registry, name="digits", version=3)
    other = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
    two = PrometheusModel(other, registry, name="pairs", version="a")
    plain = PrometheusModel(model, registry)
    one(X)
    two.predict(X[:2], verbose=0)
    plain(X[:4])
    assert value(registry, "_call_total", model="digits", version="3") == 300
    assert value(registry, "_total", model="pairs", version="a") == 2
    assert value(registry, "_call_total", model="pairs", version="a") == 0
    assert value(registry, "_call_total") == 4
    latency = {"method": "call", "model": "digits", "version": "3"}
    assert value(registry, "_latency_seconds_count", **latency) == 1
    text = generate_latest(registry).decode()
    assert text.count("# TYPE gangplank_predict_call_total counter") == 1


def test_models_are_added_while_a_registry_is_scraped(model, registry):
    errors = []
    is_over = threading.Event()

    def scrape():
        while not is_over.is_set():
            try:
                generate_latest(registry)
            except Exception as error:
                errors.append(error)

    thread = threading.Thread(target=scrape)
    previous = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        thread.start()
        for version in range(50):
            PrometheusModel(model, registry, version=version)
    finally:
        is_over.set()
        thread.join()
        sys.setswitchinterval(previous)
    assert errors == []


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


def test_a_registry_that_nobody_else_has_goes_with_the_model(model):
    registry = CollectorRegistry()
    watched = PrometheusModel(model, registry, None, lambda *_: gangplank.Drift())
    watched(X)
    held = weakref.ref(registry)
    del registry, watched

    def is_gone():
        gc.collect()
        return held() is None

    awaited(is_gone)


def test_a_process_ends_without_a_word_of_what_a_fork_would_begin_anew():
    code = """
from gangplank import forks
class Queue:
    def begin(self): pass
queue = Queue()
forks.call_where_forked(queue.begin)
"""
    result = in_a_process(code)
    assert result.returncode == 0
    assert "ignored" not in result.stderr


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


@pytest.mark.parametrize(("multiprocess", "warnings"), [(False, 1), (True, 0)])
def test_a_forked_process_tells_that_its_predictions_are_not_served(
    multiprocess, warnings, tmp_path
):
    result = in_a_process(
        """
import os, sys
if len(sys.argv) > 1:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = sys.argv[1]
import numpy as np
from prometheus_client import CollectorRegistry
from gangplank.inference.watch import Watch
registry, x = CollectorRegistry(), np.ones((3, 2))
watch = Watch(registry, {}, (1.0,), None, 0)
watch.serve(0, registry, "127.0.0.1")
def predict():
    for _ in range(200):
        watch.calls["predict"].call(np.copy, (x,), {})
predict()
child = os.fork()
predict()
if not child:
    assert watch.port is None
    watch.close()
    os._exit(0)
assert watch.port
print(os.waitpid(child, 0)[1])
""",
        *([str(tmp_path)] if multiprocess else []),
    )
    assert result.stdout == "0\n", result.stderr
    assert result.stderr.count("those of the process that this one was forked") == warnings


def test_a_port_that_another_program_has(model, registry):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        taken = f"port must be a free port of 127.0.0.1, but {port} is not"
        with pytest.raises(OSError, match=taken):
            PrometheusModel(model, registry, port, address="127.0.0.1")
    PrometheusModel(model, registry)


def test_an_address_that_is_not_this_machines(model, registry):
    with pytest.raises(OSError, match=r"address must be one of this machine's\. Received"):
        PrometheusModel(model, registry, 0, address="192.0.2.1")
    PrometheusModel(model, registry)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"registry": None}, ValueError, "registry must be a prometheus_client.CollectorRegistry"),
        ({"port": "80"}, ValueError, "port must be an integer from 0 to 65535. Received '80'"),
        ({"port": 70000}, ValueError, "port must be an integer from 0 to 65535"),
        ({"get_drift_metrics_func": 3}, TypeError, "get_drift_metrics_func must be a function"),
        ({"name": ""}, ValueError, "name must be a text, such as 'mnist', or None. Received ''"),
        ({"name": 3}, ValueError, "name must be a text"),
        ({"name": "\ud800"}, ValueError, "name must be text that UTF-8 can encode"),
        ({"version": "\ud800"}, ValueError, "version must be text that UTF-8 can encode"),
        ({"version": 1.5}, ValueError, "version must be a text"),
        ({"latency_buckets": [-0.1, 1]}, ValueError, "above 0 and strictly increasing, such as"),
        ({"version": True}, ValueError, "version must be a text or an integer"),
        (
            {"latency_buckets": [1, 1]},
            ValueError,
            "latency_buckets must be upper bounds",
        ),
        ({"drift_queue_size": -1}, ValueError, "drift_queue_size must be an integer of 0 or more"),
    ],
)
def test_bad_arguments_leave_nothing_behind(model, registry, arguments, error, message):
    with pytest.raises(error, match=message):
        PrometheusModel(model, **{"registry": registry, **arguments})
    PrometheusModel(model, registry)


@pytest.mark.parametrize("model", [3, None, keras.layers.Dense(1), keras.Model])
def test_what_is_no_model(model, registry):
    with pytest.raises(TypeError, match=r"model must be an instance of keras\.Model\. Received"):
        PrometheusModel(model, registry)


def test_the_arguments_of_the_contract_stand_first():
    names = list(inspect.signature(PrometheusModel).parameters)
    assert names[:4] == ["model", "registry", "port", "get_drift_metrics_func"]
    assert inspect.signature(PrometheusModel).parameters["registry"].default is (
        prometheus_client.REGISTRY
    )
