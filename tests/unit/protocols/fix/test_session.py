"""Two real sessions, a link that loses messages, and a clock that moves when told. Single cases:
tests/acceptance.
"""

import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from protocols.errors import LocalProtocolError
from protocols.fix.events import ApplicationMessage, Disconnect, Event, LoggedOn, SequenceReset
from protocols.fix.framing import Framer
from protocols.fix.message import Identity, decode, encode, encode_fields
from protocols.fix.rules import SessionSettings
from protocols.fix.session import FixSession
from protocols.fix.states import TRANSITIONS, State, Step
from protocols.fix.store import MemoryStore
from protocols.fix.times import NS_PER_S, format_utc_timestamp

START_NS = 1_790_000_000 * NS_PER_S
TYPES = frozenset({b"B"})


def make_session(
    is_initiator: bool, begin_string: bytes = b"FIX.4.4", **changes: Any
) -> FixSession:
    names = ("LEFT", "RIGHT") if is_initiator else ("RIGHT", "LEFT")
    settings = SessionSettings(Identity(*names, begin_string), is_initiator, TYPES, **changes)
    return FixSession(settings, MemoryStore())


def news(text: str) -> tuple[bytes, bytes]:
    return b"B", encode_fields((148, text), (33, 1), (58, "text"))


@dataclass
class Side:
    session: FixSession
    received: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    framer: Framer = field(default_factory=Framer)

    def take_events(self) -> bool:
        """True when the session wants the connection closed."""
        is_over = False
        while (event := self.session.next_event()) is not None:
            if isinstance(event, ApplicationMessage):
                self.received.append(event.message.get(148).decode())
            else:
                self.events.append(event)
            is_over |= isinstance(event, Disconnect)
        return is_over


class Pair:
    """Initiator and acceptor; `loss` is the share of messages that vanish."""

    def __init__(self, seed: int = 1, **changes: Any) -> None:
        self.left = Side(make_session(is_initiator=True, **changes))
        self.right = Side(make_session(is_initiator=False, **changes))
        self.now_ns = START_NS
        self.loss = 0.0
        self.is_connected = False
        self.rng = random.Random(seed)

    def connect(self) -> None:
        for side in (self.right, self.left):
            side.session.connected(self.now_ns)
            side.framer.clear()
        self.is_connected = True
        self.exchange()

    def disconnect(self) -> None:
        for side in (self.left, self.right):
            side.session.disconnected(self.now_ns)
        self.is_connected = False

    def exchange(self) -> None:
        """Carry messages both ways until nobody has anything to say."""
        is_busy, is_over = True, False
        while is_busy and self.is_connected:
            is_busy = False
            for source, sink in ((self.left, self.right), (self.right, self.left)):
                is_over |= source.take_events()
                data = source.session.data_to_send(self.now_ns)
                source.framer.feed(data)
                while (frame := source.framer.next_frame()) is not None:
                    is_busy = True
                    if self.rng.random() >= self.loss:
                        sink.session.receive(frame, self.now_ns)
                is_over |= sink.take_events()
            if is_over and not is_busy:
                self.disconnect()

    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now_ns += NS_PER_S
            for side in (self.left, self.right):
                side.session.handle_timer(self.now_ns)
            self.exchange()

    def send(self, side: Side, text: str) -> None:
        side.session.send((news(text),), self.now_ns)
        self.exchange()


@pytest.mark.parametrize(
    "changes",
    [
        {"begin_string": b"FIX.4.2"},
        {"begin_string": b"FIX.4.4"},
        {"begin_string": b"FIXT.1.1", "resend_chunk": 3},
        {"resend_chunk": 1, "kept_messages_max": 2},
        {"next_expected": True},
        {"begin_string": b"FIXT.1.1", "next_expected": True, "resend_chunk": 5},
    ],
    ids=str,
)
@pytest.mark.parametrize("seed", range(8))
def test_every_message_arrives_once_and_in_order_over_a_link_that_loses_messages(
    seed: int, changes: dict[str, Any]
):
    pair = Pair(seed, **changes)
    sent: dict[str, list[str]] = {"left": [], "right": []}
    for number in range(300):
        pair.loss = pair.rng.choice((0.0, 0.1, 0.4))
        if not pair.is_connected:
            pair.connect()
        elif pair.rng.random() < 0.03:
            pair.disconnect()
        name = pair.rng.choice(("left", "right"))
        sent[name].append(f"{name}{number}")
        pair.send(getattr(pair, name), sent[name][-1])
        if pair.rng.random() < 0.2:
            pair.wait(pair.rng.randrange(1, 40))
    pair.loss = 0.0
    for _ in range(3):
        if not pair.is_connected:
            pair.connect()
        pair.wait(120)
    assert pair.right.received == sent["left"]
    assert pair.left.received == sent["right"]
    assert pair.is_connected
    assert pair.left.session.is_logged_on
    assert pair.right.session.is_logged_on


