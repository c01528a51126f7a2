"""Where arrays are counted, and what is said of those that cannot be read there."""

from functools import partial
from importlib import import_module
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from gangplank import NativeBuckets, weights_histogram, weights_histograms, weights_statistics
from gangplank._native import devices
from gangplank._native.cuda import driver as cuda_driver

BOUNDS = (-0.1, 0.0, 0.1)
VALUES = np.array([-1.0, 0.05, 2.0, np.nan], np.float32)


OPS = {
    "tensorflow": "gangplank._native.tensorflow_ops",
    "jax": "gangplank._native.jax_ops",
    "torch": "gangplank._native.torch_ops",
}[keras.backend.backend()]


@pytest.fixture
def on_device(monkeypatch):
    """Has the arrays of Keras's framework counted as on an accelerator that is no GPU."""
    monkeypatch.setattr(
        devices, "_kind_of_device", lambda owner, _: "cpu" if owner == "numpy" else "tpu"
    )


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("/job:localhost/replica:0/task:0/device:CPU:0", "cpu"),
        ("/job:localhost/replica:0/task:0/device:GPU:1", "gpu"),
        ("/job:worker/replica:0/task:1/device:TPU:0", "tpu"),
        ("", "cpu"),
    ],
)
def test_devices_of_tensorflow(device, expected):
    assert devices._kind_of_device("tensorflow", SimpleNamespace(device=device)) == expected


@pytest.mark.parametrize("kind", ["cpu", "cuda", "mps"])
def test_devices_of_torch(kind):
    tensor = SimpleNamespace(device=SimpleNamespace(type=kind))
    assert devices._kind_of_device("torch", tensor) == kind


@pytest.mark.parametrize("kind", ["cpu", "gpu", "tpu"])
def test_devices_of_jax(kind):
    array = SimpleNamespace(devices=lambda: [SimpleNamespace(platform=kind)])
    assert devices._kind_of_device("jax", array) == kind


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("cpu", "cpu"), ("cuda", "cuda.ops"), ("gpu", "cuda.ops"), ("tpu", OPS.rpartition(".")[2])],
)
def test_what_counts_there(kind, expected, monkeypatch):
    monkeypatch.setattr(devices, "_kind_of_device", lambda *_: kind)
    monkeypatch.setattr(cuda_driver, "driver", lambda: "a driver")
    array = keras.ops.convert_to_tensor(VALUES)
    assert devices.placed(array) == (expected, array)


def test_what_counts_on_a_gpu_that_is_none_of_nvidias(monkeypatch):
    monkeypatch.setattr(devices, "_kind_of_device", lambda *_: "gpu")
    monkeypatch.setattr(cuda_driver, "driver", lambda: None)
    assert devices.placed(keras.ops.convert_to_tensor(VALUES))[0] == OPS.rpartition(".")[2]


def test_arrays_on_a_device_and_in_host_memory_add_up(on_device, monkeypatch):
    counted, count = [], import_module(OPS).count

    def noting(arrays, *arguments):
        counted.extend(arrays)
        return count(arrays, *arguments)

    monkeypatch.setattr(f"{OPS}.count", noting)
    there = keras.ops.convert_to_tensor(VALUES)
    histogram = weights_histogram([VALUES, there, VALUES], BOUNDS)
    assert histogram.counts.tolist() == [3, 0, 3, 3]
    assert histogram.nan_count == 3
    assert [each is there for each in counted] == [True]


@pytest.mark.parametrize(
    "dtype", ["float32", "float16", "bfloat16", "int8", "uint8", "int16", "int32", "uint32"]
)
def test_statistics_of_what_is_on_a_device(on_device, dtype):
    values = np.array([[0, 3, 100], [7, 0, 5]])
    there = {"a/w": keras.ops.convert_to_tensor(values, dtype), "b/w": np.ones(3, np.float32)}
    expected = weights_statistics({"a/w": values, "b/w": np.ones(3)}, per="layer")
    for layer, found in weights_statistics(there, per="layer").items():
        assert vars(found) == pytest.approx(vars(expected[layer]), rel=1e-14)
    found = weights_statistics(there)
    assert vars(found) == pytest.approx(vars(weights_statistics([values, np.ones(3)])), rel=1e-14)
    for buckets in (BOUNDS, NativeBuckets()):
        histograms = weights_histograms(there, buckets)
        assert histograms["a"] == weights_histogram([values], buckets)


def test_a_framework_that_fails_on_the_device(on_device, monkeypatch):
    def fails(*arguments, **options):
        raise ValueError("the device is lost")

    monkeypatch.setattr(f"{OPS}.count", fails)
    message = r"Weights on .* cannot be read there: the device is lost"
    with pytest.raises(RuntimeError, match=message) as caught:
        weights_histogram([keras.ops.convert_to_tensor(VALUES)], BOUNDS)
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch traces no such function")
def test_weights_that_are_being_traced():
    layer = keras.layers.Dense(3)
    layer.build((None, 2))
    values = keras.ops.convert_to_tensor(VALUES)
    if keras.backend.backend() == "jax":
        import jax

        traced, advice = jax.jit, "by jax.debug.callback."
    else:
        import tensorflow as tf

        traced, advice = partial(tf.function, autograph=False), "or by tf.py_function."
        with pytest.raises(RuntimeError, match="TensorFlow traces a function here"):
            traced(lambda: weights_histogram(layer, BOUNDS))()
    for model in (lambda x: x, lambda x: [x], lambda x: {"kernel": x}):
        with pytest.raises(RuntimeError, match=r"traces a function here, .* " + advice):
            traced(lambda x, model=model: weights_histogram(model(x), BOUNDS).count)(values)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch traces no such function")
def test_what_the_advice_on_traced_weights_comes_to():
    counted = []

    def count(values):
        counted.append(weights_histogram(values, BOUNDS).count)
        return counted[-1]

    if keras.backend.backend() == "jax":
        import jax

        jax.jit(partial(jax.debug.callback, count))(VALUES)
        jax.effects_barrier()
    else:
        import tensorflow as tf

        tf.function(lambda x: tf.py_function(count, [x], tf.int64))(tf.constant(VALUES))
    assert counted == [3]
