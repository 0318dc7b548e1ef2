"""SoupBinTCP streams as packets, against a slow reader of the whole stream."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.nasdaq_itch.stream import read_stream_nb, stream_words
from feedhandler.core.api import Read, Reason, StreamWord
from protocols.moldudp64.codec import decode_packet
from protocols.moldudp64.spec import SESSION_BYTES

SESSION = b"S1".ljust(SESSION_BYTES)
PACKET_BYTES = 96
LONGEST = PACKET_BYTES - 22


def framed(code: str, payload: bytes = b"") -> bytes:
    return (1 + len(payload)).to_bytes(2, "big") + code.encode() + payload


class Found(NamedTuple):
    """All that a stream says: its messages, and how it ends."""

    messages: list[bytes]
    heard: int
    end: Read
    fault: Reason = Reason.NONE


def slowly(stream: bytes) -> Found:
    """What the stream holds, packet by packet."""
    messages: list[bytes] = []
    at = heard = 0
    while at + 3 <= len(stream):
        length = int.from_bytes(stream[at : at + 2], "big")
        code = chr(stream[at + 2])
        if length == 0 or code not in "SHZ+U" or (code in "HZ" and length != 1):
            return Found(messages, heard, Read.BROKEN, Reason.GARBAGE)
        if at + 2 + length > len(stream):
            break
        payload = stream[at + 3 : at + 2 + length]
        if code == "S" and len(payload) > LONGEST:
            return Found(messages, heard, Read.BROKEN, Reason.TOO_LONG)
        at += 2 + length
        heard += 1
        if code == "S":
            messages.append(payload)
        if code == "Z":
            return Found(messages, heard, Read.END)
    return Found(messages, heard, Read.NEED)


class Reader:
    """A stream as the engine reads it: pieces into a buffer, which is moved when it may be."""

    def __init__(self) -> None:
        self.words = stream_words()
        self.messages: list[bytes] = []
        self.heartbeats = 0
        self.outcome = Read.NEED
        self._pending = b""
        self._out = np.zeros(PACKET_BYTES, np.uint8)
        self._out[:SESSION_BYTES] = np.frombuffer(SESSION, np.uint8)

    def feed(self, piece: bytes) -> None:
        data = self._pending + piece
        buf = np.frombuffer(bytearray(data + bytes(64)), np.uint8)
        at = 0
        while self.outcome not in (Read.END, Read.BROKEN):
            at += read_stream_nb(buf, at, len(data), self.words, self._out)
            self.outcome = Read(int(self.words[StreamWord.OUTCOME]))
            if self.outcome == Read.NEED:
                break
            if self.outcome in (Read.PACKET, Read.END):
                self._take_packet()
        self._pending = data[at:]

    def _take_packet(self) -> None:
        raw = self._out[: self.words[StreamWord.SIZE]].tobytes()
        packet = decode_packet(raw)
        assert packet.session.encode().ljust(SESSION_BYTES) == SESSION
        assert packet.sequence == len(self.messages) + 1
        assert packet.ended == (self.outcome == Read.END)
        self.messages += packet.messages
        self.heartbeats += not packet.messages and not packet.ended

    def found(self) -> Found:
        fault = Reason.NONE
        if self.outcome == Read.BROKEN:
            fault = Reason(int(self.words[StreamWord.FAULT]))
        return Found(self.messages, int(self.words[StreamWord.HEARD]), self.outcome, fault)


def split(stream: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = sorted({0, *(cut % (len(stream) + 1) for cut in cuts), len(stream)})
    return [stream[a:b] for a, b in itertools.pairwise(places)]


def read(pieces: Sequence[bytes]) -> Reader:
    reader = Reader()
    for piece in pieces:
        reader.feed(piece)
    return reader


PACKETS = st.one_of(
    st.binary(max_size=LONGEST).map(lambda payload: framed("S", payload)),
    st.sampled_from([framed("H"), framed("+", b"hello"), framed("U", b"beside")]),
)
ODD = st.one_of(
    st.sampled_from([framed("Z"), framed("S", bytes(LONGEST + 1)), b"\0\0S", b"\0\2H?", b"\0\1A"]),
    st.binary(max_size=6),
)


@given(
    st.lists(PACKETS, max_size=12),
    st.one_of(st.just(b""), ODD),
    st.lists(PACKETS, max_size=2),
    st.lists(st.integers(0, 1 << 16), max_size=12),
)
def test_any_stream_in_any_pieces_is_read_as_slowly(
    packets: list[bytes], odd: bytes, more: list[bytes], cuts: list[int]
):
    stream = b"".join([*packets, odd, *more])
    assert read(split(stream, cuts)).found() == slowly(stream)


def test_every_single_cut_gives_the_same():
    stream = framed("S", b"one") + framed("H") + framed("S", b"three") + framed("Z")
    whole = slowly(stream)
    assert whole == Found([b"one", b"three"], 4, Read.END)
    for cut in range(len(stream) + 1):
        assert read(split(stream, [cut])).found() == whole


def test_a_heartbeat_is_a_packet_without_messages():
    reader = read([framed("H")])
    assert (reader.heartbeats, reader.messages) == (1, [])


@pytest.mark.parametrize("size", [LONGEST, LONGEST + 1])
def test_the_longest_message_is_the_one_that_a_packet_holds(size: int):
    found = read([framed("S", bytes(size))]).found()
    assert found.fault == (Reason.NONE if size == LONGEST else Reason.TOO_LONG)
    assert len(found.messages) == (size == LONGEST)
