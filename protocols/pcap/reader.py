"""A capture file as one table of UDP datagrams over its bytes.

A damaged file is no reason to lose what came before the damage: rows up to it are valid, and
`Capture.fault` says where it is and what it is. A file that cannot be read at all is an error.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from protocols.binaryfile.reader import DataFileError, load_readable_bytes
from protocols.errors import Status
from protocols.pcap import spec
from protocols.pcap.kernels import index_pcap_nb, index_pcapng_nb
from protocols.pcap.kernels_frame import read_ordered_u32_nb
from protocols.pcap.layout import (
    INTERFACE_LINK,
    INTERFACE_RESOLUTION,
    INTERFACE_SNAPLEN,
    SECTION_INTERFACES,
    SECTION_LITTLE,
    PacketTable,
    Section,
    allocate_section,
    allocate_table,
)
from protocols.pcap.sniff import PCAP_ORDERS, PCAPNG_MAGIC
from protocols.pcap.spec import Skip
from protocols.wire import Bytes

_BATCH_ROWS = 1 << 16
_FAULTS = {
    Status.TRUNCATED: "the file ends within a record or block",
    Status.BAD_LENGTH: "a length that contradicts the rest of the record or block",
    Status.BAD_VALUE: "a section header without byte order, or of a version other than 1",
}


@dataclass(frozen=True, slots=True)
class Capture:
    """The UDP datagrams of a capture file, in its order; columns i64[datagrams] of `PacketTable`.

    `flow` numbers the distinct (dst_ip, dst_port) pairs, which `flows` lists in ascending order.
    `skipped` counts the frames without a row by reason (all of them named, most of them 0).
    """

    buf: Bytes
    ts_ns: NDArray[np.int64]
    at: NDArray[np.int64]
    size: NDArray[np.int64]
    dst_ip: NDArray[np.int64]
    dst_port: NDArray[np.int64]
    flow: NDArray[np.int64]
    flows: tuple[tuple[int, int], ...]
    skipped: dict[str, int]
    fault: DataFileError | None


def open_capture(path: Path) -> Capture:
    """Index a pcap or pcapng file, plain (mapped) or gzip (decompressed into memory).

    Raises:
        DataFileError: missing, unreadable, empty, no capture, damaged before its first record, or
            a classic file of a link type that is not supported. Later damage: see `Capture.fault`.
    """
    buf, gzip_fault = load_readable_bytes(path)
    magic = buf[:4].tobytes()
    section = allocate_section()
    if magic == PCAPNG_MAGIC:
        at, index_nb = 0, index_pcapng_nb
    elif magic in PCAP_ORDERS:
        at, index_nb = _read_file_header(path, buf, section), index_pcap_nb
    else:
        raise DataFileError(path, 0, f"begins with {magic.hex()}: neither pcap nor pcapng")
    tables = []
    skipped = np.zeros(len(Skip), np.int64)
    status = int(Status.OUTPUT_FULL)
    while status == Status.OUTPUT_FULL:
        table = allocate_table(_BATCH_ROWS)
        rows, used, status = index_nb(buf, at, section, table)
        at += used
        skipped += table.skipped
        tables.append(np.array([column[:rows] for column in table[:-1]]))
    fault = gzip_fault
    if fault is None and status != Status.OK:
        fault = DataFileError(path, int(at), _FAULTS[Status(status)])
    columns = np.concatenate(tables, axis=1)
    joined = PacketTable(columns[0], columns[1], columns[2], columns[3], columns[4], skipped)
    frames = len(joined.at) + int(skipped.sum())
    if fault is not None and frames == 0 and section.words[SECTION_INTERFACES] == 0:
        raise fault
    return _capture(buf, joined, fault)


def _capture(buf: Bytes, table: PacketTable, fault: DataFileError | None) -> Capture:
    pairs, flow = np.unique((table.dst_ip << 16) | table.dst_port, return_inverse=True)
    return Capture(
        buf=buf,
        ts_ns=table.ts_ns,
        at=table.at,
        size=table.size,
        dst_ip=table.dst_ip,
        dst_port=table.dst_port,
        flow=flow.astype(np.int64),
        flows=tuple((int(pair) >> 16, int(pair) & 0xFFFF) for pair in pairs),
        skipped={
            reason.name.lower(): int(table.skipped[reason])
            for reason in Skip
            if reason is not Skip.NONE
        },
        fault=fault,
    )


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
