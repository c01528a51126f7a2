"""What the exporter shows of weights: parts, statistics, updates, and what it refuses."""

import keras
import numpy as np
import pytest
from models import classifier
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition, parser
from runs import At, fit

from gangplank import (
    HistogramCollector,
    NativeBuckets,
    TrainTestExporter,
    weights_histogram,
    weights_statistics,
)
from gangplank.metrics.histogram_family import histogram_family
from gangplank.metrics.messages import messages, native_histogram
from gangplank.metrics.protobuf import decoded, encoded

BOUNDS = (-0.1, 0.0, 0.1)


def trained(model, data, epochs=1, **arguments):
    exporter = TrainTestExporter(None, **arguments)
    model.fit(*data, epochs=epochs, callbacks=[exporter], verbose=0)
    return exporter.registry.get_sample_value


@pytest.mark.parametrize("per", ["layer", "variable"])
def test_parts_add_up_to_the_model(model, data, per):
    value = trained(model, data, histogram_buckets=BOUNDS, histogram_per=per)
    paths = [variable.path for variable in model.trainable_variables]
    if per == "layer":
        paths = list(dict.fromkeys(path.rpartition("/")[0] for path in paths))
    for le, expected in zip(
        ("-0.1", "0.0", "0.1", "+Inf"), weights_histogram(model, BOUNDS).cumulative, strict=True
    ):
        name = f"gangplank_train_{per}_weights_bucket"
        assert sum(value(name, {per: path, "le": le}) for path in paths) == expected
        assert value("gangplank_train_model_weights_bucket", {"le": le}) == expected


def test_statistics_of_the_model(model, data):
    value = trained(model, data, statistics="model")
    expected = weights_statistics(model)
    assert value("gangplank_train_weights_mean") == expected.mean
    assert value("gangplank_train_weights_standard_deviation") == expected.standard_deviation
    assert value("gangplank_train_weights_zeros") == expected.zero_count
    assert value("gangplank_train_weights_nan") == 0
    assert value("gangplank_train_model_weights_count") is None


def test_the_weights_that_a_callback_before_it_restores(model, data):
    """As the documents say; the best epoch is the first here."""
    stop = keras.callbacks.EarlyStopping(
        "loss", mode="max", patience=3, restore_best_weights=True, verbose=0
    )
    exporter = TrainTestExporter(None, "digits", histogram_buckets=BOUNDS)
    model.optimizer.learning_rate = 0.1
    model.fit(*data, epochs=6, callbacks=[stop, exporter], verbose=0)
    assert stop.best_epoch == 0
    assert stop.stopped_epoch > 0
    shown = [
        sample.value
        for family in exporter.registry.collect()
        for sample in family.samples
        if sample.name == "gangplank_train_model_weights_bucket"
    ]
    assert shown == weights_histogram(model, BOUNDS).cumulative.tolist()


def test_the_update_ratio(model, data):
    snapshots = [model.get_weights()]
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: snapshots.append(model.get_weights())
    )
    exporter = TrainTestExporter(None, statistics="model", update_ratio=True, histogram_freq=1)
    model.fit(*data, epochs=3, callbacks=[note, exporter], verbose=0)
    before, after = (np.concatenate([np.ravel(w) for w in each]) for each in snapshots[-2:])
    expected = np.linalg.norm(after - before) / np.linalg.norm(after)
    # The look at the end of training, at the same weights, does not make it zero.
    found = exporter.registry.get_sample_value("gangplank_train_weights_update_ratio")
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_weight_that_is_nan_has_no_update_ratio(model, data):
    def spoil(*_):
        model.set_weights([np.full_like(weights, np.nan) for weights in model.get_weights()])

    spoiler = keras.callbacks.LambdaCallback(on_epoch_end=spoil)
    exporter = TrainTestExporter(None, update_ratio=True)
    model.fit(*data, callbacks=[spoiler, exporter], verbose=0)
    (family,) = (
        f for f in exporter.registry.collect() if f.name == "gangplank_train_weights_update_ratio"
    )
    assert [list(sample.labels) for sample in family.samples] == [["layer"]] * len(family.samples)
    assert all(np.isnan(sample.value) for sample in family.samples)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"histogram_buckets": [0.0], "histogram_per": "layers"}, "histogram_per must be 'model'"),
        ({"histogram_per": "layer"}, "needs histogram_buckets"),
        ({"statistics": "weights"}, "statistics must be 'model', 'layer' or 'variable'"),
        ({"update_ratio": 1}, "update_ratio must be True or False"),
        ({"histogram_buckets": (NativeBuckets(), [])}, "the bounds in histogram_buckets must"),
        ({"histogram_buckets": (NativeBuckets(), NativeBuckets())}, "histogram_buckets must be"),
        ({"histogram_freq": 1}, "needs histogram_buckets, statistics or update_ratio"),
    ],
)
def test_arguments_that_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        TrainTestExporter(None, **arguments)


