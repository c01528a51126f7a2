"""Makes the pictures of the live page: trains two networks and looks at them in Chromium.

`make screenshots` runs it.
"""

import time
from pathlib import Path

import keras
import numpy as np
from browser import chromium

from gangplank import HISTOGRAM_WEIGHT_BUCKETS_0_3, TrainTestExporter
from gangplank.commands.demo import convnet, digits
from gangplank.gateway import Gateway

HERE = Path(__file__).parent
EPOCHS = 8
REPEATED = 3  # as often an epoch has each image, so that it takes longer than a push comes


def train(address: str, optimizer: str, epochs: int) -> None:
    """Trains a convnet on digits, which pushes to a gateway as a run of its own."""
    keras.utils.set_random_seed(0)
    x_train, x_test, y_train, y_test = digits()
    model = convnet()
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    exporter = TrainTestExporter(
        address,
        "digits",
        histogram_buckets=HISTOGRAM_WEIGHT_BUCKETS_0_3,
        histogram_freq=1,
        histogram_per="layer",
        statistics="layer",
        update_ratio=True,
        grouping_key={"optimizer": optimizer},
    )
    model.fit(
        np.concatenate([x_train[150:]] * REPEATED),
        np.tile(y_train[150:], REPEATED),
        epochs=epochs,
        validation_data=(x_train[:150], y_train[:150]),
        callbacks=[exporter],
        verbose=0,
    )
    model.evaluate(x_test, y_test, callbacks=[exporter], verbose=0)


def main() -> None:
    """Writes the pictures beside this file."""
    with Gateway() as gateway, chromium() as browser:
        url = f"http://{gateway.address}/"

        def picture(name: str, width: int, until: str, *, dark: bool = False) -> None:
            with browser.page(url, width, 900, dark=dark) as page:
                page.awaited("document.querySelectorAll('.card canvas').length > 5")
                time.sleep(0.5)  # until all is drawn
                height = page.value(
                    f"document.querySelector('{until}').getBoundingClientRect().bottom + 14"
                )
                path = HERE / f"page-{name}.png"
                path.write_bytes(page.screenshot(height))
                print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")

        train(gateway.address, "adam", EPOCHS)
        picture("light", 1100, "#weights-section")
        picture("telephone", 360, "#histograms .card")
        train(gateway.address, "sgd", EPOCHS)
        picture("dark", 1100, "#histograms .card", dark=True)


if __name__ == "__main__":
    main()
