"""References in files: NumPy's .npz, whose arrays are exact, small, and nothing that runs.

As JSON the counts of many features would be several times as many bytes, and the rounded centres
would have to be written such that they come back.
"""

import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gangplank.drift.classes import Classes
from gangplank.drift.features import SCHEMA, Features, last_place
from gangplank.drift.rows import Leaf, size_of

FORMAT, VERSION = "gangplank drift reference", 1

Parts = tuple[Features | None, Features, tuple[Classes, ...]]
"""The inputs, the outputs and the classes of a reference."""

# What NumPy, zipfile and json raise of files that are damaged, or made to look like one of ours.
_UNREADABLE = (
    *(ValueError, KeyError, TypeError, AttributeError, EOFError, MemoryError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)

_ARRAYS = {"centres": np.float32, "ends": np.int32, "counts": np.int64}


def entries(
    inputs: Features | None, outputs: Features, classes: tuple[Classes, ...]
) -> Iterator[tuple[str, Any]]:
    """What a file has, by name: ``about``, which is JSON, and arrays."""
    sides = {"inputs": inputs, "outputs": outputs}
    about = {
        "format": FORMAT,
        "version": VERSION,
        "schema": SCHEMA,
        "classes": [[each.name, each.start] for each in classes],
        **{name: side and side.leaves for name, side in sides.items()},
    }
    yield "about", json.dumps(about)
    for name, side in sides.items():
        if side is not None:
            yield from ((f"{name}_{array}", getattr(side, array)) for array in _ARRAYS)
    yield from ((f"classes_{i}", each.counts) for i, each in enumerate(classes))


def write(path: str | os.PathLike[str], *parts: Any) -> None:
    """Writes a file of that very name. Raises OSError where that cannot be done."""
    # A file object, as NumPy would add a suffix to a name.
    with Path(path).open("wb") as file:
        np.savez_compressed(file, **dict(entries(*parts)))


def read(path: str | os.PathLike[str]) -> Parts:
    """What `write` has written. Raises ValueError where it has not, OSError where none can read."""
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return _parts(arrays)
    except _BadReferenceError as error:
        reason = str(error)
    except _UNREADABLE as error:
        reason = f"it holds no reference ({type(error).__name__})"
    raise ValueError(
        f"{os.fspath(path)} cannot be loaded: {reason}. Pass a file that DriftReference.save wrote."
    )


class _BadReferenceError(Exception):
    """What is in a file makes no reference."""


def _parts(arrays: Any) -> Parts:
    about = json.loads(str(arrays["about"]))
    if about["format"] != FORMAT:
        raise _BadReferenceError("it holds something else")
    if (about["version"], about["schema"]) != (VERSION, SCHEMA):
        raise _BadReferenceError(
            f"it is of version {about['version']} and schema {about['schema']}, and this gangplank "
            f"reads version {VERSION} and schema {SCHEMA}"
        )
    inputs = _features(arrays, "inputs", about) if about["inputs"] is not None else None
    outputs = _features(arrays, "outputs", about)
    if inputs is not None and inputs.sample_count != outputs.sample_count:
        raise _BadReferenceError("inputs and outputs are not of as many samples")
    classes = tuple(
        Classes(str(name), int(start), _checked(arrays[f"classes_{i}"], np.int64, 1))
        for i, (name, start) in enumerate(about["classes"])
    )
    for each in classes:
        if not 0 <= each.start <= len(outputs.ends) - each.counts.size:
            raise _BadReferenceError("its classes are not among its outputs")
    return inputs, outputs, classes


def _features(arrays: Any, name: str, about: dict[str, Any]) -> Features:
    leaves: tuple[Leaf, ...] = tuple(
        (str(leaf), tuple(int(size) for size in shape)) for leaf, shape in about[name]
    )
    size = sum(map(size_of, leaves))
    centres, ends, counts = (
        _checked(arrays[f"{name}_{array}"], dtype, 1 if array == "centres" else 2)
        for array, dtype in _ARRAYS.items()
    )
    shapes = (size,), (size, ends.shape[1]), (size, ends.shape[1] + 2)
    if not size or (centres.shape, ends.shape, counts.shape) != shapes:
        raise _BadReferenceError(f"the arrays of its {name} do not have the shapes of one another")
    are_ends = (np.diff(ends, axis=1) >= 0).all() and 0 <= ends.min() <= ends.max() < last_place()
    sums = counts.sum(axis=1)
    are_counts = counts.min() >= 0 and sums.min() == sums.max() > 0
    if not (np.isfinite(centres).all() and are_ends and are_counts):
        raise _BadReferenceError(f"the buckets or counts of its {name} are none")
    return Features(leaves, centres, ends, counts)


def _checked(array: Any, dtype: Any, dimensions: int) -> Any:
    if array.dtype != dtype or array.ndim != dimensions or not array.size:
        raise _BadReferenceError(
            f"an array has the dtype {array.dtype} and the shape {array.shape}, not numbers of "
            f"{np.dtype(dtype)} in {dimensions} dimensions"
        )
    return array
