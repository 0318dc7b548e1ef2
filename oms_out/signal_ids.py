"""The highest signal id that any OMS may have seen, in a file that outlives every session: an id is
a ClOrdID, and one that comes twice is another order to an OMS.

    signal-ids      two slots, mapped, written in turn:
                    write u64 | last u64 | reserved u64 | boot id 16 bytes | crc32 u32 of these |
                    unused u32

The slot of the later write counts; all integers are big-endian. `last` is noted before a signal is
sent and survives a killed process, as the page cache does. A power cut may take it back, but
`reserved` is on the disk before an id beyond it is used: after a new start of the machine ids go on
there, and those in between are left out.
"""

import mmap
import os
import struct
import zlib
from pathlib import Path

from oms_out.store import StoreError

_SLOT = struct.Struct(">QQQ16sII")
_CHECKED = struct.Struct(">QQQ16s")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
BLOCK_IDS = 65_536
"""Ids reserved at a time: one write to the disk for so many signals."""


def read_boot_id() -> bytes:
    """16 bytes that are others after each start of the machine; zeros where nobody tells."""
    try:
        return bytes.fromhex(_BOOT_ID.read_text().strip().replace("-", ""))
    except (OSError, ValueError):
        return bytes(16)


class SignalIds:
    """The mark of one store folder, whose sessions keep other processes out.

    `is_new` when no id was ever noted here.
    """

    def __init__(self, path: Path, boot_id: bytes) -> None:
        """Open or create; StoreError when the file holds something else."""
        self._boot_id = boot_id
        self._writes = self._last = self._reserved = 0
        self._mapped = _map_file(path)
        self.is_new = not any(self._mapped[:])
        slots = [self._read_slot(slot) for slot in (0, 1)]
        found = [slot for slot in slots if slot is not None]
        if found:
            self._writes, last, reserved, known_boot_id = max(found)
            is_same_boot = known_boot_id == boot_id and any(boot_id)
            self._last = last if is_same_boot else reserved
        elif not self.is_new:
            raise StoreError(
                f"{path}: damaged; restore it, or move it away and the stores beside it with it"
            )

    @property
    def last(self) -> int:
        """The highest id that may have left."""
        return self._last

    def note(self, last: int) -> None:
        """Ids up to `last` are about to leave; OSError when no block of them can be reserved."""
        self._last = max(last, self._last)
        if self._last < self._reserved:
            self._write_slot()
        else:
            self._reserve_block()

    def reserve_ahead(self) -> int:
        """Ids below this may leave before they are noted; another block is reserved in good time.
        OSError when that fails.
        """
        if self._reserved - self._last < BLOCK_IDS // 2:
            self._reserve_block()
        return self._reserved

    def close(self) -> None:
        """Nothing leaves any more: give back what was reserved and not used."""
        self._reserved = self._last
        self._write_slot()
        self._mapped.flush()
        self._mapped.close()

    def _reserve_block(self) -> None:
        reserved, self._reserved = self._reserved, self._last + BLOCK_IDS
        try:
            self._write_slot()
            self._mapped.flush()
        except OSError:
            self._reserved = reserved
            raise

    def _read_slot(self, slot: int) -> tuple[int, int, int, bytes] | None:
        writes, last, reserved, boot_id, crc, _ = _SLOT.unpack_from(self._mapped, slot * _SLOT.size)
        if crc != zlib.crc32(_CHECKED.pack(writes, last, reserved, boot_id)):
            return None
        return writes, last, reserved, boot_id

    def _write_slot(self) -> None:
        """Into the older slot: a torn write leaves the other."""
        self._writes += 1
        values = (self._writes, self._last, self._reserved, self._boot_id)
        crc = zlib.crc32(_CHECKED.pack(*values))
        _SLOT.pack_into(self._mapped, (self._writes & 1) * _SLOT.size, *values, crc, 0)


def _map_file(path: Path) -> mmap.mmap:
    size_bytes = 2 * _SLOT.size
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        found_bytes = os.fstat(fd).st_size
        if found_bytes not in (0, size_bytes):
            raise StoreError(f"{path}: no file of signal ids; move it away or use another folder")
        # A hole in a mapped file on a full disk would kill the process at its first write.
        os.posix_fallocate(fd, 0, size_bytes)
        return mmap.mmap(fd, size_bytes)
    finally:
        os.close(fd)
