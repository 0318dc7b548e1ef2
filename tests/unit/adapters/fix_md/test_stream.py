"""A connection of FIX market data as packets, against the session in plain Python and the converter
of whole messages.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.fix_md.layout import Meta, allocate_feed, allocate_reading
from adapters.fix_md.messages import Column, Cursor, convert_nb, out_bytes
from adapters.fix_md.normalise import LENGTH_BYTES
from adapters.fix_md.records import BLOCK_BYTES
from adapters.fix_md.stream import Memory, allocate_memory, begin_connection, read_stream_nb
from feedhandler.core.api import Read, Reason, StreamWord
from protocols.fix.framing import Framer
from protocols.fix.message import FixMessage, Identity, decode, encode, encode_fields
from protocols.fix.times import parse_utc_timestamp
from protocols.moldudp64.codec import decode_packet
from protocols.moldudp64.spec import SESSION_BYTES

EXCHANGE = Identity("EXCH", "ME")
TIME = b"20260105-10:00:00.123"
NS_PER_DAY = 86_400_000_000_000
BODY_BYTES = 2_048
PACKET_BYTES = 20 + 3 * BLOCK_BYTES + 7
SYMBOLS = ("AAA", "BBB", "CCC")

Fields = Sequence[tuple[int, str | int | bytes]]


def message(msg_type: str, seq: int, fields: Fields = (), *, dup: bool = False) -> bytes:
    body = encode_fields(*fields) if fields else b""
    return encode(EXCHANGE, msg_type.encode(), seq, TIME, body, TIME if dup else b"")


def snapshot(symbol: str, *levels: tuple[int, str, int]) -> Fields:
    entries = [((269, side), (270, price), (271, qty), (346, 1)) for side, price, qty in levels]
    head = [(262, "R"), (55, symbol), (268, len(entries))]
    return [*head, *(field for entry in entries for field in entry)]


def update(*entries: tuple[int, int, str, str, int]) -> Fields:
    rows = [
        ((279, action), (269, side), (55, symbol), (270, price), (271, qty), (346, 1))
        for action, side, symbol, price, qty in entries
    ]
    return [(262, "R"), (268, len(rows)), *(field for row in rows for field in row)]


class Found(NamedTuple):
    """What a connection brought: records, messages for the session, gaps, books in doubt."""

    records: list[bytes]
    told: list[bytes]
    gaps: int
    heard: int
    doubt: int
    fault: Reason


class Twin:
    """The rules of a session in plain Python; W and X through the converter, one at a time."""

    def __init__(self, wanted: int) -> None:
        self.feed = allocate_feed(4, 4)
        self.feed.meta[Meta.EPOCH] = 2
        self.reading = allocate_reading(BODY_BYTES)
        self.out = np.zeros(out_bytes(BODY_BYTES, 4), np.uint8)
        self.wanted = wanted
        self.expected = 2
        self.records: list[bytes] = []
        self.told: list[bytes] = []
        self.gaps = self.heard = 0
        self.fault = Reason.NONE

    def read(self, stream: bytes) -> Found:
        framer = Framer(BODY_BYTES)
        framer.feed(stream)
        while self.fault == Reason.NONE and (frame := framer.next_frame()) is not None:
            self._take(frame, decode(frame))
        rows = self.feed.instruments[: self.feed.meta[Meta.INSTRUMENTS]]
        doubt = int((rows["sound_in"] != self.feed.meta[Meta.EPOCH]).sum())
        doubt += max(self.wanted - len(rows), 0)
        return Found(self.records, self.told, self.gaps, self.heard, doubt, self.fault)

    def _take(self, frame: bytes, fields: FixMessage) -> None:
        seq = fields.number(34)
        if not seq or (seq < self.expected and not fields.flag(43)):
            self.fault = Reason.NUMBERS
            return
        self.heard += 1
        if seq < self.expected:
            return
        lost = seq > self.expected
        self.expected = seq + 1
        new_seq = fields.number(36) or 0
        if fields.msg_type == b"4" and new_seq > self.expected:
            self.expected = new_seq
            if not fields.flag(123):
                self.gaps += 1
                self.feed.meta[Meta.EPOCH] += 1
        self.gaps += lost
        if fields.msg_type in (b"W", b"X"):
            self._convert(frame, fields, lost)
            return
        self.feed.meta[Meta.EPOCH] += lost
        if fields.msg_type not in (b"4", b"0"):
            self.told.append(frame)

    def _convert(self, frame: bytes, fields: FixMessage, lost: bool) -> None:
        buf = np.frombuffer(bytearray(frame + bytes(64)), np.uint8)
        table = np.zeros((len(Column), 1), np.int64)
        table[Column.IS_AFTER_LOSS] = lost
        table[Column.TS_EXCH_NS] = (parse_utc_timestamp(fields.get(52)) or 0) % NS_PER_DAY
        cursor = np.zeros(len(Cursor), np.int64)
        convert_nb(buf, len(frame), self.reading, self.feed, table, cursor, self.out)
        blocks = self.out[: self.feed.meta[Meta.OUT_AT]].tobytes()
        self.feed.meta[Meta.OUT_AT] = 0
        self.records += [
            blocks[at + LENGTH_BYTES : at + BLOCK_BYTES]
            for at in range(0, len(blocks), BLOCK_BYTES)
        ]


class Reader:
    """The connection as the engine reads it; the Logon was number 1."""

    def __init__(self, wanted: int = 1, packet_bytes: int = PACKET_BYTES) -> None:
        self.memory: Memory = allocate_memory(4, 4, wanted, BODY_BYTES)
        begin_connection(self.memory, 2)
        self.records: list[bytes] = []
        self.told: list[bytes] = []
        self.heartbeats = 0
        self.outcome = Read.NEED
        self._pending = b""
        self._out = np.zeros(packet_bytes, np.uint8)
        self._out[:SESSION_BYTES] = ord("S")

    def feed(self, piece: bytes) -> None:
        data = self._pending + piece
        buf = np.frombuffer(bytearray(data + bytes(64)), np.uint8)
        words = self.memory.words
        at = 0
        while self.outcome != Read.BROKEN:
            at += read_stream_nb(buf, at, len(data), words, self._out)
            self.outcome = Read(int(words[StreamWord.OUTCOME]))
            if self.outcome == Read.NEED:
                break
            if self.outcome == Read.TOLD:
                first, end = words[StreamWord.TOLD_AT], words[StreamWord.TOLD_END]
                self.told.append(buf[first:end].tobytes())
            elif self.outcome == Read.PACKET:
                packet = decode_packet(self._out[: words[StreamWord.SIZE]].tobytes())
                assert packet.sequence == len(self.records) + 1
                self.records += packet.messages
                self.heartbeats += not packet.messages
        self._pending = data[at:]

    def found(self) -> Found:
        words = self.memory.words
        broken = self.outcome == Read.BROKEN
        return Found(
            self.records,
            self.told,
            int(words[StreamWord.GAPS]),
            int(words[StreamWord.HEARD]),
            int(words[StreamWord.DOUBT]),
            Reason(int(words[StreamWord.FAULT])) if broken else Reason.NONE,
        )


PRICES = st.sampled_from(["10.5", "10.6", "0.25", "100", "-1", "x"])
QUANTITIES = st.integers(0, 3)
SYMBOL = st.sampled_from(SYMBOLS)
SIDES = st.sampled_from([0, 1, 2])
LEVELS = st.lists(st.tuples(SIDES, PRICES, QUANTITIES), min_size=1, max_size=5)
ENTRIES = st.lists(
    st.tuples(st.sampled_from([0, 1, 2]), SIDES, SYMBOL, PRICES, QUANTITIES), min_size=1, max_size=5
)
BODIES = st.one_of(
    st.tuples(st.just("W"), st.builds(lambda s, ls: snapshot(s, *ls), SYMBOL, LEVELS)),
    st.tuples(st.just("X"), st.builds(lambda es: update(*es), ENTRIES)),
    st.sampled_from([("0", ()), ("1", ((112, "T"),)), ("Y", ((262, "R"), (281, "0")))]),
    st.tuples(st.just("4"), st.builds(lambda n: ((123, "Y"), (36, n)), st.integers(1, 30))),
    st.tuples(st.just("4"), st.builds(lambda n: ((36, n),), st.integers(1, 30))),
)
STEPS = st.sampled_from([1] * 12 + [2, 4, 0, -1])
"""By how much a number is above the one before."""
GARBAGE = st.sampled_from(
    [b""] * 8 + [b"xyz", b"8=FIX.4.4\x019=5\x01", b"8=FIX.4.4\x019=99999\x01"]
)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(BODIES, STEPS, st.booleans(), GARBAGE), max_size=12),
    st.lists(st.integers(0, 1 << 16), max_size=8),
    st.integers(1, 4),
)
def test_any_connection_in_any_pieces_is_read_as_slowly(
    messages: list[tuple[tuple[str, Fields], int, bool, bytes]], cuts: list[int], wanted: int
):
    stream, seq = b"", 1
    for (msg_type, fields), step, dup, garbage in messages:
        seq = max(seq + step, 1)
        stream += garbage + message(msg_type, seq, fields, dup=dup and step < 1)
    # What a length that lies hides comes to light with enough bytes behind it.
    stream += b"\x0110=000\x01" + message("0", seq + 1)
    reader = Reader(wanted)
    places = sorted({0, *(cut % (len(stream) + 1) for cut in cuts), len(stream)})
    for a, b in itertools.pairwise(places):
        reader.feed(stream[a:b])
    found, expected = reader.found(), Twin(wanted).read(stream)
    # Once broken off, nobody counts.
    if expected.fault != Reason.NONE:
        found, expected = (each._replace(doubt=0) for each in (found, expected))
    assert found == expected


def test_books_are_in_doubt_until_each_has_its_snapshot():
    reader = Reader(wanted=2)
    assert reader.found().doubt == 2
    reader.feed(message("W", 2, snapshot("AAA", (0, "10.5", 100))))
    assert reader.found().doubt == 1
    reader.feed(message("W", 3, snapshot("BBB", (0, "10.5", 100))))
    assert reader.found().doubt == 0
    reader.feed(message("X", 5, update((0, 0, "AAA", "10.4", 5))))
    assert (reader.found().doubt, reader.found().gaps) == (2, 1)
    reader.feed(message("W", 6, snapshot("BBB", (0, "10.5", 100))))
    assert reader.found().doubt == 1


def test_a_new_connection_puts_every_book_in_doubt():
    reader = Reader()
    reader.feed(message("W", 2, snapshot("AAA", (0, "10.5", 100))))
    assert reader.found().doubt == 0
    begin_connection(reader.memory, 2)
    assert reader.memory.words[StreamWord.DOUBT] == 1


def test_a_long_snapshot_goes_out_in_as_many_packets_as_it_takes():
    levels = [(0, str(i), 1) for i in range(1, 31)]
    reader = Reader()
    reader.feed(message("W", 2, snapshot("AAA", *levels)))
    assert len(reader.records) == 31  # with the definition of the symbol
    assert reader.memory.words[StreamWord.SEQ] == 32


@pytest.mark.parametrize("seq", [b"", b"0", b"x", b"99999999999999999999"])
def test_a_message_without_a_number_breaks_the_connection(seq: bytes):
    inner = b"35=0\x01" + (b"34=%b\x01" % seq if seq else b"") + b"49=EXCH\x01"
    whole = b"8=FIX.4.4\x019=%d\x01%b" % (len(inner), inner)
    reader = Reader()
    reader.feed(b"%b10=%03d\x01" % (whole, sum(whole) % 256))
    assert reader.found().fault == Reason.NUMBERS


def test_records_before_a_fault_go_out():
    reader = Reader()
    reader.feed(message("W", 2, snapshot("AAA", (0, "10.5", 100))) + message("0", 1))
    assert (len(reader.records), reader.found().fault) == (2, Reason.NUMBERS)


def test_a_heartbeat_is_a_packet_without_records():
    reader = Reader()
    reader.feed(message("0", 2))
    assert (reader.heartbeats, reader.records) == (1, [])
