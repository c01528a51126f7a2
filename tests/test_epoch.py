"""What is told of an epoch: its time, its rate, and the optimizer's learning rate."""

import time
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from models import classifier
from runs import At, fit

from gangplank import TrainTestExporter
from gangplank.metrics import epoch


class Sleeps(keras.callbacks.Callback):
    """Makes the training of an epoch, or its validation, take some time longer."""

    def __init__(self, training=0.0, validation=0.0):
        super().__init__()
        self.training, self.validation = training, validation

    def on_train_batch_end(self, batch, logs=None):
        time.sleep(self.training if batch == 0 else 0)

    def on_test_batch_begin(self, batch, logs=None):
        time.sleep(self.validation if batch == 0 else 0)


@pytest.fixture
def exporter():
    return TrainTestExporter(None)


def gauge(exporter, name):
    return exporter.registry.get_sample_value(f"gangplank_train_{name}")


def test_samples_over_the_time_of_training_without_validation(exporter, model, data):
    fit(model, data, epochs=1)  # which compiles
    samples = len(data[0])
    fit(model, data, Sleeps(0.4, 0.8), exporter, epochs=2, validation_data=data)
    assert gauge(exporter, "epoch_time_seconds") >= 1.2
    trained = samples / gauge(exporter, "samples_per_second")
    assert 0.4 <= trained <= gauge(exporter, "epoch_time_seconds") - 0.8


@pytest.mark.parametrize("options", [{}, {"update_freq": 1}])
def test_what_other_callbacks_do_at_its_end_is_no_training(options, model, data):
    exporter = TrainTestExporter(None, **options)
    fit(model, data, At(0, lambda: time.sleep(1.0)), exporter, epochs=1)
    assert gauge(exporter, "epoch_time_seconds") >= 1
    trained = len(data[0]) / gauge(exporter, "samples_per_second")
    assert trained <= gauge(exporter, "epoch_time_seconds") - 1


def test_it_has_trained_until_its_validation_whichever_batches_keras_told_of(monkeypatch):
    counted = iter([0.0, 10.0])

    def samples(_):
        time.sleep(0.2)  # as it waits for a device
        return next(counted)

    monkeypatch.setattr(epoch, "_samples", samples)
    validated = epoch.Epoch()
    validated.begin(None)
    validated.end_batch()
    validated.has_trained(None)
    assert 0 < validated.end(None, None)["samples_per_second"] <= 10 / 0.2


def test_each_epoch_has_its_own(exporter, model, data):
    rates = []
    note = At(0, lambda: rates.append(gauge(exporter, "samples_per_second")))

    class SleepsLater(Sleeps):
        def on_epoch_begin(self, epoch, logs=None):
            self.training = 0.5 * epoch

    fit(model, data, SleepsLater(), exporter, note, epochs=2)
    assert gauge(exporter, "epoch_time_seconds") >= 0.5
    assert gauge(exporter, "samples_per_second") <= len(data[0]) / 0.5
    assert len(rates) == 1


def test_the_rate_of_a_schedule(exporter, model, data):
    schedule = keras.optimizers.schedules.ExponentialDecay(0.5, decay_steps=1, decay_rate=0.5)
    model.compile(keras.optimizers.SGD(schedule), "sparse_categorical_crossentropy")
    fit(model, data, exporter, epochs=3, batch_size=len(data[0]))
    assert gauge(exporter, "learning_rate") == pytest.approx(0.5**4)


def test_the_rate_that_a_callback_sets(exporter, model, data):
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1))
    fit(model, data, scheduler, exporter, epochs=4)
    assert gauge(exporter, "learning_rate") == pytest.approx(0.025)


def test_the_rate_is_that_of_the_optimizer_whatever_is_logged(exporter, model, data):
    # Logs what the rate was before it reduces it.
    reducing = keras.callbacks.ReduceLROnPlateau("loss", 0.1, patience=1, min_delta=1e9)
    history = fit(model, data, reducing, exporter, epochs=2)
    assert history.history["learning_rate"] == pytest.approx([0.01, 0.01])
    assert gauge(exporter, "learning_rate") == pytest.approx(0.001)


