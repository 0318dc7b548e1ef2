"""Peers that mean harm: bounded memory and work for each, and the right end."""

import tracemalloc
from collections.abc import Iterator

import pytest

from protocols.fix import framing
from protocols.fix.events import ApplicationMessage, Disconnect, Event, RejectSent, ReplayAsked
from protocols.fix.framing import Framer
from protocols.fix.message import Identity, decode, encode, encode_fields
from protocols.fix.outbound import CHUNK_BYTES, CHUNK_MESSAGES
from protocols.fix.rules import SessionSettings
from protocols.fix.session import FixSession
from protocols.fix.states import State
from protocols.fix.store import MemoryStore
from protocols.fix.times import NS_PER_S, format_utc_timestamp

START_NS = 1_790_000_000 * NS_PER_S
STAMP = format_utc_timestamp(START_NS)
PEER = Identity("PEER", "US")
LOGON = encode_fields((98, 0), (108, 30))
PIECE_BYTES = 8_192
MIB = 1 << 20
ORDER = encode_fields((11, "1"), (55, "X"), (54, 1), (60, STAMP), (38, 1), (40, 1))


class CountingStore(MemoryStore):
    """Says how many numbers were read since it was last asked."""

    def __init__(self, capacity: int, next_outgoing: int) -> None:
        super().__init__(capacity, next_outgoing)
        self.read_count = 0

    def read(self, first_seq: int, last_seq: int) -> Iterator[tuple[int, bytes]]:
        for item in super().read(first_seq, last_seq):
            self.read_count += 1
            yield item


def say(seq: int, msg_type: bytes = b"0", body: bytes = b"") -> bytes:
    return encode(PEER, msg_type, seq, STAMP, body)


def make_session(store: MemoryStore | None = None, **changes: int) -> FixSession:
    settings = SessionSettings(Identity("US", "PEER"), False, frozenset({b"D"}), **changes)
    session = FixSession(settings, store or MemoryStore())
    session.connected(START_NS)
    return session


def logged_on(store: MemoryStore | None = None, **changes: int) -> FixSession:
    session = make_session(store, **changes)
    hear(session, say(1, b"A", LOGON))
    session.data_to_send(START_NS)
    assert session.is_logged_on
    return session


def hear(session: FixSession, data: bytes, now_ns: int = START_NS) -> list[Event]:
    """Give bytes in pieces of one read, and everything that the session makes of them."""
    events: list[Event] = []
    for at in range(0, len(data), PIECE_BYTES):
        session.receive(data[at : at + PIECE_BYTES], now_ns)
        while (event := session.next_event()) is not None:
            events.append(event)
    return events


def is_over(events: list[Event]) -> bool:
    return any(isinstance(event, Disconnect) for event in events)


def test_a_logon_that_drips_in_ends_at_the_deadline_and_gets_no_answer():
    session = make_session()
    now_ns = START_NS
    for byte in say(1, b"A", LOGON):
        now_ns += NS_PER_S // 10
        hear(session, bytes([byte]), now_ns)
        session.handle_timer(now_ns)
        assert (session.state is State.CLOSING) == (now_ns >= START_NS + 5 * NS_PER_S)
    assert session.state is State.CLOSING
    assert session.data_to_send(now_ns) == b""


@pytest.mark.parametrize("length", [b"1000000000", b"999999999", b"65537"])
def test_a_body_length_beyond_the_cap_holds_nothing_and_ends_the_connection(length: bytes):
    head = b"8=FIX.4.4\x019=%b\x0135=0\x01" % length
    assert is_over(hear(make_session(), head))
    session = logged_on()
    events: list[Event] = []
    for _ in range(20):
        events += hear(session, head + b"x" * PIECE_BYTES)
        assert session.framer.buffered_bytes < 2 * PIECE_BYTES
    assert is_over(events)
    assert session.framer.buffered_bytes < PIECE_BYTES


def test_bytes_after_the_end_are_thrown_away():
    session = logged_on()
    assert is_over(hear(session, say(2, b"5")))
    hear(session, b"x" * MIB)
    assert session.framer.buffered_bytes == 0


@pytest.mark.parametrize("endless", [b"9=", b"9=1", b"", b"9=12345678901234567890"])
def test_a_header_without_end_is_given_up(endless: bytes):
    session = make_session()
    assert is_over(hear(session, b"8=FIX.4.4\x01" + endless + b"1" * 200))
    assert session.framer.buffered_bytes < 100


def test_starts_without_end_are_searched_once_not_once_for_each(monkeypatch: pytest.MonkeyPatch):
    class Counting:
        searched = 0

        def search(self, buffer: bytearray, at: int) -> object:
            Counting.searched += len(buffer) - at
            return real.search(buffer, at)

    real = framing._LATER_TRAILER
    monkeypatch.setattr(framing, "_LATER_TRAILER", Counting())
    framer, fed = Framer(), 0
    for _ in range(100):
        fed += PIECE_BYTES
        framer.feed((b"8=FIX.4.4\x019=5\x01" * PIECE_BYTES)[:PIECE_BYTES])
        assert framer.next_frame() is None
        assert framer.buffered_bytes <= framer.message_bytes_max + 2 * PIECE_BYTES
    assert Counting.searched < 4 * fed


