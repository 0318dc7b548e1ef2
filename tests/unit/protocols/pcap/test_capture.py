"""Captures against dpkt and python-pcapng, over byte orders, clocks, tags, links and interfaces."""

import gzip
import io
from pathlib import Path

import dpkt
import numpy as np
import pytest
from pcapng import FileScanner
from pcapng.blocks import EnhancedPacket

from protocols.binaryfile.reader import DataFileError
from protocols.pcap import spec
from protocols.pcap.flow import Endpoint
from protocols.pcap.frames import build_datagram, build_ethernet_frame
from protocols.pcap.reader import Capture, open_capture
from protocols.pcap.writer import PcapngWriter, PcapWriter

SOURCE = Endpoint(0xC0A80001, 40000)
LINE_A = Endpoint(0xE0000001, 26400)
LINE_B = Endpoint(0xE0000002, 26401)
START_NS = 1_700_000_000_123_456_789
PAYLOADS = [b"first", b"", b"third " * 200, bytes(range(256))]
BOTH_ORDERS = pytest.mark.parametrize("little", [True, False], ids=["little", "big"])


def frames() -> list[tuple[int, bytes, Endpoint]]:
    """(time, frame, destination) of one frame a payload, with a different wrapping each."""
    wrappings = [
        {},
        {"vlans": (7,), "trailer": bytes(14)},
        {"vlans": (100, 200)},
        {"trailer": b"\xde\xad\xbe\xef"},
    ]
    result = []
    for index, (payload, wrapping) in enumerate(zip(PAYLOADS, wrappings, strict=True)):
        line = LINE_B if index % 2 else LINE_A
        datagram = build_datagram(payload, SOURCE, line, ip_options=b"\x01" * (4 * index))
        frame = build_ethernet_frame(datagram, **wrapping)  # type: ignore[arg-type]
        result.append((START_NS + index * 1_000_001, frame, line))
    return result


def payloads(capture: Capture) -> list[bytes]:
    return [capture.payload(index) for index in range(len(capture.at))]


def save(path: Path, data: io.BytesIO) -> Capture:
    path.write_bytes(data.getvalue())
    return open_capture(path)


def raw_ng(little: bool) -> tuple[io.BytesIO, PcapngWriter]:
    data = io.BytesIO()
    return data, PcapngWriter(data, little=little)