def test_a_train_step_of_one_s_own_tells_no_samples(exporter, data):
    class Own(keras.Sequential):
        def train_step(self, *arguments):
            return super().train_step(*arguments)

    model = Own([keras.Input((8,)), keras.layers.Dense(3)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    fit(model, data, exporter)
    assert gauge(exporter, "samples_per_second") is None
    assert gauge(exporter, "epoch_time_seconds") > 0
    assert gauge(exporter, "learning_rate") == pytest.approx(0.01)


def test_a_loop_without_an_optimizer(exporter, model):
    exporter.set_model(model)
    model.optimizer = None
    exporter.on_train_begin()
    exporter.on_epoch_end(0, {"loss": 1.0})
    assert gauge(exporter, "loss") == 1
    for name in ("learning_rate", "samples_per_second", "epoch_time_seconds"):
        assert gauge(exporter, name) is None
    exporter.on_train_end()


@pytest.mark.parametrize(("more", "is_told"), [(0, False), (1, True)])
def test_more_samples_than_keras_counts_tell_no_rate(
    exporter, model, data, monkeypatch, more, is_told
):
    limit = np.float32(epoch._MOST_SAMPLES)
    assert limit - 1 + np.float32(1) == limit == limit + np.float32(1)
    monkeypatch.setattr("gangplank.metrics.epoch._MOST_SAMPLES", len(data[0]) + more)
    fit(model, data, exporter)
    assert (gauge(exporter, "samples_per_second") is not None) == is_told


def test_more_samples_than_keras_counts_do_not_make_the_validations_their_rate(
    exporter, model, data, monkeypatch
):
    monkeypatch.setattr("gangplank.metrics.epoch._MOST_SAMPLES", len(data[0]))
    half = tuple(each[:150] for each in data)
    fit(model, data, exporter, epochs=1, validation_data=half)
    assert gauge(exporter, "samples_per_second") is None
    fit(model, half, exporter, epochs=1, validation_data=half)
    assert gauge(exporter, "samples_per_second") > 0


@pytest.mark.parametrize("looks", [1, 2])
def test_two_threads_that_share_an_exporter_may_end_an_epoch_at_once(monkeypatch, looks):
    shared, times = epoch.Epoch(), []
    loss = SimpleNamespace(name="loss", result=lambda: 1.0)
    trained = SimpleNamespace(metrics=[loss])

    def monotonic():
        times.append(time.monotonic())
        if len(times) == 1 + looks:
            ended.append(shared.end(trained, 1.0))
        return times[0]

    monkeypatch.setattr(epoch, "time", SimpleNamespace(monotonic=monotonic))
    ended = []
    shared.begin(None)
    ended.append(shared.end(trained, 1.0))
    assert sorted(map(len, ended)) == [0, 1]


class Evaluates(keras.callbacks.Callback):
    """Evaluates the model on ten samples after each epoch but the first."""

    def __init__(self, data, *callbacks):
        super().__init__()
        self.data, self.callbacks = [each[:10] for each in data], callbacks

    def on_epoch_end(self, epoch, logs=None):
        if epoch:
            self.model.evaluate(*self.data, callbacks=self.callbacks, verbose=0)


def test_samples_of_an_epoch_after_which_a_callback_has_evaluated_are_not_known(
    exporter, model, data
):
    rates = []
    note = At(0, lambda: rates.append(gauge(exporter, "samples_per_second")))
    fit(model, data, Evaluates(data), exporter, note, epochs=2)
    assert rates[0] > 0
    assert gauge(exporter, "samples_per_second") is None
    fit(model, data, Evaluates(data), exporter, epochs=2, validation_data=data)
    assert gauge(exporter, "samples_per_second") > 0


@pytest.mark.parametrize("comes_first", [True, False])
def test_an_evaluation_with_the_exporter_leaves_the_samples_of_the_epoch(
    exporter, model, data, comes_first
):
    fit(model, data, epochs=1)  # which compiles
    callbacks = [Evaluates(data, exporter), exporter]
    fit(model, data, *(callbacks if comes_first else callbacks[::-1]), Sleeps(0.2), epochs=2)
    samples = gauge(exporter, "samples_per_second") * gauge(exporter, "epoch_time_seconds")
    assert samples >= len(data[0])
    assert gauge(exporter, "samples_per_second") <= len(data[0]) / 0.2


def test_the_test_of_another_model_does_not_end_the_epoch(exporter, model, data):
    other = classifier()
    fit(model, data, epochs=1)  # which compiles

    class EvaluatesTheOther(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 0:
                other.evaluate(*data, callbacks=[exporter], verbose=0)

    fit(model, data, EvaluatesTheOther(), Sleeps(0.2), exporter, epochs=2)
    samples = gauge(exporter, "samples_per_second") * gauge(exporter, "epoch_time_seconds")
    assert samples >= len(data[0])


def test_where_losses_are_nan_nobody_knows_whether_one_is_an_evaluation_s(exporter, model, data):
    x = np.full_like(data[0], np.nan)
    fit(model, (x, data[1]), Evaluates((x, data[1])), exporter, epochs=2)
    assert np.isnan(gauge(exporter, "loss"))
    assert gauge(exporter, "samples_per_second") is None


def test_samples_of_a_loop_of_one_s_own_are_not_known(exporter, model, data):
    with exporter:
        callbacks = keras.callbacks.CallbackList([exporter], model=model)
        callbacks.on_train_begin()
        for number in range(2):
            callbacks.on_epoch_begin(number)
            for start in range(0, 100, 20):
                loss = model.train_on_batch(*(each[start : start + 20] for each in data))
            callbacks.on_epoch_end(number, {"loss": float(np.ravel(loss)[0])})
            assert gauge(exporter, "samples_per_second") is None
            assert gauge(exporter, "epoch_time_seconds") > 0
        callbacks.on_train_end()


def test_no_gauge_of_an_earlier_epoch_stays(exporter, model):
    exporter.set_model(model)
    exporter.on_train_begin()
    exporter.on_epoch_begin(0)
    exporter.on_epoch_end(0, {"loss": 1.0})
    assert gauge(exporter, "epoch_time_seconds") > 0
    exporter.on_epoch_end(1, {"loss": 1.0})
    assert gauge(exporter, "epoch_time_seconds") is None
    exporter.on_train_end()
