"""Market data entries in the hot path: the tokens of a whole batch to rows.

The same rows as `read_message_nb` makes. An entry mostly has the same fields in the same order as
one before, its *layout*: one comparison of sixteen tags then says where all columns are. Columns
are filled one after the other, numbers of up to eight bytes eight at a time.
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
    stated_count_nb,
)
from protocols.fix.lanes import NUMBERS, parse_numbers
from protocols.fix.layout import Decoder, Int32s, Int64s, zeros_aligned
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
    TAG_LIMIT,
    TAG_MD_ENTRY_TYPE,
    VIEWS,
    WIDTH,
    WORD,
    ViewTable,
)
from protocols.jit import kernel, outline_kernel
from protocols.vectors import (
    BLOCK,
    LANES,
    equal_lanes16,
    equal_mask16,
    fill16,
    store_steps16,
    store_sums16,
    trailing_zeros,
)
from protocols.wire import Bytes

OK = int(Status.OK)
OUTPUT_FULL = int(Status.OUTPUT_FULL)
COUNT_COLUMN = LANES - 1
"""Lane of a layout for the count of entries, and so how many columns there may be."""
IS_EVEN = 2
"""Place in `EntryScratch.habits` after the sizes of entries of X and W."""
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
    """Space for one batch, and the layouts of entries that were seen so far; for one pair of views.

    Shapes: tags, columns i32[64 * 16]: the tags of a layout, and which of its fields each column is
    (-1: none); present i64[64]: the columns of a layout. Sixteen layouts, by the number of their
    fields, are for entries of X, then as many for what is before its first entry, and the same for
    W. habits i64[3]: fields of the last entry of X that was seen, of W, and whether the entries of
    this run all are such. firsts, frames i32[m], held i64[m]: first token, frame and columns of
    each entry; ahead i32[n]: token of what the entries of a frame inherit, or 0; tokens
    i32[16 * m]: token of each column for each entry, where they are not all alike; values i64[m],
    and troubles i64[m], a mask at every eighth: what `parse_numbers` gave.
    """

    tags: Int32s
    columns: Int32s
    present: Int64s
    habits: Int64s
    firsts: Int32s
    frames: Int32s
    held: Int64s
    ahead: Int32s
    tokens: Int32s
    values: Int64s
    troubles: Int64s


def allocate_scratch(decoder: Decoder) -> EntryScratch:
    """Space for what `decoder` finds in one call."""
    layouts, size = 4 * LANES, len(decoder.tags) + NUMBERS
    columns = zeros_aligned(layouts * LANES, np.int32)
    columns[:] = -1
    return EntryScratch(
        tags=zeros_aligned(layouts * LANES, np.int32),
        columns=columns,
        present=np.zeros(layouts, np.int64),
        habits=np.ones(3, np.int64),
        firsts=zeros_aligned(size + BLOCK, np.int32),
        frames=zeros_aligned(size, np.int32),
        held=np.zeros(size, np.int64),
        ahead=np.zeros(len(decoder.frames), np.int32),
        tokens=zeros_aligned(size * LANES, np.int32),
        values=zeros_aligned(size, np.int64),
        troubles=np.zeros(size, np.int64),
    )


@outline_kernel
def _learn_nb(
    decoder: Decoder, token: int, size: int, layout: int, table: ViewTable, scratch: EntryScratch
) -> int:
    """Keep the `size` fields from `token` on as a layout; -1 when a column is in it twice, else
    `size`.
    """
    base = layout * LANES
    scratch.present[layout] = 0
    for i in range(base, base + LANES):
        scratch.tags[i] = 0
        scratch.columns[i] = -1
    for i in range(size):
        tag = np.int64(decoder.tags[token + i])
        column = np.int64(table.column_of_tag[tag]) if tag < TAG_LIMIT else np.int64(-1)
        if column >= 0:
            if scratch.columns[base + column] >= 0:
                scratch.tags[base] = 0  # no fields begin with that one
                return -1
            scratch.columns[base + column] = i
            scratch.present[layout] |= np.int64(1) << column
        if tag == table.meta[COUNT_TAG] and scratch.columns[base + COUNT_COLUMN] < 0:
            scratch.columns[base + COUNT_COLUMN] = i
        scratch.tags[base + i] = tag
    return size


@kernel
def _match_nb(
    decoder: Decoder,
    token: int,
    expected: int,
    first_layout: int,
    table: ViewTable,
    scratch: EntryScratch,
) -> int:
    """Fields from `token` up to the next entry or the end of the message, as a layout that is now
    known; -1 for more than 15, or for a column that is there twice. `expected` is the size that is
    looked for first.
    """
    delimiter = table.meta[DELIMITER]
    size = np.int64(expected)
    tags = decoder.tags
    for _ in range(2):
        layout = first_layout + size
        same = equal_lanes16(tags, token, scratch.tags, layout * LANES)
        wanted = (np.int64(1) << size) - 1
        after = np.int64(tags[np.uint64(token + size)])
        if same & wanted == wanted and (after in (delimiter, TAG_CHECK_SUM)):
            return size
        # The same message may have entries of several sizes: each has its layout.
        bounds = equal_mask16(tags, token, delimiter) | equal_mask16(tags, token, TAG_CHECK_SUM)
        size = np.int64(trailing_zeros(bounds >> 1)) + 1
        if size >= LANES:
            return -1
    return _learn_nb(decoder, token, size, first_layout + size, table, scratch)


@kernel
def _read_head_nb(
    buf: Bytes, decoder: Decoder, frame: int, before: int, table: ViewTable, scratch: EntryScratch
) -> tuple[int, int, int]:
    """What a frame has before its entries; `before` is how many fields the last one had.

    Returns: (fields, token of the count or 0, entries that it states); -1 fields for too many, or
             for one that is there twice.
    """
    layouts = _layouts_nb(table) + LANES
    first = np.int64(decoder.frames[np.uint64(frame)]["first"])
    before = _match_nb(decoder, first, before, layouts, table, scratch)
    if before < 0:
        return before, np.int64(0), np.int64(0)
    # Kept now: the next frame of this size may have another layout.
    columns = (layouts + before) * LANES
    scratch.ahead[np.uint64(frame)] = 0
    if table.meta[INHERITED] >= 0:
        offset = np.int64(scratch.columns[np.uint64(columns + table.meta[INHERITED])])
        scratch.ahead[np.uint64(frame)] = first + offset if offset >= 0 else 0
    offset = np.int64(scratch.columns[np.uint64(columns + COUNT_COLUMN)])
    if offset < 0:
        return before, np.int64(0), np.int64(0)
    return before, first + offset, stated_count_nb(buf, decoder, first + offset)


@kernel
def _lay_out_evenly_nb(
    buf: Bytes,
    decoder: Decoder,
    frame: int,
    frame_stop: int,
    table: ViewTable,
    row: int,
    room: int,
    scratch: EntryScratch,
) -> int:
    """First token and columns of each entry of frames whose entries all have the one layout of the
    last entry that was seen. Nothing here branches on how many entries a frame has.

    Returns: how many entries; -1 when one has another layout, or there is no room for all.
    """
    size = np.int64(scratch.habits[_view_nb(table)])
    layout = _layouts_nb(table) + size
    entries = np.int64(0)
    before = np.int64(1)
    for each in range(frame, frame_stop):
        before, count_token, stated = _read_head_nb(buf, decoder, each, before, table, scratch)
        head = decoder.frames[np.uint64(each)]
        token = np.int64(head["first"]) + before
        last = np.int64(head["first"]) + np.int64(head["count"]) - 1
        if before < 0 or not 0 <= stated <= room - entries or token + stated * size != last:
            return -1
        for i in range(0, stated, LANES):
            store_steps16(token + i * size, size, scratch.firsts, entries + i)
            fill16(scratch.frames, entries + i, each)
        head["row_first"] = row + entries
        check_count_nb(decoder, each, count_token, stated, stated)
        entries += stated
    others = np.int64(0)
    present = scratch.present[np.uint64(layout)]
    for entry in range(entries):
        token = np.int64(scratch.firsts[np.uint64(entry)])
        others |= ~equal_lanes16(decoder.tags, token, scratch.tags, layout * LANES)
        scratch.held[np.uint64(entry)] = present
    return entries if others & ((np.int64(1) << size) - 1) == 0 else np.int64(-1)


@kernel
def _lay_out_nb(
    buf: Bytes,
    decoder: Decoder,
    frame: int,
    frame_stop: int,
    table: ViewTable,
    row: int,
    room: int,
    scratch: EntryScratch,
) -> tuple[int, int]:
    """The tokens of the columns of each entry of frames.

    Returns: (entries, frames) up to the first frame that has a field twice in an entry, or an entry
             too many fields, or whose rows do not fit `room`.
    """
    layouts = _layouts_nb(table)
    entries = np.int64(0)
    size = before = np.int64(1)
    for each in range(frame, frame_stop):
        before, count_token, stated = _read_head_nb(buf, decoder, each, before, table, scratch)
        head = decoder.frames[np.uint64(each)]
        first = np.int64(head["first"])
        token = first + before
        last = first + np.int64(head["count"]) - 1
        entry = entries
        while before > 0 and token < last and size > 0:
            size = _match_nb(decoder, token, size, layouts, table, scratch)
            if size > 0:
                offsets = (layouts + size) * LANES
                store_sums16(token, scratch.columns, offsets, first, scratch.tokens, entry * LANES)
                scratch.frames[np.uint64(entry)] = each
                scratch.held[np.uint64(entry)] = scratch.present[np.uint64(layouts + size)]
                entry += 1
                token += size
        if before < 0 or size < 0 or entry > room:
            return entries, each - frame
        head["row_first"] = row + entries
        check_count_nb(decoder, each, count_token, stated, entry - entries)
        entries = entry
        scratch.habits[_view_nb(table)] = size
    return entries, frame_stop - frame


@kernel
def _view_nb(table: ViewTable) -> int:
    """0 for entries of X, 1 for those of W."""
    return np.int64(table.meta[DELIMITER] == TAG_MD_ENTRY_TYPE)


@kernel
def _layouts_nb(table: ViewTable) -> int:
    """First of the layouts of a view."""
    return 2 * LANES * _view_nb(table)


@kernel
def _begin_rows_nb(
    table: ViewTable, words: Int64s, row: int, entries: int, scratch: EntryScratch
) -> int:
    """Rows that are empty but for what they will hold; the columns that any of them has."""
    width = table.meta[WIDTH]
    clear_words_nb(words, row * width, (row + entries) * width)
    some = np.int64(0)
    base = row * width
    for i in range(entries):
        present = scratch.held[np.uint64(i)]
        words[np.uint64(base + FRAME)] = scratch.frames[np.uint64(i)]
        words[np.uint64(base + FAULT_AT)] = -1
        words[np.uint64(base + PRESENT)] = present
        some |= present
        base += width
    return some


@kernel
def _fill_again_nb(
    buf: Bytes,
    decoder: Decoder,
    table: ViewTable,
    column: int,
    token: int,
    words: Int64s,
    base: int,
) -> None:
    """A column whose value is not of the common kind: exactly, or as a fault."""
    words[base + PRESENT] &= ~(np.int64(1) << column)
    at, end = np.int64(decoder.starts[token]), np.int64(decoder.ends[token])
    fill_column_nb(buf, at, end, table, column, words, base)


@kernel
def _tokens_nb(
    table: ViewTable, column: int, scratch: EntryScratch
) -> tuple[Int32s, tuple[int, int, int]]:
    """Where the tokens of a column are: a list, and (at, step, offset) for list[at] + offset,
    list[at + step] + offset ….
    """
    if scratch.habits[IS_EVEN]:
        layout = _layouts_nb(table) + scratch.habits[_view_nb(table)]
        offset = np.int64(scratch.columns[layout * LANES + column])
        return scratch.firsts, (np.int64(0), np.int64(1), offset)
    return scratch.tokens, (np.int64(column), np.int64(LANES), np.int64(0))


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
    """A column of numbers, eight at a time."""
    tokens, (start, step, offset) = _tokens_nb(table, column, scratch)
    width, word = table.meta[WIDTH], table.columns[column, WORD]
    decimals = _decimals_nb(table.columns[column, KIND])
    any_trouble = np.int64(0)
    for first in range(0, entries, NUMBERS):
        trouble = parse_numbers(
            buf,
            decoder.starts,
            decoder.ends,
            tokens,
            (first * step + start, step, offset),
            decimals,
            scratch.values,
            first,
        )
        if entries - first < NUMBERS:
            trouble &= (np.int64(1) << (entries - first)) - 1
        scratch.troubles[np.uint64(first)] = trouble
        any_trouble |= trouble
    # In a loop of its own: a word is slow to load from a vector that was just stored.
    place = row * width + word
    for i in range(entries):
        words[np.uint64(place)] = scratch.values[np.uint64(i)]
        place += width
    if any_trouble == 0:
        return
    for i in range(entries):
        if (scratch.troubles[i & -NUMBERS] >> (i & (NUMBERS - 1))) & 1:
            base = (row + i) * width
            words[base + word] = 0
            if (words[base + PRESENT] >> column) & 1:
                token = np.int64(tokens[i * step + start]) + offset
                _fill_again_nb(buf, decoder, table, column, token, words, base)


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
    """A column of characters, texts or times."""
    tokens, (start, step, offset) = _tokens_nb(table, column, scratch)
    width, word = table.meta[WIDTH], table.columns[column, WORD]
    kind = table.columns[column, KIND]
    for i in range(entries):
        base = (row + i) * width
        if (words[np.uint64(base + PRESENT)] >> column) & 1 == 0:
            continue
        token = np.int64(tokens[np.uint64(i * step + start)]) + offset
        at = np.int64(decoder.starts[np.uint64(token)])
        end = np.int64(decoder.ends[np.uint64(token)])
        if kind == TEXT and end > at:
            words[np.uint64(base + word)] = at
            words[np.uint64(base + word + 1)] = end
        elif kind == CHARACTER and end - at == 1:
            words[np.uint64(base + word)] = np.int64(buf[np.uint64(at)])
        else:
            _fill_again_nb(buf, decoder, table, column, token, words, base)


@kernel
def _inherit_in_frame_nb(
    decoder: Decoder, frame: int, table: ViewTable, words: Int64s, scratch: EntryScratch
) -> None:
    """Give the entries of a frame without a symbol that of the entry before, or the one ahead of
    them all.
    """
    head = decoder.frames[frame]
    at = end = np.int64(0)
    token = np.int64(scratch.ahead[frame])
    if token > 0:
        at, end = np.int64(decoder.starts[token]), np.int64(decoder.ends[token])
    row = np.int64(head["row_first"])
    for place in range(row, row + np.int64(head["row_count"])):
        at, end = inherit_nb(words, place * table.meta[WIDTH], table, at, end)


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
) -> tuple[int, int]:
    """Entries of frames of one type, of one batch, to rows from `row` on.

    Returns: (rows, frames) that were done, up to the first frame that is for `read_message_nb`, or
             whose rows do not fit.
    """
    room = len(words) // table.meta[WIDTH] - row
    entries = _lay_out_evenly_nb(buf, decoder, frame, frame_stop, table, row, room, scratch)
    frames = frame_stop - frame
    scratch.habits[IS_EVEN] = entries >= 0
    if entries < 0:
        entries, frames = _lay_out_nb(buf, decoder, frame, frame_stop, table, row, room, scratch)
    # Vectors of tokens that reach beyond the last entry find some that are no number.
    first = np.int64(decoder.frames[frame]["first"])
    fill16(scratch.firsts, entries, first)
    for i in range(entries, entries + NUMBERS):
        fill16(scratch.tokens, i * LANES, first)
    some = _begin_rows_nb(table, words, row, entries, scratch)
    for column in range(len(table.columns)):
        kind = table.columns[column, KIND]
        if (some >> column) & 1 == 0:
            continue
        if kind in (PRICE, QUANTITY, INTEGER):
            _fill_numbers_nb(buf, decoder, table, column, words, row, entries, scratch)
        else:
            _fill_plain_nb(buf, decoder, table, column, words, row, entries, scratch)
    inherited = table.meta[INHERITED]
    if inherited >= 0:
        every = np.int64(-1)
        for i in range(row, row + entries):
            every &= words[np.uint64(i * table.meta[WIDTH] + PRESENT)]
        if (every >> inherited) & 1 == 0:
            for each in range(frame, frame + frames):
                _inherit_in_frame_nb(decoder, each, table, words, scratch)
    return entries, frames


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
        if msg_type in (SNAPSHOT, INCREMENTAL):
            table = views.snapshots if msg_type == SNAPSHOT else views.incrementals
            count = frames = np.int64(0)
            if decoder.frames[each]["is_plain"] == 0:
                count, frames = _read_run_nb(
                    buf, decoder, each, run_stop, table, words, row, scratch
                )
            run_stop = each + frames
            if frames == 0:
                run_stop = each + 1
                count, status = read_message_nb(buf, decoder, each, table, words, row)
                if status != OK:
                    return row, each - frame, OUTPUT_FULL
            row += count
        each = run_stop
    return row, each - frame, OK
