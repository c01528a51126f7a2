"""The members of a zip file: where they lie in it, and those that can be unpacked."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from gangplank.checkpoints.stored_file import StoredFile

_LOCAL_HEADER = 30  # bytes, and the name and more behind it

# What zipfile raises where an archive is corrupt, cut short, or needs what it does not have.
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    EOFError,
    ValueError,
    RuntimeError,  # a password, or (NotImplementedError) a method of compression
)


@contextmanager
def opened_archive(file: StoredFile) -> Iterator[zipfile.ZipFile]:
    """The zip file that `file` is.

    Raises:
        CheckpointError: it is none.
    """
    try:
        archive = zipfile.ZipFile(file.part(0, file.size))
    except UNREADABLE as error:
        raise file.error(f"it is no zip file, or cut short: {error}") from error
    with archive:
        yield archive


def checked_member(member: zipfile.ZipInfo, file: StoredFile) -> zipfile.ZipInfo:
    """The member, if it lies in `file` as it is or can be unpacked some bytes at a time.

    Raises:
        CheckpointError: it is packed by bzip2, LZMA or the like, which NumPy and Keras never do.
    """
    # Of these, Python's zipfile unpacks all that a piece of the file holds, which may be anything.
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise file.error(
            f"its member {member.filename!r} is compressed by another method than Deflate."
        )
    return member


def place_of(member: zipfile.ZipInfo, file: StoredFile) -> int | None:
    """Where in `file` the bytes of a member begin, if they lie there as they are.

    Raises:
        CheckpointError: they lie beyond the end.
    """
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:  # compressed, or secret
        return None
    header = file.read(member.header_offset, _LOCAL_HEADER)
    lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    begin = member.header_offset + _LOCAL_HEADER + lengths
    is_whole = member.file_size == member.compress_size and begin + member.file_size <= file.size
    if len(header) < _LOCAL_HEADER or header[:4] != b"PK\3\4" or not is_whole:
        raise file.error(f"its member {member.filename!r} does not lie where the archive says.")
    return begin
