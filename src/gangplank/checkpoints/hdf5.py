"""Files that Keras saves: HDF5, as it is or as a member of a `.keras`."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from shutil import copyfileobj
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from gangplank import _native
from gangplank.checkpoints.archive import UNREADABLE, checked_member, opened_archive, place_of
from gangplank.checkpoints.checkpoint import Checkpoint, CheckpointError
from gangplank.checkpoints.stored_file import StoredFile
from gangplank.weights import is_optimizer

WEIGHTS = "model.weights.h5"

# Keras 2 has the weights in this group, and those of the optimizer in another one.
_OLD_WEIGHTS = "model_weights"

_DEEPEST = 100  # groups inside of one another


@contextmanager
def hdf5_file(path: Path) -> Iterator[Checkpoint]:
    """The checkpoint in a `.weights.h5`, or in the `.h5` of a whole model.

    Raises:
        CheckpointError: it is no HDF5, or a corrupt one.
    """
    with StoredFile(path) as file, _opened(file, 0, file.size) as checkpoint:
        yield checkpoint


@contextmanager
def keras_file(path: Path) -> Iterator[Checkpoint]:
    """The checkpoint in a `.keras`.

    Its weights are read where they lie in it. Where they are compressed, which they are not in what
    Keras saves, they are unpacked into a temporary file.

    Raises:
        CheckpointError: it is none of this format, or a corrupt one.
    """
    with ExitStack() as stack:
        file = stack.enter_context(StoredFile(path))
        archive = stack.enter_context(opened_archive(file))
        try:
            member = checked_member(archive.getinfo(WEIGHTS), file)
        except KeyError:
            raise file.error(f"it is no .keras with weights: it has no {WEIGHTS}.") from None
        begin = place_of(member, file)
        if begin is None:
            try:
                unpacked = stack.enter_context(tempfile.TemporaryFile())
                with archive.open(member) as source:
                    copyfileobj(source, unpacked)
                unpacked.flush()
            except UNREADABLE as error:
                raise file.error(f"its member {WEIGHTS!r} cannot be unpacked: {error}") from error
            file, begin = StoredFile(path, unpacked), 0
        yield stack.enter_context(_opened(file, begin, member.file_size))


@contextmanager
def _opened(file: StoredFile, begin: int, size: int) -> Iterator[Checkpoint]:
    """The checkpoint in the HDF5 that so many bytes of a file are."""
    import h5py

    with ExitStack() as stack:
        try:
            # By a file of Python's: HDF5 would open the path once more, and lock it.
            opened = stack.enter_context(h5py.File(file.part(begin, size), "r"))
            root = opened[_OLD_WEIGHTS] if _is_group(opened, _OLD_WEIGHTS) else opened
            reader = _Reader(file, begin)
            arrays = reader.arrays(root)
        except CheckpointError:
            raise
        # h5py has no error of its own: it raises what HDF5's comes the closest to.
        except Exception as error:
            raise file.error(f"it is no HDF5 that can be read: {error}") from error
        yield Checkpoint(arrays, reader.left_out)


def _is_group(group: Any, name: str) -> bool:
    import h5py

    return group.get(name, getclass=True, getlink=True) is h5py.HardLink and (
        group.get(name, getclass=True) is h5py.Group
    )


class _Reader:
    """Finds the arrays in an HDF5 file that begins at a place of another file."""

    def __init__(self, file: StoredFile, begin: int) -> None:
        self.left_out: dict[str, str] = {}
        self._file = file
        self._begin = begin
        self._met: set[int] = set()

    def arrays(self, group: Any, depth: int = 0) -> dict[str, Any]:
        """Those in a group by name, those in groups inside of it nested; each object once.

        Raises:
            CheckpointError: values are in another file, which a name in this one would open.
        """
        import h5py

        if depth > _DEEPEST:
            raise self._file.error(f"its groups are nested more than {_DEEPEST} deep.")
        found: dict[str, Any] = {}
        for name in group:
            path = f"{group.name.rstrip('/')}/{name}"
            if group.get(name, getclass=True, getlink=True) is not h5py.HardLink:
                raise self._file.error(f"{path!r} is a link, which is not followed.")
            part = group[name]
            address = h5py.h5o.get_info(part.id).addr
            if address in self._met:
                continue
            self._met.add(address)
            if isinstance(part, h5py.Group):
                inside = self.arrays(part, depth + 1)
                is_one = is_optimizer(path, inside)
                if is_one:  # which is told of as a whole, if at all
                    self._forget_beneath(path)
                if is_one and not name.endswith("optimizer"):
                    self.left_out[path] = "it begins with steps and a rate, as optimizers do"
                else:
                    found[name] = inside
            elif isinstance(part, h5py.Dataset):
                self._add(name, path, part, found)
        return found

    def _forget_beneath(self, path: str) -> None:
        for each in [each for each in self.left_out if each.startswith(f"{path}/")]:
            del self.left_out[each]

    def _add(self, name: str, path: str, dataset: Any, found: dict[str, Any]) -> None:
        if dataset.is_virtual or dataset.external:
            raise self._file.error(f"the values of {path!r} are in another file.")
        dtype_name = _native.dtype_name(dataset)
        if dataset.shape is None:  # no values at all
            return
        if not _native.is_countable(dtype_name):
            self.left_out[path] = f"its dtype is {dtype_name}"
            return
        is_bfloat16 = dtype_name == "bfloat16"
        dtype = np.dtype(ml_dtypes.bfloat16) if is_bfloat16 else dataset.dtype
        if _lies_as_it_is(dataset):
            offset = self._begin + dataset.id.get_offset()
            found[name] = self._file.array(offset, dtype, dataset.shape)
        else:
            read = partial(self._blocks, dataset, path)
            found[name] = _native.StoredArray(dtype, dataset.shape, read)

    def _blocks(self, dataset: Any, path: str) -> Iterator[NDArray[Any]]:
        try:
            for block in _native.dataset_blocks(dataset):
                yield block.ravel()
        except Exception as error:
            raise self._file.error(f"{path!r} cannot be read: {error}") from error


def _lies_as_it_is(dataset: Any) -> bool:
    """Whether the bytes of a dataset in its file are those that NumPy would have."""
    import h5py

    is_flat = dataset.id.get_offset() is not None  # neither in chunks nor compressed
    is_whole = dataset.id.get_storage_size() == dataset.size * dataset.dtype.itemsize
    # Of a float of HDF5 that NumPy does not have h5py tells the dtype to which it converts it.
    return is_flat and is_whole and dataset.id.get_type() == h5py.h5t.py_create(dataset.dtype)
