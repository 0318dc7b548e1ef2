"""Frames for captures: UDP datagrams, TCP segments, IP fragments, and the link headers around them.

Cold path, for tests and tools. Checksums are right. Sources are named in `spec.py`; checksums are
those of RFC 1071, over the pseudo-headers of RFC 9293 (3.1) and RFC 8200 (8.1).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from protocols.errors import LocalProtocolError
from protocols.pcap import spec
from protocols.pcap.flow import Endpoint

_MAC_ADDRESSES = bytes.fromhex("01005e000001 020000000001")
_TIME_TO_LIVE = 16
_WINDOW = 0xFFFF
_SEQUENCE_MASK = 0xFFFF_FFFF


def build_datagram(
    payload: bytes,
    source: Endpoint,
    destination: Endpoint,
    *,
    ip_options: bytes = b"",
    identification: int = 0,
) -> bytes:
    """An IP datagram with a UDP payload.

    `ip_options` is 0 to 40 bytes, a multiple of 4, for IPv4. For IPv6 it is whole extension headers
    one after another; the first byte of each is its own number, and is replaced by the next one's.
    """
    size = spec.UDP_HEADER_BYTES + len(payload)
    header = struct.pack(">HHH", source.port, destination.port, size)
    pseudo = _pseudo_header(source, destination, spec.IP_PROTOCOL_UDP, size)
    total = _checksum(pseudo + header + bytes(2) + payload)
    # Zero would say that there is none.
    body = header + struct.pack(">H", total or 0xFFFF) + payload
    return _build_ip(body, spec.IP_PROTOCOL_UDP, source, destination, ip_options, identification)


@dataclass(frozen=True, slots=True)
class TcpHeader:
    """What a segment says besides its ports and data; `options` is a multiple of 4 bytes."""

    sequence: int
    acknowledgement: int = 0
    flags: int = spec.TCP_ACK
    options: bytes = b""


def build_segment(
    data: bytes,
    source: Endpoint,
    destination: Endpoint,
    header: TcpHeader,
    *,
    ip_options: bytes = b"",
) -> bytes:
    """An IP datagram with a TCP segment; `ip_options` as for `build_datagram`."""
    words = (spec.TCP_HEADER_BYTES_MIN + len(header.options)) // 4
    head = struct.pack(
        ">HHIIBBH",
        source.port,
        destination.port,
        header.sequence & _SEQUENCE_MASK,
        header.acknowledgement & _SEQUENCE_MASK,
        words << 4,
        header.flags,
        _WINDOW,
    )
    tail = bytes(2) + header.options + data
    size = len(head) + 2 + len(tail)
    pseudo = _pseudo_header(source, destination, spec.IP_PROTOCOL_TCP, size)
    total = _checksum(pseudo + head + bytes(2) + tail)
    body = head + struct.pack(">H", total) + tail
    return _build_ip(body, spec.IP_PROTOCOL_TCP, source, destination, ip_options, 0)


def _pseudo_header(source: Endpoint, destination: Endpoint, protocol: int, size: int) -> bytes:
    return _addresses(source, destination) + struct.pack(">II", size, protocol)


def _addresses(source: Endpoint, destination: Endpoint) -> bytes:
    width = 4 if source.version == 4 else 16
    return source.ip.to_bytes(width, "big") + destination.ip.to_bytes(width, "big")


def _checksum(data: bytes) -> int:
    """RFC 1071. 2**16 is 1 modulo 65,535, so a sum with the carry added back is a remainder."""
    rest = int.from_bytes(data + bytes(len(data) % 2), "big") % 0xFFFF
    return 0xFFFF - rest if rest else 0


def _build_ip(
    body: bytes,
    protocol: int,
    source: Endpoint,
    destination: Endpoint,
    options: bytes,
    identification: int,
) -> bytes:
    """The IP header, with options or extension headers as for `build_datagram`, and a body."""
    if source.version == 6:
        chain, first = _chain_extensions(options, protocol)
        head = struct.pack(">IHBB", 6 << 28, len(chain) + len(body), first, _TIME_TO_LIVE)
        return head + _addresses(source, destination) + chain + body
    header_bytes = spec.IPV4_HEADER_BYTES_MIN + len(options)
    total_bytes = header_bytes + len(body)
    head = struct.pack(
        ">BBHHHBBH",
        0x40 | header_bytes // 4,
        0,
        # Zero is what a card is given that cuts a large segment into small ones.
        total_bytes if total_bytes <= spec.DATAGRAM_BYTES_MAX else 0,
        identification,
        0,
        _TIME_TO_LIVE,
        protocol,
        0,
    )
    return _with_checksum(head + _addresses(source, destination) + options) + body


def _with_checksum(header: bytes) -> bytes:
    """An IPv4 header with its checksum, whose place is zero or that of another."""
    zeroed = header[:10] + bytes(2) + header[12:]
    return header[:10] + struct.pack(">H", _checksum(zeroed)) + header[12:]


def _chain_extensions(options: bytes, protocol: int) -> tuple[bytes, int]:
    """The extension headers, linked, and the number that the IPv6 header names."""
    starts, at = [], 0
    while at < len(options):
        starts.append(at)
        units = options[at + 1]
        is_authentication = options[at] == spec.IP_PROTOCOL_AUTHENTICATION
        at += (units + 2) * 4 if is_authentication else (units + 1) * 8
    numbers = [*(options[start] for start in starts), protocol]
    chain = bytearray(options)
    for start, number in zip(starts, numbers[1:], strict=True):
        chain[start] = number
    return bytes(chain), numbers[0]


def fragment_datagram(datagram: bytes, size: int, identification: int) -> list[bytes]:
    """The datagram cut into IP datagrams of at most `size` bytes of its payload, a multiple of 8.

    Extension headers of an IPv6 datagram stay with its payload, in the fragmentable part.
    """
    if size <= 0 or size % spec.FRAGMENT_UNIT_BYTES:
        raise LocalProtocolError(f"fragments of {size} bytes: it has to be a multiple of 8")
    is_ipv4 = datagram[0] >> 4 == 4
    header_bytes = (datagram[0] & 15) * 4 if is_ipv4 else spec.IPV6_HEADER_BYTES
    header, body = datagram[:header_bytes], datagram[header_bytes:]
    build = _ipv4_fragment if is_ipv4 else _ipv6_fragment
    return [
        build(header, body[at : at + size], at, at + size < len(body), identification)
        for at in range(0, len(body), size)
    ]


def _ipv4_fragment(header: bytes, part: bytes, at: int, more: bool, identification: int) -> bytes:
    word = at // spec.FRAGMENT_UNIT_BYTES | (spec.IPV4_MORE_FRAGMENTS if more else 0)
    lengths = struct.pack(">HHH", len(header) + len(part), identification, word)
    return _with_checksum(header[:2] + lengths + header[8:]) + part


def _ipv6_fragment(header: bytes, part: bytes, at: int, more: bool, identification: int) -> bytes:
    next_header = header[spec.IPV6_NEXT_AT]
    extension = struct.pack(">BBHI", next_header, 0, at | more, identification)
    length = struct.pack(">H", len(extension) + len(part))
    number = bytes((spec.IP_PROTOCOL_FRAGMENT,))
    return header[:4] + length + number + header[7:] + extension + part


def build_ethernet_frame(
    datagram: bytes, *, vlans: tuple[int, ...] = (), trailer: bytes = b""
) -> bytes:
    """An Ethernet frame around an IP datagram.

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
    return _MAC_ADDRESSES + tags + _ethertype(datagram) + datagram + trailer


