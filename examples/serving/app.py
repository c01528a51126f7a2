"""Serves the model of train.py under watch: POST /predict, and GET /metrics/ for Prometheus.

uvicorn --app-dir examples/serving app:app
"""

import os
from pathlib import Path
from typing import Annotated

import keras
import numpy as np
from fastapi import FastAPI
from prometheus_client import REGISTRY, CollectorRegistry, make_asgi_app
from prometheus_client.multiprocess import MultiProcessCollector
from pydantic import BaseModel, Field

import gangplank

FOLDER = Path(__file__).parent

Pixel = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Image = Annotated[list[Pixel], Field(min_length=64, max_length=64)]


class Images(BaseModel):
    """Of each image its 64 pixels, row by row, from 0 to 1."""

    images: list[Image] = Field(min_length=1)


def served_registry():
    """That of this process or, where it is one of several, that of all of them."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return registry


model = gangplank.PrometheusModel(
    keras.saving.load_model(FOLDER / "digits.keras"),
    # One window of a thousand is called drift by chance.
    get_drift_metrics_func=gangplank.DriftMonitor(FOLDER / "reference.npz", window=100, level=1e-3),
    name="digits",
    version="1",
)
app = FastAPI()
app.mount("/metrics", make_asgi_app(served_registry()))


@app.post("/predict")
def predict(request: Images):  # no coroutine, so that FastAPI calls it on a thread
    """The digit on each image, and how sure the model is of it."""
    # With Keras on JAX, predict on several threads at once would fail; a call does not.
    scores = keras.ops.convert_to_numpy(model(np.array(request.images, "float32")))
    return {"digits": scores.argmax(axis=1).tolist(), "scores": scores.max(axis=1).tolist()}
