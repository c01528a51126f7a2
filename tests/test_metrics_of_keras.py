"""Metrics of Keras that Prometheus has to be told of in words or numbers of another kind."""

import keras
import numpy as np
import pytest
from conftest import fetched
from runs import fit
from samples import metrics_of, samples_in

from gangplank import TrainTestExporter


def test_names_beyond_ascii(gateway, model, data):
    accuracies = [
        keras.metrics.SparseCategoricalAccuracy(name="准确率"),
        keras.metrics.SparseTopKCategoricalAccuracy(2, name="召回率"),
    ]
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=accuracies)
    history = fit(model, data, TrainTestExporter(gateway, "digits")).history
    metrics = metrics_of(gateway, "digits")
    assert metrics["gangplank_train__51C6__786E__7387_"] == pytest.approx(history["准确率"][-1])
    assert metrics["gangplank_train__53EC__56DE__7387_"] == pytest.approx(history["召回率"][-1])
    assert "Keras's metric '准确率'." in fetched(f"http://{gateway}/metrics")


def by_class(gateway, name):
    """What a gateway shows of a metric: values by the label class, None where there is none."""
    return {
        dict(labels).get("class"): value
        for (sample, labels), value in samples_in(fetched(f"http://{gateway}/metrics")).items()
        if sample == name
    }


def test_a_metric_of_one_value_a_class(gateway, model, data):
    x, labels = data
    one_hot = x, keras.utils.to_categorical(labels)
    metrics = ["accuracy", keras.metrics.F1Score(average=None)]
    model.compile("sgd", "categorical_crossentropy", metrics=metrics)
    exporter = TrainTestExporter(gateway, "digits")
    history = fit(model, one_hot, exporter, validation_split=0.2).history
    tested = model.evaluate(*one_hot, callbacks=[exporter], verbose=0, return_dict=True)
    for name, expected in [
        ("train_f1_score", history["f1_score"][-1]),
        ("train_val_f1_score", history["val_f1_score"][-1]),
        ("test_f1_score", tested["f1_score"]),
    ]:
        assert by_class(gateway, f"gangplank_{name}") == {
            str(i): pytest.approx(float(expected[i])) for i in range(3)
        }
    assert by_class(gateway, "gangplank_train_loss") == {None: pytest.approx(history["loss"][-1])}


def test_a_metric_that_is_an_array_in_some_epochs(gateway, model, data):
    values = [np.float32([1, 2, 3]), np.float32([4, 5]), 6.0, np.float32([7, 8])]
    seen = []

    class Logs(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["odd"] = values[epoch]

    for epochs in range(1, 5):
        model.fit(
            *data,
            epochs=epochs,
            callbacks=[Logs(), TrainTestExporter(gateway, "digits")],
            verbose=0,
        )
        seen.append(by_class(gateway, "gangplank_train_odd"))
    assert seen == [{"0": 1, "1": 2, "2": 3}, {"0": 4, "1": 5}, {None: 6}, {"0": 7, "1": 8}]
