"""Evaluates the convnet that train.py saved, and pushes what it finds beside its metrics.

python examples/test.py --gateway 127.0.0.1:9091
"""

import argparse

import keras
from images import load_images

import gangplank

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("--gateway", default="127.0.0.1:9091", help="address of a Pushgateway")
parser.add_argument("--model", default="convnet.keras", help="what train.py saved")
options = parser.parse_args()

_, (x, y) = load_images()
callback = gangplank.TrainTestExporter(
    options.gateway, "mnist", histogram_buckets=gangplank.HISTOGRAM_WEIGHT_BUCKETS_0_3
)
model = keras.saving.load_model(options.model)
model.evaluate(x, y, callbacks=[callback], verbose=2)
print(f"Now: curl -s {options.gateway}/metrics | grep gangplank_")