def test_a_flood_of_heartbeats_leaves_nothing_behind():
    session = logged_on()
    flood = b"".join(say(seq) for seq in range(2, 5_002))
    hear(session, flood)
    tracemalloc.start()
    try:
        hear(session, b"".join(say(seq) for seq in range(5_002, 6_002)))
        before = tracemalloc.get_traced_memory()[0]
        hear(session, b"".join(say(seq) for seq in range(6_002, 12_002)))
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert session.inbound.expected == 12_002
    assert session.outbound.queued_bytes == 0
    assert grown < 100_000


def test_a_flood_of_test_requests_queues_one_answer_each_and_says_how_much():
    session = logged_on()
    hear(session, b"".join(say(seq, b"1", b"112=T\x01") for seq in range(2, 102)))
    queued = session.outbound.queued_bytes
    data = session.data_to_send(START_NS)
    assert data.count(b"\x0135=0\x01") == 100
    assert queued == len(data)
    assert session.outbound.queued_bytes == 0


def test_a_storm_of_resend_requests_over_ten_million_numbers_costs_a_bounded_piece_each():
    store = CountingStore(capacity=1_000, next_outgoing=10_000_001)
    session = logged_on(store)
    storm = b"".join(say(seq, b"2", b"7=1\x0116=0\x01") for seq in range(2, 502))
    tracemalloc.start()
    try:
        events = hear(session, storm)
        assert sum(isinstance(event, ReplayAsked) for event in events) == 500
        assert store.read_count == 0
        for _ in range(200):
            store.read_count = 0
            assert 0 < len(session.data_to_send(START_NS)) < 2 * CHUNK_BYTES
            assert store.read_count <= CHUNK_MESSAGES
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MIB
    assert session.is_logged_on


def test_a_replay_of_ten_million_numbers_can_be_left_at_any_time():
    session = logged_on(CountingStore(capacity=10, next_outgoing=10_000_001))
    hear(session, say(2, b"2", b"7=1\x0116=0\x01"))
    session.data_to_send(START_NS)
    session.disconnected(START_NS)
    assert session.data_to_send(START_NS) == b""
    assert not session.outbound.has_output


def test_a_jump_of_the_sequence_asks_once_keeps_little_and_is_given_up():
    session = logged_on(kept_messages_max=100, kept_bytes_max=50_000)
    jump = 10**17
    order = ORDER + encode_fields((58, "x" * 400))
    flood = b"".join(say(jump + at, b"D", order) for at in range(1_000))
    events = hear(session, flood)
    assert not any(isinstance(event, ApplicationMessage) for event in events)
    assert 0 < session.inbound.kept_bytes <= 50_000
    assert session.data_to_send(START_NS).count(b"\x0135=2\x01") == 1
    now_ns = START_NS
    for at in range(1_000, 1_100):
        now_ns += NS_PER_S
        frame = encode(PEER, b"0", jump + at, format_utc_timestamp(now_ns), b"")
        events += hear(session, frame, now_ns)
        session.handle_timer(now_ns)
        while (event := session.next_event()) is not None:
            events.append(event)
    assert is_over(events)


def test_few_messages_that_are_large_are_kept_by_their_bytes():
    session = logged_on(kept_messages_max=1_000, kept_bytes_max=100_000)
    order = ORDER + encode_fields((58, "x" * 30_000))
    hear(session, b"".join(say(10 + at, b"D", order) for at in range(20)))
    assert 60_000 < session.inbound.kept_bytes <= 100_000
    hear(session, say(2, b"4", b"123=Y\x0136=1000\x01"))
    assert session.inbound.kept_bytes == 0
    assert session.inbound.expected == 1_000


def test_a_message_above_a_gap_that_comes_twice_is_kept_once():
    session = logged_on()
    hear(session, say(9, b"D", ORDER) + say(9, b"D", ORDER))
    assert session.inbound.kept_bytes == len(say(9, b"D", ORDER))


def test_a_group_that_counts_a_million_is_rejected_for_what_it_is():
    session = logged_on()
    entries = encode_fields(*((336, "1"), (625, "2")) * 2_000)
    body = ORDER[: ORDER.index(b"55=")] + b"386=1000000\x01" + entries + ORDER[5:]
    tracemalloc.start()
    try:
        events = hear(session, say(2, b"D", body))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [event.ref_seq for event in events if isinstance(event, RejectSent)] == [2]
    reject = decode(session.data_to_send(START_NS))
    assert (reject.get(371), reject.get(373)) == (b"386", b"16")
    assert peak < 4 * MIB
    assert session.is_logged_on


def test_a_sequence_number_of_too_many_digits_ends_the_session():
    session = logged_on()
    frame = say(7).replace(b"\x0134=7\x01", b"\x0134=" + b"9" * 19 + b"\x01")
    inner = frame[frame.index(b"35=") : -7]
    whole = b"8=FIX.4.4\x019=%d\x01%b" % (len(inner), inner)
    assert is_over(hear(session, whole + b"10=%03d\x01" % framing.checksum(whole)))


def test_requests_above_a_gap_are_remembered_up_to_a_bound():
    session = logged_on(kept_messages_max=10)
    storm = b"".join(say(seq, b"2", b"7=1\x0116=1\x01") for seq in range(5, 105))
    hear(session, storm)
    assert len(session.inbound._dealt_with) == 10
    hear(session, say(2, b"4", b"123=Y\x0136=5\x01"))
    assert session.inbound.expected == 15
    assert not session.inbound._dealt_with
