"""The images of the examples: MNIST where it can be downloaded, scikit-learn's digits elsewhere."""

import keras

from gangplank.commands.demo import digits


def load_images():
    """((x_train, y_train), (x_test, y_test)): images (n, 28, 28, 1) from 0 to 1, and labels."""
    try:
        train, test = keras.datasets.mnist.load_data()
    # Keras raises whatever its download ends in.
    except Exception as error:
        print(f"MNIST cannot be downloaded ({error}). Using scikit-learn's digits instead.")
        x_train, x_test, y_train, y_test = digits()
        return (x_train, y_train), (x_test, y_test)
    return tuple((x[..., None].astype("float32") / 255, y) for x, y in (train, test))
