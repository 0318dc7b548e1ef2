"""Market data entries in the hot path: the tokens of a whole batch to rows.

The same rows as `read_message_nb` makes. The fields that the view wants are found sixteen at a
time, in one list; what is then done for each depends on its column only, a pattern that repeats
with every entry, and numbers of up to eight bytes are read as one word.
docs/protocols/fix-decoding.md has what else was tried.
"""

from typing import NamedTuple

import numpy as np

from protocols.errors import Status
from protocols.fix.kernels import TAG_CHECK_SUM
from protocols.fix.kernels_views import (
    CHARACTER,
    INTEGER,
    PRICE,
    QUANTITY,
    TEXT,
    check_count_nb,
    clear_words_nb,
    fill_column_nb,
    inherit_nb,
    read_message_nb,
)
from protocols.fix.lanes import parse_number
from protocols.fix.layout import Decoder, Int32s, Int64s
from protocols.fix.views import (
    COUNT_TAG,
    DELIMITER,
    FAULT_AT,
    FRAME,
    INHERITED,
    KIND,
    PACKED_TYPES,
    PRESENT,
    PRICE_DECIMALS,
    QUANTITY_DECIMALS,
    TAG,
    VIEWS,
    WIDTH,
    WORD,
    ViewTable,
)
from protocols.jit import kernel, outline_kernel
from protocols.simd import LANES, equal_mask16, popcount, store_positions16
from protocols.wire import Bytes

OK = int(Status.OK)
OUTPUT_FULL = int(Status.OUTPUT_FULL)
SNAPSHOT = PACKED_TYPES[b"W"]
INCREMENTAL = PACKED_TYPES[b"X"]


class EntryViews(NamedTuple):
    """Tables of W and X, whose rows have the same columns."""

    snapshots: ViewTable
    incrementals: ViewTable


def entry_views() -> EntryViews:
    """The tables of W and X."""
    return EntryViews(VIEWS[b"W"].table(), VIEWS[b"X"].table())


def allocate_scratch(decoder: Decoder) -> Int32s:
    """Space for what `decoder` finds in one call."""
    return np.zeros(len(decoder.tags), np.int32)


@kernel
def _find_nb(
    decoder: Decoder, table: ViewTable, first: int, stop: int, found: Int32s
) -> tuple[int, int]:
    """(tokens of `found` that the view wants, or that end a message; how many begin an entry) of
    those from `first` to `stop` - 1.
    """
    delimiter = table.meta[DELIMITER]
    count = np.int64(0)
    entries = np.int64(0)
    for at in range(first, stop, LANES):
        begins = equal_mask16(decoder.tags, at, delimiter)
        wanted = begins | equal_mask16(decoder.tags, at, TAG_CHECK_SUM)
        wanted |= equal_mask16(decoder.tags, at, table.meta[COUNT_TAG])
        for column in range(len(table.columns)):
            wanted |= equal_mask16(decoder.tags, at, table.columns[np.uint64(column), TAG])
        if stop - at < LANES:
            # The last of the sixteen may belong to another message, or to none.
            below = (np.int64(1) << (stop - at)) - 1
            begins &= below
            wanted &= below
        entries += popcount(begins)
        count += store_positions16(wanted, at, found, count)
    return count, entries


@kernel
def _fill_nb(
    buf: Bytes, at: int, end: int, table: ViewTable, column: int, words: Int64s, base: int
) -> None:
    """As `fill_column_nb`, with what is common kept inline."""
    kind = table.columns[np.uint64(column), KIND]
    place = np.uint64(base + table.columns[np.uint64(column), WORD])
    present_at = np.uint64(base + PRESENT)
    bit = np.int64(1) << column
    value = np.int64(-1)
    if words[present_at] & bit:
        return
    if kind == PRICE:
        value = parse_number(buf, at, end, np.int64(PRICE_DECIMALS))
    elif kind == QUANTITY:
        value = parse_number(buf, at, end, np.int64(QUANTITY_DECIMALS))
    elif kind == INTEGER:
        value = parse_number(buf, at, end, np.int64(0))
    elif kind == CHARACTER and end - at == 1:
        value = np.int64(buf[np.uint64(at)])
    elif kind == TEXT and end > at:
        value = at
        words[place + np.uint64(1)] = end
    if value >= 0:
        words[place] = value
        words[present_at] |= bit
    else:
        fill_column_nb(buf, at, end, table, column, words, base)


