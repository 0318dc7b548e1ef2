"""From a captured frame to the UDP payload, TCP segment or IP fragment in it, as kernels.

Link header (with any number of VLAN tags) -> IPv4 (options) or IPv6 (extension headers) -> UDP or
TCP. Nothing outside of the captured bytes is read, and what lies behind the IP datagram (Ethernet
padding, check sequences, a tap's trailer) is not payload. Checksums are not verified: on a sending
host the card fills them in after the capture. Sources are named in `spec.py`.
"""

import numpy as np
from numpy.typing import NDArray

from protocols.jit import kernel, outline_kernel
from protocols.pcap import spec
from protocols.pcap.kernels_time import read_ordered_u32_nb
from protocols.pcap.layout import (
    FRAGMENT_MORE_SHIFT,
    FRAGMENT_PROTOCOL_SHIFT,
    Column,
    FrameTable,
    Kind,
)
from protocols.pcap.spec import Skip
from protocols.wire import Bytes, read_u16_nb, read_u32_nb, read_u64_nb

Row = NDArray[np.int64]

_NONE = int(Skip.NONE)
_NOT_IP = int(Skip.NOT_IP)
_NEITHER = int(Skip.NEITHER_UDP_NOR_TCP)
_FRAGMENT = int(Skip.FRAGMENT)
_BAD_LENGTH = int(Skip.BAD_LENGTH)
_SNAPLEN = int(Skip.SNAPLEN)
_UNKNOWN_LINK = int(Skip.UNKNOWN_LINK)
_ANY_VERSION = 0
_NO_VERSION = -1


@kernel
def _version_of_ethertype_nb(ethertype: int) -> int:
    if ethertype == spec.ETHERTYPE_IPV4:
        return 4
    if ethertype == spec.ETHERTYPE_IPV6:
        return 6
    return _NO_VERSION


@kernel
def _find_by_ethertype_nb(buf: Bytes, type_at: int, ip_at: int, stop: int) -> tuple[int, int, int]:
    """As `find_network_nb`: the link header ends at `ip_at`, its type is at `type_at`."""
    if ip_at > stop:
        return ip_at, _ANY_VERSION, _BAD_LENGTH
    ethertype = read_u16_nb(buf, type_at)
    while ethertype in (spec.ETHERTYPE_VLAN, spec.ETHERTYPE_QINQ, spec.ETHERTYPE_QINQ_OLD):
        if ip_at + spec.VLAN_TAG_BYTES > stop:
            return ip_at, _ANY_VERSION, _BAD_LENGTH
        ethertype = read_u16_nb(buf, ip_at + spec.VLAN_TYPE_AT)
        ip_at += spec.VLAN_TAG_BYTES
    version = _version_of_ethertype_nb(ethertype)
    return ip_at, version, _NOT_IP if version == _NO_VERSION else _NONE


@kernel
def _find_by_family_nb(buf: Bytes, at: int, stop: int) -> tuple[int, int, int]:
    """As `find_network_nb`, for a link header of an address family alone.

    The family is a small number in one byte order only, so the smaller of both readings is it.
    """
    ip_at = at + spec.NULL_HEADER_BYTES
    if ip_at > stop:
        return ip_at, _ANY_VERSION, _BAD_LENGTH
    family = min(read_u32_nb(buf, at), read_ordered_u32_nb(buf, at, 1))
    if family == spec.FAMILY_IPV4:
        return ip_at, 4, _NONE
    if family in spec.FAMILIES_IPV6:
        return ip_at, 6, _NONE
    return ip_at, _NO_VERSION, _NOT_IP