def test_numbers_and_messages_survive_many_connections():
    pair = Pair()
    for number in range(10):
        pair.send(pair.right, f"away{number}")
        pair.connect()
        pair.send(pair.right, f"here{number}")
        pair.disconnect()
    assert pair.left.received == [f"{w}{n}" for n in range(10) for w in ("away", "here")]


def test_a_long_replay_comes_in_bounded_pieces_and_new_messages_follow_in_order():
    pair = Pair()
    texts = [f"n{number}" for number in range(3000)]
    for text in texts[:2990]:
        pair.right.session.send((news(text),), pair.now_ns)
    pair.connect()
    for text in texts[2990:]:
        pair.send(pair.right, text)
    assert pair.left.received == texts
    assert pair.right.session.outbound.replayed_count == 2990


def test_a_replay_holds_back_new_messages_and_session_messages_until_it_is_over():
    right = make_session(is_initiator=False)
    right.send([news(f"old{number}") for number in range(500)], START_NS)
    right.connected(START_NS)
    identity = Identity("LEFT", "RIGHT")

    def say(msg_type: bytes, seq: int, body: bytes) -> None:
        frame = encode(identity, msg_type, seq, format_utc_timestamp(START_NS), body)
        right.receive(frame, START_NS)
        while right.next_event() is not None:
            pass

    say(b"A", 1, b"98=0\x01108=30\x01")
    assert right.data_to_send(START_NS).count(b"35=A") == 1
    say(b"2", 2, b"7=1\x0116=0\x01")
    first = right.data_to_send(START_NS)
    assert 0 < len(first) < 20_000
    right.send((news("new"),), START_NS)
    say(b"1", 3, b"112=during\x01")
    framer = Framer()
    framer.feed(first)
    while data := right.data_to_send(START_NS):
        assert len(data) < 20_000
        framer.feed(data)
    seqs = []
    while (frame := framer.next_frame()) is not None:
        message = decode(frame)
        seqs.append(message.number(34))
        last = message
    assert seqs == list(range(1, 504))
    assert (last.msg_type, last.get(112)) == (b"0", b"during")
    assert right.outbound.handed_seq == 503


def test_session_messages_beyond_the_bound_become_a_gap_fill_in_a_long_replay():
    pair = Pair()
    pair.right.session.send([news("a")] * 2000, pair.now_ns)
    pair.connect()
    pair.disconnect()
    pair.right.session.send([news("b")] * 2000, pair.now_ns)
    pair.right.session.connected(pair.now_ns)
    outbound = pair.right.session.outbound
    assert outbound.replay(1, 0)
    for _ in range(100):
        outbound.send_admin(b"0", b"", pair.now_ns)
    seqs, framer = [], Framer()
    while data := outbound.take(pair.now_ns):
        framer.feed(data)
    while (frame := framer.next_frame()) is not None:
        message = decode(frame)
        seqs.append((message.number(34), message.msg_type, message.number(36)))
    assert seqs[-1][1] == b"4"
    assert seqs[-1][2] == pair.right.session.store.next_outgoing


def test_messages_above_a_gap_beyond_the_bound_come_with_the_replay():
    pair = Pair(kept_messages_max=3)
    pair.connect()
    pair.loss = 1.0
    pair.send(pair.right, "lost")
    pair.loss = 0.0
    right_data = [news(f"n{number}") for number in range(50)]
    pair.right.session.send(right_data, pair.now_ns)
    pair.exchange()
    assert pair.left.received == ["lost", *(f"n{number}" for number in range(50))]


