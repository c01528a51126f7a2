"""Which format a checkpoint has."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from gangplank.checkpoints.checkpoint import Checkpoint, CheckpointError, path_in_words
from gangplank.checkpoints.hdf5 import hdf5_file, keras_file
from gangplank.checkpoints.numpy_files import npy_file, npz_file
from gangplank.checkpoints.safetensors import INDEX, safetensors, sharded_safetensors
from gangplank.checkpoints.stored_file import StoredFile

_FORMATS: dict[str, Callable[[Path], AbstractContextManager[Checkpoint]]] = {
    ".keras": keras_file,
    ".h5": hdf5_file,
    ".hdf5": hdf5_file,
    INDEX: sharded_safetensors,
    ".safetensors": safetensors,
    ".npz": npz_file,
    ".npy": npy_file,
}

_PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")


def open_checkpoint(path: Path | str) -> AbstractContextManager[Checkpoint]:
    """The checkpoint in a file, for a `with` block: its arrays can be read inside of it.

    No framework is loaded, no pickle, and of the values only what is being counted is in memory at
    a time: some MB for each core, or a whole chunk of an HDF5 that has compressed ones. The file
    must not be cut short meanwhile: it is mapped, and that would end the process (SIGBUS).

    Arguments:
        path: of a `.keras`, `.weights.h5`, `.h5`, `.hdf5`, `.safetensors`,
            `.safetensors.index.json` (then of several files), `.npz` or `.npy`.

    Raises:
        CheckpointError: there is no such file, it is none of these, or a corrupt one; where its
            values are at fault, when they are read.
    """
    path = Path(path)
    for suffix, opened in _FORMATS.items():
        if path.name.lower().endswith(suffix):
            return opened(path)
    StoredFile(path).close()  # it tells of what is no file, whatever the name
    advice = ""
    if path.suffix.lower() in _PICKLES:
        advice = " Such files may hold pickles, which are never loaded: save it as .safetensors."
    raise CheckpointError(
        f"{path_in_words(path)}: its name ends in none of {', '.join(_FORMATS)}, and so its format "
        f"is not known.{advice}"
    )
