"""Trains a convnet on MNIST, pushes its metrics, and saves it for test.py.

python examples/train.py --gateway 127.0.0.1:9091
"""

import argparse

from images import load_images

import gangplank
from gangplank.commands.demo import convnet

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("--gateway", default="127.0.0.1:9091", help="address of a Pushgateway")
parser.add_argument("--epochs", type=int, default=8)
parser.add_argument("--model", default="convnet.keras", help="where to save the model")
options = parser.parse_args()

(x, y), _ = load_images()
callback = gangplank.TrainTestExporter(
    options.gateway, "mnist", histogram_buckets=gangplank.HISTOGRAM_WEIGHT_BUCKETS_0_3
)
model = convnet()
model.fit(x, y, epochs=options.epochs, validation_split=0.1, callbacks=[callback], verbose=2)
model.save(options.model)
print(f"Saved {options.model}. Now: python examples/test.py --gateway {options.gateway}")
