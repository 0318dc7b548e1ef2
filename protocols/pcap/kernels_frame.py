"""From a captured frame to its UDP payload, and from a capture's clock to nanoseconds, as kernels.

Link header (with any number of VLAN tags) -> IPv4 (options, total length) -> UDP. Nothing outside
of the captured bytes is read, and what lies behind the IP datagram (Ethernet padding, check
sequences, a tap's trailer) is not payload. Checksums are not verified: on a sending host the card
fills them in after the capture. Sources are named in `spec.py`.
"""

import numpy as np

from protocols.jit import kernel
from protocols.pcap import spec
from protocols.pcap.layout import PacketTable
from protocols.pcap.spec import Skip
from protocols.wire import Bytes, read_u16_nb, read_u32_nb

NS_PER_S = 1_000_000_000
TIME_NS_MAX = 0x7FFF_FFFF_FFFF_FFFF
_SKIP_NONE = int(Skip.NONE)
_SKIP_NOT_IPV4 = int(Skip.NOT_IPV4)
_SKIP_NOT_UDP = int(Skip.NOT_UDP)
_SKIP_FRAGMENT = int(Skip.FRAGMENT)
_SKIP_BAD_LENGTH = int(Skip.BAD_LENGTH)
_SKIP_SNAPLEN = int(Skip.SNAPLEN)
_SKIP_UNKNOWN_LINK = int(Skip.UNKNOWN_LINK)
_SECONDS_MAX = TIME_NS_MAX // NS_PER_S - 1
_POWER_MAX = 18
_EXACT_BITS = 42
_FIVE_TO_9 = 5**9


@kernel
def read_ordered_u16_nb(buf: Bytes, at: int, little: int) -> int:
    """u16 at byte `at`, little-endian if `little` is not 0."""
    if little:
        return (np.int64(buf[at + 1]) << 8) | np.int64(buf[at])
    return read_u16_nb(buf, at)


@kernel
def read_ordered_u32_nb(buf: Bytes, at: int, little: int) -> int:
    """u32 at byte `at`, little-endian if `little` is not 0."""
    if little:
        low = (np.int64(buf[at + 1]) << 8) | np.int64(buf[at])
        return (np.int64(buf[at + 3]) << 24) | (np.int64(buf[at + 2]) << 16) | low
    return read_u32_nb(buf, at)


@kernel
def _power_of_ten_nb(exponent: int) -> int:
    power = np.int64(1)
    for _ in range(exponent):
        power *= 10
    return power


@kernel
def _decimal_ns_nb(ticks: int, exponent: int) -> int:
    if exponent <= spec.RESOLUTION_NS:
        factor = _power_of_ten_nb(spec.RESOLUTION_NS - exponent)
        if ticks < 0 or ticks > TIME_NS_MAX // factor:
            return TIME_NS_MAX
        return ticks * factor
    power = exponent - spec.RESOLUTION_NS
    if power > _POWER_MAX:
        return 0
    divisor = _power_of_ten_nb(power)
    # From 2**63 on the number is negative here: divide its unsigned half, then add the last bit.
    half = (ticks >> 1) & TIME_NS_MAX
    quotient = half // divisor
    rest = ((half - quotient * divisor) << 1) | (ticks & 1)
    quotient <<= 1
    if rest >= divisor:
        quotient += 1
    return quotient


@kernel
def _binary_ns_nb(ticks: int, bits: int) -> int:
    seconds = np.int64(ticks)
    fraction = np.int64(0)
    kept = np.int64(bits)
    if bits >= 64:
        seconds = np.int64(0)
        fraction = np.int64(ticks)
    elif bits > 0:
        seconds = (np.int64(ticks) >> bits) & (TIME_NS_MAX >> (bits - 1))
        fraction = np.int64(ticks) & (TIME_NS_MAX >> (63 - bits))
    if seconds < 0 or seconds > _SECONDS_MAX:
        return TIME_NS_MAX
    if bits > _EXACT_BITS:
        dropped = bits - _EXACT_BITS
        if dropped > 63:
            return seconds * NS_PER_S
        fraction = (fraction >> dropped) & (TIME_NS_MAX >> (dropped - 1))
        kept = np.int64(_EXACT_BITS)
    # 10**9 / 2**k is 5**9 / 2**(k - 9): 42 bits times 21 bits fit, times 10**9 they would not.
    scaled = fraction * _FIVE_TO_9
    if kept >= spec.RESOLUTION_NS:
        return seconds * NS_PER_S + (scaled >> (kept - spec.RESOLUTION_NS))
    return seconds * NS_PER_S + (scaled << (spec.RESOLUTION_NS - kept))


@kernel
def ticks_to_ns_nb(ticks: int, resolution: int, offset_s: int) -> int:
    """Nanoseconds since the epoch of a 64-bit pcapng time stamp, rounded down.

    `ticks` is read as unsigned; `resolution` is the if_tsresol byte, 10**-n or, with bit 7 set,
    2**-n; `offset_s` is if_tsoffset. Exact, but a clock finer than 2**-42 s or 10**-27 s may come
    out 1 ns low. Times after the year 2262 come out as TIME_NS_MAX.
    """
    if resolution & spec.RESOLUTION_POWER_OF_TWO:
        time_ns = _binary_ns_nb(ticks, resolution & (spec.RESOLUTION_POWER_OF_TWO - 1))
    else:
        time_ns = _decimal_ns_nb(ticks, resolution)
    shift_ns = min(max(offset_s, -_SECONDS_MAX), _SECONDS_MAX) * NS_PER_S
    if time_ns > TIME_NS_MAX - max(shift_ns, 0):
        return TIME_NS_MAX
    return time_ns + shift_ns


