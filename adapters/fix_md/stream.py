"""FIX market data as it comes: the bytes of a connection as packets of records.

    decode a batch ──► each message: its number ──► W, X to records ──► packets, a piece at a time
                                          └──► any other: for the session, in the control plane

Numbers (MsgSeqNum) are checked here, as only here the order of messages is known: behind a gap all
books are in doubt, each until its next W. Heartbeats and SequenceResets are done with here.
Source: FIX 4.4 volume 2 (session protocol), volume 3 (market data).
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.fix_md.layout import (
    Feed,
    Meta,
    Reading,
    allocate_feed,
    allocate_reading,
)
from adapters.fix_md.messages import Column, out_bytes, take_message_nb
from adapters.fix_md.records import BLOCK_BYTES
from feedhandler.core.api import OWN_WORDS, Read, Reason, StreamWord
from feedhandler.core.libc import copy_bytes_nb
from protocols.by_reference import by_reference
from protocols.fix.kernels import decode_nb
from protocols.fix.kernels_entries import INCREMENTAL, SNAPSHOT, read_entries_nb
from protocols.fix.kernels_values import parse_integer_nb, parse_timestamp_nb
from protocols.fix.layout import Int64s, pack_msg_type
from protocols.fix.spec import MsgType, Tag
from protocols.jit import kernel, outline_kernel
from protocols.lasting import lay_out, reference_view
from protocols.moldudp64.spec import COUNT_AT, HEADER_BYTES, HEARTBEAT, SEQUENCE_AT
from protocols.wire import Bytes, write_u16_nb, write_u64_nb

BODY_BYTES_MAX = 1 << 20
"""Longest message that is read."""
BUFFER_BYTES = 1 << 21
ORDERS_MAX = 1 << 18
"""Live orders of feeds that name them, at most."""
_NS_PER_DAY = 86_400_000_000_000
_HEAD_TOKENS = 16
"""Among so many fields the header has its number, its time and its flags."""
_SEQ_MAX = 1 << 62
_YES = ord("Y")
_EMPTY_BOOK = ord("J")
_HEARTBEAT = pack_msg_type(MsgType.HEARTBEAT)
_SEQUENCE_RESET = pack_msg_type(MsgType.SEQUENCE_RESET)
_SEQ_NUM, _SENDING_TIME = int(Tag.MSG_SEQ_NUM), int(Tag.SENDING_TIME)
_POSS_DUP, _GAP_FILL, _NEW_SEQ = int(Tag.POSS_DUP_FLAG), int(Tag.GAP_FILL_FLAG), int(Tag.NEW_SEQ_NO)


class Own(IntEnum):
    """Words of the stream besides those of `StreamWord`."""

    FEED_AT = OWN_WORDS
    READING_AT = OWN_WORDS + 1
    ROOM_AT = OWN_WORDS + 2
    FRAME = OWN_WORDS + 3
    """Which frame of the batch is next."""
    FRAMES = OWN_WORDS + 4
    ROWED = OWN_WORDS + 5
    """Frames whose entries are read."""
    EXPECTED = OWN_WORDS + 6
    """MsgSeqNum of the next message of the peer."""
    IS_QUIET = OWN_WORDS + 7
    """1: messages came that made no record since the last packet."""
    WANTED = OWN_WORDS + 8
    """Books that were asked for, 1 where it was all."""
    CHANGES = OWN_WORDS + 9
    """Of whatever brings a book in doubt or out of it, when DOUBT was counted."""
    SENT_AT = OWN_WORDS + 10
    """Bytes of the records that went into packets."""


WORDS = OWN_WORDS + 16


class Action(IntEnum):
    """What to do behind a frame."""

    GO_ON = 0
    TELL = 1
    AGAIN = 2
    """There was no room for its records."""
    BREAK = 3


@by_reference
class Room(NamedTuple):
    """Shapes: records u8[n], made and not sent yet; messages i64[3, 1] as in `Column`; head i64[4]:
    number, time, 1 for a possible duplicate, of the message that is being read.
    """

    records: Bytes
    messages: NDArray[np.int64]
    head: Int64s


class Memory(NamedTuple):
    """All memory of a feed that comes as FIX; `words` lead to the rest."""

    words: Int64s
    feed: Feed
    reading: Reading
    room: Room


def allocate_memory(
    instruments: int, orders: int, wanted: int, body_bytes_max: int = BODY_BYTES_MAX
) -> Memory:
    """Memory of a feed of which `wanted` books were asked for."""
    orders = min(orders, ORDERS_MAX)
    feed = allocate_feed(instruments, orders)
    # A book that no snapshot made is no book.
    feed.meta[Meta.EPOCH] = 1
    reading = allocate_reading(body_bytes_max)
    room = Room(
        np.zeros(out_bytes(body_bytes_max, orders), np.uint8),
        np.zeros((len(Column), 1), np.int64),
        np.zeros(4, np.int64),
    )
    words, places = lay_out(WORDS, feed, reading, room)
    words[Own.FEED_AT], words[Own.READING_AT], words[Own.ROOM_AT] = places
    words[StreamWord.SEQ] = 1
    words[Own.EXPECTED] = 1
    words[Own.WANTED] = words[StreamWord.DOUBT] = wanted
    return Memory(words, feed, reading, room)


def begin_connection(memory: Memory, expected: int) -> None:
    """Have the next message of the peer be number `expected`, of a new connection: whatever books
    there are, changes of them may be missing.
    """
    words, feed = memory.words, memory.feed
    feed.meta[Meta.EPOCH] += 1
    feed.meta[Meta.OUT_AT] = 0
    words[Own.FRAME] = words[Own.FRAMES] = words[Own.ROWED] = words[Own.IS_QUIET] = 0
    words[Own.EXPECTED] = expected
    words[Own.SENT_AT] = 0
    count_doubt_nb(words, feed)


_feed_at = reference_view(allocate_feed(1, 1))
_reading_at = reference_view(allocate_reading(64))
_room_at = reference_view(
    Room(np.zeros(1, np.uint8), np.zeros((len(Column), 1), np.int64), np.zeros(4, np.int64))
)


@outline_kernel
def count_doubt_nb(words: Int64s, feed: Feed) -> None:
    """Count the books that were asked for and are not there, or not sound."""
    changes = feed.meta[Meta.EPOCH] + feed.meta[Meta.INSTRUMENTS] + feed.messages[0]
    changes += feed.types[_EMPTY_BOOK]
    for trouble in range(len(feed.counts)):
        changes += feed.counts[trouble]
    if changes == words[Own.CHANGES]:
        return
    words[Own.CHANGES] = changes
    known = feed.meta[Meta.INSTRUMENTS]
    doubt = max(words[Own.WANTED] - known, np.int64(0))
    for instrument in range(known):
        doubt += np.int64(feed.instruments[instrument]["sound_in"] != feed.meta[Meta.EPOCH])
    words[StreamWord.DOUBT] = doubt


@kernel
def _read_head_nb(buf: Bytes, reading: Reading, frame: int, head: Int64s) -> None:
    """Number, time and flags of a frame; 0 for what it has not."""
    decoder = reading.decoder
    first = np.int64(decoder.frames[frame]["first"])
    head[0] = head[1] = head[2] = 0
    for token in range(first, first + min(np.int64(decoder.frames[frame]["count"]), _HEAD_TOKENS)):
        tag = np.int64(decoder.tags[token])
        at, end = np.int64(decoder.starts[token]), np.int64(decoder.ends[token])
        if tag == _SEQ_NUM and head[0] == 0:
            number, fault_at = parse_integer_nb(buf, at, end)
            head[0] = number if fault_at < 0 and number < _SEQ_MAX else np.int64(0)
        elif tag == _SENDING_TIME and head[1] == 0:
            time_ns, fault_at = parse_timestamp_nb(buf, at, end)
            head[1] = time_ns if fault_at < 0 else np.int64(0)
        elif tag == _POSS_DUP:
            head[2] = np.int64(buf[at] == _YES)


@outline_kernel
def _take_reset_nb(buf: Bytes, words: Int64s, feed: Feed, reading: Reading, frame: int) -> None:
    """A SequenceReset in its turn: a gap fill says what is not sent again, session messages; any
    other that messages are lost.
    """
    decoder = reading.decoder
    first = np.int64(decoder.frames[frame]["first"])
    new_seq = fills = np.int64(0)
    for token in range(first, first + np.int64(decoder.frames[frame]["count"])):
        at, end = np.int64(decoder.starts[token]), np.int64(decoder.ends[token])
        if decoder.tags[token] == _NEW_SEQ:
            number, fault_at = parse_integer_nb(buf, at, end)
            new_seq = number if fault_at < 0 and number < _SEQ_MAX else np.int64(0)
        elif decoder.tags[token] == _GAP_FILL:
            fills = np.int64(buf[at] == _YES)
    if new_seq > words[Own.EXPECTED]:
        if not fills:
            _note_gap_nb(words, feed)
        words[Own.EXPECTED] = new_seq


@kernel
def _note_gap_nb(words: Int64s, feed: Feed) -> None:
    """Messages are missing, of any book."""
    words[StreamWord.GAPS] += 1
    feed.meta[Meta.EPOCH] += 1


@kernel
def _break_nb(words: Int64s, reason: int) -> int:
    words[StreamWord.FAULT] = reason
    return np.int64(Action.BREAK)


@outline_kernel
def _take_frame_nb(
    buf: Bytes, words: Int64s, feed: Feed, reading: Reading, room: Room, frame: int
) -> int:
    """One message of the peer: an Action."""
    head = room.head
    _read_head_nb(buf, reading, frame, head)
    msg_type = reading.decoder.frames[frame]["msg_type"]
    if head[0] <= 0:
        return _break_nb(words, np.int64(Reason.NUMBERS))
    if head[0] < words[Own.EXPECTED]:
        # A possible duplicate was seen already.
        return np.int64(Action.GO_ON) if head[2] else _break_nb(words, np.int64(Reason.NUMBERS))
    if head[0] > words[Own.EXPECTED]:
        _note_gap_nb(words, feed)
        words[Own.EXPECTED] = head[0]
    if msg_type in (SNAPSHOT, INCREMENTAL):
        room.messages[Column.TS_EXCH_NS, 0] = head[1] % _NS_PER_DAY
        if not take_message_nb(buf, reading, frame, feed, room.messages, np.int64(0), room.records):
            if feed.meta[Meta.OUT_AT] > 0:
                return np.int64(Action.AGAIN)
            return _break_nb(words, np.int64(Reason.TOO_LONG))
    words[Own.EXPECTED] += 1
    if msg_type == _SEQUENCE_RESET:
        _take_reset_nb(buf, words, feed, reading, frame)
    elif msg_type not in (SNAPSHOT, INCREMENTAL, _HEARTBEAT):
        return np.int64(Action.TELL)
    return np.int64(Action.GO_ON)


@outline_kernel
def _write_packet_nb(words: Int64s, feed: Feed, room: Room, out: Bytes) -> None:
    """The records that wait, or as many of them as fit, as a packet; without one a heartbeat."""
    at = words[Own.SENT_AT]
    count = min(feed.meta[Meta.OUT_AT] - at, len(out) - HEADER_BYTES) // BLOCK_BYTES
    size = count * BLOCK_BYTES
    copy_bytes_nb(out, np.int64(HEADER_BYTES), room.records, at, size)
    write_u64_nb(out, SEQUENCE_AT, words[StreamWord.SEQ])
    write_u16_nb(out, COUNT_AT, count if count > 0 else np.int64(HEARTBEAT))
    words[StreamWord.SEQ] += count
    words[StreamWord.SIZE] = HEADER_BYTES + size
    words[Own.SENT_AT] = at + size
    words[Own.IS_QUIET] = 0


@kernel
def _next_batch_nb(buf: Bytes, at: int, stop: int, words: Int64s, reading: Reading) -> int:
    """Find more messages, if all of those found are done with; bytes used for that."""
    if words[Own.FRAME] < words[Own.FRAMES] or at == stop:
        return np.int64(0)
    frames, used, _ = decode_nb(buf, at, stop, reading.decoder)
    words[Own.FRAME] = words[Own.ROWED] = 0
    words[Own.FRAMES] = frames
    return used


@kernel
def _next_frame_nb(buf: Bytes, words: Int64s, feed: Feed, reading: Reading, room: Room) -> int:
    """Take the next message of the batch: an Action."""
    frame = words[Own.FRAME]
    if frame == words[Own.ROWED]:
        _, done, _ = read_entries_nb(
            buf,
            reading.decoder,
            frame,
            words[Own.FRAMES],
            reading.views,
            reading.words,
            reading.scratch,
        )
        words[Own.ROWED] = frame + done
        if done == 0:
            return _break_nb(words, np.int64(Reason.TOO_LONG))
    action = _take_frame_nb(buf, words, feed, reading, room, frame)
    if action in (Action.GO_ON, Action.TELL):
        words[Own.FRAME] = frame + 1
        words[StreamWord.HEARD] += 1
        words[Own.IS_QUIET] = 1
    return action


@kernel
def read_stream_nb(buf: Bytes, at: int, stop: int, words: Int64s, out: Bytes) -> int:
    """The next packet, or message for the session, of buf[at:stop], as `api.READ_STREAM` has it.

    Records of several messages go into one packet when they came together; a message whose records
    need more than one packet is gone on with by the next call.
    """
    feed = _feed_at(words, words[Own.FEED_AT])
    reading = _reading_at(words, words[Own.READING_AT])
    room = _room_at(words, words[Own.ROOM_AT])
    start = at
    full = (len(out) - HEADER_BYTES) // BLOCK_BYTES * BLOCK_BYTES
    action = np.int64(Action.GO_ON)
    words[StreamWord.OUTCOME] = Read.NEED
    while action == Action.GO_ON and feed.meta[Meta.OUT_AT] - words[Own.SENT_AT] < full:
        if feed.meta[Meta.OUT_AT] == words[Own.SENT_AT]:
            feed.meta[Meta.OUT_AT] = words[Own.SENT_AT] = 0
        at += _next_batch_nb(buf, at, stop, words, reading)
        if words[Own.FRAME] == words[Own.FRAMES]:
            break
        action = np.int64(_next_frame_nb(buf, words, feed, reading, room))
    if action == Action.TELL:
        head = reading.decoder.frames[words[Own.FRAME] - 1]
        words[StreamWord.OUTCOME] = Read.TOLD
        words[StreamWord.TOLD_AT] = head["start"]
        words[StreamWord.TOLD_END] = head["end"]
    elif feed.meta[Meta.OUT_AT] > words[Own.SENT_AT]:
        # What ended the loop is found again by the next call.
        _write_packet_nb(words, feed, room, out)
        words[StreamWord.OUTCOME] = Read.PACKET
    elif action == Action.BREAK:
        words[StreamWord.OUTCOME] = Read.BROKEN
    else:
        count_doubt_nb(words, feed)
        if words[Own.IS_QUIET]:
            _write_packet_nb(words, feed, room, out)
            words[StreamWord.OUTCOME] = Read.PACKET
    return at - start
