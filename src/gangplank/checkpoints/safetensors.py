"""Files of the safetensors format, one or several with an index.

A reader of its own, since that of the safetensors library gives no bfloat16 and no float8 without a
framework, and since the whole header is checked here before anything is read by it. The format is
that of https://huggingface.co/docs/safetensors: 8 bytes that tell how long a header is, the
header in JSON, and the values without gaps.
"""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import ml_dtypes
import numpy as np

from gangplank.checkpoints.checkpoint import Checkpoint
from gangplank.checkpoints.json_text import LONGEST, is_size, parsed
from gangplank.checkpoints.stored_file import StoredFile

INDEX = ".safetensors.index.json"

_MOST_DIMENSIONS = 64  # as NumPy has it; the product of very many sizes would take minutes

_OF_NUMPY = {
    "BOOL": "bool",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "U8": "uint8",
    "U16": "uint16",
    "U32": "uint32",
    "U64": "uint64",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
    "C64": "complex64",
}
_OF_ML_DTYPES = {
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",  # from ml_dtypes 0.5 on
}
_DTYPES = {code: np.dtype(name).newbyteorder("<") for code, name in _OF_NUMPY.items()} | {
    code: np.dtype(getattr(ml_dtypes, name))
    for code, name in _OF_ML_DTYPES.items()
    if hasattr(ml_dtypes, name)
}

# Values that share bytes, by their bits.
_PACKED = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}


@contextmanager
def safetensors(path: Path) -> Iterator[Checkpoint]:
    """The checkpoint in a file.

    Raises:
        CheckpointError: it is none of this format, or a corrupt one.
    """
    with StoredFile(path) as file:
        checkpoint = Checkpoint()
        _add_all(file, checkpoint)
        yield checkpoint


@contextmanager
def sharded_safetensors(path: Path) -> Iterator[Checkpoint]:
    """The checkpoint in the files that an index names; they lie in its folder, or below it.

    Raises:
        CheckpointError: the index is none, or the files do not have what it says.
    """
    with ExitStack() as stack:
        index = stack.enter_context(StoredFile(path))
        weight_map = _weight_map(index)
        checkpoint = Checkpoint()
        for name in dict.fromkeys(weight_map.values()):
            file = stack.enter_context(StoredFile(path.parent / name))
            shard = Checkpoint()
            _add_all(file, shard)
            found = {**shard.arrays, **shard.left_out}
            wanted = {tensor for tensor, place in weight_map.items() if place == name}
            if missing := wanted - {*found}:
                raise file.error(
                    f"it has no tensor {min(missing)!r}, which {path.name} says is there."
                )
            for tensor, array in shard.arrays.items():
                if tensor in wanted:
                    checkpoint.add(tensor, array)
            checkpoint.left_out |= shard.left_out
            checkpoint.left_out |= {
                tensor: f"{path.name} does not say that it is in {name}"
                for tensor in found
                if tensor not in weight_map
            }
        yield checkpoint


def _weight_map(index: StoredFile) -> dict[str, str]:
    if index.size > LONGEST:
        raise index.error(f"it has {index.size:,} bytes, which no index has.")
    try:
        entries = parsed(index.read(0, index.size))
    except ValueError as error:
        raise index.error(f"it {error}.") from None
    weight_map = entries.get("weight_map")
    if not isinstance(weight_map, dict):
        raise index.error("it has no weight_map, which tells the file that each tensor is in.")
    for tensor, name in weight_map.items():
        if not isinstance(name, str) or not _is_inside(name):
            raise index.error(
                f"it places {tensor!r} in {name!r}, which is no name of a .safetensors file in its "
                "folder."
            )
    return weight_map


def _is_inside(name: str) -> bool:
    # By its name alone: caches have links to files elsewhere.
    path = PurePosixPath(name)
    is_below = not path.is_absolute() and ".." not in path.parts and "\0" not in name
    return is_below and path.suffix == ".safetensors"


def _add_all(file: StoredFile, checkpoint: Checkpoint) -> None:
    """Adds the tensors of a file, in the order in which they lie there."""
    begin, header = _header(file)
    try:
        tensors = [
            (*_checked(name, entry), name)
            for name, entry in header.items()
            if name != "__metadata__"
        ]
    except ValueError as error:
        raise file.error(str(error)) from None
    end = 0
    for start, stop, dtype, shape, name in sorted(tensors, key=lambda tensor: tensor[:2]):
        if start != end:
            raise file.error(
                f"the tensor {name!r} begins at byte {start:,} of the values, where the one before "
                f"it ends at {end:,}: tensors overlap, or bytes belong to none."
            )
        end = stop
        if begin + end > file.size:
            raise file.error(
                f"it is cut short: the tensor {name!r} ends at byte {begin + end:,}, and the file "
                f"at {file.size:,}."
            )
        if dtype in _PACKED:
            checkpoint.left_out[name] = f"its dtype is {dtype}, of which values share bytes"
        else:
            checkpoint.add(name, file.array(begin + start, _DTYPES[dtype], shape))
    if begin + end != file.size:
        raise file.error(f"its last {file.size - begin - end:,} bytes belong to no tensor.")


def _header(file: StoredFile) -> tuple[int, dict[str, Any]]:
    """Where the values begin, and what the header says."""
    if file.size < 8:
        raise file.error(f"it is no safetensors file: it has {file.size} bytes.")
    length = int.from_bytes(file.read(0, 8), "little")
    if length > LONGEST:
        raise file.error(
            f"it is no safetensors file: its header would have {length:,} bytes, and none has more "
            f"than {LONGEST:,}."
        )
    if 8 + length > file.size:
        raise file.error(
            f"it is cut short: its header has {length:,} bytes, and the file {file.size:,}."
        )
    text = file.read(8, length)
    if not text.startswith(b"{"):
        raise file.error("it is no safetensors file: its header does not begin with '{'.")
    try:
        return 8 + length, parsed(text)
    except ValueError as error:
        raise file.error(f"its header {error}.") from None


def _checked(name: str, entry: Any) -> tuple[int, int, str, tuple[int, ...]]:
    """Where a tensor begins and ends among the values, its dtype and its shape.

    Raises:
        ValueError: the header's entry of it is none.
    """
    if not isinstance(entry, dict) or not entry.keys() >= {"dtype", "shape", "data_offsets"}:
        raise ValueError(
            f"the tensor {name!r} needs a dtype, a shape and data_offsets. Its entry is {entry!r}."
        )
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in {*_DTYPES, *_PACKED}:
        raise ValueError(
            f"the tensor {name!r} has the dtype {dtype!r}, which is not known "
            f"(nor to ml_dtypes {ml_dtypes.__version__})."
        )
    if not _are_sizes(shape):
        raise ValueError(f"the tensor {name!r} has the shape {shape!r}, which is none.")
    if len(shape) > _MOST_DIMENSIONS:
        raise ValueError(
            f"the tensor {name!r} has {len(shape):,} dimensions, and none has more than "
            f"{_MOST_DIMENSIONS}."
        )
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError(f"the tensor {name!r} has the data_offsets {offsets!r}, which are none.")
    bits = _PACKED.get(dtype) or 8 * _DTYPES[dtype].itemsize
    if math.prod(shape) * bits != 8 * (offsets[1] - offsets[0]):
        raise ValueError(
            f"the tensor {name!r} of dtype {dtype} and shape {shape} cannot have the "
            f"{offsets[1] - offsets[0]:,} bytes that its data_offsets say."
        )
    return offsets[0], offsets[1], dtype, tuple(shape)


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(map(is_size, values))