@kernel
def find_ipv4_nb(buf: Bytes, at: int, stop: int, link: int) -> tuple[int, int]:
    """First byte of the IPv4 header in the frame `buf[at:stop]` of type `link`, and a Skip reason.

    The header itself may be cut off: only the link header is known to lie before `stop`.
    """
    if link in (spec.LINK_RAW_IP, spec.LINK_IPV4):
        return at, _SKIP_NONE
    if link == spec.LINK_ETHERNET:
        type_at = at + spec.ETHERNET_TYPE_AT
        ip_at = at + spec.ETHERNET_HEADER_BYTES
    elif link == spec.LINK_SLL:
        type_at = at + spec.SLL_TYPE_AT
        ip_at = at + spec.SLL_HEADER_BYTES
    elif link == spec.LINK_SLL2:
        type_at = at + spec.SLL2_TYPE_AT
        ip_at = at + spec.SLL2_HEADER_BYTES
    else:
        return at, _SKIP_UNKNOWN_LINK
    if ip_at > stop:
        return at, _SKIP_BAD_LENGTH
    ethertype = read_u16_nb(buf, type_at)
    while ethertype in (spec.ETHERTYPE_VLAN, spec.ETHERTYPE_QINQ, spec.ETHERTYPE_QINQ_OLD):
        if ip_at + spec.VLAN_TAG_BYTES > stop:
            return at, _SKIP_BAD_LENGTH
        ethertype = read_u16_nb(buf, ip_at + spec.VLAN_TYPE_AT)
        ip_at += spec.VLAN_TAG_BYTES
    if ethertype != spec.ETHERTYPE_IPV4:
        return at, _SKIP_NOT_IPV4
    return ip_at, _SKIP_NONE


@kernel
def find_udp_nb(buf: Bytes, ip_at: int, stop: int, table: PacketTable, row: int) -> int:
    """Fill at, size, dst_ip, dst_port of the row from the IPv4 datagram at `ip_at`; a Skip reason.

    Nothing is written unless the whole UDP payload lies before `stop`.
    """
    if ip_at + spec.IPV4_HEADER_BYTES_MIN > stop:
        return _SKIP_BAD_LENGTH
    if buf[ip_at] >> 4 != 4:
        return _SKIP_NOT_IPV4
    header_bytes = (np.int64(buf[ip_at]) & 15) * 4
    total_bytes = read_u16_nb(buf, ip_at + spec.IPV4_LENGTH_AT)
    if header_bytes < spec.IPV4_HEADER_BYTES_MIN or total_bytes < header_bytes:
        return _SKIP_BAD_LENGTH
    if buf[ip_at + spec.IPV4_PROTOCOL_AT] != spec.IP_PROTOCOL_UDP:
        return _SKIP_NOT_UDP
    if read_u16_nb(buf, ip_at + spec.IPV4_FRAGMENT_AT) & spec.IPV4_FRAGMENT_MASK:
        return _SKIP_FRAGMENT
    udp_at = ip_at + header_bytes
    datagram_stop = ip_at + total_bytes
    if udp_at + spec.UDP_HEADER_BYTES > min(datagram_stop, stop):
        return _SKIP_BAD_LENGTH
    udp_bytes = read_u16_nb(buf, udp_at + spec.UDP_LENGTH_AT)
    udp_stop = udp_at + udp_bytes
    if udp_bytes < spec.UDP_HEADER_BYTES or udp_stop > datagram_stop or udp_stop > stop:
        return _SKIP_BAD_LENGTH
    table.at[row] = udp_at + spec.UDP_HEADER_BYTES
    table.size[row] = udp_bytes - spec.UDP_HEADER_BYTES
    table.dst_ip[row] = read_u32_nb(buf, ip_at + spec.IPV4_DESTINATION_AT)
    table.dst_port[row] = read_u16_nb(buf, udp_at + spec.UDP_DESTINATION_AT)
    return _SKIP_NONE


@kernel
def add_frame_nb(
    buf: Bytes, at: int, captured: int, wire: int, link: int, table: PacketTable, row: int
) -> int:
    """Enter the frame of `captured` bytes at `at` (`wire` bytes when sent) as a row; rows added.

    A skipped frame is counted in `table.skipped`; the row's ts_ns is the caller's to fill.
    """
    stop = at + captured
    ip_at, reason = find_ipv4_nb(buf, at, stop, link)
    if reason == _SKIP_NONE:
        reason = find_udp_nb(buf, ip_at, stop, table, row)
    if reason == _SKIP_NONE:
        return 1
    # Too short, and the capture says that it did cut: not the sender's fault.
    if reason == _SKIP_BAD_LENGTH and captured < wire:
        reason = _SKIP_SNAPLEN
    table.skipped[reason] += 1
    return 0
