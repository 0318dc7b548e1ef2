"""Whatever is done to the bytes of a capture: it is read up to the damage, which has a place.

Run under NUMBA_BOUNDSCHECK=1 as well, where an index outside of an array is an IndexError.
"""

import gzip
import io
import os
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.binaryfile.reader import DataFileError
from protocols.pcap import spec
from protocols.pcap.flow import Chunk, Datagram, Endpoint
from protocols.pcap.frames import (
    TcpConversation,
    TcpHeader,
    build_datagram,
    build_ethernet_frame,
    build_frame,
    build_segment,
    fragment_datagram,
)
from protocols.pcap.reader import CaptureFile, open_capture
from protocols.pcap.tcp import TcpLimits
from protocols.pcap.writer import PcapngWriter, PcapWriter, create_capture

CLIENT, SERVER = Endpoint(0x0A000002, 50_000), Endpoint(0x0A000001, 15_000)
CLIENT6, GROUP6 = Endpoint(0x20010DB8 << 96 | 2, 50_000, 6), Endpoint(0xFF02 << 112 | 7, 26_400, 6)
LINKS = (spec.LINK_ETHERNET, spec.LINK_SLL, spec.LINK_SLL2, spec.LINK_NULL, spec.LINK_RAW_IP)


def datagrams() -> list[bytes]:
    """A little of everything that a capture may hold."""
    talk = TcpConversation(CLIENT, SERVER)
    begin = talk.open()
    first, second, third = talk.send(SERVER, bytes(range(30)), 10)
    options = b"\x00\x00\x01\x04" + bytes(4) + b"\x3c\x00" + bytes(6)
    large = build_datagram(bytes(range(40)), CLIENT, SERVER)
    large6 = build_datagram(bytes(range(40)), CLIENT6, GROUP6)
    return [
        build_datagram(b"one", CLIENT, SERVER, ip_options=b"\1\1\1\0"),
        build_datagram(b"two", CLIENT6, GROUP6, ip_options=options),
        *fragment_datagram(large, 24, 7),
        *begin,
        third,
        first,
        second,
        *fragment_datagram(large6, 24, 8),
        talk.close(SERVER),
    ]


def build(kind: str, link: int = spec.LINK_ETHERNET) -> bytes:
    data = io.BytesIO()
    order = {"little": "big" not in kind}
    writer: PcapWriter | PcapngWriter
    if kind.startswith("pcapng"):
        writer = PcapngWriter(data, **order)
        writer.add_interface(link=link)
    else:
        writer = PcapWriter(data, link=link, **order)
    for number, datagram in enumerate(datagrams()):
        writer.write(number, build_frame(datagram, link))
    if isinstance(writer, PcapngWriter):
        writer.begin_section(little=not order["little"])
        writer.add_interface(link=link, resolution=0x80 | 20, offset_s=5)
        writer.write(10**10, build_frame(datagrams()[0], link))
        writer.write_simple(build_frame(datagrams()[1], link))
    return data.getvalue()


KINDS = {kind: build(kind) for kind in ("pcap little", "pcap big", "pcapng little", "pcapng big")}
PACKED = {
    "gzip": gzip.compress(KINDS["pcap little"], mtime=0),
    "zstd": zstandard.compress(KINDS["pcapng little"]),
}


def error_of(action: Callable[[], object]) -> DataFileError | None:
    """The error that the action ends with, if it does."""
    try:
        action()
    except DataFileError as error:
        return error
    return None