def test_a_message_counts_as_received_when_the_next_event_is_asked_for():
    pair = Pair()
    pair.connect()
    pair.right.session.send((news("one"),), pair.now_ns)
    pair.left.session.receive(pair.right.session.data_to_send(pair.now_ns), pair.now_ns)
    before = pair.left.session.store.next_incoming
    assert isinstance(pair.left.session.next_event(), ApplicationMessage)
    assert pair.left.session.store.next_incoming == before
    assert pair.left.session.next_event() is None
    assert pair.left.session.store.next_incoming == before + 1


def test_a_message_that_was_not_dealt_with_comes_again_after_a_crash():
    pair = Pair()
    pair.connect()
    pair.right.session.send((news("one"),), pair.now_ns)
    pair.left.session.receive(pair.right.session.data_to_send(pair.now_ns), pair.now_ns)
    assert isinstance(pair.left.session.next_event(), ApplicationMessage)
    pair.disconnect()
    pair.left.session = FixSession(pair.left.session.settings, pair.left.session.store)
    pair.connect()
    assert pair.left.received == ["one"]


def test_reset_on_logon_starts_both_sides_at_1():
    pair = Pair()
    pair.send(pair.right, "old")
    pair.left = Side(make_session(is_initiator=True, reset_on_logon=True))
    pair.connect()
    assert pair.left.received == []
    resets = [event for event in pair.right.events if isinstance(event, SequenceReset)]
    assert [(event.old_seq, event.new_seq) for event in resets] == [(1, 1)]
    logons = [event for event in pair.left.events if isinstance(event, LoggedOn)]
    assert (logons[0].next_outgoing, logons[0].next_incoming, logons[0].was_reset) == (2, 2, True)


def test_with_next_expected_both_sides_catch_up_at_the_logon_without_a_request():
    pair = Pair(next_expected=True)
    pair.connect()
    for round_number in range(5):
        pair.disconnect()
        pair.send(pair.left, f"to right {round_number}")
        pair.send(pair.right, f"to left {round_number}")
        pair.connect()
    assert pair.right.received == [f"to right {number}" for number in range(5)]
    assert pair.left.received == [f"to left {number}" for number in range(5)]
    for side in (pair.left, pair.right):
        assert side.session.inbound.gap_end == 0
        # A Logon and a message for each round: no ResendRequest took a number.
        assert side.session.store.next_outgoing == 1 + 1 + 2 * 5


@pytest.mark.parametrize("setting", ["reset_on_logout", "reset_on_disconnect"])
def test_resets_at_the_end_leave_both_sides_at_1(setting: str):
    pair = Pair(**{setting: True})
    for number in range(3):
        pair.connect()
        pair.send(pair.right, f"n{number}")
        pair.left.session.logout("enough", pair.now_ns)
        pair.exchange()
        assert not pair.is_connected
        for side in (pair.left, pair.right):
            assert (side.session.store.next_outgoing, side.session.store.next_incoming) == (1, 1)
    assert pair.left.received == ["n0", "n1", "n2"]


def test_a_reset_at_logout_waits_until_the_replay_before_it_is_sent():
    pair = Pair(reset_on_logout=True)
    pair.right.session.send([news(f"n{number}") for number in range(1500)], pair.now_ns)
    pair.connect()
    pair.disconnect()
    pair.connect()
    right = pair.right.session
    assert right.outbound.replay(1, 0)
    stamp = format_utc_timestamp(pair.now_ns)
    seq = right.inbound.expected
    right.receive(encode(Identity("LEFT", "RIGHT"), b"5", seq, stamp, b""), pair.now_ns)
    assert pair.right.take_events()
    sent = b""
    while data := right.data_to_send(pair.now_ns):
        sent += data
        assert right.outbound.has_output == (right.store.next_outgoing > 1)
    assert sent.count(b"\x0143=Y\x01") >= 1500
    assert sent.count(b"\x0135=5\x01") == 1
    assert not right.outbound.has_output


def test_a_clock_that_is_set_back_does_not_stop_the_heartbeats():
    pair = Pair()
    pair.connect()
    pair.now_ns -= 60 * NS_PER_S
    pair.wait(31)
    assert pair.left.session.store.next_outgoing == 3
    assert pair.right.session.store.next_outgoing == 3


