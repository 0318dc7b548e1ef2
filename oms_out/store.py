"""Append-only store of one FIX session on disk; survives a kill at any byte.

    messages.log   header "FIXSTORE" "0001", then records:
                   length u32 | crc32 u32 (of length, seq, bytes) | seq u64 | bytes
                   a session message has length 0: its number is used, nothing is sent again
    incoming.seq   two slots, mapped, written in turn:
                   next expected number u64 | crc32 u32 | unused u32

All integers are big-endian.

A torn record at the end is cut off on opening; a damaged one in the middle is kept as a number with
nothing to send again, and counted. Memory: one offset for every 64 messages. `write` puts bytes
into the page cache: they survive the process, and with `fsync` also the machine.
"""

import fcntl
import mmap
import os
import struct
import zlib
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

_MAGIC = b"FIXSTORE0001"
_RECORD = struct.Struct(">IIQ")
_CHECKED = struct.Struct(">IQ")
_SLOT = struct.Struct(">QII")
_INDEX_STEP = 64
_BLOCK_BYTES = 65_536
# A torn tail is part of one write, and a write is one batch of signals; more than this behind a bad
# record is damage.
_TORN_BYTES_MAX = 1 << 20


class StoreError(OSError):
    """The store cannot be used; the message says which file, where, and what to do."""


def _crc(length: int, seq: int, message: bytes) -> int:
    return zlib.crc32(message, zlib.crc32(_CHECKED.pack(length, seq)))


