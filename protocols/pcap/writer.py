"""Small capture files for tests and tools: frames around UDP payloads, classic pcap, pcapng.

Cold path; everything is written as it is given, so that damaged and unusual files can be made too.
Sources are named in `spec.py`.
"""

import struct
from dataclasses import dataclass
from typing import BinaryIO

from protocols.pcap import spec

_NS_PER_S = 1_000_000_000
_MAC_ADDRESSES = bytes.fromhex("01005e000001 020000000001")
_TIME_TO_LIVE = 16


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An IPv4 address as a number and a UDP port."""

    ip: int
    port: int


def build_datagram(
    payload: bytes, source: Endpoint, destination: Endpoint, *, ip_options: bytes = b""
) -> bytes:
    """An IPv4 datagram with a UDP payload; `ip_options` is 0 to 40 bytes, a multiple of 4.

    The header checksum is right; the UDP checksum is 0, which says that there is none.
    """
    udp_bytes = spec.UDP_HEADER_BYTES + len(payload)
    header_bytes = spec.IPV4_HEADER_BYTES_MIN + len(ip_options)
    header = struct.pack(
        ">BBHHHBBHII",
        0x40 | header_bytes // 4,
        0,
        header_bytes + udp_bytes,
        0,
        0,
        _TIME_TO_LIVE,
        spec.IP_PROTOCOL_UDP,
        0,
        source.ip,
        destination.ip,
    )
    checksum = _internet_checksum(header + ip_options)
    header = header[:10] + checksum.to_bytes(2, "big") + header[12:] + ip_options
    return header + struct.pack(">HHHH", source.port, destination.port, udp_bytes, 0) + payload


def _internet_checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def build_ethernet_frame(
    datagram: bytes, *, vlans: tuple[int, ...] = (), trailer: bytes = b""
) -> bytes:
    """An Ethernet frame around an IPv4 datagram.

    `vlans` are VLAN numbers, outermost first: the last one is tagged 802.1Q, those before it QinQ.
    `trailer` comes behind the datagram, as padding or a check sequence does.
    """
    tags = b"".join(
        struct.pack(
            ">HH",
            spec.ETHERTYPE_VLAN if position == len(vlans) - 1 else spec.ETHERTYPE_QINQ,
            vlan,
        )
        for position, vlan in enumerate(vlans)
    )
    return _MAC_ADDRESSES + tags + spec.ETHERTYPE_IPV4.to_bytes(2, "big") + datagram + trailer


class PcapWriter:
    """Writes a classic capture; `wire_bytes` larger than the frame says that the capture cut it."""

    def __init__(
        self,
        file: BinaryIO,
        *,
        little: bool = True,
        nanoseconds: bool = True,
        link: int = spec.LINK_ETHERNET,
    ) -> None:
        """Write the file header."""
        self._file = file
        self._order = "<" if little else ">"
        self._unit_ns = 1 if nanoseconds else 1000
        header = struct.pack(
            self._order + "IHHiIII",
            spec.PCAP_MAGIC_NS if nanoseconds else spec.PCAP_MAGIC_US,
            spec.PCAP_VERSION_MAJOR,
            spec.PCAP_VERSION_MINOR,
            0,
            0,
            spec.FRAME_BYTES_MAX,
            link,
        )
        file.write(header)

    def write(self, ts_ns: int, frame: bytes, *, wire_bytes: int | None = None) -> None:
        """Append a frame, captured at `ts_ns` since the epoch (rounded down to the file's unit)."""
        seconds, subsecond_ns = divmod(ts_ns, _NS_PER_S)
        subsecond = subsecond_ns // self._unit_ns
        wire = len(frame) if wire_bytes is None else wire_bytes
        self._file.write(
            struct.pack(self._order + "IIII", seconds, subsecond, len(frame), wire) + frame
        )


class PcapngWriter:
    """Writes a pcapng capture block by block; interfaces are numbered from 0 in each section."""

    def __init__(self, file: BinaryIO, *, little: bool = True) -> None:
        """Write the first section header."""
        self._file = file
        self.begin_section(little=little)

    def begin_section(self, *, little: bool) -> None:
        """Write a section header: byte order anew, no interfaces."""
        self._order = "<" if little else ">"
        self._clocks: list[tuple[int, int]] = []
        body = struct.pack(
            self._order + "IHHq", spec.BYTE_ORDER_MAGIC, spec.SECTION_VERSION_MAJOR, 0, -1
        )
        self.write_block(spec.BLOCK_SECTION, body)

    def write_block(self, block_type: int, body: bytes) -> None:
        """Write a block of any type; the body is padded to a multiple of 4."""
        padded = body + bytes(-len(body) % 4)
        length = spec.BLOCK_OVERHEAD_BYTES + len(padded)
        head = struct.pack(self._order + "II", block_type, length)
        self._file.write(head + padded + struct.pack(self._order + "I", length))

    def add_interface(
        self,
        *,
        link: int = spec.LINK_ETHERNET,
        resolution: int = spec.RESOLUTION_NS,
        offset_s: int = 0,
        snaplen: int = 0,
    ) -> int:
        """Describe an interface; its number. `resolution` is the if_tsresol byte."""
        options = self._option(2, b"line") + self._option(
            spec.OPTION_TIME_RESOLUTION, bytes([resolution])
        )
        if offset_s:
            options += self._option(
                spec.OPTION_TIME_OFFSET, struct.pack(self._order + "q", offset_s)
            )
        body = struct.pack(self._order + "HHI", link, 0, snaplen)
        self.write_block(spec.BLOCK_INTERFACE, body + options + self._option(spec.OPTION_END, b""))
        self._clocks.append((resolution, offset_s))
        return len(self._clocks) - 1

    def _option(self, code: int, value: bytes) -> bytes:
        return struct.pack(self._order + "HH", code, len(value)) + value + bytes(-len(value) % 4)

    def write(
        self, ts_ns: int, frame: bytes, *, interface: int = 0, wire_bytes: int | None = None
    ) -> None:
        """Append a frame in an enhanced packet block, with a comment that readers skip."""
        resolution, offset_s = self._clocks[interface]
        units = resolution & (spec.RESOLUTION_POWER_OF_TWO - 1)
        base = 2 if resolution & spec.RESOLUTION_POWER_OF_TWO else 10
        ticks = (ts_ns - offset_s * _NS_PER_S) * base**units // _NS_PER_S
        head = struct.pack(
            self._order + "IIIII",
            interface,
            ticks >> 32,
            ticks & 0xFFFF_FFFF,
            len(frame),
            len(frame) if wire_bytes is None else wire_bytes,
        )
        options = self._option(1, b"a comment") + self._option(spec.OPTION_END, b"")
        self.write_block(
            spec.BLOCK_ENHANCED_PACKET, head + frame + bytes(-len(frame) % 4) + options
        )

    def write_simple(self, frame: bytes, *, wire_bytes: int | None = None) -> None:
        """Append a frame in a simple packet block: first interface, no time."""
        wire = len(frame) if wire_bytes is None else wire_bytes
        self.write_block(spec.BLOCK_SIMPLE_PACKET, struct.pack(self._order + "I", wire) + frame)
