"""Our side of a market data session: what it says, and when; the peer by hand."""

import numpy as np
import pytest

from adapters.fix_md.session import (
    DOUBT_WAIT_NS,
    LOGON_WAIT_NS,
    SYMBOLS_A_REQUEST_MAX,
    FixSource,
)
from feedhandler.core.api import StreamWord
from protocols.errors import RemoteProtocolError
from protocols.fix.framing import Framer
from protocols.fix.message import FixMessage, Identity, decode, encode, encode_fields
from protocols.fix.states import State

SECOND = 1_000_000_000
START = 1_000 * SECOND
EPOCH = 1_767_607_200 * SECOND
HEARTBEAT_S = 10
US = Identity("ME", "EXCH")
EXCHANGE = Identity("EXCH", "ME")
TIME = b"20260105-10:00:00.000"

Value = int | str | bytes


class Pair:
    """A source, and the peer that it talks to."""

    def __init__(self, symbols: tuple[str, ...] = ("*",)) -> None:
        self.source = FixSource(US, symbols, HEARTBEAT_S, instruments=2, orders=2)
        self.now_ns = START
        self._framer = Framer()

    def connect(self) -> None:
        self.source.connected(self.now_ns, EPOCH)

    def said(self) -> list[FixMessage]:
        """What the source sent since the last look."""
        self._framer.feed(self.source.data_to_send(self.now_ns))
        found = []
        while (frame := self._framer.next_frame()) is not None:
            found.append(decode(frame))
        return found

    def log_on(self) -> list[FixMessage]:
        """Connected, and both Logons said; what came behind ours."""
        self.connect()
        self.said()
        self.source.receive(wire("A", 1, (98, 0), (108, HEARTBEAT_S), (141, "Y")), self.now_ns)
        return self.said()

    def tell(self, msg_type: str, *fields: tuple[int, Value]) -> list[FixMessage]:
        """The peer says something; what the source answers."""
        self.source.told(wire(msg_type, 9, *fields), self.now_ns)
        return self.said()

    def wait(self, seconds: float) -> list[FixMessage]:
        """Time passes; what the source says when its timer is handled."""
        self.now_ns += int(seconds * SECOND)
        self.source.handle_timer(self.now_ns)
        return self.said()

    def notices(self) -> list[tuple[str, str]]:
        found = []
        while (notice := self.source.next_notice()) is not None:
            found.append((notice.level, notice.event))
        return found


def wire(msg_type: str, seq: int, *fields: tuple[int, Value]) -> bytes:
    body = encode_fields(*fields) if fields else b""
    return encode(EXCHANGE, msg_type.encode(), seq, TIME, body)


def types(messages: list[FixMessage]) -> list[bytes]:
    return [message.msg_type for message in messages]


def test_a_session_begins_with_a_logon_that_resets_the_numbers():
    pair = Pair()
    pair.connect()
    (logon,) = pair.said()
    expected = {35: b"A", 34: b"1", 49: b"ME", 56: b"EXCH", 98: b"0", 108: b"10", 141: b"Y"}
    assert {tag: logon.get(tag) for tag in expected} == expected
    assert logon.get(52) == TIME
    assert pair.source.state is State.LOGON_SENT


def test_what_is_subscribed_to_is_every_symbol_at_full_depth():
    (request,) = Pair().log_on()
    assert request.msg_type == b"V"
    assert request.fields[7:-1] == (
        (262, b"ME-1"), (263, b"1"), (264, b"0"), (265, b"1"),
        (267, b"3"), (269, b"0"), (269, b"1"), (269, b"2"), (146, b"1"), (55, b"*"),
    )  # fmt: skip


def test_a_long_list_of_symbols_is_several_requests():
    symbols = tuple(f"S{i}" for i in range(SYMBOLS_A_REQUEST_MAX + 1))
    pair = Pair(symbols)
    first, second = pair.log_on()
    assert (first.get(146), second.get(146)) == (b"1000", b"1")
    assert (first.get(262), second.get(262), second.get(55)) == (b"ME-1", b"ME-2", b"S1000")
    assert pair.source.words[StreamWord.DOUBT] == len(symbols)


def test_bytes_behind_the_logon_are_left_to_the_reader():
    pair = Pair()
    pair.connect()
    rest = wire("0", 2)[:9]
    logon = wire("A", 1, (98, 0), (108, 10), (141, "Y")) + rest
    for at in range(len(logon)):
        assert pair.source.is_open == (at > len(logon) - len(rest) - 1)
        pair.source.receive(logon[at : at + 1], pair.now_ns)
    assert pair.source.take_unread(pair.now_ns) == rest


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (wire("5", 1, (58, "unknown CompID")), "logon refused: unknown CompID"),
        (wire("0", 1), "MsgType 0 came before the Logon"),
        (wire("A", 7, (98, 0), (108, 10)), "the Logon has number 7"),
    ],
)
def test_any_other_answer_to_the_logon_is_an_error(answer: bytes, reason: str):
    pair = Pair()
    pair.connect()
    with pytest.raises(RemoteProtocolError, match=reason):
        pair.source.receive(answer, pair.now_ns)
    assert not pair.source.is_open


def test_a_logon_without_an_answer_is_given_up():
    pair = Pair()
    pair.connect()
    assert pair.source.timer_ns() == START + LOGON_WAIT_NS
    pair.wait(LOGON_WAIT_NS / SECOND)
    assert (pair.source.is_closed, pair.source.reason) == (True, "no answer to the Logon")


