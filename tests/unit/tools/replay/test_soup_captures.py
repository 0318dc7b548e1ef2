"""Replay of SoupBinTCP captures: the books of the messages, and what the capture does not have."""

import random
from pathlib import Path

import msgspec
import pytest

from feedhandler.server.config import FeedConfig, LineConfig
from protocols.glimpse.spec import encode_end_of_snapshot
from protocols.moldudp64.spec import SEQUENCE_LIMIT
from protocols.pcap.flow import Endpoint
from protocols.pcap.frames import build_datagram, fragment_datagram
from tests.unit.tools.replay.soup import (
    CLIENT,
    SERVER,
    Connection,
    accepted,
    frame,
    logged_in_stream,
    save,
    sequenced,
)
from tests.unit.tools.replay.support import (
    LINES,
    SOURCE,
    make_session,
    packets_of,
    replay_file,
    server_config,
    session_messages,
    slow_book,
)

OTHER_CLIENT = Endpoint(0x0A000003, 50_000)
NOTHING = {
    "connections": 1,
    "snapshots": 0,
    "messages": 2_000,
    "unused_messages": 0,
    "other_session_messages": 0,
    "holes": 0,
    "missing_bytes": 0,
    "damaged": 0,
    "fix_streams": 0,
}


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    return session_messages(make_session(tmp_path_factory.mktemp("session") / "day.bin"))


@pytest.fixture(scope="module")
def digest(messages: list[bytes]) -> str:
    return slow_book(messages).digest()


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return tmp_path / "day.pcap"


@pytest.mark.parametrize("name", ["a.pcap", "a.pcapng", "a.pcap.gz", "a.pcapng.zst"])
def test_a_session_gives_the_books_of_its_messages(
    messages: list[bytes], digest: str, tmp_path: Path, name: str
):
    outcome = replay_file(save(tmp_path / name, logged_in_stream(messages)))
    assert outcome.fault is None
    assert outcome.books_digest == digest
    assert (outcome.messages, outcome.gaps, outcome.missing_messages) == (len(messages), 0, 0)
    assert outcome.streams == NOTHING
    assert outcome.as_json()["streams"] == NOTHING


def test_books_are_those_of_the_binaryfile(messages: list[bytes], tmp_path: Path):
    plain = tmp_path / "day.bin"
    plain.write_bytes(b"".join(len(m).to_bytes(2, "big") + m for m in messages))
    whole, streams = (
        replay_file(plain),
        replay_file(save(tmp_path / "a.pcap", logged_in_stream(messages))),
    )
    assert whole.books_digest == streams.books_digest
    assert (whole.types, whole.orders_live) == (streams.types, streams.orders_live)


def test_segments_lost_and_sent_again_doubled_and_disordered_change_nothing(
    messages: list[bytes], digest: str, capture: Path
):
    chance = random.Random(3)
    stream = logged_in_stream(messages, segment_bytes=300)
    handshake, data = stream[:5], stream[5:]
    again = [*range(len(data)), *range(0, len(data), 3)]
    order = sorted(again, key=lambda number: number + chance.randrange(12))
    outcome = replay_file(save(capture, [*handshake, *(data[number] for number in order)]))
    assert outcome.books_digest == digest
    assert outcome.streams == NOTHING


def test_a_hole_is_a_gap_and_what_follows_is_applied(messages: list[bytes], capture: Path):
    connection = Connection()
    begin = connection.log_in()
    packets = [sequenced(messages[at : at + 10]) for at in range(0, len(messages), 10)]
    segments = [connection.server(packet)[0] for packet in packets]
    lost = {70, 71, 140}
    kept = [segment for number, segment in enumerate(segments) if number not in lost]
    outcome = replay_file(save(capture, [*begin, *kept]))
    missing = {number * 10 + i for number in lost for i in range(10)}
    present = [message for number, message in enumerate(messages) if number not in missing]
    # How many messages a hole swallowed nobody can say: one is certain.
    assert (outcome.gaps, outcome.missing_messages) == (2, 2)
    assert outcome.messages == len(present)
    assert outcome.books_digest == slow_book(present).digest()
    assert outcome.streams["holes"] == 2
    assert outcome.streams["missing_bytes"] == sum(len(packets[number]) for number in lost)
    assert outcome.streams["unused_messages"] == 0


def test_a_hole_within_messages_costs_those_and_no_other(messages: list[bytes], capture: Path):
    connection = Connection()
    begin = connection.log_in()
    stream = sequenced(messages)
    segments = connection.server(stream, 1_000)
    outcome = replay_file(save(capture, [*begin, *segments[:30], *segments[31:]]))
    stops, at = [], 0
    for message in messages:
        at += len(message) + 3
        stops.append(at)
    present = [
        message
        for message, stop in zip(messages, stops, strict=True)
        if stop <= 30_000 or stop - len(message) - 3 >= 31_000
    ]
    assert (outcome.gaps, outcome.missing_messages) == (1, 1)
    assert outcome.messages == len(present)
    assert outcome.books_digest == slow_book(present).digest()