@kernel
def find_network_nb(buf: Bytes, at: int, stop: int, link: int) -> tuple[int, int, int]:
    """First byte of the IP header in the frame `buf[at:stop]` of type `link`, the IP version that
    the link header tells (0: none, the header decides), and a Skip reason.

    The IP header itself may be cut off: only the link header is known to lie before `stop`.
    """
    if link == spec.LINK_ETHERNET:
        header_stop = at + spec.ETHERNET_HEADER_BYTES
        return _find_by_ethertype_nb(buf, at + spec.ETHERNET_TYPE_AT, header_stop, stop)
    if link == spec.LINK_SLL:
        header_stop = at + spec.SLL_HEADER_BYTES
        return _find_by_ethertype_nb(buf, at + spec.SLL_TYPE_AT, header_stop, stop)
    if link == spec.LINK_SLL2:
        header_stop = at + spec.SLL2_HEADER_BYTES
        return _find_by_ethertype_nb(buf, at + spec.SLL2_TYPE_AT, header_stop, stop)
    if link in (spec.LINK_NULL, spec.LINK_LOOP):
        return _find_by_family_nb(buf, at, stop)
    if link in (spec.LINK_RAW_IP, spec.LINK_RAW_OLD):
        return at, _ANY_VERSION, _NONE
    if link == spec.LINK_IPV4:
        return at, 4, _NONE
    if link == spec.LINK_IPV6:
        return at, 6, _NONE
    return at, _NO_VERSION, _UNKNOWN_LINK


@kernel
def _skip_extensions_nb(buf: Bytes, at: int, stop: int, protocol: int) -> tuple[int, int, int]:
    """Follow IPv6 extension headers from `at`, where the header `protocol` stands: the protocol
    that is none of them (or FRAGMENT, or one header too many), where it begins, a Skip reason.
    """
    for _ in range(spec.IPV6_EXTENSIONS_MAX):
        if protocol not in (
            spec.IP_PROTOCOL_HOP_BY_HOP,
            spec.IP_PROTOCOL_ROUTING,
            spec.IP_PROTOCOL_AUTHENTICATION,
            spec.IP_PROTOCOL_DESTINATION,
            spec.IP_PROTOCOL_MOBILITY,
            spec.IP_PROTOCOL_HOST_IDENTITY,
            spec.IP_PROTOCOL_SHIM6,
        ):
            break
        if at + spec.EXTENSION_BYTES_MIN > stop:
            return protocol, at, _BAD_LENGTH
        units = np.int64(buf[at + 1])
        size = (units + 2) * 4 if protocol == spec.IP_PROTOCOL_AUTHENTICATION else (units + 1) * 8
        protocol = np.int64(buf[at])
        at += size
    return protocol, at, _NONE


@kernel
def _add_udp_nb(buf: Bytes, at: int, stop: int, datagram_stop: int, row: Row) -> int:
    if at + spec.UDP_HEADER_BYTES > min(datagram_stop, stop):
        return _BAD_LENGTH
    udp_bytes = read_u16_nb(buf, at + spec.UDP_LENGTH_AT)
    udp_stop = at + udp_bytes
    if udp_bytes < spec.UDP_HEADER_BYTES or udp_stop > datagram_stop or udp_stop > stop:
        return _BAD_LENGTH
    row[Column.KIND] = Kind.UDP
    row[Column.PORTS] = read_u32_nb(buf, at)
    row[Column.AT] = at + spec.UDP_HEADER_BYTES
    row[Column.SIZE] = udp_bytes - spec.UDP_HEADER_BYTES
    row[Column.NUMBER] = 0
    row[Column.FLAGS] = 0
    row[Column.CUT] = 0
    return _NONE


@kernel
def _add_tcp_nb(buf: Bytes, at: int, stop: int, datagram_stop: int, row: Row) -> int:
    if at + spec.TCP_HEADER_BYTES_MIN > min(datagram_stop, stop):
        return _BAD_LENGTH
    header_bytes = (np.int64(buf[at + spec.TCP_OFFSET_AT]) >> 4) * 4
    payload_at = at + header_bytes
    if header_bytes < spec.TCP_HEADER_BYTES_MIN or payload_at > datagram_stop:
        return _BAD_LENGTH
    payload_stop = max(min(datagram_stop, stop), payload_at)
    row[Column.KIND] = Kind.TCP
    row[Column.PORTS] = read_u32_nb(buf, at)
    row[Column.AT] = min(payload_at, stop)
    row[Column.SIZE] = payload_stop - payload_at
    row[Column.NUMBER] = read_u32_nb(buf, at + spec.TCP_SEQUENCE_AT)
    row[Column.FLAGS] = np.int64(buf[at + spec.TCP_FLAGS_AT])
    row[Column.CUT] = datagram_stop - payload_stop
    return _NONE


