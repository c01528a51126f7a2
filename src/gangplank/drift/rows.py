"""Samples as rows of float32 numbers: what users pass to a model, and what it answers."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gangplank import _native

Leaf = tuple[str, tuple[int, ...]]
"""The name of an array among several, "" where there is one alone, and the shape of a sample."""

Rows = NDArray[np.float32]
"""Samples, shape (n, F): all features of a sample, flattened, beside one another."""


def named_arrays(values: Any, what: str, name: str = "") -> list[tuple[str, NDArray[Any]]]:
    """The arrays that `values` are or hold, by names of keys and places.

    Raises:
        ValueError: one of them is no array, has no rows, or holds what is no number. `what` is
            what the values are called.
    """
    if _is_array(values):
        return [(name, _checked(values, what, name))]
    if isinstance(values, Mapping):
        inside = list(values.items())
    elif isinstance(values, list | tuple):
        if not _holds_arrays(values):
            return [(name, _checked(_array(values, what), what, name))]
        inside = list(enumerate(values))
    else:
        raise ValueError(
            f"{_called(what, name)} must be an array, or a list, tuple or dict of arrays. Received "
            f"a {type(values).__name__}. Of what is none, gather some thousand samples into one."
        )
    return [
        found
        for key, value in inside
        for found in named_arrays(value, what, f"{name}/{key}" if name else str(key))
    ]


def is_stream(values: Any) -> bool:
    """Whether batches of samples come of `values` one by one, as of a generator or a dataset."""
    is_some_array = _is_array(values) or (hasattr(values, "shape") and hasattr(values, "dtype"))
    are_held = isinstance(values, Mapping | list | tuple | str | bytes)
    are_batches = hasattr(values, "__iter__") or hasattr(values, "__getitem__")
    return are_batches and not is_some_array and not are_held


def leaves_of(arrays: list[tuple[str, NDArray[Any]]], what: str) -> tuple[Leaf, ...]:
    """What a sample consists of. Raises ValueError where two arrays have the same name."""
    twice = [name for name, count in Counter(name for name, _ in arrays).items() if count > 1]
    if twice:
        raise ValueError(
            f"The {what} must differ in their keys, which are joined as texts by '/'. "
            f"Two are {twice[0]!r}: give one of them another key."
        )
    return tuple((name, array.shape[1:] or (1,)) for name, array in arrays)


def rows_of(arrays: list[tuple[str, NDArray[Any]]], leaves: tuple[Leaf, ...], what: str) -> Rows:
    """All features of each sample beside one another, in the order of `leaves`.

    Numbers are rounded to float32, as Keras rounds what it feeds a model.

    Raises:
        ValueError: they are none of `leaves`, or not all of them have as many rows.
    """
    if len(arrays) == len(leaves) == 1:  # whatever the name: Keras takes x, [x] and {"x": x}
        arrays = [(leaves[0][0], arrays[0][1])]
    by_name, received = dict(arrays), leaves_of(arrays, what)
    if sorted(received) != sorted(leaves):
        raise ValueError(
            f"The {what} must have the shapes of the reference's, {_shown(leaves)} a sample. "
            f"Received {_shown(received)}. Make the reference of samples like these."
        )
    sizes = {name: len(by_name[name]) for name, _ in leaves}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"The {what} must have as many rows each. Received {sizes}.")
    parts = [_flat(by_name[name], shape) for name, shape in leaves]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def size_of(leaf: Leaf) -> int:
    """How many features it has."""
    return math.prod(leaf[1])


def feature_names(leaves: tuple[Leaf, ...], prefix: str) -> Iterator[str]:
    """A name for each feature, such as ``input[3]`` or ``input/pixels[0, 7]``."""
    for name, shape in leaves:
        path = f"{prefix}/{name}" if name else prefix
        for index in np.ndindex(*shape):
            yield f"{path}[{', '.join(map(str, index))}]"


def _is_array(value: Any) -> bool:
    return _native.is_array(value) or hasattr(value, "__array__")


def _holds_arrays(values: list[Any] | tuple[Any, ...]) -> bool:
    return any(
        (_is_array(value) and not isinstance(value, np.generic))
        or not isinstance(value, list | tuple | int | float | str | np.generic)
        or (isinstance(value, list | tuple) and _holds_arrays(value))
        for value in values
    )


def _called(what: str, name: str) -> str:
    return f"{what} of {name!r}" if name else what


def _array(values: Any, what: str) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{what} must be rows of as many numbers each: {error}") from error


def _checked(values: Any, what: str, name: str) -> NDArray[Any]:
    array = values if _native.is_array(values) else np.asarray(values)
    dtype = _native.dtype_name(array)
    called = _called(what, name)
    if not _native.is_countable(dtype) and dtype != "bool":
        raise ValueError(
            f"{called} must be numbers. Received the dtype {dtype}. To watch the predictions "
            "alone, make the reference with drift_reference(None, predictions)."
        )
    host: NDArray[Any]
    if isinstance(array, np.ma.MaskedArray):  # what is masked is not known
        host = np.ma.filled(_rounded(array), np.nan)
    else:
        host = _native.host_view(array)
    if not host.ndim:
        raise ValueError(f"{called} must be rows of an array. Received the number {host}.")
    return host


def _flat(array: NDArray[Any], shape: tuple[int, ...]) -> Rows:
    return _rounded(array.reshape(len(array), math.prod(shape)))


def _rounded(array: NDArray[Any]) -> Rows:
    # Beyond float32 lies infinity.
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return array.astype(np.float32, copy=False)


def _shown(leaves: tuple[Leaf, ...]) -> str:
    return ", ".join(f"{name}: {shape}" if name else str(shape) for name, shape in leaves)
