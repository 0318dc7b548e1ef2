"""What we build, as dpkt reads it: headers, lengths and checksums."""

import dpkt
import pytest

from protocols.errors import LocalProtocolError
from protocols.pcap import spec
from protocols.pcap.flow import Endpoint
from protocols.pcap.frames import (
    TcpConversation,
    TcpHeader,
    build_datagram,
    build_ethernet_frame,
    build_frame,
    build_segment,
    fragment_datagram,
)
from tests.unit.protocols.pcap.support import CLIENT, CLIENT6, GROUP, GROUP6, SERVER, SERVER6

PAYLOADS = [b"", b"x", b"even", b"odd bytes", bytes(range(256)) * 5]
PAIRS = [(CLIENT, GROUP), (CLIENT6, GROUP6)]
OPTIONS = {4: b"\x01\x01\x01\x00", 6: b"\x3c\x00\x01\x04\0\0\0\0" + b"\x00\x01\x01\x0c" + bytes(12)}


def read_ip(datagram: bytes) -> dpkt.ip.IP | dpkt.ip6.IP6:
    return dpkt.ip.IP(datagram) if datagram[0] >> 4 == 4 else dpkt.ip6.IP6(datagram)


def checksum_of(ip: dpkt.ip.IP | dpkt.ip6.IP6) -> int:
    """The checksum that dpkt puts into the transport header when it has to."""
    ip.data.sum = 0
    if isinstance(ip, dpkt.ip.IP):
        ip.sum = 0
    again = read_ip(bytes(ip))
    return again.data.sum


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize(("source", "destination"), PAIRS, ids=["ipv4", "ipv6"])
def test_datagrams_are_what_dpkt_would_write(
    payload: bytes, source: Endpoint, destination: Endpoint
):
    ip = read_ip(build_datagram(payload, source, destination))
    assert int.from_bytes(ip.src, "big") == source.ip
    assert int.from_bytes(ip.dst, "big") == destination.ip
    assert (ip.data.sport, ip.data.dport, ip.data.ulen) == (
        source.port,
        destination.port,
        len(payload) + 8,
    )
    assert ip.data.data == payload
    written = ip.data.sum
    assert written == checksum_of(ip)


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize(
    ("source", "destination"), [(CLIENT, SERVER), (CLIENT6, SERVER6)], ids=["ipv4", "ipv6"]
)
def test_segments_are_what_dpkt_would_write(
    payload: bytes, source: Endpoint, destination: Endpoint
):
    header = TcpHeader(2**32 + 5, 7, spec.TCP_PSH | spec.TCP_ACK, b"\x01\x01\x01\x01")
    ip = read_ip(build_segment(payload, source, destination, header))
    tcp = ip.data
    assert (tcp.sport, tcp.dport) == (source.port, destination.port)
    assert (tcp.seq, tcp.ack, tcp.flags) == (5, 7, dpkt.tcp.TH_PUSH | dpkt.tcp.TH_ACK)
    assert (tcp.opts, tcp.data) == (header.options, payload)
    written = tcp.sum
    assert written == checksum_of(ip)


def test_the_checksum_of_an_ipv4_header_is_right():
    datagram = build_datagram(b"x", CLIENT, GROUP, ip_options=OPTIONS[4], identification=99)
    ip = dpkt.ip.IP(datagram)
    written, ip.sum = ip.sum, 0
    assert dpkt.ip.IP(bytes(ip)).sum == written
    assert (ip.id, ip.opts, ip.len) == (99, OPTIONS[4], len(datagram))


def test_extension_headers_are_linked_in_their_order():
    ip = dpkt.ip6.IP6(build_datagram(b"payload", CLIENT6, GROUP6, ip_options=OPTIONS[6][8:]))
    assert ip.nxt == spec.IP_PROTOCOL_HOP_BY_HOP
    assert ip.data.data == b"payload"
    both = build_datagram(b"payload", CLIENT6, GROUP6, ip_options=OPTIONS[6])
    assert both[6] == spec.IP_PROTOCOL_DESTINATION
    assert both[40] == spec.IP_PROTOCOL_HOP_BY_HOP
    assert both[48] == spec.IP_PROTOCOL_UDP
    authenticated = bytes((spec.IP_PROTOCOL_AUTHENTICATION, 4)) + bytes(22)
    one = build_datagram(b"payload", CLIENT6, GROUP6, ip_options=authenticated)
    assert (one[6], one[40]) == (spec.IP_PROTOCOL_AUTHENTICATION, spec.IP_PROTOCOL_UDP)


