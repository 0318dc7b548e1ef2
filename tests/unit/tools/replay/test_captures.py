"""Replay of captures: two lines are one stream, and what neither of them brought is counted."""

import random
from pathlib import Path

import pytest

from protocols.moldudp64.codec import Packet, encode_packet
from protocols.pcap.frames import build_datagram, build_ethernet_frame
from protocols.pcap.writer import PcapngWriter, PcapWriter
from tests.unit.tools.replay.support import (
    INTERVAL_NS,
    LINES,
    SESSION,
    SOURCE,
    START_NS,
    STRANGER,
    Datagram,
    end_of_session,
    make_session,
    packets_of,
    replay_file,
    session_messages,
    slow_book,
    write_capture,
)

PACKET_MESSAGES = 7


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    return session_messages(make_session(tmp_path_factory.mktemp("session") / "day.bin"))


@pytest.fixture(scope="module")
def digest(messages: list[bytes]) -> str:
    return slow_book(messages).digest()


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return tmp_path / "day.pcap"


def on_both_lines(packets: list[bytes]) -> list[Datagram]:
    return [Datagram(line, packet) for packet in packets for line in (0, 1)]


@pytest.mark.parametrize("pcapng", [False, True])
def test_two_lines_give_the_books_of_the_file(
    messages: list[bytes], digest: str, capture: Path, pcapng: bool
):
    packets = [*packets_of(messages), end_of_session(messages)]
    write_capture(capture, on_both_lines(packets), pcapng=pcapng)
    outcome = replay_file(capture)
    assert outcome.fault is None
    assert outcome.messages == len(messages)
    assert outcome.books_digest == digest
    assert (outcome.gaps, outcome.missing_messages) == (0, 0)
    data_packets = len(packets) - 1
    assert outcome.packets == {
        "line_a": data_packets + 1,
        "line_b": data_packets + 1,
        "duplicate": data_packets,
        "early": 0,
        "heartbeats": 2,
        "malformed": 0,
        "other_session": 0,
    }


def test_vlan_tags_and_bytes_after_the_datagram_change_nothing(
    messages: list[bytes], digest: str, capture: Path
):
    datagrams = [Datagram(0, packet) for packet in packets_of(messages)]
    write_capture(capture, datagrams, vlans=(7, 42), trailer=b"\xde\xad\xbe\xef")
    assert replay_file(capture).books_digest == digest


def test_microseconds_and_the_other_byte_order_change_nothing(
    messages: list[bytes], digest: str, capture: Path
):
    with capture.open("wb") as file:
        writer = PcapWriter(file, little=False, nanoseconds=False)
        for number, packet in enumerate(packets_of(messages)):
            frame = build_ethernet_frame(build_datagram(packet, SOURCE, LINES[0]))
            writer.write(START_NS + number * INTERVAL_NS, frame)
    assert replay_file(capture).books_digest == digest


def test_what_one_line_lost_comes_from_the_other(messages: list[bytes], digest: str, capture: Path):
    chance = random.Random(1)
    datagrams = []
    for packet in packets_of(messages):
        lost = chance.choice((None, 0, 1))
        datagrams += [Datagram(line, packet) for line in (0, 1) if line != lost]
    write_capture(capture, datagrams)
    outcome = replay_file(capture)
    assert outcome.books_digest == digest
    assert (outcome.gaps, outcome.missing_messages, outcome.messages) == (0, 0, len(messages))


def test_a_line_that_is_late_fills_the_holes_of_the_first(
    messages: list[bytes], digest: str, capture: Path
):
    packets = packets_of(messages)
    datagrams = []
    for number, packet in enumerate(packets):
        if number % 10 != 3:
            datagrams.append(Datagram(0, packet))
        if number >= 5:
            datagrams.append(Datagram(1, packets[number - 5]))
    datagrams += [Datagram(1, packet) for packet in packets[-5:]]
    write_capture(capture, datagrams)
    outcome = replay_file(capture)
    assert outcome.books_digest == digest
    assert outcome.packets["early"] > 0
    assert (outcome.gaps, outcome.missing_messages) == (0, 0)


