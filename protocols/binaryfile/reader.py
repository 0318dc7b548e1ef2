"""Data files in memory: a plain file is mapped, gzip and zstd are decompressed; what fails has a
name.

Which of them it is, the first bytes decide and not the name, so a renamed file reads as well.
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
from typing import BinaryIO, Literal

import numpy as np
import zstandard

from protocols.errors import ProtocolError
from protocols.wire import Bytes

GZIP_MAGIC = b"\x1f\x8b\x08"
"""RFC 1952: identification and the only compression method; a BinaryFILE that begins so would have
to begin with a message of 8,075 bytes."""

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
"""RFC 8878, 3.1.1: magic number of a frame."""

_CHUNK_BYTES = 1 << 20
PIECE_BYTES = 1 << 14
"""Bytes of a piece of a file that is not read as a whole: what is made from one stays in the cache
(`feedhandler decode --json` did 340 k messages/s, with pieces of 1 MiB 230 k, on 2 cores of an AMD
EPYC).
"""
_ZSTD_CHUNK_BYTES = 1 << 12
"""Compressed bytes at a time: four of them may become a block of 128 KiB."""

Packing = Literal["plain", "gzip", "zstd"]
_SUFFIXES: dict[str, Packing] = {".gz": "gzip", ".zst": "zstd"}


class DataFileError(ProtocolError):
    """A data file that cannot be used: `path`, byte `offset` (None: the whole file), `reason`."""

    def __init__(self, path: Path, offset: int | None, reason: str) -> None:
        where = "" if offset is None else f" at byte {offset}"
        super().__init__(f"{path}{where}: {reason}")
        self.path = path
        self.offset = offset
        self.reason = reason

    def again(self) -> "DataFileError":
        """The same, to be raised where this one is kept: its traceback leads to what keeps it, and
        the file's bytes would stay in memory until the garbage collector finds the circle.
        """
        return DataFileError(self.path, self.offset, self.reason)


def load_bytes(path: Path) -> Bytes:
    """The whole file as a u8[n] that nothing writes back, decompressed if it is gzip or zstd.

    Raises:
        DataFileError: missing, unreadable, empty, or compressed and damaged or cut (the offset is
            then in the decompressed data, where the good part ends).
    """
    buf, fault = load_readable_bytes(path)
    if fault is not None:
        raise fault.again()
    return buf


def load_readable_bytes(path: Path) -> tuple[Bytes, DataFileError | None]:
    """Like `load_bytes`, but what a damaged compressed file gives before the damage is kept.

    Returns: (u8[n], None), or (the bytes before the damage, the error that says where and what).

    Raises:
        DataFileError: missing, unreadable, empty, or compressed without one byte before the damage.
    """
    with _opened(path) as (file, packing):
        if packing != "plain":
            data, fault = _decompress(path, file, packing, sys.maxsize)
            return np.frombuffer(data, np.uint8), fault
        # Copy on write: a read-only array would be a type of its own to every kernel, compiled a
        # second time.
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        return np.frombuffer(mapped, np.uint8), None


def load_head(path: Path, size_bytes: int) -> bytes:
    """The first `size_bytes` of the file, decompressed if it is packed; fewer if there are no more.

    Raises:
        DataFileError: as `load_readable_bytes`.
    """
    with _opened(path) as (file, packing):
        if packing != "plain":
            return bytes(_decompress(path, file, packing, size_bytes)[0][:size_bytes])
        return file.read(size_bytes)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, Packing]]:
    """The file, which holds at least one byte, at its start, and how it is packed."""
    try:
        # Looked at before it is opened: to open a pipe without a writer waits for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            kind = "a directory" if path.is_dir() else "no regular file"
            raise DataFileError(path, None, f"cannot be read: it is {kind}; give a file on a disk")
        with path.open("rb") as file:
            head = file.read(len(ZSTD_MAGIC))
            file.seek(0)
            if not head:
                raise DataFileError(path, 0, "the file is empty")
            packing = packing_of(head)
            if packing != _SUFFIXES.get(path.suffix, packing):
                reason = f"named {path.suffix}, but it does not begin like such a file"
                raise DataFileError(path, 0, reason)
            yield file, packing
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataFileError(path, None, f"cannot be read: {reason}") from error


def packing_of(head: bytes) -> Packing:
    """How a file that begins with `head` (4 bytes or more, or all of it) is packed."""
    if head.startswith(GZIP_MAGIC):
        return "gzip"
    return "zstd" if head.startswith(ZSTD_MAGIC) else "plain"


def _decompress(
    path: Path, file: BinaryIO, packing: Packing, enough_bytes: int
) -> tuple[bytearray, DataFileError | None]:
    """Decompressed data (1 byte or more, `enough_bytes` if there are), and what stopped it."""
    data = bytearray()
    fault = None
    try:
        for piece in unpack(path, file, packing, _CHUNK_BYTES):
            data += piece
            if len(data) >= enough_bytes:
                break
    except DataFileError as error:
        fault = error
    except MemoryError as error:
        reason = "does not fit in memory: unpack it first, a plain file is mapped"
        raise DataFileError(path, len(data), reason) from error
    if not data:
        raise fault or DataFileError(path, 0, f"the {packing} file holds no data")
    return data, fault


def read_pieces(path: Path) -> Iterator[bytes]:
    """The file piece by piece, decompressed if it is packed, so that its size does not matter.

    Raises:
        DataFileError: missing, unreadable, empty, or damaged or truncated; what came before the
            damage has been given then.
    """
    with _opened(path) as (file, packing):
        if packing != "plain":
            yield from unpack(path, file, packing, PIECE_BYTES)
        else:
            while piece := file.read(PIECE_BYTES):
                yield piece


def unpack(path: Path, file: BinaryIO, packing: Packing, piece_bytes: int) -> Iterator[bytes]:
    """The decompressed data of an open packed file in pieces of about so many bytes; `path` is its
    name in errors.

    Raises:
        DataFileError: damaged or truncated; what came before the damage has been given then.
    """
    size_bytes = 0
    try:
        for piece in _gunzip(file, piece_bytes) if packing == "gzip" else _unzstd(file):
            size_bytes += len(piece)
            yield piece
    except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
        reason = f"{packing} data end early or are damaged ({error})"
        raise DataFileError(path, size_bytes, reason) from error


def _gunzip(file: BinaryIO, piece_bytes: int) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=file) as unzipped:
        while chunk := unzipped.read1(piece_bytes):
            yield chunk


def _unzstd(file: BinaryIO) -> Iterator[bytes]:
    """The frames one after another; EOFError where the file ends within one.

    The library's own file object takes a cut file for a whole one.
    """
    decompressor = zstandard.ZstdDecompressor()
    packed = file.read(_ZSTD_CHUNK_BYTES)
    while packed:
        frame = decompressor.decompressobj()
        while not frame.eof:
            if not packed:
                raise EOFError("within a frame")
            if piece := frame.decompress(packed):
                yield piece
            packed = frame.unused_data if frame.eof else file.read(_ZSTD_CHUNK_BYTES)
        packed = packed or file.read(_ZSTD_CHUNK_BYTES)
