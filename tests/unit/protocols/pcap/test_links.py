"""Every link type with every IP version, extension headers, and lengths that a card fills in."""

import struct
from pathlib import Path

import pytest

from protocols.pcap import spec
from protocols.pcap.flow import Chunk, Datagram, Endpoint
from protocols.pcap.frames import (
    TcpHeader,
    build_datagram,
    build_ethernet_frame,
    build_frame,
    build_segment,
)
from protocols.pcap.reader import CaptureFile, open_capture
from protocols.pcap.writer import create_capture
from tests.unit.protocols.pcap.support import (
    CLIENT,
    CLIENT6,
    GROUP,
    GROUP6,
    SERVER,
    SERVER6,
    START_NS,
    payloads,
    save,
)

EXTENSIONS = {
    "hop by hop": b"\x00\x00\x01\x04" + bytes(4),
    "routing": b"\x2b\x01" + bytes(14),
    "authentication": b"\x33\x04" + bytes(22),
    "destination": b"\x3c\x00" + bytes(6),
    "mobility": b"\x87\x00" + bytes(6),
    "host identity": b"\x8b\x00" + bytes(6),
    "shim6": b"\x8c\x00" + bytes(6),
}


def save_frames(path: Path, *frames: bytes, link: int = spec.LINK_ETHERNET) -> Path:
    with create_capture(path, link=link) as writer:
        for frame in frames:
            writer.write(START_NS, frame)
    return path


def skipped(path: Path) -> dict[str, int]:
    capture = open_capture(path)
    assert len(capture.at) == 0
    return {reason: n for reason, n in capture.skipped.items() if n}


@pytest.mark.parametrize("link", spec.LINKS_SUPPORTED)
@pytest.mark.parametrize(
    ("source", "destination"), [(CLIENT, GROUP), (CLIENT6, GROUP6)], ids=["ipv4", "ipv6"]
)
@pytest.mark.parametrize("name", ["a.pcap", "a.pcapng"])
def test_every_link_carries_both_versions(
    tmp_path: Path, link: int, source: Endpoint, destination: Endpoint, name: str
):
    path = save(tmp_path / name, [build_datagram(b"payload", source, destination)], link)
    other = {spec.LINK_IPV4: 6, spec.LINK_IPV6: 4}
    if other.get(link) == source.version:
        assert skipped(path) == {"not_ip": 1}
        return
    assert list(CaptureFile(path)) == [Datagram(START_NS, (source, destination), b"payload")]
    capture = open_capture(path)
    assert capture.flows == (destination,)
    assert capture.payload(0) == b"payload"


@pytest.mark.parametrize("family", [10, 24, 28, 30])
@pytest.mark.parametrize("order", ["little", "big"])
def test_loopback_families_are_read_in_either_byte_order(tmp_path: Path, family: int, order: str):
    datagram = build_datagram(b"payload", CLIENT6, GROUP6)
    frame = family.to_bytes(4, order) + datagram  # type: ignore[arg-type]
    assert payloads(save_frames(tmp_path / "a.pcap", frame, link=spec.LINK_NULL)) == [b"payload"]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"\2\0\0", "bad_length"),
        (b"\2\0\0\0", "bad_length"),
        (b"\x07\0\0\0" + bytes(40), "not_ip"),
        (b"\2\0\0\0\x60" + bytes(50), "not_ip"),
    ],
)
def test_loopback_frames_that_hold_nothing_are_counted(tmp_path: Path, frame: bytes, reason: str):
    assert skipped(save_frames(tmp_path / "a.pcap", frame, link=spec.LINK_NULL)) == {reason: 1}


def test_raw_frames_of_no_version_are_counted(tmp_path: Path):
    path = save_frames(tmp_path / "a.pcap", b"\x50" + bytes(60), link=spec.LINK_RAW_IP)
    assert skipped(path) == {"not_ip": 1}


@pytest.mark.parametrize("name", EXTENSIONS)
def test_each_extension_header_is_passed_over(tmp_path: Path, name: str):
    datagram = build_datagram(b"payload", CLIENT6, GROUP6, ip_options=EXTENSIONS[name])
    assert payloads(save(tmp_path / "a.pcap", [datagram])) == [b"payload"]


def test_all_extension_headers_together_are_passed_over(tmp_path: Path):
    options = b"".join(EXTENSIONS.values())
    datagram = build_datagram(b"payload", CLIENT6, GROUP6, ip_options=options)
    assert payloads(save(tmp_path / "a.pcap", [datagram])) == [b"payload"]
    segment = build_segment(b"data", CLIENT6, SERVER6, TcpHeader(7), ip_options=options)
    chunks = [item.data for item in CaptureFile(save(tmp_path / "b.pcap", [segment])).streams()]
    assert chunks[-1] == b"data"


