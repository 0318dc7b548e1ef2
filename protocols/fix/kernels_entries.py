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
from protocols.fix.lanes import NUMBERS, parse_numbers
from protocols.fix.layout import POSITION_MAX, Decoder, Int32s, Int64s, zeros_aligned
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
from protocols.simd import LANES, equal_mask16, store_positions16
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


class EntryScratch(NamedTuple):
    """Space for one batch.

    Shapes: begins, stops i32[m]: first token of each entry and the one after it; frames i32[m]: its
    frame; found i32[k * stride]: tokens of each column, then of what bounds entries, then of the
    counts; counts, tags i64[k]: how many those are, which tags; aligned i32[m]: token of a column
    for each entry; values i64[8].
    """

    begins: Int32s
    stops: Int32s
    frames: Int32s
    found: Int32s
    counts: Int64s
    tags: Int64s
    aligned: Int32s
    values: Int64s


_LISTS = 32
"""Columns of a view, at most, and two more."""


def allocate_scratch(decoder: Decoder) -> EntryScratch:
    """Space for what `decoder` finds in one call."""
    size = len(decoder.tags)
    begins, stops, frames, aligned = (zeros_aligned(size, np.int32) for _ in range(4))
    return EntryScratch(
        begins=begins,
        stops=stops,
        frames=frames,
        found=np.zeros(_LISTS * size, np.int32),
        counts=np.zeros(_LISTS, np.int64),
        tags=np.zeros(_LISTS, np.int64),
        aligned=aligned,
        values=zeros_aligned(NUMBERS, np.int64),
    )


@kernel
def _find_nb(
    decoder: Decoder, table: ViewTable, first: int, stop: int, scratch: EntryScratch
) -> None:
    """Lists of those of the tokens `first` to `stop` - 1 that have the tag of each column, that
    begin an entry or end a message, and that hold the count of entries.
    """
    columns = len(table.columns)
    stride = len(scratch.found) // _LISTS
    for i in range(columns):
        scratch.tags[i] = table.columns[i, TAG]
        scratch.counts[i] = i * stride
    bounds, totals = columns * stride, columns * stride + stride
    delimiter, count_tag = table.meta[DELIMITER], table.meta[COUNT_TAG]
    for at in range(first, stop, LANES):
        # The last of the sixteen may belong to another message, or to none.
        below = np.int64(0xFFFF)
        if stop - at < LANES:
            below = (np.int64(1) << (stop - at)) - 1
        mask = equal_mask16(decoder.tags, at, delimiter)
        mask |= equal_mask16(decoder.tags, at, TAG_CHECK_SUM)
        bounds += store_positions16(mask & below, at, scratch.found, bounds)
        mask = equal_mask16(decoder.tags, at, count_tag)
        totals += store_positions16(mask & below, at, scratch.found, totals)
        for i in range(columns):
            mask = equal_mask16(decoder.tags, at, scratch.tags[np.uint64(i)]) & below
            place = scratch.counts[np.uint64(i)]
            scratch.counts[np.uint64(i)] += store_positions16(mask, at, scratch.found, place)
    for i in range(columns):
        scratch.counts[i] -= i * stride
    scratch.counts[columns] = bounds - columns * stride
    scratch.counts[columns + 1] = totals - (columns + 1) * stride


@kernel
def _bound_entries_nb(
    buf: Bytes, decoder: Decoder, frame: int, row: int, columns: int, scratch: EntryScratch
) -> int:
    """Where the entries of a run begin and stop; how many there are. Gives each message its rows,
    and holds their number against the first count that comes before them.
    """
    stride = len(scratch.found) // _LISTS
    bounds = columns * stride
    total = bounds + stride
    total_stop = total + scratch.counts[columns + 1]
    entries = np.int64(0)
    done = np.int64(0)
    for i in range(scratch.counts[columns]):
        token = np.int64(scratch.found[np.uint64(bounds + i)])
        # Written for the end of a message as well, and then overwritten by the next entry.
        scratch.begins[np.uint64(entries)] = token
        scratch.stops[np.uint64(entries)] = scratch.found[np.uint64(bounds + i + 1)]
        scratch.frames[np.uint64(entries)] = frame
        if decoder.tags[np.uint64(token)] != TAG_CHECK_SUM:
            entries += 1
            continue
        head = decoder.frames[np.uint64(frame)]
        head["row_first"] = row + done
        head["row_count"] = entries - done
        stated = np.int64(0)
        begin = np.int64(scratch.begins[np.uint64(done)])
        while total < total_stop and scratch.found[np.uint64(total)] < token:
            candidate = np.int64(scratch.found[np.uint64(total)])
            if stated == 0 and candidate < begin:
                stated = candidate
            total += 1
        check_count_nb(buf, decoder, frame, stated)
        frame += 1
        done = entries
    return entries