@outline_kernel
def _add_body_nb(
    buf: Bytes, at: int, stop: int, datagram_stop: int, protocol: int, row: Row
) -> int:
    if protocol == spec.IP_PROTOCOL_UDP:
        return _add_udp_nb(buf, at, stop, datagram_stop, row)
    if protocol == spec.IP_PROTOCOL_TCP:
        return _add_tcp_nb(buf, at, stop, datagram_stop, row)
    return _FRAGMENT if protocol == spec.IP_PROTOCOL_FRAGMENT else _NEITHER


@outline_kernel
def add_transport_nb(
    buf: Bytes, at: int, stop: int, datagram_stop: int, protocol: int, row: Row
) -> int:
    """Enter the datagram or segment of `protocol` at `at`, behind the IP header, into `row` (all of
    it but time and addresses); a Skip reason. `stop` is where the captured bytes end,
    `datagram_stop` where the IP datagram does.
    """
    protocol, at, reason = _skip_extensions_nb(buf, at, min(stop, datagram_stop), protocol)
    if reason != _NONE:
        return reason
    return _add_body_nb(buf, at, stop, datagram_stop, protocol, row)


@kernel
def _add_fragment_nb(at: int, stop: int, datagram_stop: int, row: Row, flags: int) -> int:
    """Enter a fragment whose data begin at `at`; identification and addresses are the caller's."""
    if datagram_stop > stop or at >= datagram_stop:
        return _BAD_LENGTH
    size = datagram_stop - at
    is_last = (flags >> FRAGMENT_MORE_SHIFT) & 1 == 0
    if size % spec.FRAGMENT_UNIT_BYTES and not is_last:
        return _BAD_LENGTH
    row[Column.KIND] = Kind.FRAGMENT
    row[Column.PORTS] = 0
    row[Column.AT] = at
    row[Column.SIZE] = size
    row[Column.FLAGS] = flags
    row[Column.CUT] = 0
    return _NONE


@kernel
def _add_ipv4_nb(buf: Bytes, ip_at: int, stop: int, wire_stop: int, row: Row) -> int:
    if ip_at + spec.IPV4_HEADER_BYTES_MIN > stop:
        return _BAD_LENGTH
    header_bytes = (np.int64(buf[ip_at]) & 15) * 4
    datagram_stop = ip_at + read_u16_nb(buf, ip_at + spec.IPV4_LENGTH_AT)
    if datagram_stop == ip_at:
        # The card cut it into segments after the capture and filled the length in then.
        datagram_stop = wire_stop
    transport_at = ip_at + header_bytes
    if header_bytes < spec.IPV4_HEADER_BYTES_MIN or transport_at > datagram_stop:
        return _BAD_LENGTH
    protocol = np.int64(buf[ip_at + spec.IPV4_PROTOCOL_AT])
    row[Column.SOURCE_HIGH] = 0
    row[Column.SOURCE_LOW] = spec.IPV4_MAPPED | read_u32_nb(buf, ip_at + spec.IPV4_SOURCE_AT)
    row[Column.TARGET_HIGH] = 0
    row[Column.TARGET_LOW] = spec.IPV4_MAPPED | read_u32_nb(buf, ip_at + spec.IPV4_DESTINATION_AT)
    word = read_u16_nb(buf, ip_at + spec.IPV4_FRAGMENT_AT)
    offset = (word & spec.IPV4_OFFSET_MASK) * spec.FRAGMENT_UNIT_BYTES
    more = np.int64(word & spec.IPV4_MORE_FRAGMENTS != 0)
    if offset == 0 and more == 0:
        return _add_body_nb(buf, transport_at, stop, datagram_stop, protocol, row)
    if protocol not in (spec.IP_PROTOCOL_UDP, spec.IP_PROTOCOL_TCP):
        return _NEITHER
    row[Column.NUMBER] = read_u16_nb(buf, ip_at + spec.IPV4_ID_AT)
    flags = offset | (more << FRAGMENT_MORE_SHIFT) | (protocol << FRAGMENT_PROTOCOL_SHIFT)
    return _add_fragment_nb(transport_at, stop, datagram_stop, row, flags)


