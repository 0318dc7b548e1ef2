"""Captures item by item: datagrams and streams in their order, counts, and damage at the end."""

import contextlib
import gc
import weakref
from pathlib import Path

import pytest

from protocols.binaryfile.reader import DataFileError
from protocols.pcap import reader, spec
from protocols.pcap.flow import Chunk, Datagram, Endpoint, Flow, Hole, Stream
from protocols.pcap.frames import TcpConversation, build_datagram, build_frame
from protocols.pcap.reader import CaptureFile, open_capture
from protocols.pcap.writer import create_capture
from tests.unit.protocols.pcap.support import (
    CLIENT,
    CLIENT6,
    GROUP,
    GROUP6,
    SERVER,
    START_NS,
    STEP_NS,
    save,
)


def mixed() -> list[bytes]:
    talk = TcpConversation(CLIENT, SERVER)
    begin = talk.open()
    return [
        build_datagram(b"first", CLIENT, GROUP),
        *begin,
        *talk.send(SERVER, b"a" * 30, 10),
        build_datagram(b"second", CLIENT6, GROUP6),
        *talk.send(CLIENT, b"ok"),
    ]


@pytest.mark.parametrize("name", ["a.pcap", "a.pcapng", "a.pcap.gz", "a.pcapng.zst"])
def test_items_come_in_the_order_of_the_capture(tmp_path: Path, name: str):
    file = CaptureFile(save(tmp_path / name, mixed()))
    down, up = Stream(SERVER, CLIENT, 0), Stream(CLIENT, SERVER, 0)
    expected = [
        Datagram(START_NS, Flow(CLIENT, GROUP), b"first"),
        Chunk(START_NS + 4 * STEP_NS, down, b"a" * 10),
        Chunk(START_NS + 5 * STEP_NS, down, b"a" * 10),
        Chunk(START_NS + 6 * STEP_NS, down, b"a" * 10),
        Datagram(START_NS + 7 * STEP_NS, Flow(CLIENT6, GROUP6), b"second"),
        Chunk(START_NS + 8 * STEP_NS, up, b"ok"),
    ]
    assert list(file) == expected
    assert list(file) == expected
    assert list(file.datagrams()) == [expected[0], expected[4]]
    assert list(file.streams()) == [*expected[1:4], expected[5]]
    assert (file.tcp.connections, file.tcp.segments) == (1, 7)


def test_damage_is_raised_behind_what_came_before_it(tmp_path: Path):
    path = save(tmp_path / "a.pcap", mixed())
    path.write_bytes(path.read_bytes()[:-3])
    items: list[Datagram | Chunk] = []
    with pytest.raises(DataFileError, match="ends within") as caught:
        items.extend(CaptureFile(path))
    assert caught.value.offset is not None
    assert 0 < caught.value.offset < path.stat().st_size
    assert len(items) == 5


def test_a_damaged_capture_goes_from_memory_with_its_error(tmp_path: Path):
    path = save(tmp_path / "a.pcap", mixed())
    path.write_bytes(path.read_bytes()[:-3])
    gc.collect()
    gc.disable()
    try:
        file = CaptureFile(path)
        with contextlib.suppress(DataFileError):
            list(file)
        gone = weakref.ref(file)
        del file
        assert gone() is None, "the garbage collector would have to find it"
    finally:
        gc.enable()


def test_frames_that_gave_nothing_are_counted_after_the_pass(tmp_path: Path):
    file = CaptureFile(save(tmp_path / "a.pcap", [b"\x50" + bytes(30), *mixed()]))
    assert set(file.skipped.values()) == {0}
    assert len(list(file)) == 6
    assert {reason: n for reason, n in file.skipped.items() if n} == {"not_ip": 1}


def test_snaplen_leaves_holes_that_are_said(tmp_path: Path):
    path = tmp_path / "a.pcapng"
    with create_capture(path) as writer:
        for number, datagram in enumerate(mixed()):
            frame = build_frame(datagram, spec.LINK_ETHERNET)
            writer.write(START_NS + number, frame[:58], wire_bytes=len(frame))
    file = CaptureFile(path)
    data = [item.data for item in file.streams() if item.flow.source == SERVER]
    assert data == [b"a" * 4, Hole(6)] * 3
    assert file.skipped["snaplen"] == 1
    assert file.tcp.missing_bytes == 18


def test_more_flows_than_are_kept_are_all_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reader, "_FLOWS_KEPT", 2)
    targets = [Endpoint(GROUP.ip + number % 5, 7) for number in range(12)]
    datagrams = [build_datagram(b"x", CLIENT, target) for target in targets]
    path = save(tmp_path / "a.pcap", datagrams)
    assert [item.flow.destination for item in CaptureFile(path).datagrams()] == targets
    capture = open_capture(path)
    assert [capture.flows[flow] for flow in capture.flow] == targets


def test_destinations_of_both_versions_are_numbered_in_ascending_order(tmp_path: Path):
    high = Endpoint(2**127 + 5, 1, 6)
    targets = [high, GROUP6, GROUP, Endpoint(GROUP.ip, 3), GROUP6, Endpoint(GROUP6.ip + 1, 9, 6)]
    datagrams = [
        build_datagram(b"x", CLIENT6 if target.version == 6 else CLIENT, target)
        for target in targets
    ]
    capture = open_capture(save(tmp_path / "a.pcap", datagrams))
    assert capture.flows == (targets[3], GROUP, high, GROUP6, targets[5])
    assert [capture.flows[flow] for flow in capture.flow] == targets


def test_endpoints_are_shown_as_people_write_them():
    assert str(GROUP) == "224.0.0.1:26400"
    assert str(GROUP6) == "[ff02::7]:26400"
