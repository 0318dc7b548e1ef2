"""Capture files by name, as dpkt and python-pcapng read them; and theirs, as we read them."""

import gzip
from pathlib import Path

import dpkt
import pytest
import zstandard
from pcapng import FileScanner, FileWriter
from pcapng.blocks import EnhancedPacket, InterfaceDescription, SectionHeader

from protocols.errors import LocalProtocolError
from protocols.pcap import spec
from protocols.pcap.frames import build_datagram, build_ethernet_frame
from protocols.pcap.reader import CaptureFile
from protocols.pcap.writer import create_capture
from tests.unit.protocols.pcap.support import CLIENT, CLIENT6, GROUP, GROUP6, START_NS

FRAMES = [
    build_ethernet_frame(build_datagram(b"one", CLIENT, GROUP), vlans=(5,)),
    build_ethernet_frame(build_datagram(b"two" * 100, CLIENT6, GROUP6)),
]
TIMES = [START_NS, START_NS + 1_500]
# python-pcapng warns about a table of its own.
QUIET = pytest.mark.filterwarnings("ignore:Field type should not be:DeprecationWarning")
BOTH_CLOCKS = pytest.mark.parametrize("nanoseconds", [True, False], ids=["ns", "us"])
BOTH_ORDERS = pytest.mark.parametrize("little", [True, False], ids=["little", "big"])


def write(path: Path, **options: bool) -> bytes:
    """A capture of FRAMES; its bytes without the packing."""
    with create_capture(path, **options) as writer:
        for ts_ns, frame in zip(TIMES, FRAMES, strict=True):
            writer.write(ts_ns, frame)
    data = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(data)
    if path.suffix == ".zst":
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return data


def clock(nanoseconds: bool) -> list[int]:
    unit = 1 if nanoseconds else 1_000
    return [ts_ns // unit * unit for ts_ns in TIMES]


@BOTH_ORDERS
@BOTH_CLOCKS
@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
def test_classic_captures_are_read_by_dpkt_and_by_us(
    tmp_path: Path, packing: str, nanoseconds: bool, little: bool
):
    path = tmp_path / f"a.pcap{packing}"
    plain = tmp_path / "plain"
    plain.write_bytes(write(path, nanoseconds=nanoseconds, little=little))
    with plain.open("rb") as file:
        oracle = [(ts, frame) for ts, frame in dpkt.pcap.Reader(file)]
    assert [frame for _, frame in oracle] == FRAMES
    scale = 10**9 if nanoseconds else 10**6
    assert [int(ts * scale) * (10**9 // scale) for ts, _ in oracle] == clock(nanoseconds)
    items = list(CaptureFile(path).datagrams())
    assert [item.payload for item in items] == [b"one", b"two" * 100]
    assert [item.ts_ns for item in items] == clock(nanoseconds)


@QUIET
@BOTH_ORDERS
@BOTH_CLOCKS
@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
def test_pcapng_captures_are_read_by_python_pcapng_and_dpkt_and_by_us(
    tmp_path: Path, packing: str, nanoseconds: bool, little: bool
):
    path = tmp_path / f"a.pcapng{packing}"
    plain = tmp_path / "plain"
    plain.write_bytes(write(path, nanoseconds=nanoseconds, little=little))
    with plain.open("rb") as file:
        blocks = [block for block in FileScanner(file) if isinstance(block, EnhancedPacket)]
    assert [block.packet_data for block in blocks] == FRAMES
    unit = 1 if nanoseconds else 1_000
    ticks = [(block.timestamp_high << 32) + block.timestamp_low for block in blocks]
    assert [tick * unit for tick in ticks] == clock(nanoseconds)
    with plain.open("rb") as file:
        assert [frame for _, frame in dpkt.pcapng.Reader(file)] == FRAMES
    items = list(CaptureFile(path).datagrams())
    assert [item.payload for item in items] == [b"one", b"two" * 100]
    assert [item.ts_ns for item in items] == clock(nanoseconds)


@pytest.mark.parametrize("module", [dpkt.pcap, dpkt.pcapng], ids=["pcap", "pcapng"])
@pytest.mark.parametrize("nanoseconds", [True, False], ids=["ns", "us"])
def test_we_read_what_dpkt_writes(tmp_path: Path, module: object, nanoseconds: bool):
    path = tmp_path / "theirs"
    with path.open("wb") as file:
        options = {"nano": nanoseconds} if module is dpkt.pcap else {}
        writer = module.Writer(file, **options)  # type: ignore[attr-defined]
        for number, frame in enumerate(FRAMES):
            writer.writepkt(frame, ts=1_700_000_000 + number)
    items = list(CaptureFile(path).datagrams())
    assert [item.payload for item in items] == [b"one", b"two" * 100]
    assert [item.ts_ns for item in items] == [1_700_000_000 * 10**9, 1_700_000_001 * 10**9]


@QUIET
@pytest.mark.parametrize("endianness", ["<", ">"])
@pytest.mark.parametrize("resolution", [3, 6, 9, 0x80 | 20])
def test_we_read_what_python_pcapng_writes(tmp_path: Path, endianness: str, resolution: int):
    path = tmp_path / "theirs"
    section = SectionHeader(endianness=endianness)
    section.new_member(
        InterfaceDescription,
        link_type=spec.LINK_ETHERNET,
        options={"if_tsresol": bytes((resolution,))},
    )
    with path.open("wb") as file:
        writer = FileWriter(file, section)
        for number, frame in enumerate(FRAMES):
            block = section.new_member(EnhancedPacket, interface_id=0, packet_data=frame)
            units = 2**20 if resolution & 0x80 else 10**resolution
            tick = (1_700_000_000 + number) * units
            block.timestamp_high, block.timestamp_low = tick >> 32, tick & 0xFFFF_FFFF
            writer.write_block(block)
    items = list(CaptureFile(path).datagrams())
    assert [item.payload for item in items] == [b"one", b"two" * 100]
    assert [item.ts_ns for item in items] == [1_700_000_000 * 10**9, 1_700_000_001 * 10**9]


def test_the_same_frames_give_the_same_file(tmp_path: Path):
    for packing in ("", ".gz", ".zst"):
        first, second = tmp_path / f"a.pcapng{packing}", tmp_path / f"b.pcapng{packing}"
        write(first)
        write(second)
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("name", ["a.cap", "a", "a.pcap.bz2", "a.gz", "pcap"])
def test_names_that_say_nothing_of_a_capture_are_refused(tmp_path: Path, name: str):
    with (
        pytest.raises(LocalProtocolError, match="a capture is named"),
        create_capture(tmp_path / name),
    ):
        pass
    assert not (tmp_path / name).exists()