def test_very_many_series_are_warned_of_once(model, data):
    bounds = np.linspace(-1, 1, 6000)
    with pytest.warns(UserWarning, match=r"make [0-9,]+ time series: 6,?004 for each") as warned:
        trained(
            model, data, epochs=2, histogram_buckets=bounds, histogram_per="layer", histogram_freq=1
        )
    assert len([each for each in warned if "time series" in str(each.message)]) == 1


def native_of(values):
    return weights_histogram([np.array(values, np.float32)], NativeBuckets())


def test_a_message_and_its_way_back():
    histogram = native_of([0.0, 1e-3, 0.1, 0.1, -0.5, 7.0, np.inf])
    family = histogram_family("w", "W.", [({"layer": "a"}, [histogram])], 1.0)
    (message,) = decoded(encoded(messages([family])))
    (metric,) = message.metric
    assert [(pair.name, pair.value) for pair in metric.label] == [("layer", "a")]
    assert metric.histogram.sample_count == 7
    native = native_histogram(metric.histogram)
    assert native == family.samples[0].native_histogram
    indices, index = {}, 0
    counts = iter(np.cumsum(native.pos_deltas).tolist())
    for offset, length in native.pos_spans:
        index += offset
        indices |= {index + i: next(counts) for i in range(length)}
        index += length
    assert {i: count for i, count in indices.items() if count} == histogram.positive


def test_openmetrics_2_has_the_native_histogram_and_older_texts_one_bucket():
    registry = CollectorRegistry()
    HistogramCollector("weights", "Weights.", registry).set(native_of([0.5, -0.25, -0.25]))
    text = exposition.generate_latest(registry, version="2.0.0").decode()
    (family,) = parser.text_string_to_metric_families(text)
    native = next(s.native_histogram for s in family.samples if s.native_histogram is not None)
    assert (native.count_value, native.sum_value) == (3, 0.0)
    assert (list(native.neg_deltas), list(native.pos_deltas)) == ([2], [1])
    text = exposition.generate_latest(registry, version="1.0.0").decode()
    assert 'weights_bucket{le="+Inf"} 3.0' in text
    assert "schema" not in text
    assert 'weights_bucket{le="+Inf"} 3.0' in generate_latest(registry).decode()


def test_the_weights_that_are_counted(model, data):
    frozen = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3, trainable=False)])
    frozen.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    exporter = TrainTestExporter(None, histogram_buckets=[0.0])
    name = "gangplank_test_model_weights_count"
    with pytest.warns(UserWarning, match=r"has 0 of the 27 weights of the model.*weights='all'"):
        frozen.evaluate(*data, callbacks=[exporter], verbose=0)
    frozen.evaluate(*data, callbacks=[exporter], verbose=0)  # it is told once
    assert exporter.registry.get_sample_value(name) == 0
    exporter = TrainTestExporter(None, histogram_buckets=[0.0], weights="all")
    frozen.evaluate(*data, callbacks=[exporter], verbose=0)
    assert exporter.registry.get_sample_value(name) == 27
    with pytest.raises(ValueError, match=r"weights must be 'trainable' or 'all'. Received 'some'"):
        TrainTestExporter(None, weights="some")


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"statistics": "model"}, "statistics have"),
        ({"statistics": "layer"}, "statistics have"),
        ({"statistics": "variable", "update_ratio": True}, "statistics have"),
        ({"update_ratio": True}, "update ratio is of"),
    ],
)
def test_a_frozen_model_is_told_of_whatever_is_wanted(data, wanted, words):
    frozen = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3, trainable=False)])
    frozen.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.warns(UserWarning, match=rf"The {words} 0 of the 27 weights of the model"):
        frozen.evaluate(*data, callbacks=[TrainTestExporter(None, **wanted)], verbose=0)


def test_a_model_most_of_which_is_quantized(data):
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3), keras.layers.Dense(3)])
    model.layers[0].quantize("int8")
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    name = "gangplank_train_model_weights_count"
    with pytest.warns(UserWarning, match=r"has 15 of the 42 weights .*of quantized layers"):
        value = trained(model, data, histogram_buckets=[0.0])
    assert value(name) == 15
    assert trained(model, data, histogram_buckets=[0.0], weights="all")(name) == 42


def test_parameters_that_are_added_in_a_run_are_counted(data):
    model = classifier()  # of its own, since it grows
    exporter = TrainTestExporter(None, weights="all", histogram_buckets=BOUNDS)
    grow = At(1, lambda: model.layers[-1].enable_lora(2))
    value = exporter.registry.get_sample_value
    fit(model, data, grow, exporter)
    expected = model.count_params()
    assert value("gangplank_train_model_parameters_count") == expected
    assert value("gangplank_train_model_weights_count") == expected > 27