@outline_kernel
def _read_run_nb(
    buf: Bytes,
    decoder: Decoder,
    frame: int,
    frame_stop: int,
    table: ViewTable,
    words: Int64s,
    row: int,
    found: Int32s,
) -> int:
    """Entries of frames of one type, of one batch, to rows from `row` on; how many, -1 when they do
    not fit.
    """
    width, delimiter = table.meta[WIDTH], table.meta[DELIMITER]
    count_tag, inherited = table.meta[COUNT_TAG], table.meta[INHERITED]
    last = decoder.frames[frame_stop - 1]
    stop = np.int64(last["first"]) + np.int64(last["count"])
    first = np.int64(decoder.frames[frame]["first"])
    count, entries = _find_nb(decoder, table, first, stop, found)
    if (row + entries) * width > len(words):
        return -1
    clear_words_nb(words, row * width, (row + entries) * width)
    base = (row - 1) * width
    first_base = base
    at = end = count_token = np.int64(0)
    for i in range(count):
        token = np.uint64(found[np.uint64(i)])
        tag = np.int64(decoder.tags[token])
        if tag == delimiter or tag == TAG_CHECK_SUM:
            if base > first_base and inherited >= 0:
                at, end = inherit_nb(words, base, table, at, end)
            if tag == TAG_CHECK_SUM:
                head = decoder.frames[np.uint64(frame)]
                head["row_first"] = first_base // width + 1
                head["row_count"] = (base - first_base) // width
                check_count_nb(buf, decoder, frame, count_token)
                frame += 1
                first_base = base
                at = end = count_token = np.int64(0)
                continue
            base += width
            words[np.uint64(base + FRAME)] = frame
            words[np.uint64(base + FAULT_AT)] = -1
        elif tag == count_tag and base == first_base and count_token == 0:
            count_token = np.int64(token)
        column = np.int64(table.column_of_tag[np.uint64(tag)])
        if column >= 0:
            value_at, value_end = np.int64(decoder.starts[token]), np.int64(decoder.ends[token])
            if base > first_base:
                _fill_nb(buf, value_at, value_end, table, column, words, base)
            elif column == inherited:
                at, end = value_at, value_end
    return entries


@outline_kernel
def read_entries_nb(
    buf: Bytes,
    decoder: Decoder,
    frame: int,
    frame_stop: int,
    views: EntryViews,
    words: Int64s,
    found: Int32s,
) -> tuple[int, int, int]:
    """One row an entry for the W and X among the frames from `frame` to `frame_stop` - 1 of the
    last `decode_nb`, in their order; other messages have no rows.

    Shapes:  words i64[rows * width of either view]; found as by `allocate_scratch`. The frames' `row_*` say which rows are theirs.
    Returns: (rows written, frames done, OK), or OUTPUT_FULL when the entries of the next frame do
             not fit what is left: begin there again from row 0 (a message with more entries than
             there is room for never fits).
    """
    row = np.int64(0)
    each = np.int64(frame)
    while each < frame_stop:
        msg_type = decoder.frames[each]["msg_type"]
        run_stop = each + 1
        while run_stop < frame_stop and decoder.frames[run_stop]["msg_type"] == msg_type:
            run_stop += 1
        if msg_type == SNAPSHOT or msg_type == INCREMENTAL:
            table = views.snapshots if msg_type == SNAPSHOT else views.incrementals
            count = np.int64(-1)
            if decoder.frames[each]["is_plain"] == 0:
                count = _read_run_nb(buf, decoder, each, run_stop, table, words, row, found)
            if count < 0:
                # A plain frame; or the last rows, one message after the other while they fit.
                run_stop = each + 1
                count, status = read_message_nb(buf, decoder, each, table, words, row)
                if status != OK:
                    return row, each - frame, OUTPUT_FULL
            row += count
        each = run_stop
    return row, each - frame, OK
