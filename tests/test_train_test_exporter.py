"""The callback in real runs of Keras, against both gateways."""

import gc
import re

import keras
import numpy as np
import pytest
from runs import At, fit
from samples import metrics_of

import gangplank
from gangplank import TrainTestExporter, weights_histogram
from gangplank.weights import Parts

BUCKETS = gangplank.HISTOGRAM_WEIGHT_BUCKETS_0_3
OWN_GAUGES = {"elapsed_time_seconds", "model_parameters_count"}
TRAIN_GAUGES = OWN_GAUGES | {
    "epochs_count",
    "epoch_time_seconds",
    "learning_rate",
    "samples_per_second",
}


def shown(exporter, phase):
    """What the registry shows of a phase: its values by their names after the prefix."""
    prefix = f"gangplank_{phase}_"
    return {
        sample.name.removeprefix(prefix): sample.value
        for metric in exporter.registry.collect()
        for sample in metric.samples
        if sample.name.startswith(prefix) and not sample.labels
    }


def told(warned):
    """What our own warnings say, Keras's aside."""
    return [str(w.message) for w in warned if w.category is UserWarning]


def cumulative(metrics, phase):
    name = f"gangplank_{phase}_model_weights_bucket"
    return [value for key, value in metrics.items() if isinstance(key, tuple) and key[0] == name]


def test_fit_then_evaluate_leave_both_on_the_gateway(gateway, model, data):
    exporter = TrainTestExporter(gateway, "digits", histogram_buckets=BUCKETS)
    history = fit(model, data, exporter, epochs=3, validation_split=0.2).history
    after_fit = metrics_of(gateway, "digits")
    tested = model.evaluate(*data, callbacks=[exporter], verbose=0, return_dict=True)
    metrics = metrics_of(gateway, "digits")

    for name, values in history.items():
        assert metrics[f"gangplank_train_{name}"] == pytest.approx(values[-1], rel=1e-15)
    for name, value in tested.items():
        assert metrics[f"gangplank_test_{name}"] == pytest.approx(value, rel=1e-15)
    assert not any("gangplank_test" in str(name) for name in after_fit)
    assert {n: v for n, v in after_fit.items() if "push" not in n} == {
        n: v for n, v in metrics.items() if "push" not in n and "gangplank_train" in str(n)
    }
    assert metrics["gangplank_train_epochs_count"] == 3
    assert 0 < metrics["gangplank_test_elapsed_time_seconds"] < 60
    expected = weights_histogram(model, BUCKETS).cumulative.tolist()
    for phase in ("train", "test"):
        assert metrics[f"gangplank_{phase}_model_parameters_count"] == 27
        assert metrics[f"gangplank_{phase}_model_weights_count"] == 27
        assert metrics[f"gangplank_{phase}_model_weights_sum"] == 0
        assert metrics[f"gangplank_{phase}_model_weights_created"] > 1.7e9
        assert metrics[f"gangplank_{phase}_model_nan_weights"] == 0
        assert cumulative(metrics, phase) == expected


def test_two_processes_of_one_job(gateway, model, data):
    fit(model, data, TrainTestExporter(gateway, "digits"))
    model.evaluate(*data, callbacks=[TrainTestExporter(gateway, "digits")], verbose=0)
    metrics = metrics_of(gateway, "digits")
    assert {"gangplank_train_loss", "gangplank_test_loss"} <= metrics.keys()


def test_metrics_and_weights_of_an_epoch_are_shown_at_once(model, data, monkeypatch):
    exporter = TrainTestExporter(None, "digits", histogram_buckets=BUCKETS, histogram_freq=1)
    seen = []

    def looking(*arguments, **options):
        seen.append(shown(exporter, "train"))
        return Parts(*arguments, **options)

    monkeypatch.setattr("gangplank.training.weights_watch.Parts", looking)
    fit(model, data, exporter)
    assert [set(each) & {"epochs_count", "model_weights_count"} for each in seen] == [
        set(),
        {"epochs_count", "model_weights_count"},
        {"epochs_count", "model_weights_count"},
    ]
    assert [each.get("epochs_count") for each in seen] == [None, 1, 2]


def test_a_hook_leaves_the_garbage_collector_little_to_count(model):
    exporter = TrainTestExporter(None, "digits")
    exporter.set_model(model)
    logs = {f"metric_{i}": float(i) for i in range(20)}
    logs |= {f"f1_{i}": np.arange(100.0) for i in range(5)}
    exporter.on_epoch_end(0, logs)
    gains = []
    gc.disable()
    try:
        for epoch in range(1, 6):
            before = gc.get_count()[0]
            exporter.on_epoch_end(epoch, logs)
            gains.append(gc.get_count()[0] - before)
    finally:
        gc.enable()
    assert min(gains) < 20  # another thread may have made objects in between


