"""IP fragments: time, limits, numbers that are used again, and what they become in a capture."""

from pathlib import Path

import pytest

from protocols.pcap import spec
from protocols.pcap.flow import Datagram, Endpoint
from protocols.pcap.fragments import FragmentAssembler, FragmentLimits
from protocols.pcap.frames import TcpHeader, build_datagram, build_segment, fragment_datagram
from protocols.pcap.layout import COLUMNS, FRAGMENT_MORE_SHIFT, FRAGMENT_PROTOCOL_SHIFT, Column
from protocols.pcap.reader import CaptureFile, open_capture
from tests.unit.protocols.pcap.support import (
    CLIENT,
    CLIENT6,
    GROUP,
    GROUP6,
    START_NS,
    STEP_NS,
    save,
)

SECOND_NS = 1_000_000_000
PAYLOAD = bytes(range(256)) * 12
BOTH = pytest.mark.parametrize(
    ("source", "destination"), [(CLIENT, GROUP), (CLIENT6, GROUP6)], ids=["ipv4", "ipv6"]
)


def row(
    start: int, more: bool, ts_ns: int = 0, number: int = 1, *, protocol: int = 17, high: int = 0
) -> list[int]:
    result = [0] * COLUMNS
    result[Column.TS_NS] = ts_ns
    result[Column.SOURCE_HIGH] = high
    result[Column.SOURCE_LOW] = spec.IPV4_MAPPED
    result[Column.NUMBER] = number
    flags = start | more << FRAGMENT_MORE_SHIFT | protocol << FRAGMENT_PROTOCOL_SHIFT
    result[Column.FLAGS] = flags
    return result


@BOTH
@pytest.mark.parametrize("name", ["a.pcap", "a.pcapng"])
def test_fragments_of_a_capture_become_a_datagram_at_the_time_of_the_last(
    tmp_path: Path, source: Endpoint, destination: Endpoint, name: str
):
    whole = build_datagram(PAYLOAD, source, destination)
    plain = build_datagram(b"plain", source, destination)
    parts = fragment_datagram(whole, 1_000, 7)
    datagrams = [
        parts[2],
        plain,
        parts[0],
        parts[3],
        parts[1],
        plain,
        *fragment_datagram(whole, 8, 8),
    ]
    path = save(tmp_path / name, datagrams)
    items = list(CaptureFile(path))
    flow = (source, destination)
    assert items[:3] == [
        Datagram(START_NS + STEP_NS, flow, b"plain"),
        Datagram(START_NS + 4 * STEP_NS, flow, PAYLOAD),
        Datagram(START_NS + 5 * STEP_NS, flow, b"plain"),
    ]
    assert items[3].payload == PAYLOAD  # type: ignore[union-attr]
    capture = open_capture(path)
    assert [capture.payload(i) for i in range(4)] == [b"plain", PAYLOAD, b"plain", PAYLOAD]
    assert capture.ts_ns.tolist() == [item.ts_ns for item in items]
    assert set(capture.skipped.values()) == {0}


def test_batches_share_what_is_in_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("protocols.pcap.source._BATCH_ROWS", 2)
    datagrams = []
    for number in range(5):
        payload = bytes((number,)) * 50
        datagrams += fragment_datagram(build_datagram(payload, CLIENT, GROUP), 24, number)
    path = save(tmp_path / "a.pcap", datagrams)
    capture = open_capture(path)
    expected = [bytes((number,)) * 50 for number in range(5)]
    assert [capture.payload(index) for index in range(5)] == expected
    assert [item.payload for item in CaptureFile(path).datagrams()] == expected


@BOTH
def test_segments_are_put_together_from_fragments_too(
    tmp_path: Path, source: Endpoint, destination: Endpoint
):
    segment = build_segment(PAYLOAD, source, destination, TcpHeader(5, flags=spec.TCP_SYN))
    path = save(tmp_path / "a.pcap", fragment_datagram(segment, 512, 3))
    assert [chunk.data for chunk in CaptureFile(path).streams()] == [PAYLOAD]
    assert open_capture(path).skipped["tcp"] == 1


def test_extension_headers_in_the_fragmentable_part_are_passed_over(tmp_path: Path):
    options = b"\x3c\x01" + bytes(14)
    whole = build_datagram(PAYLOAD, CLIENT6, GROUP6, ip_options=options)
    path = save(tmp_path / "a.pcap", fragment_datagram(whole, 8, 3))
    assert [item.payload for item in CaptureFile(path).datagrams()] == [PAYLOAD]


