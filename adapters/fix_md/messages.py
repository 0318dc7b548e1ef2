"""W and X messages of a stream to records: bytes of FIX come in here, records go out.

The caller has put the messages in their order (`MsgSeqNum`), without those that came twice: the
session of a live feed does that, and `tools.replay.fix_session` for a recording.
Source: FIX 4.4 volume 3 (market data), FIX 5.0 SP2 volume 3 (MDUpdateAction, MDEntryType).
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from adapters.fix_md.entries import empty_book_nb, symbol_number_nb, take_entry_nb
from adapters.fix_md.layout import Feed, Meta, Reading, Trouble, Word
from adapters.fix_md.names import NOT_FOUND, note_trouble_nb
from adapters.fix_md.records import BLOCK_BYTES, settle_nb
from protocols.errors import Status
from protocols.fix.kernels import decode_nb
from protocols.fix.kernels_entries import INCREMENTAL, SNAPSHOT, read_entries_nb
from protocols.fix.spec import Tag
from protocols.fix.views import WIDTH
from protocols.jit import kernel, outline_kernel
from protocols.wire import Bytes

_OK = int(Status.OK)
_OUTPUT_FULL = int(Status.OUTPUT_FULL)
_TRUNCATED = int(Status.TRUNCATED)
_SYMBOL = int(Tag.SYMBOL)
_RECORDS_AN_ENTRY_MAX = 3
"""A change of side is two, and its symbol may be new."""
_RECORDS_A_MESSAGE_MAX = 2
"""Besides its entries and the live orders: a symbol that is new, and its levels that go."""


class Column(IntEnum):
    """Rows of the table of messages, i64[3, n]."""

    TS_EXCH_NS = 0
    IS_AFTER_LOSS = 1
    """1 when messages before it are missing."""
    RECORDS = 2
    """How many records it made: written here."""


class Cursor(IntEnum):
    """Words of the cursor, i64[2]."""

    AT = 0
    MESSAGE = 1


def out_bytes(body_bytes_max: int, orders: int) -> int:
    """Room in which the records of any one message fit."""
    entries = body_bytes_max // len(b"269=0\x01") + 1
    records = _RECORDS_AN_ENTRY_MAX * entries + orders + _RECORDS_A_MESSAGE_MAX
    return BLOCK_BYTES * records


@kernel
def _take_snapshot_nb(buf: Bytes, reading: Reading, frame: int, feed: Feed, out: Bytes) -> None:
    """A W, whose first Symbol is that of all its entries: its book is emptied and made anew."""
    head = reading.decoder.frames[frame]
    decoder, entry = reading.decoder, feed.entry
    number = np.int64(NOT_FOUND)
    first = np.int64(head["first"])
    for token in range(first, first + np.int64(head["count"])):
        if decoder.tags[token] == _SYMBOL:
            at, end = np.int64(decoder.starts[token]), np.int64(decoder.ends[token])
            number = np.int64(symbol_number_nb(buf, at, end, feed, out))
            break
        if token == first + np.int64(head["count"]) - 1:
            note_trouble_nb(feed, np.int64(Trouble.NO_SYMBOL), number)
    if number == NOT_FOUND:
        return
    empty_book_nb(feed, number, out)
    if head["status"] != _OK or head["row_status"] != _OK:
        note_trouble_nb(feed, np.int64(Trouble.INCOMPLETE), number)
    entry[Word.INSTRUMENT] = number
    _take_rows_nb(buf, reading, frame, feed, out)


@outline_kernel
def _take_rows_nb(buf: Bytes, reading: Reading, frame: int, feed: Feed, out: Bytes) -> None:
    head = reading.decoder.frames[frame]
    width = reading.views.incrementals.meta[WIDTH]
    first = np.int64(head["row_first"])
    for row in range(first, first + np.int64(head["row_count"])):
        take_entry_nb(buf, reading.words, row * width, feed, out)


@outline_kernel
def take_message_nb(
    buf: Bytes,
    reading: Reading,
    frame: int,
    feed: Feed,
    messages: NDArray[np.int64],
    message: int,
    out: Bytes,
) -> int:
    """Records of one frame whose rows are read, if it is a W or X; 0, and nothing done, when there
    may not be enough room in `out`.

    Shapes:  messages i64[3, n], rows as in Column; out u8[n], filled from feed.meta[OUT_AT] on.
    """
    head = reading.decoder.frames[frame]
    start = feed.meta[Meta.OUT_AT]
    records = np.int64(head["row_count"]) * _RECORDS_AN_ENTRY_MAX + feed.meta[Meta.ORDERS_LIVE]
    if start + (records + _RECORDS_A_MESSAGE_MAX) * BLOCK_BYTES > len(out):
        return 0
    feed.meta[Meta.EPOCH] += messages[Column.IS_AFTER_LOSS, message]
    feed.entry[Word.TS_EXCH_NS] = messages[Column.TS_EXCH_NS, message]
    if head["msg_type"] == SNAPSHOT:
        feed.messages[0] += 1
        feed.entry[Word.IS_SNAPSHOT] = 1
        _take_snapshot_nb(buf, reading, frame, feed, out)
    elif head["msg_type"] == INCREMENTAL:
        feed.messages[1] += 1
        feed.entry[Word.IS_SNAPSHOT] = 0
        if head["status"] != _OK or head["row_status"] != _OK:
            note_trouble_nb(feed, np.int64(Trouble.INCOMPLETE), np.int64(NOT_FOUND))
        _take_rows_nb(buf, reading, frame, feed, out)
    messages[Column.RECORDS, message] = settle_nb(feed, start, out)
    return 1


@outline_kernel
def convert_nb(
    buf: Bytes,
    stop: int,
    reading: Reading,
    feed: Feed,
    messages: NDArray[np.int64],
    cursor: NDArray[np.int64],
    out: Bytes,
) -> int:
    """Records of the messages in buf[cursor[AT] : stop], of which `messages` has one column each.

    Shapes:  as for `take_message_nb`; cursor i64[2]; out of `out_bytes` at least.
    Returns: Status: OK at the end; OUTPUT_FULL when `out` has to be emptied (feed.meta[OUT_AT] set
             to 0) first; TRUNCATED when what is at the cursor is no whole message.
    """
    decoder = reading.decoder
    while cursor[Cursor.AT] < stop:
        frames, _, _ = decode_nb(buf, cursor[Cursor.AT], np.int64(stop), decoder)
        if frames == 0:
            return _TRUNCATED
        frame = np.int64(0)
        while frame < frames:
            _, done, _ = read_entries_nb(
                buf, decoder, frame, frames, reading.views, reading.words, reading.scratch
            )
            for each in range(frame, frame + done):
                message = cursor[Cursor.MESSAGE]
                if not take_message_nb(buf, reading, each, feed, messages, message, out):
                    return _OUTPUT_FULL
                cursor[Cursor.AT] = decoder.frames[each]["end"]
                cursor[Cursor.MESSAGE] = message + 1
            if done == 0:
                return _TRUNCATED
            frame += done
    return _OK