def test_a_capture_that_begins_in_the_middle_misses_nothing(messages: list[bytes], capture: Path):
    connection = Connection()
    connection.log_in()
    segments = connection.server(sequenced(messages), 997)
    outcome = replay_file(save(capture, segments[20:]))
    stops, at = [], 0
    for message in messages:
        at += len(message) + 3
        stops.append(at)
    present = [
        message
        for message, stop in zip(messages, stops, strict=True)
        if stop - len(message) - 3 >= 20 * 997
    ]
    assert (outcome.gaps, outcome.missing_messages, outcome.messages) == (0, 0, len(present))
    assert outcome.books_digest == slow_book(present).digest()


def test_a_client_that_logs_in_again_goes_on_where_it_was(
    messages: list[bytes], digest: str, capture: Path
):
    first, second = Connection(), Connection(isn=77_777)
    one = [*first.log_in(), *first.server(sequenced(messages[:900])), first.reset(CLIENT)]
    two = [*second.log_in(sequence=801), *second.server(sequenced(messages[800:]))]
    outcome = replay_file(save(capture, [*one, *two]))
    assert outcome.books_digest == digest
    assert (outcome.gaps, outcome.missing_messages) == (0, 0)
    assert outcome.streams["connections"] == 2


def test_what_lies_behind_a_hole_is_not_guessed_where_another_connection_tells(
    messages: list[bytes], capture: Path
):
    first, second = Connection(), Connection(client=OTHER_CLIENT)
    packets = [messages[at : at + 10] for at in range(0, 1_000, 10)]
    begin = first.log_in()
    segments = [first.server(sequenced(packet))[0] for packet in packets]
    one = [*begin, *segments[:50], *segments[52:]]
    two = [*second.log_in(sequence=1_001), *second.server(sequenced(messages[1_000:]))]
    outcome = replay_file(save(capture, [*one, *two]))
    present = messages[:500] + messages[1_000:]
    assert (outcome.gaps, outcome.missing_messages) == (1, 500)
    assert outcome.messages == len(present)
    assert outcome.books_digest == slow_book(present).digest()
    assert outcome.streams["unused_messages"] == 480


def test_two_connections_of_a_session_are_two_lines(
    messages: list[bytes], digest: str, capture: Path
):
    first, second = Connection(), Connection(client=OTHER_CLIENT)
    one = [*first.log_in(), *first.server(sequenced(messages), 400)]
    two = [*second.log_in(), *second.server(sequenced(messages), 400)]
    both = [datagram for pair in zip(one, two, strict=True) for datagram in pair]
    del both[60:90:2]
    outcome = replay_file(save(capture, both))
    assert outcome.books_digest == digest
    assert (outcome.gaps, outcome.missing_messages, outcome.messages) == (0, 0, len(messages))


def test_a_snapshot_is_no_feed(messages: list[bytes], digest: str, capture: Path):
    snapshot = Connection(client=OTHER_CLIENT)
    content = sequenced([*messages[:300], encode_end_of_snapshot(301)])
    other = [*snapshot.log_in(), *snapshot.server(content)]
    outcome = replay_file(save(capture, [*other, *logged_in_stream(messages)]))
    assert outcome.books_digest == digest
    assert outcome.streams == NOTHING | {"snapshots": 1}


def test_damage_within_the_stream_is_counted_and_gone_past(messages: list[bytes], capture: Path):
    connection = Connection()
    begin = connection.log_in()
    stream = sequenced(messages[:700]) + b"\0\0\xff" + sequenced(messages[700:])
    outcome = replay_file(save(capture, [*begin, *connection.server(stream)]))
    assert outcome.messages == len(messages)
    assert (outcome.gaps, outcome.missing_messages) == (1, 1)
    assert outcome.streams["damaged"] == 1


@pytest.mark.parametrize(
    "answer",
    [
        frame("A", b"session".rjust(10) + b"no number".rjust(20)),
        frame("A", b"session".rjust(10) + str(SEQUENCE_LIMIT).encode().rjust(20)),
        frame("A", b"short"),
        frame("Q", b"no packet"),
    ],
)
def test_a_login_that_makes_no_sense_leaves_the_messages_unnumbered(
    messages: list[bytes], digest: str, capture: Path, answer: bytes
):
    connection = Connection()
    datagrams = [*connection.open(), *connection.server(answer + sequenced(messages))]
    outcome = replay_file(save(capture, datagrams))
    assert outcome.books_digest == digest
    assert outcome.streams == NOTHING | {"damaged": 1}


