"""A file, and pieces of it, of which only a few are in memory at a time."""

import io
import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from gangplank._native import StoredArray
from gangplank.checkpoints.checkpoint import CheckpointError, path_in_words

# Two of them are mapped at a time at most, and one keeps two threads busy for milliseconds.
WINDOW = 1 << 24

# To map less takes longer than to copy it.
SMALL = 1 << 16

# Characters of a message, which may quote what is wrong.
LONGEST_LINE = 400


class StoredFile:
    """A file that is open for reading, until it is closed.

    Arguments:
        path: of the file.
        file: what is open already, of which `path` is the name in messages.

    Attributes:
        path: as it was passed.
        size: in bytes, when it was opened.

    Raises:
        CheckpointError: there is no such file, or it is none that can be read.
    """

    def __init__(self, path: Path, file: IO[bytes] | None = None) -> None:
        self.path = path
        try:
            if file is None and not stat.S_ISREG(path.stat().st_mode):
                kind = "a folder" if path.is_dir() else "no regular file"
                raise self.error(f"it is {kind}. Pass the file that has the weights.")
            self._file = path.open("rb", buffering=0) if file is None else file
            self.size = os.fstat(self._file.fileno()).st_size
        except (OSError, ValueError) as error:  # ValueError where the path has a null character
            if isinstance(error, CheckpointError):
                raise
            raise self.error(getattr(error, "strerror", None) or str(error)) from error
        # A file system may take no advice, nor does macOS.
        with suppress(OSError, AttributeError):
            os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)

    def close(self) -> None:
        """Closes the file; arrays of it cannot be read any more."""
        self._file.close()

    def __enter__(self) -> "StoredFile":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def error(self, problem: str) -> CheckpointError:
        """The error of this file that has such a problem, in one line."""
        line = " ".join(problem.split())
        if len(line) > LONGEST_LINE:
            line = f"{line[: LONGEST_LINE // 2]} … {line[-LONGEST_LINE // 2 :]}"
        return CheckpointError(f"{path_in_words(self.path)}: {line}")

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` on, or fewer where the file ends."""
        parts = []
        try:
            while size > 0 and (part := os.pread(self._file.fileno(), size, offset)):
                parts.append(part)
                offset, size = offset + len(part), size - len(part)
        except OSError as error:
            raise self.error(f"it cannot be read: {error.strerror}.") from error
        return b"".join(parts)

    def part(self, offset: int, size: int) -> io.BufferedReader:
        """The `size` bytes from `offset` on as a file of their own."""
        return io.BufferedReader(_Part(self, offset, size))

    def array(self, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> StoredArray:
        """The array that lies in the file from `offset` on."""
        stored = StoredArray(dtype, shape, lambda: self._pieces(offset, stored))
        return stored

    def _pieces(self, offset: int, stored: StoredArray) -> Iterator[NDArray[Any]]:
        itemsize = stored.dtype.itemsize
        step = WINDOW // itemsize
        for start in range(0, stored.size, step):
            size = min(step, stored.size - start)
            yield self._piece(offset + start * itemsize, size, stored.dtype)

    def _piece(self, offset: int, size: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        begin = offset - offset % mmap.ALLOCATIONGRANULARITY
        length = size * dtype.itemsize
        try:
            if length <= SMALL:
                return np.frombuffer(self.read(offset, length), dtype, size)
            # Also refuses what the file does not have any more, which it would be fatal to look at.
            end = offset + length
            window = mmap.mmap(
                self._file.fileno(), end - begin, access=mmap.ACCESS_READ, offset=begin
            )
        except (OSError, ValueError) as error:
            raise self.error(f"it could not be read to its end ({error}).") from error
        return np.frombuffer(window, dtype, size, offset - begin)


class _Part(io.RawIOBase):
    """A part of a file as a file of its own."""

    def __init__(self, file: StoredFile, offset: int, size: int) -> None:
        self._file = file
        self._offset = offset
        self._size = size
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError(f"a place before the begin of {self._file.path}")
        self._place = base + offset
        return self._place

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        size = max(min(len(view), self._size - self._place), 0)
        data = self._file.read(self._offset + self._place, size)
        view[: len(data)] = data
        self._place += len(data)
        return len(data)