def test_the_series_of_a_run(model, data):
    exporter = TrainTestExporter(None, "digits")
    fit(model, data, exporter, validation_split=0.2)
    keras_metrics = {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert shown(exporter, "train").keys() == TRAIN_GAUGES | keras_metrics
    assert shown(exporter, "test") == {}
    model.evaluate(*data, callbacks=[exporter], verbose=0)
    assert shown(exporter, "test").keys() == OWN_GAUGES | {"loss", "accuracy"}


def test_a_selection_of_metrics(model, data):
    exporter = TrainTestExporter(None, "digits", metrics=["accuracy"])
    fit(model, data, exporter, validation_split=0.2)
    assert shown(exporter, "train").keys() == TRAIN_GAUGES | {"accuracy", "val_accuracy"}


def test_a_metric_that_keras_never_logs_is_told_of_once(model, data):
    exporter = TrainTestExporter(None, "digits", metrics=["loss", "acuracy", "val_loss"])
    with pytest.warns(UserWarning, match="which Keras does not log") as warned:
        fit(model, data, exporter)
    messages = told(warned)
    assert [message.split(", which")[0] for message in messages] == [
        "metrics names 'acuracy'",
        "metrics names 'val_loss'",
    ]
    model.evaluate(*data, callbacks=[exporter], verbose=0)


def test_a_metric_that_another_callback_logs_at_the_end_of_an_epoch(model, data):
    log = keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: logs.update(f1=0.5))
    exporter = TrainTestExporter(None, "digits", metrics=["loss", "f1"], update_freq=1)
    fit(model, data, log, exporter)
    assert shown(exporter, "train")["f1"] == 0.5


class Watch(keras.callbacks.Callback):
    """Notes what an exporter shows at each epoch's end."""

    def __init__(self, exporter):
        super().__init__()
        self.exporter = exporter
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(shown(self.exporter, "train"))


def test_a_histogram_every_other_epoch(model, data):
    exporter = TrainTestExporter(None, "digits", histogram_buckets=BUCKETS, histogram_freq=2)
    watch = Watch(exporter)
    model.fit(*data, epochs=4, callbacks=[exporter, watch], verbose=0)
    assert ["model_weights_count" in seen for seen in watch.seen] == [False, True, True, True]
    created = [seen.get("model_weights_created") for seen in watch.seen]
    assert created[1] == created[2] < created[3]


def test_the_histogram_at_the_end_is_of_the_final_weights(model, data):
    class Zero(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            self.model.set_weights([np.zeros_like(w) for w in self.model.get_weights()])

    exporter = TrainTestExporter(None, "digits", histogram_buckets=[-1e-9, 0.0], histogram_freq=1)
    model.fit(*data, epochs=1, callbacks=[Zero(), exporter], verbose=0)
    value = exporter.registry.get_sample_value
    name = "gangplank_train_model_weights_bucket"
    assert [value(name, {"le": le}) for le in ("-1e-09", "0.0", "+Inf")] == [0, 27, 27]


def test_weights_that_are_nan(model, data):
    exporter = TrainTestExporter(None, "digits", histogram_buckets=BUCKETS)
    kernel, bias = model.get_weights()
    model.set_weights([kernel, np.full_like(bias, np.nan)])
    model.evaluate(*data, callbacks=[exporter], verbose=0)
    assert shown(exporter, "test")["model_nan_weights"] == 3
    assert shown(exporter, "test")["model_weights_count"] == 24
    assert np.isnan(shown(exporter, "test")["loss"])


def test_a_metric_has_its_name_whatever_a_run_before_had(data):
    exporter = TrainTestExporter(None)
    values = []
    for name in ("top-2", "top_2"):
        metric = keras.metrics.SparseTopKCategoricalAccuracy(2, name=name)
        model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=[metric])
        history = fit(model, data, exporter).history[name]
        values.append((exporter.registry.get_sample_value("gangplank_train_top_2"), history[-1]))
    for shown, logged in values:
        assert shown == pytest.approx(logged)
    (family,) = (each for each in exporter.registry.collect() if each.name.endswith("top_2"))
    assert family.documentation == "Keras's metric 'top_2'."


def test_one_instance_serves_one_run_after_another(gateway, model, data):
    exporter = TrainTestExporter(gateway, "digits", histogram_buckets=BUCKETS)
    fit(model, data, exporter, epochs=3, validation_split=0.2)
    model.evaluate(*data, callbacks=[exporter], verbose=0)
    history = fit(model, data, exporter, epochs=1).history
    assert shown(exporter, "train")["epochs_count"] == 1
    # A metric of the first run that the second has not is not shown as if it were its own.
    assert "val_loss" not in shown(exporter, "train")
    metrics = metrics_of(gateway, "digits")
    assert metrics["gangplank_train_loss"] == pytest.approx(history["loss"][0], rel=1e-15)
    assert metrics["gangplank_train_epochs_count"] == 1
    assert "gangplank_test_loss" in metrics


def test_epochs_go_on_from_where_they_were(model, data):
    exporter = TrainTestExporter(None, "digits")
    fit(model, data, exporter, epochs=6, initial_epoch=4)
    assert shown(exporter, "train")["epochs_count"] == 6


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_test_batch_end", "on_epoch_end"])
@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_an_evaluation_after_a_run_that_failed_is_a_test(model, data, hook, failure):
    def fail(*_, **__):
        raise failure

    exporter = TrainTestExporter(None, "digits")
    breaker = keras.callbacks.Callback()
    setattr(breaker, hook, fail)
    with pytest.raises(failure):
        model.fit(*data, callbacks=[exporter, breaker], validation_split=0.2, verbose=0)
    model.evaluate(*data, callbacks=[exporter], verbose=0)
    assert "loss" in shown(exporter, "test")


