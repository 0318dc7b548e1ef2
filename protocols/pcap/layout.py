"""Arrays that the capture kernels fill; they live here so that compiled kernels can be cached."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocols.pcap.spec import Skip

INTERFACES_MAX = 256
"""Interfaces remembered in a section; the frames of further ones count as UNKNOWN_INTERFACE."""

SECTION_LITTLE = 0
SECTION_INTERFACES = 1
SECTION_WORDS = 2

INTERFACE_LINK = 0
INTERFACE_RESOLUTION = 1
INTERFACE_OFFSET_S = 2
INTERFACE_SNAPLEN = 3
INTERFACE_WORDS = 4


class Section(NamedTuple):
    """What a capture file said about itself so far; a section header block starts it anew.

    words      i64[2]  [0] 1 for little-endian, [1] number of interfaces described
    interfaces i64[INTERFACES_MAX, 4]  link type, if_tsresol byte, if_tsoffset in s, snaplen or 0
    """

    words: NDArray[np.int64]
    interfaces: NDArray[np.int64]


class PacketTable(NamedTuple):
    """One row a UDP datagram; columns i64[m] of one length, caller-owned.

    ts_ns     nanoseconds since the epoch, 0 where the file has no time (simple packet blocks)
    at, size  first byte and length of the UDP payload in the file's bytes
    dst_ip    destination address as a number, 224.0.0.1 is 0xE0000001
    dst_port  destination port
    skipped   i64[len(Skip)]  frames that gave no row, by reason; grows from call to call
    """

    ts_ns: NDArray[np.int64]
    at: NDArray[np.int64]
    size: NDArray[np.int64]
    dst_ip: NDArray[np.int64]
    dst_port: NDArray[np.int64]
    skipped: NDArray[np.int64]


def allocate_section() -> Section:
    """A section about which nothing is known yet."""
    return Section(
        np.zeros(SECTION_WORDS, np.int64), np.zeros((INTERFACES_MAX, INTERFACE_WORDS), np.int64)
    )


def allocate_table(rows: int) -> PacketTable:
    """An empty table of `rows` rows."""
    columns = np.zeros((5, rows), np.int64)
    return PacketTable(
        columns[0], columns[1], columns[2], columns[3], columns[4], np.zeros(len(Skip), np.int64)
    )
