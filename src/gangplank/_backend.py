"""Looks, when imported, whether Keras's backend is installed, and imports neither of the two."""

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from gangplank.extras import how_to_install

_BACKENDS = ("tensorflow", "jax", "torch")


def _check() -> None:
    """Raises ModuleNotFoundError, with what to do, where Keras or its backend is missing."""
    if sys.modules.get("keras"):
        return  # which has found its backend
    if find_spec("keras") is None:
        raise ModuleNotFoundError("No module named 'keras'", name="keras")
    backend = _backend()
    if backend in _BACKENDS and find_spec(backend) is None:
        raise ModuleNotFoundError(
            f"Keras uses the {backend!r} backend, but {backend!r} cannot be imported. "
            f"Install it with: {how_to_install(backend)}, or name another backend in the "
            "environment variable KERAS_BACKEND.",
            name=backend,
        )


def _backend() -> object:
    """What Keras will take for its backend, by the rules of its backend/config.py."""
    if backend := os.environ.get("KERAS_BACKEND"):
        return backend
    home = _expanded("~")
    folder = Path(home if os.access(home, os.W_OK) else "/tmp", ".keras")
    file = Path(_expanded(os.environ.get("KERAS_HOME", str(folder))), "keras.json")
    try:
        return json.loads(file.read_text()).get("backend", "tensorflow")
    # Where there is no file that Keras can read, it takes TensorFlow or says what is wrong.
    except (OSError, ValueError, AttributeError):
        return "tensorflow"


def _expanded(path: str) -> str:
    return os.path.expanduser(path)  # noqa: PTH111  # Path's raises where there is no home


_check()