def test_an_evaluation_inside_fit_is_a_test_and_the_validation_is_not(model, data):
    class Evaluate(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 0:
                self.model.evaluate(*data, callbacks=[exporter], verbose=0)

    exporter = TrainTestExporter(None, "digits")
    x, y = data
    halved = (x[:150], y[:150])
    history = model.fit(
        *halved,
        validation_data=(x[150:], y[150:]),
        callbacks=[exporter, Evaluate()],
        verbose=0,
    ).history
    assert shown(exporter, "train")["val_loss"] == history["val_loss"][0]
    assert shown(exporter, "test")["loss"] != history["val_loss"][0]


def test_a_model_that_only_its_own_steps_can_call(data):
    class Steps(keras.Model):
        def __init__(self):
            super().__init__()
            self.layer = keras.layers.Dense(3)
            self.layer.build((None, 8))

        def train_step(self, *_):
            return {"loss": 1.0}

        test_step = train_step

    if keras.backend.backend() != "tensorflow":
        pytest.skip("elsewhere Keras itself refuses such a model")
    model = Steps()
    model.compile()
    exporter = TrainTestExporter(None, "digits", histogram_buckets=BUCKETS)
    fit(model, data, exporter)
    model.evaluate(*data, callbacks=[exporter], verbose=0)
    for phase in ("train", "test"):
        assert shown(exporter, phase)["model_parameters_count"] == 27
        assert shown(exporter, phase)["model_weights_count"] == 27


ODD = ["phase one", None, {"a": 1}, 1j, 10**400, [[1], [2, 3]], object(), [1.0]]


def test_what_other_callbacks_log_does_not_end_the_run(model, data):
    class Logs(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            for i, odd in enumerate(ODD):
                logs |= {f"odd_{i}": odd, f"sometimes_{i}": [0.5, odd][epoch], 7: 7.0}

    exporter = TrainTestExporter(None, "digits")
    with pytest.warns(UserWarning, match="is not exported: it is not one number but") as warned:
        model.fit(*data, epochs=2, callbacks=[Logs(), exporter], verbose=0)
    names = [f"{each}_{i}" for each in ("odd", "sometimes") for i in range(len(ODD))]
    assert sorted(re.findall(r"'(\w+_\d)'", "\n".join(told(warned)))) == names
    values = shown(exporter, "train")
    assert not any(name.startswith("odd") for name in values)
    assert [values[name] for name in names[len(ODD) :]] == [0.5] * len(ODD)
    assert values["7"] == 7


def test_a_histogram_that_is_no_longer_true_is_not_shown(model, data, monkeypatch):
    exporter = TrainTestExporter(None, "digits", histogram_buckets=BUCKETS, histogram_freq=1)

    def fail(*_, **__):
        raise RuntimeError("the device is gone")

    def lose_the_device():
        assert "model_weights_count" in shown(exporter, "train")
        monkeypatch.setattr("gangplank.training.weights_watch.Parts", fail)

    with pytest.warns(UserWarning, match="no histogram of the weights: the device is gone"):
        fit(model, data, exporter, At(0, lose_the_device))
    assert not any("weights" in name for name in shown(exporter, "train"))
    assert "loss" in shown(exporter, "train")


def test_weights_that_cannot_be_counted_are_told_of_once_and_the_run_goes_on(gateway, data):
    class Complex(keras.layers.Dense):
        def build(self, input_shape):
            super().build(input_shape)
            self.add_weight(name="waves", shape=(3,), dtype="complex64")

    model = keras.Sequential([keras.Input((8,)), Complex(3, activation="softmax")])
    model.compile(loss="sparse_categorical_crossentropy")
    exporter = TrainTestExporter(gateway, "digits", histogram_buckets=BUCKETS)
    with pytest.warns(UserWarning, match="no histogram of the weights: .*waves.* complex64"):
        model.evaluate(*data, callbacks=[exporter], verbose=0)
    model.evaluate(*data, callbacks=[exporter], verbose=0)
    metrics = metrics_of(gateway, "digits")
    assert "gangplank_test_loss" in metrics
    assert "gangplank_test_model_weights_count" not in metrics


def test_metrics_of_keras_whose_names_meet(data, model):
    model.compile(
        "sgd",
        "sparse_categorical_crossentropy",
        metrics=[
            keras.metrics.SparseCategoricalAccuracy(name="top-1"),
            keras.metrics.SparseCategoricalAccuracy(name="top 1"),
            keras.metrics.SparseCategoricalAccuracy(name="model_weights_count"),
        ],
    )
    exporter = TrainTestExporter(None, "digits")
    with pytest.warns(UserWarning, match="is not exported") as warned:
        fit(model, data, exporter)
    assert len(told(warned)) == 2
    assert shown(exporter, "train").keys() == TRAIN_GAUGES | {"loss", "top_1"}
