"""A feed over TCP in the thread that receives: sockets of both ends in this process."""

import errno
import os
import socket
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.fix_md.adapter import ADAPTER as FIX_MD
from adapters.fix_md.session import FixSource
from adapters.nasdaq_itch.stream import stream_words
from feedhandler.core.api import OWN_WORDS, Reason, StreamWord
from feedhandler.core.counts import Count
from feedhandler.core.receiver import allocate_receiver
from feedhandler.core.states import State
from feedhandler.core.stream import (
    TOLD_BYTES_MAX,
    Link,
    Place,
    Shared,
    Stream,
    allocate_stream,
    copy_down_nb,
    has_stream_nb,
    no_stream,
    open_link_nb,
    take_told,
    tell_nb,
)
from protocols.fix.message import Identity, encode, encode_fields
from protocols.moldudp64.spec import SESSION_BYTES
from tests.unit.feedhandler.core.support import SESSION, Engine, add

BUFFER_BYTES = 4_096
EXCHANGE = Identity("EXCH", "ME")
TIME = b"20260105-10:00:00.123"
POLLS = 2_000


def framed(code: str, payload: bytes = b"") -> bytes:
    return (1 + len(payload)).to_bytes(2, "big") + code.encode() + payload


def fix(msg_type: str, seq: int, *fields: tuple[int, str | int]) -> bytes:
    body = encode_fields(*fields) if fields else b""
    return encode(EXCHANGE, msg_type.encode(), seq, TIME, body)