def test_a_test_request_is_answered():
    pair = Pair()
    pair.log_on()
    (answer,) = pair.tell("1", (112, "T7"))
    assert (answer.msg_type, answer.get(112)) == (b"0", b"T7")


def test_a_resend_request_is_answered_by_a_gap_fill_and_a_new_subscription():
    pair = Pair()
    pair.log_on()
    fill, request = pair.tell("2", (7, 1), (16, 0))
    assert (fill.msg_type, fill.get(34), fill.get(43)) == (b"4", b"1", b"Y")
    assert (fill.get(123), fill.get(36), fill.get(122)) == (b"Y", b"3", fill.get(52))
    assert (request.get(34), request.get(262), request.get(263)) == (b"3", b"ME-2", b"1")
    # Heartbeats that got lost are no loss.
    pair.wait(HEARTBEAT_S)
    assert types(pair.tell("2", (7, 4), (16, 0))) == [b"4"]
    assert pair.tell("2", (7, 9), (16, 0)) == []


def test_a_gap_is_answered_by_a_new_subscription():
    pair = Pair()
    pair.log_on()
    pair.source.note_gap(pair.now_ns)
    off, on = pair.said()
    assert (off.get(262), off.get(263), on.get(262), on.get(263)) == (
        b"ME-1", b"2", b"ME-2", b"1",
    )  # fmt: skip
    assert pair.notices() == [("warning", "feed_gap")]


def test_books_that_stay_in_doubt_are_subscribed_to_again_at_longer_and_longer_intervals():
    pair = Pair()
    pair.log_on()
    waits = []
    last_ns = pair.now_ns
    for _ in range(40):
        pair.now_ns += DOUBT_WAIT_NS // 5
        pair.source.note_doubt(1, pair.now_ns)
        if pair.said():
            waits.append((pair.now_ns - last_ns) // DOUBT_WAIT_NS)
            last_ns = pair.now_ns
    assert waits == [1, 2, 4]
    pair.source.note_doubt(0, pair.now_ns)
    pair.now_ns += DOUBT_WAIT_NS
    pair.source.note_doubt(1, pair.now_ns)
    assert pair.said() == []


@pytest.mark.parametrize(
    ("msg_type", "fields", "event"),
    [
        ("Y", ((262, "ME-1"), (281, "0"), (58, "unknown symbol")), "subscription_refused"),
        ("3", ((45, 2), (373, 5)), "feed_rejected_message"),
        ("j", ((45, 2), (372, "V"), (380, 3)), "feed_rejected_message"),
    ],
)
def test_what_the_peer_refuses_is_an_error_in_the_log(
    msg_type: str, fields: tuple[tuple[int, Value], ...], event: str
):
    pair = Pair()
    pair.log_on()
    assert pair.tell(msg_type, *fields) == []
    assert pair.notices() == [("error", event)]


def test_a_message_of_no_use_is_told_and_ignored():
    pair = Pair()
    pair.log_on()
    assert pair.tell("B", (148, "news")) == []
    assert pair.notices() == [("warning", "feed_message_ignored")]


def test_we_say_a_heartbeat_when_we_said_nothing_for_an_interval():
    pair = Pair()
    pair.log_on()
    assert pair.source.timer_ns() == START + HEARTBEAT_S * SECOND
    assert pair.wait(HEARTBEAT_S - 1) == []
    assert types(pair.wait(1)) == [b"0"]
    pair.source.heard(pair.now_ns)
    assert types(pair.wait(HEARTBEAT_S)) == [b"0"]


def test_a_silent_peer_is_asked_and_then_given_up():
    pair = Pair()
    pair.log_on()
    assert types(pair.wait(HEARTBEAT_S * 1.2)) == [b"1"]
    assert pair.wait(HEARTBEAT_S) == []
    assert not pair.source.is_closed
    pair.wait(HEARTBEAT_S * 0.2)
    assert pair.source.is_closed
    assert pair.source.reason.startswith("the peer was silent")


def test_an_answer_to_the_test_request_is_a_sign_of_life():
    pair = Pair()
    pair.log_on()
    pair.wait(HEARTBEAT_S * 1.2)
    pair.source.heard(pair.now_ns + 1)
    pair.wait(HEARTBEAT_S)
    assert not pair.source.is_closed


def test_a_logout_of_the_peer_is_answered_and_ends_the_session():
    pair = Pair()
    pair.log_on()
    assert types(pair.tell("5", (58, "closing time"))) == [b"5"]
    assert (pair.source.is_closed, pair.source.reason) == (
        True, "the peer logged out: closing time",
    )  # fmt: skip


def test_our_logout_waits_for_that_of_the_peer():
    pair = Pair()
    pair.log_on()
    pair.source.log_out(pair.now_ns)
    assert types(pair.said()) == [b"5"]
    assert not pair.source.is_closed
    pair.source.note_gap(pair.now_ns)
    assert pair.said() == []
    assert pair.tell("5") == []
    assert pair.source.is_closed


def test_every_connection_begins_at_number_one_with_a_request_of_its_own():
    pair = Pair()
    pair.log_on()
    pair.source.take_unread(pair.now_ns)
    epoch = int(pair.source.memory.feed.meta[0])
    pair.source.disconnected()
    assert pair.source.memory.feed.meta[0] > epoch
    (request,) = pair.log_on()
    assert (request.get(34), request.get(262)) == (b"2", b"ME-2")


def test_the_words_lead_to_memory_that_the_source_holds():
    source = Pair().source
    assert isinstance(source.words, np.ndarray)
    assert source.words is source.memory.words
