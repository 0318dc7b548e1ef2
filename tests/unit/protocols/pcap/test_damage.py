"""Damaged, cut and hostile captures: what came before the fault is kept, the fault has a place."""

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.binaryfile.reader import DataFileError
from protocols.errors import Status
from protocols.pcap import spec
from protocols.pcap.flow import Endpoint
from protocols.pcap.frames import build_datagram, build_ethernet_frame
from protocols.pcap.kernels import index_pcap_nb, index_pcapng_nb
from protocols.pcap.layout import (
    INTERFACES_MAX,
    Column,
    FrameTable,
    allocate_section,
    allocate_table,
)
from protocols.pcap.reader import open_capture
from protocols.pcap.spec import Skip
from protocols.pcap.writer import PcapngWriter, PcapWriter

SOURCE = Endpoint(0xC0A80001, 40000)
LINE = Endpoint(0xE0000001, 26400)
DATAGRAM = build_datagram(b"payload", SOURCE, LINE)
FRAME = build_ethernet_frame(DATAGRAM)


def classic(*frames: bytes, wire_bytes: int | None = None) -> bytes:
    data = io.BytesIO()
    writer = PcapWriter(data)
    for number, frame in enumerate(frames):
        writer.write(number, frame, wire_bytes=wire_bytes)
    return data.getvalue()


def next_generation(*frames: bytes) -> bytes:
    data = io.BytesIO()
    writer = PcapngWriter(data)
    writer.add_interface()
    for number, frame in enumerate(frames):
        writer.write(number, frame)
    return data.getvalue()


def skipped(tmp_path: Path, data: bytes) -> dict[str, int]:
    path = tmp_path / "damaged"
    path.write_bytes(data)
    capture = open_capture(path)
    assert len(capture.at) == 0
    return {reason: count for reason, count in capture.skipped.items() if count}


@pytest.mark.parametrize("build", [classic, next_generation])
def test_capture_cut_behind_its_header_gives_its_whole_packets_and_the_place_of_the_cut(
    tmp_path: Path, build: Callable[..., bytes]
):
    data = build(FRAME, FRAME, FRAME)
    ends = [len(build(*[FRAME] * count)) for count in range(4)]
    path = tmp_path / "cut"
    for size in range(ends[0], len(data) + 1):
        path.write_bytes(data[:size])
        capture = open_capture(path)
        whole = sum(end <= size for end in ends) - 1
        assert len(capture.at) == whole
        if size in ends:
            assert capture.fault is None
        else:
            assert capture.fault is not None
            assert capture.fault.offset == ends[whole]
            assert "ends within" in capture.fault.reason


@pytest.mark.parametrize(
    ("build", "whole_sizes"), [(classic, set()), (next_generation, {spec.SECTION_BYTES_MIN})]
)
def test_capture_cut_within_its_header_is_an_error_at_the_start_of_what_is_cut(
    tmp_path: Path, build: Callable[..., bytes], whole_sizes: set[int]
):
    data = build()
    path = tmp_path / "cut"
    for size in set(range(1, len(data))) - whole_sizes:
        path.write_bytes(data[:size])
        with pytest.raises(DataFileError) as caught:
            open_capture(path)
        assert caught.value.offset in {0, size, *whole_sizes}
    for size in whole_sizes:
        path.write_bytes(data[:size])
        assert open_capture(path).fault is None


def patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