class FileStore:
    """A `protocols.fix.store.MessageStore` in a folder; one process at a time.

    `damaged_count` records whose checksum is wrong, `cut_bytes` of a torn tail, `last_message` the
    newest application message.
    """

    def __init__(self, folder: Path, *, fsync: bool = False) -> None:
        """Open or create; StoreError when open elsewhere, or more is wrong than a torn tail."""
        self.folder = folder
        self.damaged_count = 0
        self.cut_bytes = 0
        self.last_message = b""
        self._fsync = fsync
        self._index = array("q")
        self._slot = 1
        self._next_incoming = 1
        self._next_outgoing = 1
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / "messages.log"
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._lock()
            self._size = self._recover()
            self._incoming = self._open_incoming()
        except BaseException:
            os.close(self._fd)
            raise

    @property
    def next_outgoing(self) -> int:
        """Number that the next sent message gets."""
        return self._next_outgoing

    @property
    def last_used_ns(self) -> int:
        """When something was written last, by the file's own time; 0 when nothing ever was."""
        is_new = self._next_outgoing == self._next_incoming == 1
        return 0 if is_new else os.fstat(self._fd).st_mtime_ns

    @property
    def next_incoming(self) -> int:
        """Number that the next received message should have."""
        return self._next_incoming

    def append(self, messages: Sequence[bytes]) -> None:
        """Keep messages under the next numbers, all or none; OSError when the disk refuses."""
        parts: list[bytes] = []
        offset, seq = self._size, self._next_outgoing
        offsets: list[int] = []
        for message in messages:
            if (seq - 1) % _INDEX_STEP == 0:
                offsets.append(offset)
            length = len(message)
            parts += (_RECORD.pack(length, _crc(length, seq, message), seq), message)
            offset += _RECORD.size + length
            seq += 1
        self._write(b"".join(parts))
        self._size, self._next_outgoing = offset, seq
        self._index.extend(offsets)
        self.last_message = next((kept for kept in reversed(messages) if kept), self.last_message)

    def read(self, first_seq: int, last_seq: int) -> Iterator[tuple[int, bytes]]:
        """(number, message) in order; empty bytes for a session message or a damaged record."""
        first_seq, last_seq = max(1, first_seq), min(last_seq, self._next_outgoing - 1)
        if first_seq > last_seq:
            return
        step = (first_seq - 1) // _INDEX_STEP
        start = step * _INDEX_STEP + 1
        records = self._records(self._index[step], self._size, start)
        for seq, (_, _, message) in enumerate(records, start):
            if seq > last_seq:
                return
            if seq >= first_seq:
                yield seq, message or b""

    def set_next_incoming(self, seq: int) -> None:
        """Remember what was received, in the older of two slots: a torn write leaves the other."""
        self._slot ^= 1
        packed = struct.pack(">Q", seq)
        _SLOT.pack_into(self._incoming, self._slot * _SLOT.size, seq, zlib.crc32(packed), 0)
        self._next_incoming = seq

    def reset(self) -> None:
        """Forget everything: both numbers are 1."""
        os.ftruncate(self._fd, len(_MAGIC))
        self._size, self._next_outgoing = len(_MAGIC), 1
        self.last_message = b""
        del self._index[:]
        # Both slots: after a crash the higher of two valid ones counts.
        for _ in range(2):
            self.set_next_incoming(1)

    def close(self) -> None:
        """Write what the system still holds and release the folder."""
        if self._fd >= 0:
            self._incoming.flush()
            self._incoming.close()
            os.close(self._fd)
            self._fd = -1

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            text = (
                f"{self._path}: another process has this store open; stop it or use another folder"
            )
            raise StoreError(text) from error

    def _write(self, data: bytes) -> None:
        try:
            written = os.pwrite(self._fd, data, self._size)
            while written < len(data):
                written += os.pwrite(self._fd, data[written:], self._size + written)
            if self._fsync:
                os.fdatasync(self._fd)
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise

    def _recover(self) -> int:
        """Read all records, cut a torn tail off, and give the size of what is good."""
        size = os.fstat(self._fd).st_size
        magic = os.pread(self._fd, len(_MAGIC), 0)
        if magic != _MAGIC:
            if not _MAGIC.startswith(magic):
                raise StoreError(
                    f"{self._path}: no message store; move it away or use another folder"
                )
            os.pwrite(self._fd, _MAGIC, 0)
            return len(_MAGIC)
        good = len(_MAGIC)
        for offset, end, message in self._records(good, size, 1):
            if (self._next_outgoing - 1) % _INDEX_STEP == 0:
                self._index.append(offset)
            self._next_outgoing += 1
            self.last_message = message or self.last_message
            self.damaged_count += message is None
            good = end
        if size - good > _TORN_BYTES_MAX:
            raise StoreError(
                f"{self._path}: damaged at byte {good} with {size - good} bytes behind it; "
                "restore it, or move it away and agree on ResetSeqNumFlag with the peer"
            )
        self.cut_bytes = size - good
        os.ftruncate(self._fd, good)
        return good

    def _records(self, offset: int, stop: int, seq: int) -> Iterator[tuple[int, int, bytes | None]]:
        """(start, end, message) of each record from number `seq`, up to a torn one.

        The message is None for a damaged record.
        """
        block, block_at = b"", offset
        while offset + _RECORD.size <= stop:
            if offset + _RECORD.size > block_at + len(block):
                block, block_at = os.pread(self._fd, _BLOCK_BYTES, offset), offset
            length, crc, stored_seq = _RECORD.unpack_from(block, offset - block_at)
            end = offset + _RECORD.size + length
            if end > stop:
                return
            if end > block_at + len(block):
                block_bytes = max(_BLOCK_BYTES, end - offset)
                block, block_at = os.pread(self._fd, block_bytes, offset), offset
            message = block[offset - block_at + _RECORD.size : end - block_at]
            if stored_seq == seq and crc == _crc(length, seq, message):
                yield offset, end, message
            elif self._ends_a_record(end, stop, seq, stored_seq):
                yield offset, end, None
            else:
                return
            offset, seq = end, seq + 1

    def _ends_a_record(self, end: int, stop: int, seq: int, stored_seq: int) -> bool:
        """True when a bad record has its right length: damaged, not torn; its number was used."""
        if end == stop:
            return stored_seq == seq
        following = os.pread(self._fd, _RECORD.size, end)
        if len(following) < _RECORD.size:
            return False
        length, _, following_seq = _RECORD.unpack(following)
        return bool(following_seq == seq + 1 and end + _RECORD.size + length <= stop)

    def _open_incoming(self) -> mmap.mmap:
        path = self.folder / "incoming.seq"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(fd).st_size != 2 * _SLOT.size:
                os.ftruncate(fd, 2 * _SLOT.size)
            # A hole in a mapped file on a full disk would kill the process at its first write.
            os.posix_fallocate(fd, 0, 2 * _SLOT.size)
            mapped = mmap.mmap(fd, 2 * _SLOT.size)
        finally:
            os.close(fd)
        for slot in (0, 1):
            seq, crc, _ = _SLOT.unpack_from(mapped, slot * _SLOT.size)
            if seq >= self._next_incoming and crc == zlib.crc32(struct.pack(">Q", seq)):
                self._next_incoming, self._slot = seq, slot
        return mapped