@outline_kernel
def _add_ipv6_nb(buf: Bytes, ip_at: int, stop: int, wire_stop: int, row: Row) -> int:
    at = ip_at + spec.IPV6_HEADER_BYTES
    if at > stop:
        return _BAD_LENGTH
    datagram_stop = at + read_u16_nb(buf, ip_at + spec.IPV6_LENGTH_AT)
    if datagram_stop == at:
        datagram_stop = wire_stop
    row[Column.SOURCE_HIGH] = read_u64_nb(buf, ip_at + spec.IPV6_SOURCE_AT)
    row[Column.SOURCE_LOW] = read_u64_nb(buf, ip_at + spec.IPV6_SOURCE_AT + 8)
    row[Column.TARGET_HIGH] = read_u64_nb(buf, ip_at + spec.IPV6_DESTINATION_AT)
    row[Column.TARGET_LOW] = read_u64_nb(buf, ip_at + spec.IPV6_DESTINATION_AT + 8)
    protocol = np.int64(buf[ip_at + spec.IPV6_NEXT_AT])
    captured_stop = min(stop, datagram_stop)
    protocol, at, reason = _skip_extensions_nb(buf, at, captured_stop, protocol)
    if reason != _NONE:
        return reason
    if protocol != spec.IP_PROTOCOL_FRAGMENT:
        return _add_body_nb(buf, at, stop, datagram_stop, protocol, row)
    if at + spec.EXTENSION_BYTES_MIN > captured_stop:
        return _BAD_LENGTH
    protocol = np.int64(buf[at])
    word = read_u16_nb(buf, at + spec.FRAGMENT_OFFSET_AT)
    offset = word & spec.FRAGMENT_OFFSET_MASK
    more = word & spec.FRAGMENT_MORE
    row[Column.NUMBER] = read_u32_nb(buf, at + spec.FRAGMENT_ID_AT)
    at += spec.EXTENSION_BYTES_MIN
    if offset == 0 and more == 0:
        # RFC 6946: a fragment that is the whole is no fragment.
        return add_transport_nb(buf, at, stop, datagram_stop, protocol, row)
    flags = offset | (more << FRAGMENT_MORE_SHIFT) | (protocol << FRAGMENT_PROTOCOL_SHIFT)
    return _add_fragment_nb(at, stop, datagram_stop, row, flags)


@kernel
def _add_network_nb(
    buf: Bytes, ip_at: int, stop: int, wire_stop: int, version: int, row: Row
) -> int:
    if ip_at >= stop:
        return _BAD_LENGTH
    written = np.int64(buf[ip_at]) >> 4
    if version not in (_ANY_VERSION, written):
        return _NOT_IP
    if written == 4:
        return _add_ipv4_nb(buf, ip_at, stop, wire_stop, row)
    if written == 6:
        return _add_ipv6_nb(buf, ip_at, stop, wire_stop, row)
    return _NOT_IP


@outline_kernel
def add_frame_nb(
    buf: Bytes, at: int, captured: int, wire: int, link: int, table: FrameTable, row: int
) -> int:
    """Enter the frame of `captured` bytes at `at` (`wire` bytes when sent) as a row; rows added.

    A skipped frame is counted in `table.skipped`, and its row may hold anything; TS_NS is the
    caller's to fill.
    """
    stop = at + captured
    ip_at, version, reason = find_network_nb(buf, at, stop, link)
    if reason == _NONE:
        wire_stop = at + max(captured, min(wire, spec.FRAME_BYTES_MAX))
        reason = _add_network_nb(buf, ip_at, stop, wire_stop, version, table.rows[row])
    # Lengths that the capture's own cut explains are not the sender's fault.
    if captured >= wire and reason == _NONE and table.rows[row, Column.CUT] > 0:
        reason = _BAD_LENGTH
    elif captured < wire and reason == _BAD_LENGTH:
        reason = _SNAPLEN
    if reason == _NONE:
        return 1
    table.skipped[reason] += 1
    return 0
