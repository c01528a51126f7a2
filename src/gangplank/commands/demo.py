"""The demo: a convnet learns handwritten digits, and its metrics arrive at a gateway."""

from contextlib import ExitStack
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from scipy.ndimage import shift, zoom
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from gangplank.commands.bars import BAR_WIDTH, print_bars
from gangplank.commands.gateway import wait_for_interrupt
from gangplank.gateway import Gateway
from gangplank.train_test_exporter import TrainTestExporter
from gangplank.weights import HISTOGRAM_WEIGHT_BUCKETS_0_3, weights_histogram

JOB = "digits"
EPOCHS = 4


def run(gateway: str | None = None, *, serve: bool = False) -> None:
    """Trains the convnet on the digits, evaluates it, and shows what the gateway was told.

    Arguments:
        gateway: address of a Pushgateway; an embedded one if None.
        serve: whether the embedded gateway stays up until Ctrl-C.

    Raises:
        ValueError: `gateway` is no address.
        gangplank.PushError: the gateway does not take the metrics.
    """
    console = Console()
    with ExitStack() as stack:
        address = stack.enter_context(Gateway()).address if gateway is None else gateway
        exporter = TrainTestExporter(
            address,
            JOB,
            histogram_buckets=HISTOGRAM_WEIGHT_BUCKETS_0_3,
            ignore_exceptions=False,
            histogram_freq=1,
            histogram_per="layer",
            statistics="layer",
            update_ratio=True,
        )
        if gateway is None:
            console.print(f"Watch it at http://{address}/ in a browser.", highlight=False)
        model = _train_and_test(exporter, console)
        console.print(_metrics_table(exporter))
        histogram = weights_histogram(model, HISTOGRAM_WEIGHT_BUCKETS_0_3)
        console.print(f"\n{histogram.count:,} weights by their value")
        print_bars(histogram, console)
        curl = f"curl -s {address.rstrip('/')}/metrics | grep gangplank_"
        if gateway is not None or serve:
            console.print(f"\nThe same from the gateway:\n\n  {curl}\n", highlight=False)
        else:
            console.print(
                "\nThe same from the gateway, which ends with this demo; "
                f"with --serve it stays up:\n\n  {curl}\n",
                highlight=False,
            )
        if serve and gateway is None:
            wait_for_interrupt(address, console.print)


def convnet() -> keras.Model:
    """A convolutional network of 104,202 weights for images of shape (28, 28, 1)."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(128, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def digits() -> list[NDArray[Any]]:
    """scikit-learn's 1,797 handwritten digits, scaled up, a fifth of them held back.

    Returns:
        Images of the training and of the test, float32, shape (n, 28, 28, 1), from 0 to 1;
        labels of the training and of the test, 0 to 9, shape (n,).
    """
    images, labels = load_digits(return_X_y=True)
    small = (images / 16).astype("float32").reshape(-1, 8, 8, 1)
    large = zoom(small, (1, 3.5, 3.5, 1), order=1, mode="nearest", grid_mode=True)
    return train_test_split(  # type: ignore[no-any-return]
        large, labels, test_size=0.2, random_state=0, stratify=labels
    )


def _train_and_test(exporter: TrainTestExporter, console: Console) -> keras.Model:
    keras.utils.set_random_seed(0)
    x_train, x_test, y_train, y_test = digits()
    validation = len(x_train) // 10
    model = convnet()
    console.print(
        f"A convnet of {model.count_params():,} weights learns {len(x_train):,} handwritten digits."
    )
    with Progress(
        TextColumn("epoch"),
        MofNCompleteColumn(),
        BarColumn(BAR_WIDTH),
        TimeElapsedColumn(),
        TextColumn("{task.fields[accuracy]}"),
        console=console,
    ) as progress:
        task = progress.add_task("", total=EPOCHS, accuracy="")
        bar = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda _, logs: progress.update(
                task, advance=1, accuracy=f"val_accuracy {logs['val_accuracy']:.3f}"
            )
        )
        model.fit(
            *_in_five_places(x_train[validation:], y_train[validation:]),
            epochs=EPOCHS,
            validation_data=(x_train[:validation], y_train[:validation]),
            callbacks=[bar, exporter],
            verbose=0,
        )
    model.evaluate(x_test, y_test, callbacks=[exporter], verbose=0)
    return model


def _in_five_places(
    images: NDArray[Any], labels: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Each image as it is and moved by two pixels, which makes up for how few there are."""
    moves = [(0, 0), (2, 0), (-2, 0), (0, 2), (0, -2)]
    moved = [shift(images, (0, *move, 0), order=0) for move in moves]
    return np.concatenate(moved), np.tile(labels, len(moves))


def _metrics_table(exporter: TrainTestExporter) -> Table:
    table = Table("metric", "value", title=f"Pushed to the gateway, job {JOB!r}")
    table.columns[1].justify = "right"
    for metric in exporter.registry.collect():
        for sample in metric.samples:
            # Those of each layer are on the page.
            if metric.type == "gauge" and "layer" not in sample.labels:
                labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
                digits = ",.0f" if "_timestamp_" in sample.name else ",.6g"
                table.add_row(
                    f"{sample.name}{{{labels}}}" if labels else sample.name,
                    f"{sample.value:{digits}}",
                )
    return table
