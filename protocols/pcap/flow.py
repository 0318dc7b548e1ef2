"""What a capture gives: datagrams, and stretches of TCP streams or the holes in them."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from protocols.pcap.spec import IPV4_MAPPED

_HALF_MASK = 0xFFFF_FFFF_FFFF_FFFF
_IPV4_MASK = 0xFFFF_FFFF
_PORT_BITS = 16
_PORT_MASK = 0xFFFF


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An IP address as a number, a port, and the IP version, 4 or 6."""

    ip: int
    port: int
    version: int = 4

    def __str__(self) -> str:
        if self.version == 4:
            return f"{IPv4Address(self.ip)}:{self.port}"
        return f"[{IPv6Address(self.ip)}]:{self.port}"


class Flow(NamedTuple):
    """Where datagrams came from and went to."""

    source: Endpoint
    destination: Endpoint


class Stream(NamedTuple):
    """One direction of one TCP connection; `connection` numbers the connections of the capture in
    their order, from 0, so that two after each other on the same ports are told apart.
    """

    source: Endpoint
    destination: Endpoint
    connection: int


@dataclass(frozen=True, slots=True)
class Hole:
    """Bytes of a stream that the capture does not have; `size_bytes` None where nobody can say:
    before the first byte of a connection whose begin was not captured.
    """

    size_bytes: int | None


class Datagram(NamedTuple):
    """A UDP payload; `ts_ns` is when its last fragment was captured."""

    ts_ns: int
    flow: Flow
    payload: bytes


class Chunk(NamedTuple):
    """The next bytes of a stream, or a hole in it.

    `ts_ns` is when they could be read: bytes that waited for a retransmission have its time, bytes
    behind a hole that was never filled have their own.
    """

    ts_ns: int
    flow: Stream
    data: bytes | Hole


FlowKey = tuple[int, int, int, int, int]
"""SOURCE_HIGH, SOURCE_LOW, TARGET_HIGH, TARGET_LOW and PORTS of a FrameTable's row."""


def reverse_key(key: FlowKey) -> FlowKey:
    """The same connection, seen from the other side."""
    source_high, source_low, target_high, target_low, ports = key
    swapped = (ports & _PORT_MASK) << _PORT_BITS | ports >> _PORT_BITS
    return target_high, target_low, source_high, source_low, swapped


def flow_of_key(key: FlowKey) -> Flow:
    """The endpoints that a key stands for."""
    source_high, source_low, target_high, target_low, ports = key
    return Flow(
        _endpoint(source_high, source_low, ports >> _PORT_BITS),
        _endpoint(target_high, target_low, ports & _PORT_MASK),
    )


def _endpoint(high: int, low: int, port: int) -> Endpoint:
    if high == 0 and low & ~_IPV4_MASK == IPV4_MAPPED:
        return Endpoint(low & _IPV4_MASK, port)
    return Endpoint((high & _HALF_MASK) << 64 | (low & _HALF_MASK), port, 6)
