"""How far weights have moved: ratios of layers and variables, and what has none."""

import itertools
import math
import weakref

import keras
import numpy as np
import pytest
from conftest import awaited
from runs import At, fit

from gangplank import TrainTestExporter
from gangplank.training.updates import Updates
from gangplank.weights import weights_statistics


@pytest.fixture
def layers():
    """Of a model the layers ``a`` and ``b``, of a kernel and a bias."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, name="a"), keras.layers.Dense(2, name="b")]
    )
    model.compile("sgd", "mse")
    return model


def ratios(model, change, per="layer", weights="trainable"):
    """Those of `model` after `change`, by the names of layers or variables inside of it."""
    updates = Updates(weights, per)
    updates.begin(model)
    change()
    statistics = weights_statistics(model, per=per, weights=weights)
    updates.look(model, {name: each.norm for name, each in statistics.items()})
    return {name.replace(f"{model.name}/", ""): ratio for name, ratio in updates.ratios.items()}


def added(layer, change):
    layer.set_weights([weights + change for weights in layer.get_weights()])


def norm(*arrays):
    return np.linalg.norm(np.concatenate([np.ravel(each) for each in arrays]).astype(np.float64))


def test_each_layer_and_each_variable(layers):
    first = layers.layers[0]
    found = ratios(layers, lambda: added(first, 0.5))
    expected = norm(np.full(16, 0.5)) / norm(*first.get_weights())
    assert found == {"a": pytest.approx(expected, rel=1e-6), "b": 0}
    found = ratios(layers, lambda: added(first, 0.5), per="variable")
    kernel, bias = first.get_weights()
    assert found["a/kernel"] == pytest.approx(norm(np.full(12, 0.5)) / norm(kernel), rel=1e-6)
    assert found["a/bias"] == pytest.approx(norm(np.full(4, 0.5)) / norm(bias), rel=1e-6)
    assert found["b/kernel"] == found["b/bias"] == 0


HAS_FLOAT64 = keras.backend.backend() != "jax"  # which has it where it is turned on only


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", *["float64"] * HAS_FLOAT64])
def test_of_other_dtypes(layers, dtype):
    layer = keras.layers.Dense(4, dtype=dtype)
    layer.build((None, 3))
    layer.set_weights([np.full((3, 4), 2.0), np.zeros(4)])
    ((_, ratio),) = ratios(layer, lambda: added(layer, 1.0)).items()
    assert ratio == pytest.approx(norm(np.ones(16)) / norm(np.full(12, 3), np.ones(4)), rel=1e-6)


def test_what_is_zero_stands_still_and_what_becomes_it_moves_without_end(layers):
    for layer in layers.layers:
        layer.set_weights([np.zeros_like(weights) for weights in layer.get_weights()])
    assert ratios(layers, lambda: None) == {"a": 0, "b": 0}
    added(layers.layers[0], 1.0)
    found = ratios(layers, lambda: added(layers.layers[0], -1.0))
    assert found == {"a": math.inf, "b": 0}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_has_none(layers, value):
    found = ratios(layers, lambda: added(layers.layers[1], value))
    assert math.isnan(found["b"])
    assert found["a"] == 0


def test_a_layer_that_was_frozen_or_had_another_shape_has_none_yet(layers):
    first, last = layers.layers
    first.trainable = False

    def change():
        first.trainable = True
        last.bias.assign(last.bias + 1.0)

    assert list(ratios(layers, change)) == ["b"]

    updates = Updates("trainable", "layer")
    updates.begin({"a/w": tensor([1, 1, 1]), "b/w": tensor([1, 1, 1])})
    updates.look({"a/w": tensor([1, 1, 1, 1]), "b/w": tensor([2, 2, 2])}, {"b": norm([2, 2, 2])})
    assert updates.ratios == {"b": pytest.approx(0.5)}


def tensor(values):
    return keras.ops.convert_to_tensor(values, "float32")


def test_a_loop_of_one_s_own_that_tells_of_ends_only(model, data):
    exporter = TrainTestExporter(None, statistics="model", update_ratio=True, histogram_freq=1)
    exporter.set_model(model)
    exporter.on_train_begin()
    found, expected = [], []
    for epoch in range(3):
        before = model.get_weights()
        for _ in range(1 + epoch):
            model.train_on_batch(*data)
        after = model.get_weights()
        changes = (new - old for new, old in zip(after, before, strict=True))
        expected.append(pytest.approx(norm(*changes) / norm(*after), rel=1e-4))
        exporter.on_epoch_end(epoch, {})
        found.append(ratio_of(exporter))
    assert found == expected
    exporter.on_train_end()
    assert ratio_of(exporter) == expected[-1]


def test_each_run_begins_anew_and_holds_its_copy_no_longer(model, data):
    exporter = TrainTestExporter(None, statistics="model", update_ratio=True)
    for _ in range(2):
        before = model.get_weights()
        model.fit(*data, epochs=2, callbacks=[exporter], verbose=0)
        after = model.get_weights()
        changes = (new - old for new, old in zip(after, before, strict=True))
        assert ratio_of(exporter) == pytest.approx(norm(*changes) / norm(*after), rel=1e-5)
        assert exporter._train.run.updates is None


def test_a_run_that_failed_holds_its_copy_no_longer(model, data):
    exporter = TrainTestExporter(None, statistics="model", update_ratio=True)
    with pytest.raises(ZeroDivisionError):
        fit(model, data, exporter, At(0, lambda: 1 / 0))
    awaited(lambda: exporter._train.run.updates is None)


def test_no_room_for_a_copy_costs_the_ratio_alone(model, data, monkeypatch):
    asked, copy, variables = itertools.count(1), keras.ops.copy, len(model.trainable_variables)

    def copied(array):
        if next(asked) == variables + 1:
            raise MemoryError("there is no memory left")
        return copy(array)

    exporter = TrainTestExporter(
        None, histogram_buckets=[0.0], histogram_freq=1, statistics="model", update_ratio=True
    )
    monkeypatch.setattr("keras.ops.copy", copied)
    message = "There is no update ratio of the weights: there is no memory left"
    shown = []

    def show(*_):
        value = exporter.registry.get_sample_value
        names = "model_weights_count", "weights_norm", "weights_update_ratio"
        shown.append([value(f"gangplank_train_{name}") is not None for name in names])

    look = keras.callbacks.LambdaCallback(on_epoch_end=show)
    with pytest.warns(UserWarning, match=message):
        model.fit(*data, epochs=3, callbacks=[exporter, look], verbose=0)
    # The second look has nothing to compare with.
    assert shown == [[True, True, False]] * 2 + [[True, True, True]]


def test_there_need_not_be_room_for_the_old_copy_and_the_new(layers, monkeypatch):
    held, copy = [], keras.ops.copy

    def copied(array):
        assert not any(reference() is not None for reference in old)
        held.append(weakref.ref(made := copy(array)))
        return made

    old = []
    monkeypatch.setattr("keras.ops.copy", copied)
    updates = Updates("trainable", "layer")
    updates.begin(layers)
    old = list(held)
    assert all(reference() is not None for reference in old)
    updates.look(layers, dict.fromkeys(weights_statistics(layers, per="layer"), 1.0))
    assert len(held) == 2 * len(old)


def test_an_evaluation_moves_nothing_and_looks_at_nothing_for_it(model, data, monkeypatch):
    monkeypatch.setattr("gangplank._native.measure", None)
    exporter = TrainTestExporter(None, update_ratio=True)
    model.evaluate(*data, callbacks=[exporter], verbose=0)
    value = exporter.registry.get_sample_value
    assert value("gangplank_test_loss") > 0
    assert value("gangplank_test_weights_update_ratio") is None


def ratio_of(exporter):
    return exporter.registry.get_sample_value("gangplank_train_weights_update_ratio")