@pytest.mark.parametrize(
    ("at", "byte", "reason"), [(6, 1, "neither_udp_nor_tcp"), (44, 0xFF, "bad_length")]
)
def test_fragments_of_something_else_are_counted_once(
    tmp_path: Path, at: int, byte: int, reason: str
):
    whole = bytearray(build_datagram(PAYLOAD, CLIENT6, GROUP6))
    whole[at] = byte
    path = save(tmp_path / "a.pcap", fragment_datagram(bytes(whole), 1_024, 3))
    file = CaptureFile(path)
    assert list(file) == []
    assert {name: n for name, n in file.skipped.items() if n} == {reason: 1}


@pytest.mark.parametrize("next_header", [17, 60])
def test_fragments_whose_extension_header_runs_over_are_counted(tmp_path: Path, next_header: int):
    whole = bytearray(build_datagram(b"x" * 16, CLIENT6, GROUP6, ip_options=b"\x3c\0" + bytes(6)))
    # The first byte behind the IPv6 header is the next header, the second the extension's length.
    whole[40:42] = bytes((next_header, 200))
    file = CaptureFile(save(tmp_path / "a.pcap", fragment_datagram(bytes(whole), 16, 3)))
    assert list(file) == []
    assert {name: n for name, n in file.skipped.items() if n} == {"bad_length": 1}


def test_fragments_that_lack_one_are_counted(tmp_path: Path):
    parts = fragment_datagram(build_datagram(PAYLOAD, CLIENT, GROUP), 1_000, 7)
    file = CaptureFile(save(tmp_path / "a.pcap", parts[:-1]))
    assert list(file) == []
    assert {name: n for name, n in file.skipped.items() if n} == {"fragment": 3}


def test_a_datagram_that_takes_too_long_is_dropped():
    assembler = FragmentAssembler()
    assert assembler.add(row(0, True), bytes(8)) is None
    assert assembler.add(row(8, False, 30 * SECOND_NS), bytes(8)) is not None
    assembler.add(row(0, True, number=2), bytes(8))
    assert assembler.add(row(8, False, 31 * SECOND_NS, 2), bytes(8)) is None
    assert assembler.dropped == 1
    assembler.finish()
    assert assembler.dropped == 2


def test_a_time_that_is_far_off_harms_only_what_was_in_progress():
    assembler = FragmentAssembler()
    assembler.add(row(0, True), bytes(8))
    assembler.add(row(0, True, 2**62, 2), bytes(8))
    assert assembler.add(row(8, False), bytes(8)) is None
    assert assembler.add(row(0, True), bytes(8)) is not None


def test_a_number_that_is_used_again_is_another_datagram():
    assembler = FragmentAssembler()
    for content in (b"a" * 8, b"b" * 8, b"c" * 8):
        assert assembler.add(row(0, True), content) is None
        assert assembler.add(row(8, False), b"end") == (17, content + b"end")
        assert assembler.add(row(8, False), b"end") is None
    assert assembler.dropped == 3


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((0, True, b"a" * 16), (8, True, b"b" * 8)),
        ((8, False, b"a" * 8), (8, False, b"a" * 16)),
        ((8, False, b"a" * 8), (16, True, b"a" * 8)),
        ((0, True, b"a" * 16), (0, False, b"a" * 8)),
        ((0, True, b"a" * 8), (65_528, False, b"a" * 8)),
    ],
    ids=["bytes", "ends", "behind the end", "end before the rest", "too long"],
)
def test_contradictions_drop_the_whole_datagram(
    first: tuple[int, bool, bytes], second: tuple[int, bool, bytes]
):
    assembler = FragmentAssembler()
    for start, more, part in (first, second):
        assert assembler.add(row(start, more), part) is None
    assert assembler.add(row(0, True), b"a" * 8) is None
    assert assembler.add(row(8, False), b"a" * 8) is None
    assembler.finish()
    assert assembler.dropped == 4


def test_ipv4_tells_protocols_apart_and_ipv6_takes_that_of_the_first_fragment():
    assembler = FragmentAssembler()
    assembler.add(row(0, True), bytes(8))
    assert assembler.add(row(8, False, protocol=6), bytes(8)) is None
    assert assembler.add(row(8, False), bytes(8)) == (17, bytes(16))
    assembler.add(row(0, True, protocol=17, high=5), bytes(8))
    assert assembler.add(row(8, False, protocol=6, high=5), bytes(8)) == (17, bytes(16))


def test_the_oldest_makes_room_for_the_newest():
    assembler = FragmentAssembler(FragmentLimits(datagrams=2, size_bytes=1 << 20))
    for number in (1, 2, 3):
        assembler.add(row(0, True, number=number), bytes(8))
    assert assembler.dropped == 1
    assert assembler.add(row(8, False, number=2), bytes(8)) is not None
    small = FragmentAssembler(FragmentLimits(size_bytes=20))
    small.add(row(0, True), bytes(16))
    small.add(row(0, True, number=2), bytes(8))
    assert small.dropped == 1
    assert small.add(row(8, False, number=2), bytes(8)) is not None