def test_a_clock_that_jumps_ahead_does_not_end_the_session():
    pair = Pair()
    pair.connect()
    pair.now_ns += 3600 * NS_PER_S
    pair.wait(1)
    assert pair.is_connected
    assert pair.left.session.is_logged_on


def test_unanswered_resend_requests_end_the_session_after_a_few():
    left = make_session(is_initiator=True)
    left.connected(START_NS)
    identity = Identity("RIGHT", "LEFT")
    now_ns, closed = START_NS, False
    left.receive(
        encode(identity, b"A", 9, format_utc_timestamp(now_ns), b"98=0\x01108=30\x01"), now_ns
    )
    for seq in range(10, 80):
        now_ns += NS_PER_S
        stamp = format_utc_timestamp(now_ns)
        left.receive(encode(identity, b"0", seq, stamp, b""), now_ns)
        while (event := left.next_event()) is not None:
            closed |= isinstance(event, Disconnect)
        left.handle_timer(now_ns)
    assert closed
    assert left.data_to_send(now_ns).count(b"\x0135=2\x01") == 5


def test_garbage_in_a_row_ends_the_session_beyond_a_message_of_it():
    pair = Pair(message_bytes_max=1000)
    pair.connect()
    pair.right.session.receive(b"x" * 1000, pair.now_ns)
    assert not pair.right.take_events()
    pair.right.session.receive(b"x", pair.now_ns)
    assert pair.right.take_events()
    assert pair.right.session.state is State.CLOSING


def test_timer_is_none_without_a_connection_and_due_while_one_is_up():
    pair = Pair()
    assert pair.left.session.timer_ns() is None
    pair.left.session.connected(START_NS)
    assert pair.left.session.timer_ns() == START_NS + 5 * NS_PER_S
    pair.right.session.connected(START_NS)
    pair.is_connected = True
    pair.exchange()
    assert pair.left.session.timer_ns() == START_NS + 30 * NS_PER_S


def test_what_the_state_forbids_is_a_local_error():
    session = make_session(is_initiator=True)
    with pytest.raises(LocalProtocolError, match="DISCONNECTED"):
        session.logout("no", START_NS)
    session.connected(START_NS)
    with pytest.raises(LocalProtocolError, match="LOGON_SENT"):
        session.connected(START_NS)


def test_every_state_is_in_the_table_and_can_be_left_by_a_lost_connection():
    assert set(TRANSITIONS) == set(State)
    assert all(steps[Step.LOST] is State.DISCONNECTED for steps in TRANSITIONS.values())
    assert {state for steps in TRANSITIONS.values() for state in steps.values()} == set(State)


@pytest.mark.parametrize("seed", range(5))
def test_random_bytes_within_a_session_never_raise(seed: int):
    rng = random.Random(seed)
    pair = Pair()
    pair.connect()
    tags = (7, 8, 16, 34, 35, 36, 43, 45, 49, 52, 56, 98, 108, 112, 122, 123, 141)
    values = (b"", b"0", b"1", b"3", b"Y", b"N", b"LEFT", b"RIGHT", b"9" * 30, b"FIX.4.4", b"x")
    for _ in range(3000):
        if pair.right.session.state in {State.CLOSING, State.DISCONNECTED}:
            pair.disconnect()
            pair.connect()
        body = b"".join(b"%d=%b\x01" % (rng.choice(tags), rng.choice(values)) for _ in range(5))
        msg_type = rng.choice((b"0", b"1", b"2", b"3", b"4", b"5", b"A", b"B", b"j", b"?"))
        seq = pair.right.session.store.next_incoming + rng.choice((-1, 0, 0, 0, 1))
        stamp = format_utc_timestamp(pair.now_ns)
        frame = encode(Identity("LEFT", "RIGHT"), msg_type, max(0, seq), stamp, body)
        pair.right.session.receive(frame, pair.now_ns)
        pair.right.take_events()
        pair.right.session.data_to_send(pair.now_ns)
    assert pair.right.events


def test_an_initiator_that_wants_no_heartbeats_sends_and_awaits_none():
    pair = Pair(heartbeat_s=0)
    pair.connect()
    assert pair.left.session.timer_ns() is None
    pair.wait(300)
    assert pair.left.session.store.next_outgoing == 2
    assert pair.is_connected