def test_a_rejected_login_and_other_traffic_change_nothing(
    messages: list[bytes], digest: str, capture: Path
):
    rejected, web = Connection(isn=50), Connection(client=OTHER_CLIENT)
    other = [*rejected.open(), *rejected.server(frame("J", b"A")), rejected.close(SERVER)]
    other += [*web.open(), *web.client(b"GET / HTTP/1.1\r\n" * 900)]
    other += web.server(random.Random(4).randbytes(300_000))
    other += [build_datagram(b"a question", SOURCE, LINES[0])]
    outcome = replay_file(save(capture, [*other, *logged_in_stream(messages)]))
    assert outcome.books_digest == digest
    assert outcome.streams == NOTHING


def test_connections_without_a_login_are_used_one_at_a_time(messages: list[bytes], capture: Path):
    small, large = Connection(client=OTHER_CLIENT), Connection()
    for connection in (small, large):
        connection.log_in()
    few = small.server(sequenced(messages[:100]))
    many = large.server(sequenced(messages[:900]))
    outcome = replay_file(save(capture, [*few, *many]))
    assert outcome.books_digest == slow_book(messages[:900]).digest()
    assert outcome.streams["unused_messages"] == 100


def test_a_capture_of_another_protocol_over_tcp_is_a_fault(capture: Path):
    web = Connection()
    outcome = replay_file(save(capture, [*web.open(), *web.server(b"HTTP/1.1 200 OK\r\n" * 50)]))
    assert "no SoupBinTCP session" in str(outcome.fault)
    assert "FIX" not in str(outcome.fault)


def test_connections_of_fix_are_counted(messages: list[bytes], digest: str, capture: Path):
    fix = Connection(client=OTHER_CLIENT)
    other = [*fix.open(), *fix.client(b"8=FIX.4.4\x01"), *fix.server(b"8=FIX.4.4\x01" * 50)]
    outcome = replay_file(save(capture, [*other, *logged_in_stream(messages)]))
    assert outcome.books_digest == digest
    assert outcome.streams == NOTHING | {"fix_streams": 2}


def test_a_cut_capture_is_replayed_up_to_the_cut(messages: list[bytes], capture: Path):
    save(capture, logged_in_stream(messages))
    capture.write_bytes(capture.read_bytes()[:-20_000])
    outcome = replay_file(capture)
    assert outcome.fault is not None
    assert 0 < outcome.messages < len(messages)
    assert outcome.books_digest == slow_book(messages[: outcome.messages]).digest()


def test_packets_that_were_fragmented_are_replayed(
    messages: list[bytes], digest: str, capture: Path
):
    datagrams = []
    for number, packet in enumerate(packets_of(messages, size=40)):
        whole = build_datagram(packet, SOURCE, LINES[0])
        datagrams += fragment_datagram(whole, 512, number) if number % 2 else [whole]
    outcome = replay_file(save(capture, datagrams))
    assert outcome.books_digest == digest
    assert (outcome.gaps, outcome.missing_messages, outcome.fault) == (0, 0, None)


def test_packets_over_ipv6_are_replayed(messages: list[bytes], digest: str, capture: Path):
    source = Endpoint(0xFE80 << 112 | 1, 40_000, 6)
    line = Endpoint(0xFF02 << 112 | 7, 26_400, 6)
    datagrams = [build_datagram(packet, source, line) for packet in packets_of(messages)]
    assert replay_file(save(capture, datagrams)).books_digest == digest


def test_a_stream_beside_packets_is_left_alone(messages: list[bytes], digest: str, capture: Path):
    datagrams = [build_datagram(packet, SOURCE, LINES[0]) for packet in packets_of(messages)]
    outcome = replay_file(save(capture, [*logged_in_stream(messages[:100]), *datagrams]))
    assert outcome.books_digest == digest
    assert outcome.skipped_frames["tcp"] > 0
    assert outcome.streams == {}


def test_a_second_login_on_one_stream_numbers_anew(messages: list[bytes], capture: Path):
    connection = Connection()
    begin = connection.log_in()
    stream = sequenced(messages[:50]) + accepted(101) + sequenced(messages[100:200])
    outcome = replay_file(save(capture, [*begin, *connection.server(stream)]))
    assert (outcome.gaps, outcome.missing_messages, outcome.messages) == (1, 50, 150)


@pytest.mark.parametrize(("session", "wanted"), [("", "FIRST"), ("SECOND", "SECOND")])
def test_one_session_is_replayed_and_the_other_counted(
    messages: list[bytes], capture: Path, session: str, wanted: str
):
    first, second = Connection(), Connection(client=OTHER_CLIENT)
    datagrams = [*first.log_in(session="FIRST"), *first.server(sequenced(messages[:300]))]
    datagrams += [*second.log_in(session="SECOND"), *second.server(sequenced(messages[:500]))]
    config = msgspec.structs.replace(
        server_config(), feed=FeedConfig(line_a=LineConfig(port=1), session=session)
    )
    outcome = replay_file(save(capture, datagrams), config)
    used = {"FIRST": 300, "SECOND": 500}
    assert outcome.messages == outcome.streams["messages"] == used.pop(wanted)
    assert outcome.streams["other_session_messages"] == sum(used.values())
