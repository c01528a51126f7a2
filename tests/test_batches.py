"""Metrics after so many batches."""

import itertools
import threading
import time

import keras
import numpy as np
import pytest

from gangplank import TrainTestExporter


class Dispatch(keras.callbacks.Callback):
    """Notes on which threads another callback's batch hooks run."""

    async_safe = True

    def __init__(self):
        super().__init__()
        self.threads = set()

    def on_train_batch_end(self, batch, logs=None):
        self.threads.add(threading.current_thread())


def is_asynchronous(model, data, *callbacks):
    dispatch = Dispatch()
    model.fit(*data, batch_size=30, callbacks=[*callbacks, dispatch], verbose=0)
    return threading.main_thread() not in dispatch.threads


@pytest.mark.parametrize("update_freq", ["epoch", 1])
def test_keras_goes_on_to_call_batch_hooks_asynchronously(model, data, update_freq):
    exporter = TrainTestExporter(None, "digits", update_freq=update_freq)
    assert is_asynchronous(model, data, exporter) == is_asynchronous(model, data)


class Note(keras.callbacks.Callback):
    """Notes what an exporter shows of the loss after each batch, which takes some time."""

    def __init__(self, exporter, seconds=0.0):
        super().__init__()
        self.exporter, self.seconds, self.shown, self.losses = exporter, seconds, [], []

    def on_train_batch_end(self, batch, logs=None):
        self.shown.append(self.exporter.registry.get_sample_value("gangplank_train_loss"))
        self.losses.append(logs["loss"])
        time.sleep(self.seconds)


def test_every_so_many_batches(model, data, monkeypatch):
    monkeypatch.setattr("gangplank.training.schedule._BETWEEN_BATCHES", 0)
    exporter = TrainTestExporter(None, "digits", update_freq=4)
    note = Note(exporter)
    model.fit(*data, epochs=2, batch_size=30, callbacks=[exporter, note], verbose=0)
    shown, losses = note.shown, note.losses
    assert shown[:3] == [None] * 3
    assert shown[3:7] == [losses[3]] * 4
    assert shown[7:10] == [losses[7]] * 3
    # The whole epoch's, until the fourth batch of the next.
    assert len(set(shown[10:13])) == 1
    assert shown[13:17] == [losses[13]] * 4


def test_the_epochs_end_is_shown_in_any_case(model, data):
    exporter = TrainTestExporter(None, "digits", update_freq=1000)
    loss = model.fit(*data, callbacks=[exporter], verbose=0).history["loss"][0]
    assert exporter.registry.get_sample_value("gangplank_train_loss") == loss


def test_batches_are_pushed_at_most_once_a_second(model, data, port):
    pushes = []

    def handler(url, method, timeout, headers, data):
        return lambda: pushes.append((time.monotonic(), data))

    exporter = TrainTestExporter(f"127.0.0.1:{port}", "digits", handler=handler, update_freq=1)
    x, y = (np.tile(a, (2, 1) if a.ndim == 2 else 2) for a in data)
    slow = Note(exporter, seconds=0.06)
    model.fit(x, y, batch_size=15, callbacks=[exporter, slow], verbose=0)
    times = [moment for moment, _ in pushes]
    assert len(times) >= 3
    assert all(later - earlier >= 1 for earlier, later in itertools.pairwise(times[:-1]))
    assert b"gangplank_train_loss" in pushes[1][1]
    assert b"epochs_count" not in pushes[1][1]


@pytest.mark.parametrize("update_freq", [0, -1, 1.5, True, "batch", None])
def test_what_is_no_frequency(update_freq):
    with pytest.raises(ValueError, match="update_freq must be 'epoch' or a number of batches"):
        TrainTestExporter(None, "digits", update_freq=update_freq)
