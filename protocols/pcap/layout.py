"""Arrays that the capture kernels fill; they live here so that compiled kernels can be cached."""

from enum import IntEnum
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


class Kind(IntEnum):
    """What a row of a FrameTable describes."""

    UDP = 0
    """A whole datagram; `at`, `size` are its payload."""
    TCP = 1
    """A segment; `at`, `size` are what was captured of its payload."""
    FRAGMENT = 2
    """A part of an IP datagram; `at`, `size` are what follows its IP headers."""


class Column(IntEnum):
    """Columns of a FrameTable."""

    TS_NS = 0
    """Nanoseconds since the epoch, 0 where the file has no time (simple packet blocks)."""
    KIND = 1
    SOURCE_HIGH = 2
    SOURCE_LOW = 3
    TARGET_HIGH = 4
    TARGET_LOW = 5
    """Addresses: halves of 128 bits; an IPv4 address is the low half with IPV4_MAPPED."""
    PORTS = 6
    """Source port << 16 | destination port; a fragment has 0."""
    AT = 7
    """First byte of the payload in the file's bytes."""
    SIZE = 8
    NUMBER = 9
    """TCP: sequence number. FRAGMENT: identification. UDP: 0."""
    FLAGS = 10
    """TCP: the byte of flags. FRAGMENT: see FRAGMENT_PROTOCOL_SHIFT. UDP: 0."""
    CUT = 11
    """TCP: bytes at the end of the payload that the capture did not keep."""


COLUMNS = len(Column)

FRAGMENT_MORE_SHIFT = 16
FRAGMENT_PROTOCOL_SHIFT = 17
"""FLAGS of a fragment: byte offset | more fragments << 16 | protocol << 17."""


class FrameTable(NamedTuple):
    """One row a frame that holds something of UDP or TCP; caller-owned.

    rows      i64[m, COLUMNS]   columns as in `Column`
    skipped   i64[len(Skip)]    frames that gave no row, by reason; grows from call to call
    """

    rows: NDArray[np.int64]
    skipped: NDArray[np.int64]


def allocate_section() -> Section:
    """A section about which nothing is known yet."""
    return Section(
        np.zeros(SECTION_WORDS, np.int64), np.zeros((INTERFACES_MAX, INTERFACE_WORDS), np.int64)
    )


def allocate_table(rows: int) -> FrameTable:
    """An empty table of `rows` rows."""
    return FrameTable(np.zeros((rows, COLUMNS), np.int64), np.zeros(len(Skip), np.int64))
