"""Data files in memory: a plain file is mapped, a gzip file is decompressed; what fails has a name.

Which of the two it is, the first bytes decide and not the name, so a renamed file reads as well.
Nothing that is written into the arrays reaches the file. A mapped file must not be shortened while
it is in use: the operating system answers an access behind the new end with SIGBUS.
"""

import gzip
import mmap
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from protocols.errors import ProtocolError
from protocols.wire import Bytes

GZIP_MAGIC = b"\x1f\x8b\x08"
"""RFC 1952: identification and the only compression method; a BinaryFILE that begins so would have
to begin with a message of 8,075 bytes."""

_CHUNK_BYTES = 1 << 20
PIECE_BYTES = 1 << 14
"""Bytes of a piece of a file that is not read as a whole: what is made from one stays in the cache
(`feedhandler decode --json` did 340 k messages/s, with pieces of 1 MiB 230 k, on 2 cores of an AMD
EPYC).
"""


class DataFileError(ProtocolError):
    """A data file that cannot be used: `path`, byte `offset` (None: the whole file), `reason`."""

    def __init__(self, path: Path, offset: int | None, reason: str) -> None:
        where = "" if offset is None else f" at byte {offset}"
        super().__init__(f"{path}{where}: {reason}")
        self.path = path
        self.offset = offset
        self.reason = reason


def load_bytes(path: Path) -> Bytes:
    """The whole file as a u8[n] that nothing writes back, decompressed if it is gzip.

    Raises:
        DataFileError: missing, unreadable, empty, or damaged or truncated gzip (the offset is then
            in the decompressed data, where the good part ends).
    """
    buf, fault = load_readable_bytes(path)
    if fault is not None:
        raise fault
    return buf


def load_readable_bytes(path: Path) -> tuple[Bytes, DataFileError | None]:
    """Like `load_bytes`, but what a damaged gzip file gives before the damage is kept.

    Returns: (u8[n], None), or (the bytes before the damage, the error that says where and what).

    Raises:
        DataFileError: missing, unreadable, empty, or gzip without one byte before the damage.
    """
    with _opened(path) as (file, is_gzip):
        if is_gzip:
            data, fault = _decompress(path, file, sys.maxsize)
            return np.frombuffer(data, np.uint8), fault
        # Copy on write: a read-only array would be a type of its own to every kernel, compiled a
        # second time.
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        return np.frombuffer(mapped, np.uint8), None


def load_head(path: Path, size_bytes: int) -> bytes:
    """The first `size_bytes` of the file, decompressed if it is gzip; fewer if there are no more.

    Raises:
        DataFileError: as `load_readable_bytes`.
    """
    with _opened(path) as (file, is_gzip):
        if is_gzip:
            return bytes(_decompress(path, file, size_bytes)[0][:size_bytes])
        return file.read(size_bytes)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, bool]]:
    """The file, which holds at least one byte, at its start, and whether it is gzip."""
    try:
        # Looked at before it is opened: to open a pipe without a writer waits for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            kind = "a directory" if path.is_dir() else "no regular file"
            raise DataFileError(path, None, f"cannot be read: it is {kind}; give a file on a disk")
        with path.open("rb") as file:
            head = file.read(len(GZIP_MAGIC))
            file.seek(0)
            if not head:
                raise DataFileError(path, 0, "the file is empty")
            if path.suffix == ".gz" and head != GZIP_MAGIC:
                raise DataFileError(path, 0, "named .gz, but it does not begin like a gzip file")
            yield file, head == GZIP_MAGIC
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataFileError(path, None, f"cannot be read: {reason}") from error


def _decompress(
    path: Path, file: BinaryIO, enough_bytes: int
) -> tuple[bytearray, DataFileError | None]:
    """Decompressed data (1 byte or more, `enough_bytes` if there are), and what stopped it."""
    data = bytearray()
    fault = None
    try:
        for chunk in unzip(path, file, _CHUNK_BYTES):
            data += chunk
            if len(data) >= enough_bytes:
                break
    except DataFileError as error:
        fault = error
    except MemoryError as error:
        reason = "does not fit in memory: unpack it first, a plain file is mapped"
        raise DataFileError(path, len(data), reason) from error
    if not data:
        raise fault or DataFileError(path, 0, "the gzip file holds no data")
    return data, fault


def read_pieces(path: Path) -> Iterator[bytes]:
    """The file piece by piece, decompressed if it is gzip, so that its size does not matter.

    Raises:
        DataFileError: missing, unreadable, empty, or damaged or truncated gzip; what came before
            the damage has been given then.
    """
    with _opened(path) as (file, is_gzip):
        if is_gzip:
            yield from unzip(path, file, PIECE_BYTES)
        else:
            while piece := file.read(PIECE_BYTES):
                yield piece


def unzip(path: Path, file: BinaryIO, piece_bytes: int) -> Iterator[bytes]:
    """The decompressed data of an open gzip file in pieces of up to so many bytes; `path` is its
    name in errors.

    Raises:
        DataFileError: damaged or truncated; what came before the damage has been given then.
    """
    size_bytes = 0
    try:
        with gzip.GzipFile(fileobj=file) as unzipped:
            while piece := unzipped.read1(piece_bytes):
                size_bytes += len(piece)
                yield piece
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        reason = f"gzip data end early or are damaged ({error})"
        raise DataFileError(path, size_bytes, reason) from error
