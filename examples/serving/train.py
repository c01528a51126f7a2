"""Trains the model that app.py serves, and makes the reference that drift is looked for against.

python examples/serving/train.py
"""

from pathlib import Path

import keras
from digits import SIZE, load_parts

import gangplank

FOLDER = Path(__file__).parent

learned, (x, y), _ = load_parts()
keras.utils.set_random_seed(0)
model = keras.Sequential(
    [
        keras.Input((SIZE,)),
        keras.layers.Dense(64, activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(*learned, epochs=30, verbose=0)
# Of what was learned a model is surer than it will ever be again: the reference is of other images.
gangplank.drift_reference(x, model.predict(x, verbose=0)).save(FOLDER / "reference.npz")
model.save(FOLDER / "digits.keras")
accuracy = model.evaluate(x, y, verbose=0, return_dict=True)["accuracy"]
print(f"Trained a model: {accuracy:.1%} of {len(x)} digits that it has not seen are right.")
