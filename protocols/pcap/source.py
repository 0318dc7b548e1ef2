"""A capture file as batches of rows: the kernels over the file, and fragments put together."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocols.binaryfile.reader import DataFileError, load_readable_bytes
from protocols.errors import Status
from protocols.pcap import spec
from protocols.pcap.fragments import FragmentAssembler, FragmentLimits
from protocols.pcap.kernels import index_pcap_nb, index_pcapng_nb
from protocols.pcap.kernels_frame import add_transport_nb
from protocols.pcap.kernels_time import read_ordered_u32_nb
from protocols.pcap.layout import (
    INTERFACE_LINK,
    INTERFACE_RESOLUTION,
    INTERFACE_SNAPLEN,
    SECTION_INTERFACES,
    SECTION_LITTLE,
    Column,
    FrameTable,
    Kind,
    Section,
    allocate_section,
    allocate_table,
)
from protocols.pcap.sniff import PCAP_ORDERS, PCAPNG_MAGIC
from protocols.pcap.spec import Skip
from protocols.wire import Bytes

_BATCH_ROWS = 1 << 13
_FAULTS = {
    Status.TRUNCATED: "the file ends within a record or block",
    Status.BAD_LENGTH: "a length that contradicts the rest of the record or block",
    Status.BAD_VALUE: "a section header without byte order, or of a version other than 1",
}
_AT = int(Column.AT)
_SIZE = int(Column.SIZE)


class Frames(NamedTuple):
    """Rows i64[n, COLUMNS] of datagrams and segments; AT counts through `buf` and then `extra`,
    which holds what was put together from fragments. Valid until the next batch.
    """

    rows: NDArray[np.int64]
    buf: Bytes
    extra: bytearray

    def payload(self, row: list[int]) -> bytes:
        """The bytes that a row describes."""
        at = row[_AT]
        if at < len(self.buf):
            return self.buf[at : at + row[_SIZE]].tobytes()
        at -= len(self.buf)
        return bytes(self.extra[at : at + row[_SIZE]])


class FrameSource:
    """A capture file, opened. `skipped` (by Skip) and `fault` are those of the latest pass."""

    def __init__(self, path: Path, limits: FragmentLimits | None = None) -> None:
        """Load the file and look at its first record.

        Raises:
            DataFileError: missing, unreadable, empty, no capture, damaged before its first record,
                or a classic file of a link type that is not supported.
        """
        self.buf, self._packed_fault = load_readable_bytes(path)
        self.fault: DataFileError | None = None
        self.skipped = np.zeros(len(Skip), np.int64)
        self._path = path
        self._limits = limits
        magic = self.buf[:4].tobytes()
        self._is_pcapng = magic == PCAPNG_MAGIC
        if not self._is_pcapng and magic not in PCAP_ORDERS:
            raise DataFileError(path, 0, f"begins with {magic.hex()}: neither pcap nor pcapng")
        section = self._begin()[0]
        if self._is_pcapng:
            self._look_at_first_packet(section)

    def batches(self) -> Iterator[Frames]:
        """A pass over the file; at least one batch, the last one may be empty."""
        section, at = self._begin()
        index_nb = index_pcapng_nb if self._is_pcapng else index_pcap_nb
        assembler = FragmentAssembler(self._limits)
        self.skipped = np.zeros(len(Skip), np.int64)
        self.fault = None
        table = allocate_table(_BATCH_ROWS)
        status = int(Status.OUTPUT_FULL)
        while status == Status.OUTPUT_FULL:
            count, used, status = index_nb(self.buf, at, section, table)
            at += int(used)
            yield self._resolve(table.rows[:count], assembler)
        assembler.finish()
        self.skipped += table.skipped
        self.skipped[Skip.FRAGMENT] += assembler.dropped
        self.fault = self._fault_at(at, status)

    def _fault_at(self, at: int, status: int) -> DataFileError | None:
        if self._packed_fault is not None or status == Status.OK:
            return self._packed_fault
        return DataFileError(self._path, at, _FAULTS[Status(status)])

    def _begin(self) -> tuple[Section, int]:
        """A section as it is at the begin of the file, and where the first record or block is."""
        section = allocate_section()
        if self._is_pcapng:
            return section, 0
        return section, _read_file_header(self._path, self.buf, section)

    def _look_at_first_packet(self, section: Section) -> None:
        """Raise for damage before anything was found."""
        table = FrameTable(allocate_table(1).rows, self.skipped)
        count, used, status = index_pcapng_nb(self.buf, 0, section, table)
        fault = self._fault_at(int(used), status) if status != Status.OUTPUT_FULL else None
        if fault is not None and not count + section.words[SECTION_INTERFACES]:
            raise fault.again()
        self.skipped[:] = 0

    def _resolve(self, rows: NDArray[np.int64], assembler: FragmentAssembler) -> Frames:
        """Turn the rows of last fragments into rows of what they completed, and drop the others."""
        extra = bytearray()
        is_fragment = rows[:, Column.KIND] == Kind.FRAGMENT
        if is_fragment.any():
            frames = Frames(rows, self.buf, extra)
            keep = ~is_fragment
            for index in is_fragment.nonzero()[0].tolist():
                row = rows[index].tolist()
                whole = assembler.add(row, frames.payload(row))
                if whole is not None:
                    keep[index] = self._enter(rows[index], *whole, extra)
            rows = rows[keep]
        return Frames(rows, self.buf, extra)

    def _enter(
        self, row: NDArray[np.int64], protocol: int, payload: bytes, extra: bytearray
    ) -> bool:
        """Describe a datagram put together from fragments in the row of the last of them."""
        data = np.frombuffer(bytearray(payload), np.uint8)
        size = len(data)
        reason = add_transport_nb(data, 0, size, size, protocol, row)
        if reason != Skip.NONE:
            self.skipped[reason] += 1
            return False
        row[Column.AT] += len(self.buf) + len(extra)
        extra += payload
        return True


def _read_file_header(path: Path, buf: Bytes, section: Section) -> int:
    """Describe the only interface of a classic file; the offset of the first record."""
    if len(buf) < spec.PCAP_FILE_HEADER_BYTES:
        reason = f"a pcap file header is {spec.PCAP_FILE_HEADER_BYTES} bytes, the file {len(buf)}"
        raise DataFileError(path, len(buf), reason)
    little, resolution = PCAP_ORDERS[buf[:4].tobytes()]
    link = int(read_ordered_u32_nb(buf, spec.PCAP_LINK_AT, little)) & spec.LINK_MASK
    if link not in spec.LINKS_SUPPORTED:
        known = ", ".join(str(number) for number in spec.LINKS_SUPPORTED)
        reason = f"link type {link} is not supported (of the tcpdump.org list: {known})"
        raise DataFileError(path, spec.PCAP_LINK_AT, reason)
    section.words[SECTION_LITTLE] = little
    section.words[SECTION_INTERFACES] = 1
    interface = section.interfaces[0]
    interface[INTERFACE_LINK] = link
    interface[INTERFACE_RESOLUTION] = resolution
    interface[INTERFACE_SNAPLEN] = read_ordered_u32_nb(buf, spec.PCAP_SNAPLEN_AT, little)
    return spec.PCAP_FILE_HEADER_BYTES