@BOTH_ORDERS
@pytest.mark.parametrize("nanoseconds", [True, False], ids=["ns", "us"])
def test_classic_capture_reads_as_dpkt_reads_it(tmp_path: Path, little: bool, nanoseconds: bool):
    data = io.BytesIO()
    writer = PcapWriter(data, little=little, nanoseconds=nanoseconds)
    for ts_ns, frame, _ in frames():
        writer.write(ts_ns, frame)
    capture = save(tmp_path / "a.pcap", data)
    data.seek(0)
    oracle = list(dpkt.pcap.Reader(data))
    assert len(oracle) == len(capture.at) == len(PAYLOADS)
    datagrams = [dpkt.ethernet.Ethernet(frame).data for _, frame in oracle]
    assert payloads(capture) == [bytes(datagram.data.data) for datagram in datagrams] == PAYLOADS
    destinations = [
        Endpoint(int.from_bytes(datagram.dst, "big"), datagram.data.dport) for datagram in datagrams
    ]
    assert [capture.flows[flow] for flow in capture.flow] == destinations
    scale = 1_000_000_000 if nanoseconds else 1_000_000
    times = [int(time * scale) * (1_000_000_000 // scale) for time, _ in oracle]
    assert capture.ts_ns.tolist() == times
    assert capture.fault is None
    assert set(capture.skipped.values()) == {0}


# python-pcapng warns about a table of its own.
@pytest.mark.filterwarnings("ignore:Field type should not be:DeprecationWarning")
@BOTH_ORDERS
def test_pcapng_reads_as_python_pcapng_reads_it(tmp_path: Path, little: bool):
    data, writer = raw_ng(little)
    writer.add_interface(resolution=spec.RESOLUTION_NS)
    writer.add_interface(resolution=spec.RESOLUTION_US)
    writer.write_block(5, bytes(12))
    for index, (ts_ns, frame, _) in enumerate(frames()):
        writer.write(ts_ns, frame, interface=index % 2)
    capture = save(tmp_path / "a.pcapng", data)
    data.seek(0)
    oracle = [block for block in FileScanner(data) if isinstance(block, EnhancedPacket)]
    datagrams = [dpkt.ethernet.Ethernet(block.packet_data).data for block in oracle]
    assert payloads(capture) == [bytes(datagram.data.data) for datagram in datagrams] == PAYLOADS
    ticks = [(block.timestamp_high << 32) + block.timestamp_low for block in oracle]
    unit_ns = [1, 1000, 1, 1000]
    assert capture.ts_ns.tolist() == [t * unit for t, unit in zip(ticks, unit_ns, strict=True)]
    assert capture.fault is None


def test_flows_number_the_destinations(tmp_path: Path):
    data = io.BytesIO()
    writer = PcapWriter(data)
    for ts_ns, frame, _ in frames():
        writer.write(ts_ns, frame)
    capture = save(tmp_path / "a.pcap", data)
    assert capture.flows == (LINE_A, LINE_B)
    assert capture.flow.tolist() == [0, 1, 0, 1]


@BOTH_ORDERS
def test_sections_may_change_byte_order_and_interfaces(tmp_path: Path, little: bool):
    data, writer = raw_ng(little)
    ts_ns, frame, _ = frames()[0]
    writer.add_interface(resolution=0x80 | 20, offset_s=1_600_000_000)
    writer.add_interface(resolution=0)
    writer.write(ts_ns, frame, interface=0)
    writer.write(ts_ns, frame, interface=1)
    writer.begin_section(little=not little)
    writer.add_interface(resolution=10)
    writer.write(ts_ns, frame)
    writer.write_simple(frame)
    capture = save(tmp_path / "a.pcapng", data)
    assert payloads(capture) == [PAYLOADS[0]] * 4
    fraction_ns = (ts_ns % 10**9) * 2**20 // 10**9 * 10**9 >> 20
    whole_ns = ts_ns // 10**9 * 10**9
    assert capture.ts_ns.tolist() == [whole_ns + fraction_ns, whole_ns, ts_ns, 0]
    assert capture.fault is None


def test_simple_packets_are_cut_by_the_snaplen_of_the_first_interface(tmp_path: Path):
    data, writer = raw_ng(True)
    frame = frames()[2][1]
    writer.write_simple(frame)
    writer.add_interface(snaplen=len(frame) - 1)
    writer.write_simple(frame[:-1], wire_bytes=len(frame))
    writer.write_simple(frames()[0][1])
    capture = save(tmp_path / "a.pcapng", data)
    assert payloads(capture) == [PAYLOADS[0]]
    assert capture.skipped["snaplen"] == 1
    assert capture.skipped["unknown_interface"] == 1


def test_simple_packet_ends_before_the_padding_of_its_block(tmp_path: Path):
    data, writer = raw_ng(True)
    writer.add_interface()
    frame = frames()[0][1]
    writer.write_block(spec.BLOCK_SIMPLE_PACKET, len(frame).to_bytes(4, "little") + frame)
    assert payloads(save(tmp_path / "a.pcapng", data)) == [PAYLOADS[0]]


@BOTH_ORDERS
def test_obsolete_packet_blocks_are_read(tmp_path: Path, little: bool):
    data, writer = raw_ng(little)
    writer.add_interface(resolution=spec.RESOLUTION_US)
    order = "little" if little else "big"
    frame = frames()[0][1]
    words = [0, 1, 2, len(frame), len(frame)]
    widths = [2, 4, 4, 4, 4]
    head = b"".join(word.to_bytes(w, order) for word, w in zip(words, widths, strict=True))
    dropped = (9).to_bytes(2, order)
    body = head[:2] + dropped + head[2:] + frame
    writer.write_block(spec.BLOCK_PACKET_OBSOLETE, body)
    capture = save(tmp_path / "a.pcapng", data)
    assert payloads(capture) == [PAYLOADS[0]]
    assert capture.ts_ns.tolist() == [((1 << 32) + 2) * 1000]


@pytest.mark.parametrize(
    ("link", "header"),
    [
        (spec.LINK_RAW_IP, b""),
        (spec.LINK_IPV4, b""),
        (spec.LINK_SLL, bytes(14) + b"\x08\x00"),
        (spec.LINK_SLL, bytes(14) + b"\x81\x00\x00\x05\x08\x00"),
        (spec.LINK_SLL2, b"\x08\x00" + bytes(18)),
    ],
    ids=["raw", "ipv4", "sll", "sll-vlan", "sll2"],
)
def test_other_links_are_read(tmp_path: Path, link: int, header: bytes):
    data = io.BytesIO()
    writer = PcapWriter(data, link=link)
    writer.write(START_NS, header + build_datagram(b"payload", SOURCE, LINE_A) + b"trailer")
    assert payloads(save(tmp_path / "a.pcap", data)) == [b"payload"]


def test_frame_check_bits_of_the_link_word_are_ignored(tmp_path: Path):
    data = io.BytesIO()
    writer = PcapWriter(data, link=0x5400_0000 | spec.LINK_ETHERNET)
    writer.write(START_NS, frames()[0][1] + b"\1\2\3\4")
    assert payloads(save(tmp_path / "a.pcap", data)) == [PAYLOADS[0]]


def test_gzip_captures_are_read_and_cut_ones_up_to_the_cut(tmp_path: Path):
    data = io.BytesIO()
    writer = PcapWriter(data)
    for ts_ns, frame, _ in frames():
        writer.write(ts_ns, frame)
    path = tmp_path / "a.pcap.gz"
    packed = gzip.compress(data.getvalue())
    path.write_bytes(packed)
    assert payloads(open_capture(path)) == PAYLOADS
    path.write_bytes(packed[:-9])
    capture = open_capture(path)
    assert capture.fault is not None
    assert "gzip" in capture.fault.reason
    assert payloads(capture) == PAYLOADS[: len(capture.at)]


def test_more_datagrams_than_one_batch_are_all_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("protocols.pcap.source._BATCH_ROWS", 3)
    data, writer = raw_ng(True)
    classic = io.BytesIO()
    pcap = PcapWriter(classic)
    writer.add_interface()
    expected = [str(number).encode() for number in range(20)]
    for number, payload in enumerate(expected):
        frame = build_ethernet_frame(build_datagram(payload, SOURCE, LINE_A))
        writer.write(START_NS + number, frame)
        pcap.write(START_NS + number, frame)
    for capture in (save(tmp_path / "a.pcapng", data), save(tmp_path / "a.pcap", classic)):
        assert payloads(capture) == expected
        assert capture.ts_ns.tolist() == list(range(START_NS, START_NS + 20))


def test_capture_without_a_packet_is_empty(tmp_path: Path):
    data = io.BytesIO()
    PcapWriter(data)
    capture = save(tmp_path / "a.pcap", data)
    assert len(capture.at) == 0
    assert capture.flows == ()
    assert capture.fault is None
    assert capture.ts_ns.dtype == np.int64


@pytest.mark.parametrize("content", [b"\0\1A" * 10, b"abc"])
def test_file_that_is_no_capture_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "a.pcap"
    path.write_bytes(content)
    with pytest.raises(DataFileError, match="neither pcap nor pcapng"):
        open_capture(path)


def test_classic_capture_of_another_link_is_refused_by_number(tmp_path: Path):
    data = io.BytesIO()
    PcapWriter(data, link=105)
    with pytest.raises(DataFileError, match=r"byte 20: link type 105 is not supported"):
        save(tmp_path / "a.pcap", data)
