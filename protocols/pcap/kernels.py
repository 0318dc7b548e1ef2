"""Index of what a capture file holds of UDP and TCP, as kernels: nothing is copied, rows say where.

Both kernels go on where they stopped: call again behind the bytes used, with room in a table. They
stop for good at the first damaged record or block, because nothing says where the next begins.
Sources: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng; offsets are frozen from `spec.py`.
"""

import numpy as np
from numpy.typing import NDArray

from protocols.errors import Status
from protocols.jit import kernel
from protocols.pcap import spec
from protocols.pcap.kernels_frame import add_frame_nb
from protocols.pcap.kernels_time import (
    NS_PER_S,
    read_ordered_u16_nb,
    read_ordered_u32_nb,
    ticks_to_ns_nb,
)
from protocols.pcap.layout import (
    INTERFACE_LINK,
    INTERFACE_OFFSET_S,
    INTERFACE_RESOLUTION,
    INTERFACE_SNAPLEN,
    INTERFACES_MAX,
    SECTION_INTERFACES,
    SECTION_LITTLE,
    Column,
    FrameTable,
    Kind,
    Section,
)
from protocols.pcap.spec import Skip
from protocols.wire import Bytes, read_u32_nb

OK = int(Status.OK)
TRUNCATED = int(Status.TRUNCATED)
BAD_LENGTH = int(Status.BAD_LENGTH)
BAD_VALUE = int(Status.BAD_VALUE)
OUTPUT_FULL = int(Status.OUTPUT_FULL)
_SKIP_UNKNOWN_INTERFACE = int(Skip.UNKNOWN_INTERFACE)
DATAGRAM_COLUMNS = (
    Column.TS_NS,
    Column.AT,
    Column.SIZE,
    Column.TARGET_HIGH,
    Column.TARGET_LOW,
    Column.PORTS,
)
"""What `copy_datagrams_nb` copies, in this order."""


@kernel
def index_pcap_nb(
    buf: Bytes, start: int, section: Section, table: FrameTable
) -> tuple[int, int, int]:
    """Find datagrams, segments and fragments in the records of a classic capture, `buf[start:]`.

    Shapes:  buf u8[n], start at a record (not at the file header); section with its only interface
             filled in from the file header; table of m rows, filled from row 0.
    Returns: (rows, bytes used, status); rows are whole whatever the status.
        OK           the last record ends with the file
        TRUNCATED    the file ends within the record at `start + bytes used`
        BAD_LENGTH   the record there claims more bytes than any capture has: damage
        OUTPUT_FULL  more records follow: call again at `start + bytes used`
    """
    little = section.words[SECTION_LITTLE]
    interface = section.interfaces[0]
    link = interface[INTERFACE_LINK]
    subsecond_ns = 1000 if interface[INTERFACE_RESOLUTION] == spec.RESOLUTION_US else 1
    captured_max = max(interface[INTERFACE_SNAPLEN], spec.FRAME_BYTES_MAX)
    end = np.int64(buf.shape[0])
    at = np.int64(start)
    rows = np.int64(0)
    status = OK
    while at < end:
        if at + spec.PCAP_RECORD_HEADER_BYTES > end:
            status = TRUNCATED
            break
        captured = read_ordered_u32_nb(buf, at + spec.PCAP_CAPTURED_AT, little)
        if captured > captured_max:
            status = BAD_LENGTH
            break
        frame_at = at + spec.PCAP_RECORD_HEADER_BYTES
        if frame_at + captured > end:
            status = TRUNCATED
            break
        if rows == table.rows.shape[0]:
            status = OUTPUT_FULL
            break
        wire = read_ordered_u32_nb(buf, at + spec.PCAP_WIRE_AT, little)
        if add_frame_nb(buf, frame_at, captured, wire, link, table, rows):
            subsecond = read_ordered_u32_nb(buf, at + spec.PCAP_SUBSECOND_AT, little)
            seconds = read_ordered_u32_nb(buf, at, little)
            table.rows[rows, Column.TS_NS] = seconds * NS_PER_S + subsecond * subsecond_ns
            rows += 1
        at = frame_at + captured
    return rows, at - start, status


@kernel
def _begin_section_nb(buf: Bytes, at: int, section: Section) -> int:
    """Byte order of the section at `at`; forgets the interfaces of the one before."""
    magic = read_u32_nb(buf, at + spec.SECTION_ORDER_AT)
    if magic == spec.BYTE_ORDER_MAGIC:
        little = 0
    elif read_ordered_u32_nb(buf, at + spec.SECTION_ORDER_AT, 1) == spec.BYTE_ORDER_MAGIC:
        little = 1
    else:
        return BAD_VALUE
    version = read_ordered_u16_nb(buf, at + spec.SECTION_VERSION_AT, little)
    if version != spec.SECTION_VERSION_MAJOR:
        return BAD_VALUE
    section.words[SECTION_LITTLE] = little
    section.words[SECTION_INTERFACES] = 0
    return OK