def test_packets_out_of_order_and_doubled_are_put_right(
    messages: list[bytes], digest: str, capture: Path
):
    chance = random.Random(2)
    packets = packets_of(messages)
    order = sorted(
        [*range(1, len(packets)), *range(1, len(packets), 3)],
        key=lambda number: number + chance.randrange(8),
    )
    write_capture(capture, [Datagram(0, packets[number]) for number in (0, *order)])
    outcome = replay_file(capture)
    assert outcome.books_digest == digest
    assert outcome.packets["duplicate"] > 0
    assert (outcome.gaps, outcome.missing_messages, outcome.messages) == (0, 0, len(messages))


def test_what_neither_line_brought_is_counted_and_the_rest_applied(
    messages: list[bytes], capture: Path
):
    lost = {50, 51, 150}
    kept = [p for number, p in enumerate(packets_of(messages)) if number not in lost]
    write_capture(capture, on_both_lines(kept))
    outcome = replay_file(capture)
    missing = {number * PACKET_MESSAGES + i for number in lost for i in range(PACKET_MESSAGES)}
    present = [message for number, message in enumerate(messages) if number not in missing]
    assert (outcome.gaps, outcome.missing_messages) == (2, len(missing))
    assert outcome.messages == len(present)
    assert outcome.books_digest == slow_book(present).digest()


def test_holes_at_the_end_of_the_capture_are_counted(messages: list[bytes], capture: Path):
    packets = packets_of(messages)
    datagrams = [Datagram(0, packet) for packet in (*packets[:-4], packets[-2])]
    write_capture(capture, [*datagrams, Datagram(0, end_of_session(messages))])
    outcome = replay_file(capture)
    last_packet = len(messages) - (len(packets) - 1) * PACKET_MESSAGES
    assert outcome.gaps == 2
    assert outcome.missing_messages == 2 * PACKET_MESSAGES + last_packet
    assert outcome.messages + outcome.missing_messages == len(messages)


def test_a_hole_before_more_packets_than_the_window_holds_loses_nothing_else(capture: Path):
    messages = [b"S" + bytes(11)] * 3_000
    packets = packets_of(messages, size=1)
    with capture.open("wb") as file:
        writer = PcapWriter(file)
        for number, packet in enumerate(packets):
            if number != 100:
                frame = build_ethernet_frame(build_datagram(packet, SOURCE, LINES[0]))
                writer.write(START_NS + number, frame)
    outcome = replay_file(capture)
    assert (outcome.gaps, outcome.missing_messages) == (1, 1)
    assert outcome.messages == len(messages) - 1


@pytest.mark.parametrize("stamps_ns", [(2**63 - 1, 1), (1, 2**63 - 1), (0, 0), (5, 3)])
def test_stamps_that_make_no_sense_do_no_harm(
    messages: list[bytes], capture: Path, stamps_ns: tuple[int, int]
):
    packets = packets_of(messages)
    with capture.open("wb") as file:
        writer = PcapngWriter(file)
        writer.add_interface()
        for number, packet in enumerate(packets):
            frame = build_ethernet_frame(build_datagram(packet, SOURCE, LINES[0]))
            if number not in (40, len(packets) - 3):
                writer.write(stamps_ns[number >= 50], frame)
    outcome = replay_file(capture)
    assert (outcome.gaps, outcome.missing_messages) == (2, 2 * PACKET_MESSAGES)
    assert outcome.messages + outcome.missing_messages == len(messages)