IP_AT = spec.ETHERNET_HEADER_BYTES
UDP_AT = IP_AT + spec.IPV4_HEADER_BYTES_MIN


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (patched(FRAME, 12, b"\x86\xdd"), "not_ip"),
        (patched(FRAME, 12, b"\x08\x06"), "not_ip"),
        (patched(FRAME, 12, b"\x00\x40"), "not_ip"),
        (patched(FRAME, IP_AT, b"\x65"), "not_ip"),
        (patched(FRAME, IP_AT + 9, b"\x01"), "neither_udp_nor_tcp"),
        (patched(FRAME, IP_AT + 9, b"\x06"), "bad_length"),
        (patched(FRAME, IP_AT + 6, b"\x20\x00"), "bad_length"),
        (patched(FRAME, IP_AT + 6, b"\x00\x10"), "fragment"),
        (patched(FRAME, IP_AT, b"\x44"), "bad_length"),
        (patched(FRAME, IP_AT + 2, b"\x00\x13"), "bad_length"),
        (patched(FRAME, IP_AT + 2, b"\x00\x1b"), "bad_length"),
        (patched(FRAME, IP_AT + 2, b"\xff\xff"), None),
        (patched(FRAME, IP_AT + 2, b"\x00\x22"), "bad_length"),
        (patched(FRAME, UDP_AT + 4, b"\x00\x07"), "bad_length"),
        (patched(FRAME, UDP_AT + 4, b"\x00\x10"), "bad_length"),
        (patched(FRAME, IP_AT + 6, b"\x40\x00"), None),
        (FRAME[:13], "bad_length"),
        (FRAME[:UDP_AT], "bad_length"),
        (FRAME[: UDP_AT + 7], "bad_length"),
        (FRAME[: IP_AT + 19], "bad_length"),
        (FRAME[:-1], "bad_length"),
        (b"", "bad_length"),
        (FRAME[:12] + b"\x81\x00\x00\x01", "bad_length"),
        (FRAME[:12] + b"\x81\x00\x00\x01\x08", "bad_length"),
    ],
)
def test_frame_without_a_whole_udp_payload_is_counted_by_its_reason(
    tmp_path: Path, frame: bytes, reason: str | None
):
    if reason is None:
        path = tmp_path / "good"
        path.write_bytes(classic(frame))
        assert open_capture(path).size.tolist() == [len(b"payload")]
    else:
        assert skipped(tmp_path, classic(frame)) == {reason: 1}


@pytest.mark.parametrize("size", [*range(1, len(FRAME))])
def test_frame_that_the_capture_cut_is_counted_as_such(tmp_path: Path, size: int):
    data = classic(FRAME[:size], wire_bytes=len(FRAME))
    assert skipped(tmp_path, data) == {"snaplen": 1}


def test_trailer_that_the_capture_cut_does_no_harm(tmp_path: Path):
    path = tmp_path / "good"
    path.write_bytes(classic(FRAME, wire_bytes=len(FRAME) + 18))
    assert open_capture(path).size.tolist() == [len(b"payload")]


def test_interfaces_that_nobody_described_or_understands_are_counted(tmp_path: Path):
    data = io.BytesIO()
    writer = PcapngWriter(data)
    writer.add_interface(link=147)
    writer.write(0, FRAME)
    body = struct.pack("<IIIII", 1, 0, 0, len(FRAME), len(FRAME)) + FRAME
    writer.write_block(spec.BLOCK_ENHANCED_PACKET, body)
    assert skipped(tmp_path, data.getvalue()) == {"unknown_link": 1, "unknown_interface": 1}


def test_more_interfaces_than_are_remembered_are_counted(tmp_path: Path):
    data = io.BytesIO()
    writer = PcapngWriter(data)
    for _ in range(INTERFACES_MAX + 1):
        last = writer.add_interface()
    writer.write(0, FRAME, interface=last)
    assert skipped(tmp_path, data.getvalue()) == {"unknown_interface": 1}


def test_classic_record_that_claims_too_much_is_damage(tmp_path: Path):
    path = tmp_path / "damaged"
    whole = classic(FRAME)
    path.write_bytes(whole + struct.pack("<IIII", 0, 0, spec.FRAME_BYTES_MAX + 1, 0) + bytes(90))
    capture = open_capture(path)
    assert len(capture.at) == 1
    assert capture.fault is not None
    assert capture.fault.offset == len(whole)
    assert "contradicts" in capture.fault.reason


def block(block_type: int, length: int, body: bytes, trailing: int) -> bytes:
    return struct.pack("<II", block_type, length) + body + struct.pack("<I", trailing)


@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        (block(5, 16, bytes(4), 20), "contradicts"),
        (block(5, 15, bytes(4), 15), "contradicts"),
        (block(5, 8, bytes(4), 8), "contradicts"),
        (block(spec.BLOCK_ENHANCED_PACKET, 16, bytes(4), 16), "contradicts"),
        (block(spec.BLOCK_SIMPLE_PACKET, 12, b"", 12), "contradicts"),
        (block(spec.BLOCK_INTERFACE, 16, bytes(4), 16), "contradicts"),
        (
            block(spec.BLOCK_ENHANCED_PACKET, 32, struct.pack("<IIIII", 0, 0, 0, 1, 1), 32),
            "contradicts",
        ),
        (block(spec.BLOCK_INTERFACE, 24, bytes(8) + b"\2\0\5\0", 24), "contradicts"),
        (block(spec.BLOCK_SECTION, 28, b"\0\0\0\0" + bytes(12), 28), "without byte order"),
        (
            block(
                spec.BLOCK_SECTION, 28, struct.pack("<IHHq", spec.BYTE_ORDER_MAGIC, 2, 0, -1), 28
            ),
            "version",
        ),
        (
            block(
                spec.BLOCK_SECTION, 24, struct.pack("<IHHq", spec.BYTE_ORDER_MAGIC, 1, 0, -1), 24
            ),
            "contradicts",
        ),
        (struct.pack("<II", spec.BLOCK_SECTION, 28) + bytes(16), "ends within"),
    ],
)
def test_damaged_block_ends_the_capture_and_is_located(tmp_path: Path, tail: bytes, reason: str):
    path = tmp_path / "damaged"
    whole = next_generation(FRAME)
    path.write_bytes(whole + tail)
    capture = open_capture(path)
    assert len(capture.at) == 1
    assert capture.fault is not None
    assert capture.fault.offset == len(whole)
    assert reason in capture.fault.reason


