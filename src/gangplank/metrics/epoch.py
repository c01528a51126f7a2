"""What an epoch was like: how long it took, how many samples a second, at which learning rate."""

import time
from typing import Any

LEARNING_RATE = "learning_rate"
EPOCH_GAUGES = {
    LEARNING_RATE: "The optimizer's learning rate at the end of the last epoch.",
    "epoch_time_seconds": "Time that the last epoch took, its validation included.",
    "samples_per_second": "Samples of the last epoch over the time that it trained, without "
    "its validation.",
}

# Keras counts them in float32, which then no longer grows by one.
_MOST_SAMPLES = 2**24


class Epoch:
    """The epoch of a run that goes on, if any."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._samples_before: float | None = None
        self._trained_until: float | None = None  # as far as Keras has told of batches
        self._trained: dict[str, float] | None = None  # None while its batches go on

    def begin(self, model: Any) -> None:
        """It begins now. The model is None where another loop than Keras's trains it.

        In such a one each batch may reset what Keras counts.
        """
        self._samples_before = _samples(model)
        self._trained = self._trained_until = None
        self._began = time.monotonic()

    def end_batch(self) -> None:
        """One of its batches is done."""
        self._trained_until = time.monotonic()

    def has_trained(self, model: Any, until: float | None = None) -> None:
        """Its batches were done at that time, or now. What comes is the validation, a test, or its
        end.
        """
        began = self._began  # another thread that shares the exporter may end it
        if began is None or self._trained is not None:
            return
        self._trained = {}
        before, after = self._samples_before, _samples(model)  # which waits for a device
        seconds = (until or time.monotonic()) - began
        if before is not None and after is not None and after > before and seconds > 0:
            self._trained = {"samples_per_second": (after - before) / seconds}

    def end(self, model: Any, loss: Any) -> dict[str, float]:
        """It ends now, with this loss: its gauges, those that are known."""
        if _is_loss_of(model, loss):  # else a callback has evaluated the model since it trained
            # Keras has told of all batches by now, and other callbacks may have saved the model.
            self.has_trained(model, self._trained_until)
        gauges = dict(self._trained or {})
        began, self._began = self._began, None
        if began is not None:
            gauges["epoch_time_seconds"] = time.monotonic() - began
        if (rate := _learning_rate(model)) is not None:
            gauges[LEARNING_RATE] = rate
        return gauges


def _samples(model: Any) -> float | None:
    """How many samples the loss was averaged over since Keras last reset it, where that is known.

    Keras tells callbacks of batches, but not how large they are. A `train_step` of one's own may
    average over anything.
    """
    try:
        if not type(model).train_step.__module__.startswith("keras."):
            return None
        samples = _number(_loss(model).count)
    # There is no model, it is not compiled, or its framework reads no value here.
    except Exception:
        return None
    return samples if samples < _MOST_SAMPLES else None


def _is_loss_of(model: Any, loss: Any) -> bool:
    try:
        return _number(_loss(model).result()) == _number(loss)
    except Exception:  # as above
        return False


def _loss(model: Any) -> Any:
    return next(metric for metric in model.metrics if metric.name == "loss")


def _learning_rate(model: Any) -> float | None:
    if getattr(model, "optimizer", None) is None:
        return None
    try:
        return _number(model.optimizer.learning_rate)
    # The run matters more than this gauge, and a schedule may be anybody's.
    except Exception:
        return None


def _number(variable: Any) -> float:
    try:
        return float(variable)
    except TypeError:  # of one that is mirrored or summed over devices only Keras makes a number
        from keras import ops  # here, since a gateway has metrics and no Keras

        return float(ops.convert_to_numpy(variable))