def test_chains_of_extension_headers_longer_than_any_are_counted(tmp_path: Path):
    datagram = build_datagram(b"x", CLIENT6, GROUP6, ip_options=EXTENSIONS["destination"] * 17)
    assert skipped(save(tmp_path / "a.pcap", [datagram])) == {"neither_udp_nor_tcp": 1}


def ipv6(next_header: int, body: bytes, length: int | None = None) -> bytes:
    head = struct.pack(">IHBB", 6 << 28, len(body) if length is None else length, next_header, 9)
    return head + CLIENT6.ip.to_bytes(16, "big") + GROUP6.ip.to_bytes(16, "big") + body


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (ipv6(58, bytes(8)), "neither_udp_nor_tcp"),
        (ipv6(17, bytes(7)), "bad_length"),
        (ipv6(17, b"")[:39], "bad_length"),
        (ipv6(60, b"\x11\0\0\0\0\0\0"), "bad_length"),
        (ipv6(60, b"\x11\x09" + bytes(14)), "bad_length"),
        (ipv6(60, b"\x2c\0" + bytes(6)), "bad_length"),
        (ipv6(44, b"\x11\0\0\1" + bytes(4)), "bad_length"),
        (ipv6(44, b"\x11\0\0\1" + bytes(4 + 9)), "bad_length"),
        (ipv6(44, b"\x11\0\0\0" + bytes(4 + 7)), "bad_length"),
        (ipv6(44, b"\x2c\0\0\0" + bytes(4) + b"\x11" + bytes(15)), "fragment"),
        (ipv6(44, b"\x11\0\0\x10" + bytes(4 + 8), length=999), "bad_length"),
        (ipv6(6, bytes(19)), "bad_length"),
        (ipv6(6, bytes(12) + b"\x40" + bytes(7)), "bad_length"),
        (ipv6(6, bytes(12) + b"\x60" + bytes(7)), "bad_length"),
        (ipv6(6, bytes(12) + b"\x50" + bytes(7), length=30), "bad_length"),
    ],
)
def test_ipv6_datagrams_that_hold_nothing_are_counted(tmp_path: Path, datagram: bytes, reason: str):
    assert skipped(save(tmp_path / "a.pcap", [datagram])) == {reason: 1}


def test_a_fragment_that_is_the_whole_is_no_fragment(tmp_path: Path):
    body = build_datagram(b"payload", CLIENT6, GROUP6)[40:]
    datagram = ipv6(44, b"\x11\0\0\0\0\0\0\7" + body)
    assert payloads(save(tmp_path / "a.pcap", [datagram])) == [b"payload"]


@pytest.mark.parametrize(
    ("source", "destination", "length_at"),
    [(CLIENT, SERVER, 2), (CLIENT6, SERVER6, 4)],
    ids=["ipv4", "ipv6"],
)
def test_a_length_that_the_card_fills_in_is_that_of_the_frame(
    tmp_path: Path, source: Endpoint, destination: Endpoint, length_at: int
):
    segment = bytearray(build_segment(b"data" * 9_000, source, destination, TcpHeader(1)))
    segment[length_at : length_at + 2] = b"\0\0"
    (hole, chunk) = CaptureFile(save(tmp_path / "a.pcap", [bytes(segment)])).streams()
    assert isinstance(hole, Chunk)
    assert chunk.data == b"data" * 9_000


def test_padding_behind_a_segment_is_no_data(tmp_path: Path):
    segment = build_segment(b"ab", CLIENT, SERVER, TcpHeader(1))
    frame = build_ethernet_frame(segment, trailer=bytes(4))
    chunks = list(CaptureFile(save_frames(tmp_path / "a.pcap", frame)).streams())
    assert chunks[-1].data == b"ab"


def test_other_protocols_and_their_fragments_are_counted(tmp_path: Path):
    ping = bytearray(build_datagram(b"x" * 16, CLIENT, GROUP))
    ping[9] = 1
    part = bytearray(ping)
    part[6] = 0x20
    frames = [build_frame(bytes(datagram), spec.LINK_ETHERNET) for datagram in (ping, part)]
    assert skipped(save_frames(tmp_path / "a.pcap", *frames)) == {"neither_udp_nor_tcp": 2}