@kernel
def _block_length_nb(buf: Bytes, at: int, section: Section) -> tuple[int, int]:
    """Length of the block at `at`, and a status; a section header begins its section here."""
    remaining = buf.shape[0] - at
    if remaining < spec.BLOCK_OVERHEAD_BYTES:
        return 0, TRUNCATED
    minimum = spec.BLOCK_OVERHEAD_BYTES
    if read_u32_nb(buf, at) == spec.BLOCK_SECTION:
        if remaining < spec.SECTION_BYTES_MIN:
            return 0, TRUNCATED
        minimum = spec.SECTION_BYTES_MIN
        status = _begin_section_nb(buf, at, section)
        if status != OK:
            return 0, status
    little = section.words[SECTION_LITTLE]
    block_type = read_ordered_u32_nb(buf, at, little)
    if block_type == spec.BLOCK_INTERFACE:
        minimum = spec.INTERFACE_BYTES_MIN
    elif block_type in (spec.BLOCK_ENHANCED_PACKET, spec.BLOCK_PACKET_OBSOLETE):
        minimum = spec.PACKET_BYTES_MIN
    elif block_type == spec.BLOCK_SIMPLE_PACKET:
        minimum = spec.SIMPLE_BYTES_MIN
    length = read_ordered_u32_nb(buf, at + spec.BLOCK_LENGTH_AT, little)
    if length < minimum or length & 3:
        return 0, BAD_LENGTH
    if length > remaining:
        return 0, TRUNCATED
    if read_ordered_u32_nb(buf, at + length - 4, little) != length:
        return 0, BAD_LENGTH
    return length, OK


@kernel
def _add_interface_nb(buf: Bytes, at: int, length: int, section: Section) -> int:
    """Remember the interface description block at `at`; BAD_LENGTH when its options run over."""
    little = section.words[SECTION_LITTLE]
    index = section.words[SECTION_INTERFACES]
    section.words[SECTION_INTERFACES] = index + 1
    if index >= INTERFACES_MAX:
        return OK
    interface = section.interfaces[index]
    interface[INTERFACE_LINK] = read_ordered_u16_nb(buf, at + spec.INTERFACE_LINK_AT, little)
    interface[INTERFACE_SNAPLEN] = read_ordered_u32_nb(buf, at + spec.INTERFACE_SNAPLEN_AT, little)
    interface[INTERFACE_RESOLUTION] = spec.RESOLUTION_US
    interface[INTERFACE_OFFSET_S] = 0
    option_at = at + spec.INTERFACE_OPTIONS_AT
    stop = at + length - 4
    while option_at + 4 <= stop:
        code = read_ordered_u16_nb(buf, option_at, little)
        size = read_ordered_u16_nb(buf, option_at + 2, little)
        value_at = option_at + 4
        if code == spec.OPTION_END:
            return OK
        if value_at + size > stop:
            return BAD_LENGTH
        if code == spec.OPTION_TIME_RESOLUTION and size == 1:
            interface[INTERFACE_RESOLUTION] = np.int64(buf[value_at])
        elif code == spec.OPTION_TIME_OFFSET and size == 8:
            first = read_ordered_u32_nb(buf, value_at, little)
            second = read_ordered_u32_nb(buf, value_at + 4, little)
            interface[INTERFACE_OFFSET_S] = (
                (second << 32) | first if little else (first << 32) | second
            )
        option_at = value_at + ((size + 3) & ~3)
    return OK


