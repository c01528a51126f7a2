"""References in files: NumPy's .npz, whose arrays are exact, small, and nothing that runs.

As JSON the counts of many features would be several times as many bytes, and the ends of buckets
would have to be written such that they come back.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gangplank.drift.classes import Classes
from gangplank.drift.features import Features
from gangplank.drift.rows import Leaf, size_of

FORMAT, VERSION = "gangplank drift reference", 1

Parts = tuple[Features | None, Features, tuple[Classes, ...]]
"""The inputs, the outputs and the classes of a reference."""

_ARRAYS = {"ends": np.float32, "counts": np.int64}


def entries(
    inputs: Features | None, outputs: Features, classes: tuple[Classes, ...]
) -> Iterator[tuple[str, Any]]:
    """What a file has, by name: ``about``, which is JSON, and arrays."""
    sides = {"inputs": inputs, "outputs": outputs}
    about = {
        "format": FORMAT,
        "version": VERSION,
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
    """What `write` has written. ValueError where it has not, OSError where none can open it."""
    with Path(path).open("rb") as file:
        try:
            with np.load(file, allow_pickle=False) as arrays:
                return _parts(arrays)
        except _BadReferenceError as error:
            reason = str(error)
        except Exception as error:  # of NumPy, zipfile, zlib, tokenize, json, and what these call
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
    if about["version"] != VERSION:
        raise _BadReferenceError(
            f"it is of version {about['version']!r:.50}, and this gangplank reads version {VERSION}"
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
        # Predictions that have NaN are of no class.
        if each.counts.min() < 0 or sum(each.counts.tolist()) > outputs.sample_count:
            raise _BadReferenceError("its counts of classes are none of its samples")
    return inputs, outputs, classes


def _features(arrays: Any, name: str, about: dict[str, Any]) -> Features:
    leaves: tuple[Leaf, ...] = tuple(
        (str(leaf), tuple(int(size) for size in shape)) for leaf, shape in about[name]
    )
    if any(size < 1 for _, shape in leaves for size in shape):
        raise _BadReferenceError(f"the samples of its {name} have no such shape")
    size = sum(map(size_of, leaves))
    ends, counts = (_checked(arrays[f"{name}_{array}"], _ARRAYS[array], 2) for array in _ARRAYS)
    shapes = (size, ends.shape[1]), (size, ends.shape[1] + 2)
    if not size or (ends.shape, counts.shape) != shapes:
        raise _BadReferenceError(f"the arrays of its {name} do not have the shapes of one another")
    are_ends = (ends[:, 1:] >= ends[:, :-1]).all() and not np.isnan(ends).any()
    sums = counts.sum(axis=1, dtype=np.float64)  # in which what is too large does not wrap
    are_counts = counts.min() >= 0 and 0 < sums.min() == sums.max() < 2**53
    if not (are_ends and are_counts):
        raise _BadReferenceError(f"the buckets or counts of its {name} are none")
    return Features(leaves, ends, counts)


def _checked(array: Any, dtype: Any, dimensions: int) -> Any:
    if array.dtype != dtype or array.ndim != dimensions or not array.size:
        raise _BadReferenceError(
            f"an array has the dtype {array.dtype} and the shape {array.shape}, not numbers of "
            f"{np.dtype(dtype)} in {dimensions} dimensions"
        )
    return array