@kernel
def _align_nb(column: int, entries: int, first: int, scratch: EntryScratch) -> bool:
    """aligned = the token of a column for each entry, `first` where it has none; False when an
    entry has two.
    """
    list_at = column * (len(scratch.found) // _LISTS)
    count = scratch.counts[column]
    found = scratch.found[list_at : list_at + count + 1]
    found[np.uint64(count)] = POSITION_MAX
    at = np.int64(0)
    for i in range(entries):
        token = np.int64(found[np.uint64(at)])
        while token < scratch.begins[np.uint64(i)]:
            at += 1
            token = np.int64(found[np.uint64(at)])
        is_here = token < scratch.stops[np.uint64(i)]
        scratch.aligned[np.uint64(i)] = token if is_here else first
        at += np.int64(is_here)
        if is_here and found[np.uint64(at)] < scratch.stops[np.uint64(i)]:
            return False
    for i in range(entries, entries + NUMBERS):
        scratch.aligned[np.uint64(i)] = first
    return True


@kernel
def _fill_numbers_nb(
    buf: Bytes,
    decoder: Decoder,
    table: ViewTable,
    column: int,
    words: Int64s,
    row: int,
    entries: int,
    scratch: EntryScratch,
) -> None:
    """A column of numbers, eight at a time; `aligned` holds their tokens."""
    width = table.meta[WIDTH]
    word = table.columns[column, WORD]
    bit = np.int64(1) << column
    decimals = _decimals_nb(table.columns[column, KIND])
    none = np.int64(scratch.aligned[entries])
    for first in range(0, entries, NUMBERS):
        trouble = parse_numbers(
            buf, decoder.starts, decoder.ends, scratch.aligned, first, decimals, scratch.values
        )
        for i in range(first, min(first + NUMBERS, entries)):
            base = (row + i) * width
            if (trouble >> (i - first)) & 1 == 0:
                words[np.uint64(base + word)] = scratch.values[np.uint64(i - first)]
                words[np.uint64(base + PRESENT)] |= bit
                continue
            token = np.int64(scratch.aligned[np.uint64(i)])
            if token != none:
                at, end = np.int64(decoder.starts[token]), np.int64(decoder.ends[token])
                fill_column_nb(buf, at, end, table, column, words, base)


@kernel
def _decimals_nb(kind: int) -> int:
    """Decimals of a column of numbers."""
    if kind == PRICE:
        return np.int64(PRICE_DECIMALS)
    if kind == QUANTITY:
        return np.int64(QUANTITY_DECIMALS)
    return np.int64(0)


@kernel
def _fill_plain_nb(
    buf: Bytes,
    decoder: Decoder,
    table: ViewTable,
    column: int,
    words: Int64s,
    row: int,
    entries: int,
    scratch: EntryScratch,
) -> None:
    """A column of characters, texts or times; `aligned` holds their tokens."""
    width = table.meta[WIDTH]
    kind = table.columns[column, KIND]
    word = table.columns[column, WORD]
    bit = np.int64(1) << column
    none = np.int64(scratch.aligned[entries])
    for i in range(entries):
        token = np.int64(scratch.aligned[np.uint64(i)])
        if token == none:
            continue
        base = (row + i) * width
        at = np.int64(decoder.starts[np.uint64(token)])
        end = np.int64(decoder.ends[np.uint64(token)])
        if kind == TEXT and end > at:
            words[np.uint64(base + word)] = at
            words[np.uint64(base + word + 1)] = end
            words[np.uint64(base + PRESENT)] |= bit
        elif kind == CHARACTER and end - at == 1:
            words[np.uint64(base + word)] = np.int64(buf[np.uint64(at)])
            words[np.uint64(base + PRESENT)] |= bit
        else:
            fill_column_nb(buf, at, end, table, column, words, base)


@kernel
def _inherit_all_nb(
    decoder: Decoder,
    frame: int,
    frame_stop: int,
    table: ViewTable,
    words: Int64s,
    scratch: EntryScratch,
) -> None:
    """Give entries without a symbol that of the entry before, or the last one before the group."""
    column, width = table.meta[INHERITED], table.meta[WIDTH]
    i = column * (len(scratch.found) // _LISTS)
    stop_i = i + scratch.counts[column]
    done = np.int64(0)
    for each in range(frame, frame_stop):
        head = decoder.frames[each]
        row, count = np.int64(head["row_first"]), np.int64(head["row_count"])
        stop = np.int64(head["first"]) + np.int64(head["count"])
        begin = np.int64(scratch.begins[done]) if count > 0 else stop
        at = end = np.int64(0)
        while i < stop_i and scratch.found[i] < stop:
            token = np.int64(scratch.found[i])
            if token < begin:
                at, end = np.int64(decoder.starts[token]), np.int64(decoder.ends[token])
            i += 1
        for place in range(row, row + count):
            at, end = inherit_nb(words, place * width, table, at, end)
        done += count


@outline_kernel
def _read_run_nb(
    buf: Bytes,
    decoder: Decoder,
    frame: int,
    frame_stop: int,
    table: ViewTable,
    words: Int64s,
    row: int,
    scratch: EntryScratch,
) -> int:
    """Entries of frames of one type, of one batch, to rows from `row` on; how many, -1 when they do
    not fit, or when an entry has a field twice.
    """
    width, columns = table.meta[WIDTH], len(table.columns)
    last = decoder.frames[frame_stop - 1]
    stop = np.int64(last["first"]) + np.int64(last["count"])
    first = np.int64(decoder.frames[frame]["first"])
    _find_nb(decoder, table, first, stop, scratch)
    entries = _bound_entries_nb(buf, decoder, frame, row, columns, scratch)
    if (row + entries) * width > len(words):
        return -1
    clear_words_nb(words, row * width, (row + entries) * width)
    for i in range(entries):
        base = (row + i) * width
        words[np.uint64(base + FRAME)] = scratch.frames[np.uint64(i)]
        words[np.uint64(base + FAULT_AT)] = -1
    present = np.int64(-1)
    for column in range(columns):
        if scratch.counts[column] == 0:
            continue
        if not _align_nb(column, entries, first, scratch):
            return -1
        kind = table.columns[column, KIND]
        if kind == PRICE or kind == QUANTITY or kind == INTEGER:
            _fill_numbers_nb(buf, decoder, table, column, words, row, entries, scratch)
        else:
            _fill_plain_nb(buf, decoder, table, column, words, row, entries, scratch)
    if table.meta[INHERITED] >= 0:
        for i in range(entries):
            present &= words[np.uint64((row + i) * width + PRESENT)]
        if not (present >> table.meta[INHERITED]) & 1:
            _inherit_all_nb(decoder, frame, frame_stop, table, words, scratch)
    return entries


@outline_kernel
def read_entries_nb(
    buf: Bytes,
    decoder: Decoder,
    frame: int,
    frame_stop: int,
    views: EntryViews,
    words: Int64s,
    scratch: EntryScratch,
) -> tuple[int, int, int]:
    """One row an entry for the W and X among the frames from `frame` to `frame_stop` - 1 of the
    last `decode_nb`, in their order; other messages have no rows.

    Shapes:  words i64[rows * width of either view]. The frames' `row_*` say which rows are theirs.
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
                count = _read_run_nb(buf, decoder, each, run_stop, table, words, row, scratch)
            if count < 0:
                # A plain frame; or the last rows, one message after the other while they fit.
                run_stop = each + 1
                count, status = read_message_nb(buf, decoder, each, table, words, row)
                if status != OK:
                    return row, each - frame, OUTPUT_FULL
            row += count
        each = run_stop
    return row, each - frame, OK