class Tcp:
    """An engine with a stream whose other end is here."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        stream.out[:SESSION_BYTES] = np.frombuffer(SESSION.encode(), np.uint8)
        self.engine = Engine()
        self.engine.rx = allocate_receiver((-1, -1, -1), SESSION.encode(), 2_048, stream)
        self.wake_fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.ours, self.theirs = socket.socketpair()

    def open(self, unread: bytes = b"") -> None:
        self.stream.buf[: len(unread)] = np.frombuffer(unread, np.uint8)
        open_link_nb(self.stream, self.ours.fileno(), len(unread), self.wake_fd, 5, 7)

    def send(self, data: bytes) -> None:
        self.theirs.sendall(data)
        for _ in range(3):
            self.engine.poll()

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()
        os.close(self.wake_fd)

    @property
    def link(self) -> Link:
        return Link(int(self.stream.shared[Shared.LINK]))

    @property
    def reason(self) -> Reason:
        return Reason(int(self.stream.shared[Shared.REASON]))

    def is_woken(self) -> bool:
        try:
            return os.eventfd_read(self.wake_fd) > 0
        except BlockingIOError:
            return False


@pytest.fixture
def soup() -> Iterator[Tcp]:
    tcp = Tcp(allocate_stream(BUFFER_BYTES, 2_048, stream_words()))
    yield tcp
    tcp.close()


@pytest.fixture
def fix_feed() -> Iterator[Tcp]:
    source = FixSource(Identity("ME", "EXCH"), ("*",), 10, instruments=4, orders=4)
    tcp = Tcp(allocate_stream(1 << 18, 2_048, source.words))
    tcp.engine.venue = FIX_MD.venue()
    source.disconnected()
    yield tcp
    tcp.close()


def test_messages_of_a_stream_are_applied_as_those_of_line_a(soup: Tcp):
    soup.open()
    soup.send(framed("S", add(1, "B", 100, 10_000)) + framed("S", add(2, "S", 50, 10_100)))
    assert soup.engine.counts() == soup.engine.counts() | {
        "PACKETS": 1, "APPLIED": 2, "STREAM_MESSAGES": 2, "STREAM_BYTES": 2 * 39,
    }  # fmt: skip
    assert State(soup.engine.channel["state"]) == State.LIVE
    assert soup.engine.rx.pollfds[0]["fd"] == soup.ours.fileno()
    assert soup.stream.shared[Shared.HEARD_NS] > 5


def test_nothing_is_read_before_the_link_is_open(soup: Tcp):
    soup.send(framed("S", add(1, "B", 100, 10_000)))
    assert (soup.engine.count(Count.APPLIED), soup.engine.rx.pollfds[0]["fd"]) == (0, -1)


def test_what_the_login_read_too_far_comes_first(soup: Tcp):
    whole = framed("S", add(1, "B", 100, 10_000))
    soup.open(whole[:5])
    soup.send(whole[5:])
    assert soup.engine.count(Count.APPLIED) == 1
    assert soup.engine.count(Count.STREAM_BYTES) == len(whole)


def test_all_that_came_before_the_end_is_applied(soup: Tcp):
    soup.open()
    soup.theirs.sendall(framed("S", add(1, "B", 100, 10_000)) + b"\0")
    soup.theirs.shutdown(socket.SHUT_WR)
    for _ in range(4):
        soup.engine.poll()
    assert soup.engine.count(Count.APPLIED) == 1
    assert (soup.link, soup.reason, soup.is_woken()) == (Link.LOST, Reason.CLOSED, True)
    assert soup.engine.rx.pollfds[0]["fd"] == -1


def test_the_control_plane_gets_the_connection_back_when_it_asks(soup: Tcp):
    soup.open()
    soup.engine.poll()
    assert soup.link == Link.OPEN
    soup.stream.shared[Shared.ASKED] = 1
    soup.engine.poll()
    assert (soup.link, soup.reason) == (Link.LOST, Reason.ASKED)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\0\0\0", Reason.GARBAGE),
        (b"GET / HTTP/1.1\r\n", Reason.GARBAGE),
        (framed("S", bytes(2_100)), Reason.TOO_LONG),
        (b"\xff\xffS" + bytes(BUFFER_BYTES), Reason.TOO_LONG),
    ],
)
def test_bytes_that_lead_nowhere_end_the_connection(soup: Tcp, data: bytes, reason: Reason):
    soup.open()
    soup.send(data)
    assert (soup.link, soup.reason) == (Link.LOST, reason)


def test_an_error_of_the_system_ends_the_connection_and_is_told(soup: Tcp):
    soup.open()
    soup.ours.close()
    soup.engine.poll()
    assert (soup.link, soup.reason) == (Link.LOST, Reason.FAILED)
    assert soup.stream.words[StreamWord.ERROR] == errno.EBADF


def test_the_end_of_the_session_ends_the_channel(soup: Tcp):
    soup.open()
    soup.send(framed("S", add(1, "B", 100, 10_000)) + framed("Z"))
    assert State(soup.engine.channel["state"]) == State.ENDED
    assert (soup.link, soup.reason) == (Link.LOST, Reason.ENDED)
    assert soup.engine.count(Count.END_SEQ) == 2


def test_a_long_stream_moves_through_a_short_buffer(soup: Tcp):
    soup.open()
    for ref in range(1, 301):
        soup.send(framed("S", add(ref, "B", 1, 10_000)))
    assert (soup.engine.count(Count.APPLIED), soup.link) == (300, Link.OPEN)


def test_a_second_connection_goes_on_behind_the_first(soup: Tcp):
    soup.open()
    soup.send(framed("S", add(1, "B", 100, 10_000)) + b"\0\1")
    soup.stream.shared[Shared.ASKED] = 1
    soup.engine.poll()
    soup.open()
    soup.send(framed("S", add(2, "B", 100, 10_000)))
    assert soup.engine.count(Count.APPLIED) == 2
    assert soup.stream.words[StreamWord.SEQ] == 3


def test_messages_of_the_session_are_told(fix_feed: Tcp):
    fix_feed.open()
    test_request, logout = fix("1", 1, (112, "T")), fix("5", 3)
    fix_feed.send(test_request + fix("0", 2) + logout)
    written = int(fix_feed.stream.shared[Shared.TOLD])
    assert take_told(fix_feed.stream, written, 0) == ([test_request, logout], written)
    assert fix_feed.is_woken()


def test_a_gap_wakes_the_control_plane_and_makes_the_books_suspect(fix_feed: Tcp):
    fix_feed.open()
    entries = ((268, 1), (269, 0), (270, "10.5"), (271, 100))
    fix_feed.send(fix("W", 1, (55, "AAA"), *entries))
    assert fix_feed.engine.count(Count.BOOKS_SUSPECT) == 0
    assert not fix_feed.is_woken()
    fix_feed.send(fix("0", 3))
    assert fix_feed.is_woken()
    assert fix_feed.stream.shared[Shared.GAPS] == fix_feed.engine.count(Count.GAPS) == 1
    assert fix_feed.engine.count(Count.BOOKS_SUSPECT) == 1


def test_reading_waits_while_nobody_listens_to_what_is_told(fix_feed: Tcp):
    fix_feed.open()
    text = "x" * 50_000
    messages = [fix("B", seq, (58, text)) for seq in range(1, 11)]
    fix_feed.theirs.setblocking(False)
    data = b"".join(messages)
    told, read = [], 0
    for _ in range(POLLS):
        if data:
            try:
                data = data[fix_feed.theirs.send(data) :]
            except BlockingIOError:
                written = int(fix_feed.stream.shared[Shared.TOLD])
                assert written - read <= len(fix_feed.stream.told)
                found, read = take_told(fix_feed.stream, written, read)
                fix_feed.stream.shared[Shared.TOLD_READ] = read
                told += found
        fix_feed.engine.poll()
    told += take_told(fix_feed.stream, int(fix_feed.stream.shared[Shared.TOLD]), read)[0]
    while len(told) < len(messages):
        read = int(fix_feed.stream.shared[Shared.TOLD])
        fix_feed.stream.shared[Shared.TOLD_READ] = read
        for _ in range(8):
            fix_feed.engine.poll()
        told += take_told(fix_feed.stream, int(fix_feed.stream.shared[Shared.TOLD]), read)[0]
    assert told == messages


def test_a_message_too_long_to_be_told_ends_the_connection(fix_feed: Tcp):
    fix_feed.open(fix("B", 1, (58, "x" * TOLD_BYTES_MAX)))
    fix_feed.engine.poll()
    assert (fix_feed.link, fix_feed.reason) == (Link.LOST, Reason.TOO_LONG)


def test_a_broken_connection_is_lost(fix_feed: Tcp):
    fix_feed.open()
    fix_feed.send(fix("0", 1) + fix("0", 1))
    assert (fix_feed.link, fix_feed.reason) == (Link.LOST, Reason.NUMBERS)


@given(st.integers(0, 300), st.integers(0, 300))
def test_bytes_move_down_whatever_overlaps(at: int, size: int):
    buf = np.arange(601, dtype=np.int64).astype(np.uint8)
    expected = buf[at : at + size].copy()
    copy_down_nb(buf, np.int64(at), np.int64(at + size))
    assert (buf[:size] == expected).all()


@given(st.lists(st.integers(0, TOLD_BYTES_MAX), max_size=12))
def test_what_is_told_comes_out_as_it_was(sizes: list[int]):
    stream = allocate_stream(TOLD_BYTES_MAX, 64, np.zeros(OWN_WORDS, np.int64))
    stream.buf[:] = np.arange(len(stream.buf)) % 251
    read = 0
    for size in sizes:
        tell_nb(stream, np.int64(0), np.int64(size))
        messages, read = take_told(stream, int(stream.shared[Shared.TOLD]), read)
        assert messages == [stream.buf[:size].tobytes()]


def test_a_feed_in_datagrams_has_no_stream():
    assert not has_stream_nb(no_stream())
    assert no_stream().places[Place.FD] == -1
