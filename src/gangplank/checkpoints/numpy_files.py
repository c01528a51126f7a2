"""Files of NumPy: `.npy`, and archives of them."""

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from gangplank._native import StoredArray
from gangplank.checkpoints.archive import UNREADABLE, checked_member, opened_archive, place_of
from gangplank.checkpoints.checkpoint import Checkpoint, CheckpointError
from gangplank.checkpoints.stored_file import StoredFile

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}

# Bytes that are unpacked at a time.
_UNPACKED = 1 << 22


@contextmanager
def npy_file(path: Path) -> Iterator[Checkpoint]:
    """The one array of a file, under the name of the file.

    Raises:
        CheckpointError: it is none of this format, or a corrupt one.
    """
    with StoredFile(path) as file:
        checkpoint = Checkpoint()
        offset, dtype, shape = _header(file.part(0, file.size), file.size, "it", file)
        checkpoint.add(path.stem, file.array(offset, dtype, shape))
        yield checkpoint


@contextmanager
def npz_file(path: Path) -> Iterator[Checkpoint]:
    """The arrays of an archive, by the names under which they were saved.

    Those that are not compressed are counted where they lie, without a look at their checksums.

    Raises:
        CheckpointError: it is none of this format, or a corrupt one.
    """
    with StoredFile(path) as file, opened_archive(file) as archive:
        checkpoint = Checkpoint()
        others: list[str] = []
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            if name == member.filename:
                if not name.endswith("/"):  # as the name of a folder does
                    others.append(name)
                continue
            if name in checkpoint.arrays or name in checkpoint.left_out:
                raise file.error(f"it has {name!r} twice.")
            checkpoint.add(name, _member(checked_member(member, file), archive, file))
        checkpoint.left_out = dict.fromkeys(others, "it is no .npy file") | checkpoint.left_out
        yield checkpoint


def _member(member: zipfile.ZipInfo, archive: zipfile.ZipFile, file: StoredFile) -> StoredArray:
    what = f"its member {member.filename!r}"
    try:
        with archive.open(member) as unpacked:
            offset, dtype, shape = _header(unpacked, member.file_size, what, file)
    except UNREADABLE as error:
        if isinstance(error, CheckpointError):
            raise
        raise file.error(f"{what} cannot be read: {error}") from error
    begin = place_of(member, file)
    if begin is not None:
        return file.array(begin + offset, dtype, shape)
    return StoredArray(dtype, shape, partial(_unpacked, member, archive, offset, dtype, file))


def _header(
    source: IO[bytes], size: int, what: str, file: StoredFile
) -> tuple[int, np.dtype[Any], tuple[int, ...]]:
    """Where the values begin, their dtype and their shape, of a .npy of `size` bytes."""
    try:
        version = npy.read_magic(source)
        if version not in _HEADERS:
            raise ValueError(f"version {version} is not known")
        shape, _, dtype = _HEADERS[version](source)
    # NumPy has Python's parser read it, which has errors of its own for what is no Python.
    except Exception as error:
        raise file.error(f"{what} is no .npy file that can be read: {error}") from error
    if dtype.hasobject:
        raise file.error(f"{what} holds Python objects, as pickles, which are never loaded.")
    offset = source.tell()
    if min(shape, default=0) < 0 or offset + math.prod(shape) * dtype.itemsize != size:
        raise file.error(
            f"{what} is corrupt or cut short: an array of the shape {shape} and the dtype {dtype} "
            f"does not have the {size - offset:,} bytes that are there."
        )
    return offset, dtype, shape


def _unpacked(
    member: zipfile.ZipInfo,
    archive: zipfile.ZipFile,
    offset: int,
    dtype: np.dtype[Any],
    file: StoredFile,
) -> Iterator[NDArray[Any]]:
    """The values of a compressed array, some at a time."""
    step = max(_UNPACKED // max(dtype.itemsize, 1), 1) * dtype.itemsize
    try:
        with archive.open(member) as unpacked:
            unpacked.read(offset)
            left = member.file_size - offset
            while data := unpacked.read(step):
                left -= len(data)
                yield np.frombuffer(data, dtype)
            if left:
                raise EOFError(f"{left:,} bytes are missing.")
    except UNREADABLE as error:
        raise file.error(f"its member {member.filename!r} cannot be read: {error}") from error