def _ethertype(datagram: bytes) -> bytes:
    is_ipv4 = datagram[0] >> 4 == 4
    return (spec.ETHERTYPE_IPV4 if is_ipv4 else spec.ETHERTYPE_IPV6).to_bytes(2, "big")


def build_frame(datagram: bytes, link: int, *, trailer: bytes = b"") -> bytes:
    """A frame of any link type of LINKS_SUPPORTED around an IP datagram."""
    if link == spec.LINK_ETHERNET:
        return build_ethernet_frame(datagram, trailer=trailer)
    return _link_header(datagram, link) + datagram + trailer


def _link_header(datagram: bytes, link: int) -> bytes:
    if link == spec.LINK_SLL:
        return struct.pack(">HHH8s", 0, 1, 6, _MAC_ADDRESSES[6:]) + _ethertype(datagram)
    if link == spec.LINK_SLL2:
        middle = struct.pack(">HIHBB8s", 0, 1, 1, 0, 6, _MAC_ADDRESSES[6:])
        return _ethertype(datagram) + middle
    family = spec.FAMILY_IPV4 if datagram[0] >> 4 == 4 else spec.FAMILIES_IPV6[1]
    if link == spec.LINK_NULL:
        return family.to_bytes(4, "little")
    if link == spec.LINK_LOOP:
        return family.to_bytes(4, "big")
    return b""


class TcpConversation:
    """Both ends of one connection, as the IP datagrams that they would send, without loss.

    Sides are named by their endpoints, `client` and `server`; each call gives the datagrams of what
    happens, and what a capture shows of them (loss, disorder) is up to the caller.
    """

    def __init__(
        self, client: Endpoint, server: Endpoint, client_isn: int = 1_000, server_isn: int = 5_000
    ) -> None:
        """`client_isn` and `server_isn` are the sequence numbers of the two SYNs."""
        self._peers = {client: server, server: client}
        self._client = client
        self._server = server
        self._next = {client: client_isn, server: server_isn}

    def open(self) -> list[bytes]:
        """The handshake: SYN, SYN and ACK, ACK."""
        syn = self._segment(self._client, spec.TCP_SYN, acknowledges=False)
        self._next[self._client] += 1
        answer = self._segment(self._server, spec.TCP_SYN | spec.TCP_ACK)
        self._next[self._server] += 1
        return [syn, answer, self._segment(self._client, spec.TCP_ACK)]

    def send(self, sender: Endpoint, data: bytes, segment_bytes: int = 1_460) -> list[bytes]:
        """`data` in segments of at most `segment_bytes` bytes."""
        return list(self._send(sender, data, segment_bytes))

    def _send(self, sender: Endpoint, data: bytes, segment_bytes: int) -> Iterator[bytes]:
        for at in range(0, len(data), segment_bytes):
            part = data[at : at + segment_bytes]
            yield self._segment(sender, spec.TCP_PSH | spec.TCP_ACK, part)
            self._next[sender] += len(part)

    def acknowledge(self, sender: Endpoint) -> bytes:
        """A segment without data."""
        return self._segment(sender, spec.TCP_ACK)

    def close(self, sender: Endpoint) -> bytes:
        """The FIN of one side."""
        fin = self._segment(sender, spec.TCP_FIN | spec.TCP_ACK)
        self._next[sender] += 1
        return fin

    def reset(self, sender: Endpoint) -> bytes:
        """A RST from one side."""
        return self._segment(sender, spec.TCP_RST | spec.TCP_ACK)

    def _segment(
        self, sender: Endpoint, flags: int, data: bytes = b"", *, acknowledges: bool = True
    ) -> bytes:
        peer = self._peers[sender]
        acknowledgement = self._next[peer] if acknowledges else 0
        return build_segment(
            data, sender, peer, TcpHeader(self._next[sender], acknowledgement, flags)
        )