@kernel
def _add_packet_nb(
    buf: Bytes, at: int, length: int, section: Section, table: FrameTable, row: int
) -> tuple[int, int]:
    """Enter an enhanced (or obsolete) packet block as a row: rows added and OK or BAD_LENGTH."""
    little = section.words[SECTION_LITTLE]
    if read_ordered_u32_nb(buf, at, little) == spec.BLOCK_PACKET_OBSOLETE:
        index = read_ordered_u16_nb(buf, at + spec.PACKET_INTERFACE_AT, little)
    else:
        index = read_ordered_u32_nb(buf, at + spec.PACKET_INTERFACE_AT, little)
    captured = read_ordered_u32_nb(buf, at + spec.PACKET_CAPTURED_AT, little)
    if captured > length - spec.PACKET_BYTES_MIN:
        return 0, BAD_LENGTH
    if index >= min(section.words[SECTION_INTERFACES], INTERFACES_MAX):
        table.skipped[_SKIP_UNKNOWN_INTERFACE] += 1
        return 0, OK
    interface = section.interfaces[index]
    wire = read_ordered_u32_nb(buf, at + spec.PACKET_WIRE_AT, little)
    data_at = at + spec.PACKET_DATA_AT
    if not add_frame_nb(buf, data_at, captured, wire, interface[INTERFACE_LINK], table, row):
        return 0, OK
    high = read_ordered_u32_nb(buf, at + spec.PACKET_TIME_AT, little)
    low = read_ordered_u32_nb(buf, at + spec.PACKET_TIME_AT + 4, little)
    table.rows[row, Column.TS_NS] = ticks_to_ns_nb(
        (high << 32) | low, interface[INTERFACE_RESOLUTION], interface[INTERFACE_OFFSET_S]
    )
    return 1, OK


@kernel
def _add_simple_packet_nb(
    buf: Bytes, at: int, length: int, section: Section, table: FrameTable, row: int
) -> int:
    """Enter a simple packet block (first interface, no time) as a row; rows added."""
    if section.words[SECTION_INTERFACES] == 0:
        table.skipped[_SKIP_UNKNOWN_INTERFACE] += 1
        return 0
    interface = section.interfaces[0]
    wire = read_ordered_u32_nb(buf, at + spec.SIMPLE_WIRE_AT, section.words[SECTION_LITTLE])
    captured = min(wire, length - spec.SIMPLE_BYTES_MIN)
    if interface[INTERFACE_SNAPLEN] > 0:
        captured = min(captured, interface[INTERFACE_SNAPLEN])
    table.rows[row, Column.TS_NS] = 0
    data_at = at + spec.SIMPLE_DATA_AT
    return add_frame_nb(buf, data_at, captured, wire, interface[INTERFACE_LINK], table, row)


@kernel
def index_pcapng_nb(
    buf: Bytes, start: int, section: Section, table: FrameTable
) -> tuple[int, int, int]:
    """Find datagrams, segments and fragments in the blocks of a pcapng capture, `buf[start:]`.

    Shapes:  buf u8[n], start at a block (0: the section header); section kept between calls;
             table of m rows, filled from row 0. Blocks of other types are passed over.
    Returns: (rows, bytes used, status); rows are whole whatever the status.
        OK           the last block ends with the file
        TRUNCATED    the file ends within the block at `start + bytes used`
        BAD_LENGTH   lengths in the block there contradict each other
        BAD_VALUE    the section header there has no byte order, or a version other than 1
        OUTPUT_FULL  more blocks follow: call again at `start + bytes used`
    """
    end = np.int64(buf.shape[0])
    at = np.int64(start)
    rows = np.int64(0)
    status = OK
    while at < end:
        if rows == table.rows.shape[0]:
            status = OUTPUT_FULL
            break
        length, status = _block_length_nb(buf, at, section)
        if status != OK:
            break
        block_type = read_ordered_u32_nb(buf, at, section.words[SECTION_LITTLE])
        if block_type in (spec.BLOCK_ENHANCED_PACKET, spec.BLOCK_PACKET_OBSOLETE):
            added, status = _add_packet_nb(buf, at, length, section, table, rows)
            rows += added
        elif block_type == spec.BLOCK_SIMPLE_PACKET:
            rows += _add_simple_packet_nb(buf, at, length, section, table, rows)
        elif block_type == spec.BLOCK_INTERFACE:
            status = _add_interface_nb(buf, at, length, section)
        if status != OK:
            break
        at += length
    return rows, at - start, status


@kernel
def copy_datagrams_nb(rows: NDArray[np.int64], out: NDArray[np.int64]) -> int:
    """Copy the rows of kind UDP, columns DATAGRAM_COLUMNS of them, one after another.

    Shapes:  rows i64[n, COLUMNS]; out i64[len(DATAGRAM_COLUMNS), >= n], caller-owned.
    Returns: how many columns of `out` are filled.
    """
    count = np.int64(0)
    for i in range(rows.shape[0]):
        row = rows[i]
        if row[Column.KIND] == Kind.UDP:
            out[0, count] = row[Column.TS_NS]
            out[1, count] = row[Column.AT]
            out[2, count] = row[Column.SIZE]
            out[3, count] = row[Column.TARGET_HIGH]
            out[4, count] = row[Column.TARGET_LOW]
            out[5, count] = row[Column.PORTS]
            count += 1
    return count