def test_a_capture_that_begins_in_the_middle_misses_nothing(messages: list[bytes], capture: Path):
    packets = packets_of(messages)[20:]
    write_capture(capture, [Datagram(0, packet) for packet in packets])
    outcome = replay_file(capture)
    present = messages[20 * PACKET_MESSAGES :]
    assert (outcome.gaps, outcome.missing_messages, outcome.messages) == (0, 0, len(present))
    assert outcome.books_digest == slow_book(present).digest()


def test_other_traffic_is_counted_and_changes_nothing(
    messages: list[bytes], digest: str, capture: Path
):
    datagrams = [Datagram(0, packet) for packet in packets_of(messages)]
    other = encode_packet(Packet("OTHER", 1, (messages[0],)))
    strangers = [Datagram(1, b"no packet"), Datagram(1, other), Datagram(1, b"")]
    write_capture(capture, [*datagrams[:5], *strangers, *datagrams[5:]])
    outcome = replay_file(capture)
    assert outcome.books_digest == digest
    assert outcome.packets["malformed"] == outcome.malformed == 2
    assert outcome.packets["other_session"] == 1
    assert outcome.fault is None


def test_a_flow_of_something_else_is_on_neither_line(
    messages: list[bytes], digest: str, capture: Path
):
    packets = packets_of(messages)
    other = encode_packet(Packet("OTHER", 1, (messages[0],)))
    strangers = [Datagram(STRANGER, b"no packet"), Datagram(0, packets[0])]
    strangers += [Datagram(STRANGER, other)] * 2
    some_of_b = [Datagram(1, packet) for packet in packets[:10]]
    rest_of_a = [Datagram(0, packet) for packet in packets[1:]]
    write_capture(capture, [*strangers, *some_of_b, *rest_of_a])
    outcome = replay_file(capture)
    assert outcome.books_digest == digest
    assert (outcome.packets["line_a"], outcome.packets["line_b"]) == (len(packets), 10)
    assert (outcome.packets["malformed"], outcome.packets["other_session"]) == (1, 2)


def test_a_capture_of_other_traffic_alone_is_a_fault(capture: Path):
    write_capture(capture, [Datagram(0, b"no packet")] * 3)
    outcome = replay_file(capture)
    assert "none of its 3 UDP datagrams" in str(outcome.fault)


def test_a_capture_without_a_packet_holds_no_message(capture: Path):
    write_capture(capture, [])
    outcome = replay_file(capture)
    assert (outcome.messages, outcome.fault) == (0, None)


def test_frames_without_a_datagram_are_counted_by_reason(
    messages: list[bytes], digest: str, capture: Path
):
    write_capture(capture, [Datagram(0, packet) for packet in packets_of(messages)])
    with capture.open("ab") as file:
        extra = capture.with_name("extra.pcap")
        with extra.open("wb") as other:
            PcapWriter(other).write(START_NS, bytes(12) + b"\x86\xdd" + bytes(60))
        file.write(extra.read_bytes()[24:])
    outcome = replay_file(capture)
    assert outcome.books_digest == digest
    assert sum(outcome.skipped_frames.values()) == 1


def test_what_came_before_a_cut_is_replayed(messages: list[bytes], capture: Path):
    packets = packets_of(messages)
    write_capture(capture, [Datagram(0, packet) for packet in packets])
    data = capture.read_bytes()
    capture.write_bytes(data[:-9])
    outcome = replay_file(capture)
    assert outcome.fault is not None
    assert "ends within" in str(outcome.fault)
    present = messages[: (len(packets) - 1) * PACKET_MESSAGES]
    assert outcome.books_digest == slow_book(present).digest()


def test_a_message_of_another_venue_in_a_good_packet_is_counted(
    messages: list[bytes], digest: str, capture: Path
):
    stream = [*messages[:100], b"? no ITCH", *messages[100:]]
    packet_session = packets_of(stream, session=SESSION)
    write_capture(capture, [Datagram(0, packet) for packet in packet_session])
    outcome = replay_file(capture)
    assert (outcome.malformed, outcome.messages) == (1, len(stream))
    assert outcome.books_digest == digest