def read(path: Path, data: bytes, plain_bytes: int | None = None) -> list[Datagram | Chunk]:
    """Read a file of `data` in both ways, which agree; damage has a place within the file."""
    items: list[Datagram | Chunk] = []
    fault = error_of(lambda: items.extend(CaptureFile(_write(path, data))))
    if fault is not None:
        limit = len(data) if plain_bytes is None else plain_bytes
        assert fault.offset is not None
        assert 0 <= fault.offset <= limit
        assert fault.reason
    refusal = error_of(lambda: open_capture(path))
    if refusal is not None:
        assert str(refusal) == str(fault)
        assert items == []
        return items
    capture = open_capture(path)
    assert str(capture.fault) == str(fault)
    found = [item for item in items if isinstance(item, Datagram)]
    assert [capture.payload(index) for index in range(len(capture.at))] == [
        item.payload for item in found
    ]
    assert [capture.flows[flow] for flow in capture.flow] == [
        item.flow.destination for item in found
    ]
    return items


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """In memory where there is such a folder: tens of thousands of files are written and read."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path_factory.mktemp("damage")
        return
    with TemporaryDirectory(prefix="feedhandler-damage-", dir=memory) as name:
        yield Path(name)


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "capture"


@pytest.mark.compiled_only
@pytest.mark.parametrize("kind", KINDS)
def test_every_truncation_gives_what_came_before_it(path: Path, kind: str):
    whole = read(path, KINDS[kind])
    assert len(whole) >= 7
    sizes = range(1, len(KINDS[kind]))
    counts = [len(read(path, KINDS[kind][:size])) for size in sizes]
    # At the end of a capture what waits is given out, so one datagram less may be a chunk more.
    assert max(counts) <= len(whole) + 1
    assert counts[0] == 0


@pytest.mark.parametrize("kind", PACKED)
def test_every_truncation_of_a_packed_file_is_known_for_one(path: Path, kind: str):
    whole = read(path, PACKED[kind], 10_000)
    for size in range(1, len(PACKED[kind])):
        assert len(read(path, PACKED[kind][:size], 10_000)) <= len(whole) + 1


@pytest.mark.compiled_only
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", [0x01, 0x80, 0xFF])
def test_every_corrupted_byte_is_survived(path: Path, kind: str, change: int):
    data = bytearray(KINDS[kind])
    for at in range(len(data)):
        data[at] ^= change
        read(path, bytes(data))
        data[at] ^= change


@pytest.mark.parametrize("kind", PACKED)
def test_every_corrupted_byte_of_a_packed_file_is_survived(path: Path, kind: str):
    data = bytearray(PACKED[kind])
    for at in range(len(data)):
        data[at] ^= 0x10
        read(path, bytes(data), 1 << 32)
        data[at] ^= 0x10


WORDS = [0, 1, 2, 4, 12, 28, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFC, 0xFFFFFFFF]


def mutate(data: bytes, chance: random.Random) -> bytes:
    """`data` with a few wounds: bytes, hostile lengths, stretches moved, doubled and cut out."""
    result = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        at, other = chance.randrange(len(result)), chance.randrange(len(result))
        wound = chance.randrange(5)
        if wound == 0:
            result[at] = chance.randrange(256)
        elif wound == 1:
            order = chance.choice("<>")
            result[at : at + 4] = struct.pack(order + "I", chance.choice(WORDS))
        elif wound == 2:
            result[at:at] = result[other : other + chance.randrange(200)]
        elif wound == 3:
            result[at : at + 20] = result[other : other + 20]
        elif len(result) > 60:
            del result[at : at + chance.randrange(40)]
    return bytes(result)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(KINDS)), st.sampled_from(LINKS), st.integers(0, 2**63))
def test_random_wounds_are_survived(path: Path, kind: str, link: int, seed: int):
    data = mutate(build(kind, link), random.Random(seed))
    items = read(path, data)
    given_bytes = sum(
        len(item.payload) if isinstance(item, Datagram) else len(item.data)
        for item in items
        if isinstance(item, Datagram) or isinstance(item.data, bytes)
    )
    assert given_bytes <= len(data)


def test_a_block_of_four_gigabytes_is_no_reason_to_allocate_them(path: Path):
    for length in (0xFFFF_FFFC, 0xFFFF_FFFF, 0x7FFF_FFFC):
        head = struct.pack("<II", spec.BLOCK_ENHANCED_PACKET, length)
        with pytest.raises(DataFileError, match="at byte") as caught:
            list(CaptureFile(_write(path, KINDS["pcapng little"] + head + bytes(40))))
        assert caught.value.offset == len(KINDS["pcapng little"])


def _write(path: Path, data: bytes) -> Path:
    # A new file each time: ext4 writes one that was emptied and filled again to the disk at once.
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    return path


@pytest.mark.compiled_only
def test_as_many_interfaces_as_there_can_be_are_survived(path: Path):
    data = io.BytesIO()
    writer = PcapngWriter(data)
    for _ in range(65_535):
        writer.add_interface()
    writer.write(5, build_ethernet_frame(datagrams()[0]), interface=3)
    writer.write(6, build_ethernet_frame(datagrams()[0]), interface=65_534)
    file = CaptureFile(_write(path, data.getvalue()))
    assert [item.ts_ns for item in file.datagrams()] == [5]
    assert file.skipped["unknown_interface"] == 1


@pytest.mark.compiled_only
def test_more_connections_and_fragments_than_fit_are_survived(tmp_path: Path):
    path = tmp_path / "many.pcap"
    chance = random.Random(6)
    number = 20_000
    with create_capture(path) as writer:
        for index in range(number):
            source = Endpoint(chance.randrange(2**32), chance.randrange(2**16))
            segment = build_segment(b"x", source, SERVER, TcpHeader(chance.randrange(2**32)))
            writer.write(index, build_ethernet_frame(segment))
            whole = build_datagram(bytes(8), source, SERVER)
            part = fragment_datagram(whole, 8, chance.randrange(2**16))[0]
            writer.write(index, build_ethernet_frame(part))
    file = CaptureFile(path, tcp=TcpLimits(connections=100))
    streams = {item.flow.connection for item in file.streams()}
    assert len(streams) == file.tcp.connections > number - 100
    assert file.tcp.forgotten_connections == file.tcp.connections - 100
    assert file.skipped["fragment"] == number
