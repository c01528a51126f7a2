"""Arrays in host memory as NumPy sees them: views of what the frameworks hold, not copies."""

import math
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from gangplank._native.arrays import OF_ML_DTYPES, dtype_name, framework
from gangplank._native.devices import read_error
from gangplank._native.pieces import Piece
from gangplank._native.stored_array import StoredArray
from gangplank._native.tensorflow_variables import (
    MOST_BYTES,
    MOST_VARIABLES,
    bytes_to_read_with_others,
    read_together,
    tensor_of,
)

# A dataset is read that many values at a time, or by chunks, where these are packed and larger.
BLOCK = 1 << 20


def host_views(arrays: Iterable[tuple[int, Any]]) -> Iterator[Piece]:
    """Views of `arrays`, each with the number that it comes with; the order may be another.

    Raises:
        RuntimeError: a framework cannot read an array.
    """
    variables: list[tuple[int, Any]] = []
    nbytes = 0
    for entry in arrays:
        number, array = entry
        if isinstance(array, StoredArray):
            yield from ((number, piece) for piece in array.read())
        elif (size := bytes_to_read_with_others(array)) is None:
            yield from _views([entry])
        else:
            variables.append(entry)
            nbytes += size
            if len(variables) == MOST_VARIABLES or nbytes >= MOST_BYTES:
                yield from _views(variables)
                variables, nbytes = [], 0
    yield from _views(variables)


def _views(entries: list[tuple[int, Any]]) -> Iterator[Piece]:
    """The same, of one array or of variables of TensorFlow, which are read at once."""
    arrays = [array for _, array in entries]
    try:
        if len(entries) > 1:
            for (number, _), tensor in zip(entries, read_together(arrays), strict=True):
                yield number, np.asarray(memoryview(tensor))
            return
        for number, array in entries:
            for view in _in_blocks(array):
                yield number, view
    except Exception as error:
        raise read_error(arrays, error) from error


def _in_blocks(array: Any) -> Iterable[NDArray[Any]]:
    """Blocks of what is not all to be in memory at once, else the one view."""
    if framework(array) == "h5py":
        return blocks(array)
    if isinstance(array, np.ma.MaskedArray) and array.mask is not np.ma.nomask:
        return _unmasked(array)
    return [host_view(array)]


def _unmasked(array: Any) -> Iterator[NDArray[Any]]:
    """What NumPy does not mask."""
    for values, mask in np.nditer(
        [array.data, array.mask],
        flags=["external_loop", "buffered", "zerosize_ok"],
        buffersize=BLOCK,
    ):
        yield values[~mask]


def host_view(array: Any) -> NDArray[Any]:
    """`array` as NumPy sees it, masked or not: a view where it lies in host memory, else a copy."""
    owner = framework(array)
    if owner == "tensorflow":
        return _tensorflow_view(array)
    if owner == "torch":
        return _torch_view(array)
    return np.asarray(array)


def blocks(dataset: Any) -> Iterator[NDArray[Any]]:
    """The values of a dataset of h5py, of which only so many are in memory at a time."""
    if dataset.shape is None:  # which h5py.Empty has
        return
    for place in _places(dataset.shape, _chunks(dataset), BLOCK):
        block = np.asarray(dataset[place])
        yield block.view(ml_dtypes.bfloat16) if dtype_name(dataset) == "bfloat16" else block


def _chunks(dataset: Any) -> tuple[int, ...]:
    """The shape of the pieces of a dataset that had better not be parted."""
    chunks: tuple[int, ...] | None = dataset.chunks
    if chunks is None:
        return (1,) * len(dataset.shape)
    is_packed = dataset.id.get_create_plist().get_nfilters() > 0
    return chunks if is_packed or math.prod(chunks) <= BLOCK else (1,) * len(chunks)


def _places(
    shape: tuple[int, ...], chunks: tuple[int, ...], most: int
) -> Iterator[tuple[slice, ...]]:
    """Indices that cut an array of `shape` into blocks of at most `most` values, or of a chunk.

    They part no chunk, which HDF5 would unpack again for each of its blocks.
    """
    if not shape or math.prod(shape) <= most:
        yield ()
        return
    rows = most // max(math.prod(shape[1:]), 1) // chunks[0] * chunks[0]
    step = rows or chunks[0]
    for start in range(0, shape[0], step):
        inside = [()] if rows else _places(shape[1:], chunks[1:], most // step)
        yield from ((slice(start, start + step), *place) for place in inside)


def _tensorflow_view(array: Any) -> NDArray[Any]:
    tf = sys.modules["tensorflow"]
    tensor = tensor_of(array)
    name = dtype_name(tensor)
    if name == "bfloat16":
        bits = tf.bitcast(tensor, "int16")
        return np.asarray(memoryview(bits)).view(ml_dtypes.bfloat16)
    if name in OF_ML_DTYPES:
        return tensor.numpy()  # type: ignore[no-any-return]
    # Unlike .numpy(), no copy.
    return np.asarray(memoryview(tensor))


def _torch_view(array: Any) -> NDArray[Any]:
    tensor = array.detach().cpu().resolve_neg()
    name = dtype_name(tensor)
    if name not in OF_ML_DTYPES:
        return tensor.numpy()  # type: ignore[no-any-return]
    bits = getattr(sys.modules["torch"], f"int{8 * tensor.itemsize}")
    return tensor.view(bits).numpy().view(getattr(ml_dtypes, name))  # type: ignore[no-any-return]
