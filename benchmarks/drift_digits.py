"""Handwritten digits, a small model's answers to them, and shifts of both.

A shifted image has 17 shades like the others, as if the same scanner had made it.
"""

import keras
import numpy as np
from scipy import ndimage
from sklearn.datasets import load_digits

TRAINED = 397
REFERENCE = 800
EPOCHS = 40


def rotated(degrees):
    return lambda images, _: ndimage.rotate(images, degrees, axes=(1, 2), reshape=False, order=1)


def brightened(factor):
    return lambda images, _: images * factor


def noisy(deviation):
    return lambda images, rng: images + rng.normal(0, deviation, images.shape)


SHIFTS = {
    "brightness × 0.95": brightened(0.95),
    "brightness × 0.9": brightened(0.9),
    "brightness × 0.8": brightened(0.8),
    "brightness × 1.2": brightened(1.2),
    "noise of 0.02": noisy(0.02),
    "noise of 0.05": noisy(0.05),
    "noise of 0.1": noisy(0.1),
    "rotation by 2°": rotated(2),
    "rotation by 5°": rotated(5),
    "rotation by 10°": rotated(10),
}
NONE, MISSING = "none", "one class missing"


class Digits:
    """The samples that the model was not trained on, as they are and shifted.

    Attributes:
        samples: by the name of the shift, all samples, shape (n, 8, 8), and the predictions.
        training: the samples that the model was trained on, and its predictions.
        labels: of the samples.
        accuracy: of the model on the samples as they are.
    """

    def __init__(self, seed=0):
        keras.utils.set_random_seed(seed)
        rng = np.random.default_rng(seed)
        images, labels = load_digits(return_X_y=True)
        order = rng.permutation(len(images))
        images = (images[order] / 16).reshape(-1, 8, 8).astype(np.float32)
        labels = labels[order]
        model = keras.Sequential(
            [
                keras.Input((8, 8)),
                keras.layers.Flatten(),
                keras.layers.Dense(64, activation="relu"),
                keras.layers.Dense(10, activation="softmax"),
            ]
        )
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(images[:TRAINED], labels[:TRAINED], epochs=EPOCHS, verbose=0)

        def answered(samples):
            return samples, model.predict(samples, verbose=0)

        self.training = answered(images[:TRAINED])
        rest, self.labels = images[TRAINED:], labels[TRAINED:]
        self.samples = {NONE: answered(rest)}
        for name, shift in SHIFTS.items():
            shades = (16 * shift(rest, rng)).round().clip(0, 16)
            self.samples[name] = answered((shades / 16).astype(np.float32))
        self.accuracy = float((self.samples[NONE][1].argmax(axis=1) == self.labels).mean())

    def trials(self, shift, window, count, seed):
        """Draws of a reference and a window that share no sample, anew each time.

        Returns:
            The places of the samples, int, shapes (count, REFERENCE) and (count, window).
        """
        rng = np.random.default_rng(seed)
        references, windows = [], []
        for _ in range(count):
            order = rng.permutation(len(self.labels))
            references.append(order[:REFERENCE])
            rest = order[REFERENCE:]
            if shift == MISSING:
                rest = rest[self.labels[rest] != rng.integers(10)]
            windows.append(rest[:window])
        return np.array(references), np.array(windows)

    def shifted(self, shift):
        """All samples with that shift, and the predictions; one class is missing by trials."""
        return self.samples.get(shift, self.samples[NONE])