def test_damage_before_the_first_interface_is_an_error(tmp_path: Path):
    path = tmp_path / "damaged"
    path.write_bytes(block(spec.BLOCK_SECTION, 28, bytes(16), 28))
    with pytest.raises(DataFileError, match="at byte 0: a section header without byte order"):
        open_capture(path)


def test_interface_without_an_end_of_options_is_read(tmp_path: Path):
    data = io.BytesIO()
    writer = PcapngWriter(data)
    body = struct.pack("<HHI", spec.LINK_ETHERNET, 0, 0)
    strange = struct.pack("<HH4s", spec.OPTION_TIME_RESOLUTION, 3, b"\x09\x09\x09")
    strange += struct.pack("<HH4s", spec.OPTION_TIME_OFFSET, 4, b"\x01\x01\x01\x01")
    writer.write_block(spec.BLOCK_INTERFACE, body + strange)
    packet = struct.pack("<IIIII", 0, 0, 5, len(FRAME), len(FRAME)) + FRAME
    writer.write_block(spec.BLOCK_ENHANCED_PACKET, packet)
    path = tmp_path / "good"
    path.write_bytes(data.getvalue())
    assert open_capture(path).ts_ns.tolist() == [5000]


def assert_rows_lie_inside(buf_bytes: int, table: FrameTable, rows: int) -> None:
    at, size = table.rows[:rows, Column.AT], table.rows[:rows, Column.SIZE]
    assert (at >= 0).all()
    assert (size >= 0).all()
    assert (at + size <= buf_bytes).all()
    assert table.skipped[Skip.NONE] == 0


@given(flips=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6))
@pytest.mark.parametrize("build", [classic, next_generation])
def test_flipped_bytes_never_lead_outside_of_the_file(
    build: Callable[..., bytes], flips: list[tuple[int, int]]
):
    data = bytearray(build(FRAME, FRAME, FRAME))
    for at, value in flips:
        data[at % len(data)] = value
    buf = np.frombuffer(bytes(data), np.uint8)
    section, table = allocate_section(), allocate_table(2)
    if build is classic:
        section.interfaces[0] = (spec.LINK_ETHERNET, spec.RESOLUTION_NS, 0, 0)
        at, index_nb = spec.PCAP_FILE_HEADER_BYTES, index_pcap_nb
    else:
        at, index_nb = 0, index_pcapng_nb
    section.words[0] = 1
    status = int(Status.OUTPUT_FULL)
    while status == Status.OUTPUT_FULL:
        rows, used, status = index_nb(buf, at, section, table)
        assert_rows_lie_inside(len(buf), table, int(rows))
        at += int(used)
    assert at <= len(buf)
    assert (status == Status.OK) == (at == len(buf))


@given(st.binary(max_size=300), st.sampled_from(spec.LINKS_SUPPORTED), st.sampled_from([0, 1]))
def test_random_bytes_never_lead_outside_of_the_file(data: bytes, link: int, little: int):
    for index_nb in (index_pcap_nb, index_pcapng_nb):
        section, table = allocate_section(), allocate_table(8)
        section.interfaces[0] = (link, spec.RESOLUTION_US, 0, 0)
        section.words[:] = (little, 1)
        buf = np.frombuffer(data, np.uint8)
        rows, used, status = index_nb(buf, 0, section, table)
        assert used <= len(data)
        assert_rows_lie_inside(len(data), table, int(rows))
        assert status in (
            Status.OK,
            Status.TRUNCATED,
            Status.BAD_LENGTH,
            Status.BAD_VALUE,
            Status.OUTPUT_FULL,
        )