def test_a_checksum_of_zero_is_sent_as_all_ones():
    # Found by trying all words: only one of them makes the sum come out as zero.
    sums = set()
    for word in range(0x10000):
        datagram = build_datagram(word.to_bytes(2, "big"), CLIENT, GROUP)
        sums.add(int.from_bytes(datagram[26:28], "big"))
    assert 0 not in sums
    assert 0xFFFF in sums


@pytest.mark.parametrize(("source", "destination"), PAIRS, ids=["ipv4", "ipv6"])
def test_fragments_say_where_they_belong(source: Endpoint, destination: Endpoint):
    whole = build_datagram(bytes(range(100)), source, destination)
    parts = [read_ip(part) for part in fragment_datagram(whole, 48, 77)]
    if source.version == 4:
        assert [(part.id, part.offset * 8, part.mf) for part in parts] == [
            (77, 0, 1),
            (77, 48, 1),
            (77, 96, 0),
        ]
        assert all(dpkt.in_cksum(bytes(part)[:20]) == 0 for part in parts)
        bodies = [bytes(part)[20:] for part in parts]
    else:
        headers = [part.extension_hdrs[spec.IP_PROTOCOL_FRAGMENT] for part in parts]
        assert [(head.id, head.frag_off * 8, head.m_flag) for head in headers] == [
            (77, 0, 1),
            (77, 48, 1),
            (77, 96, 0),
        ]
        bodies = [bytes(part)[48:] for part in fragment_datagram(whole, 48, 77)]
    header_bytes = 20 if source.version == 4 else 40
    assert b"".join(bodies) == whole[header_bytes:]


@pytest.mark.parametrize("size", [0, -8, 12])
def test_fragments_of_other_sizes_cannot_be(size: int):
    with pytest.raises(LocalProtocolError, match="multiple of 8"):
        fragment_datagram(build_datagram(b"x", CLIENT, GROUP), size, 1)


@pytest.mark.parametrize(
    ("link", "read"),
    [
        (spec.LINK_ETHERNET, lambda frame: dpkt.ethernet.Ethernet(frame).data),
        (spec.LINK_SLL, lambda frame: dpkt.sll.SLL(frame).data),
        (spec.LINK_SLL2, lambda frame: dpkt.sll2.SLL2(frame).data),
        (spec.LINK_NULL, lambda frame: dpkt.loopback.Loopback(frame).data),
        (spec.LINK_RAW_IP, read_ip),
    ],
    ids=["ethernet", "sll", "sll2", "null", "raw"],
)
@pytest.mark.parametrize(("source", "destination"), PAIRS, ids=["ipv4", "ipv6"])
def test_frames_of_every_link_are_read_by_dpkt(
    link: int, read: type[dpkt.Packet], source: Endpoint, destination: Endpoint
):
    frame = build_frame(build_datagram(b"payload", source, destination), link)
    assert read(frame).data.data == b"payload"


def test_vlan_tags_are_read_by_dpkt():
    frame = build_ethernet_frame(build_datagram(b"payload", CLIENT6, GROUP6), vlans=(100, 200))
    ethernet = dpkt.ethernet.Ethernet(frame)
    assert [tag.id for tag in ethernet.vlan_tags] == [100, 200]
    assert ethernet.data.data.data == b"payload"


def test_a_conversation_acknowledges_what_it_got():
    talk = TcpConversation(CLIENT, SERVER, client_isn=2**32 - 1, server_isn=500)
    segments = [*talk.open(), *talk.send(CLIENT, b"question", 5), *talk.send(SERVER, b"answer")]
    segments += [talk.acknowledge(CLIENT), talk.close(CLIENT), talk.close(SERVER)]
    segments += [talk.reset(CLIENT)]
    seen = [read_ip(segment).data for segment in segments]
    assert [(tcp.seq, tcp.ack, bytes(tcp.data)) for tcp in seen] == [
        (2**32 - 1, 0, b""),
        (500, 0, b""),
        (0, 501, b""),
        (0, 501, b"quest"),
        (5, 501, b"ion"),
        (501, 8, b"answer"),
        (8, 507, b""),
        (8, 507, b""),
        (507, 9, b""),
        (9, 508, b""),
    ]
    flags = [tcp.flags for tcp in seen]
    assert flags[:3] == [spec.TCP_SYN, spec.TCP_SYN | spec.TCP_ACK, spec.TCP_ACK]
    assert flags[-3:] == [spec.TCP_FIN | spec.TCP_ACK] * 2 + [spec.TCP_RST | spec.TCP_ACK]


def test_a_segment_larger_than_a_datagram_is_written_as_a_card_gets_it():
    segment = build_segment(bytes(70_000), CLIENT, SERVER, TcpHeader(1))
    assert segment[2:4] == b"\0\0"
