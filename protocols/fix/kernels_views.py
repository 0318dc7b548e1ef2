"""Tokens to the rows of `views.py`, field by field, and the entries of any repeating group.

Source: FIX 4.4 volume 1 (repeating groups: a count, then entries that all begin with the same
field), volumes 3 and 4 (messages).
"""

import numpy as np

from protocols.errors import Status
from protocols.fix.kernels_frame import ZERO
from protocols.fix.kernels_values import (
    parse_date_nb,
    parse_decimal_nb,
    parse_integer_nb,
    parse_time_nb,
    parse_timestamp_nb,
)
from protocols.fix.layout import Decoder, Int32s, Int64s
from protocols.fix.views import (
    COUNT_TAG,
    DELIMITER,
    FAULT_AT,
    FRAME,
    INHERITED,
    KIND,
    PRESENT,
    PRICE_DECIMALS,
    QUANTITY_DECIMALS,
    STATUS,
    TAG_LIMIT,
    WIDTH,
    WORD,
    ColumnKind,
    ViewTable,
)
from protocols.jit import kernel, outline_kernel
from protocols.wire import Bytes

OK = int(Status.OK)
BAD_LENGTH = int(Status.BAD_LENGTH)
BAD_VALUE = int(Status.BAD_VALUE)
OUTPUT_FULL = int(Status.OUTPUT_FULL)
INTEGER = int(ColumnKind.INTEGER)
PRICE = int(ColumnKind.PRICE)
QUANTITY = int(ColumnKind.QUANTITY)
CHARACTER = int(ColumnKind.CHARACTER)
TIMESTAMP = int(ColumnKind.TIMESTAMP)
TIME = int(ColumnKind.TIME)
DATE = int(ColumnKind.DATE)
TEXT = int(ColumnKind.TEXT)


@kernel
def clear_words_nb(words: Int64s, start: int, stop: int) -> None:
    """Zeros in words[start:stop].

    With a signed index, which may count from the end, LLVM scatters word by word: 200 ns for what
    takes 5 ns as the one call of memset that it makes of this.
    """
    for word in range(start, stop):
        words[np.uint64(word)] = 0


@kernel
def clear_row_nb(words: Int64s, base: int, width: int, frame: int) -> None:
    """An empty row of a frame at `base`."""
    clear_words_nb(words, base, base + width)
    words[base + FRAME] = frame
    words[base + FAULT_AT] = -1


@kernel
def _parse_nb(buf: Bytes, at: int, end: int, kind: int) -> tuple[int, int]:
    """(value, -1) or (0, first byte that is wrong) of a value that is no text."""
    if kind == PRICE:
        return parse_decimal_nb(buf, at, end, np.int64(PRICE_DECIMALS))
    if kind == QUANTITY:
        return parse_decimal_nb(buf, at, end, np.int64(QUANTITY_DECIMALS))
    if kind == INTEGER:
        return parse_integer_nb(buf, at, end)
    if kind == CHARACTER:
        if end - at != 1:
            return 0, at
        return np.int64(buf[at]), -1
    if kind == TIMESTAMP:
        return parse_timestamp_nb(buf, at, end)
    if kind == TIME:
        return parse_time_nb(buf, at, end)
    return parse_date_nb(buf, at, end)


@kernel
def _note_fault_nb(words: Int64s, base: int, fault_at: int) -> None:
    """Mark a row as bad from `fault_at`, or from where it is bad already if that is lower."""
    if words[base + STATUS] == OK or fault_at < words[base + FAULT_AT]:
        words[base + FAULT_AT] = fault_at
    words[base + STATUS] = BAD_VALUE


@outline_kernel
def fill_column_nb(
    buf: Bytes, at: int, end: int, table: ViewTable, column: int, words: Int64s, base: int
) -> None:
    """Column of the row at `base` from the value buf[at:end], unless it has one."""
    bit = np.int64(1) << column
    if words[base + PRESENT] & bit:
        return
    kind = table.columns[column, KIND]
    place = base + table.columns[column, WORD]
    if kind == TEXT:
        if end == at:
            _note_fault_nb(words, base, at)
            return
        words[place] = at
        words[place + 1] = end
    else:
        value, fault_at = _parse_nb(buf, at, end, kind)
        if fault_at >= 0:
            _note_fault_nb(words, base, fault_at)
            return
        words[place] = value
    words[base + PRESENT] |= bit


@kernel
def inherit_nb(words: Int64s, base: int, table: ViewTable, at: int, end: int) -> tuple[int, int]:
    """Give a finished entry the text buf[at:end] that holds so far, if there is one and it has none
    of its own; the text that holds after it.
    """
    column = table.meta[INHERITED]
    if column < 0:
        return at, end
    place = base + table.columns[column, WORD]
    bit = np.int64(1) << column
    if words[base + PRESENT] & bit:
        return words[place], words[place + 1]
    if end > at:
        words[place] = at
        words[place + 1] = end
        words[base + PRESENT] |= bit
    return at, end


@kernel
def stated_count_nb(buf: Bytes, decoder: Decoder, token: int) -> int:
    """How many entries a frame's count (a token) states, -1 when that is no number."""
    at, end = np.int64(decoder.starts[np.uint64(token)]), np.int64(decoder.ends[np.uint64(token)])
    stated = np.int64(buf[np.uint64(at)]) - ZERO
    if end - at != 1 or stated < 0 or stated > 9:
        stated, wrong_at = parse_integer_nb(buf, at, end)
        if wrong_at >= 0:
            return np.int64(-1)
    return stated


@kernel
def check_count_nb(decoder: Decoder, frame: int, token: int, stated: int, found: int) -> None:
    """Hold the number of entries that the frame's count (a token, 0 for none) states against those
    that were found.
    """
    row = decoder.frames[np.uint64(frame)]
    row["row_count"] = found
    row["row_status"] = OK
    row["row_fault_at"] = -1
    if stated != found:
        row["row_status"] = BAD_LENGTH
        row["row_fault_at"] = decoder.starts[token] if token > 0 else row["start"]


@outline_kernel
def read_message_nb(
    buf: Bytes, decoder: Decoder, frame: int, table: ViewTable, words: Int64s, row: int
) -> tuple[int, int]:
    """Rows of one frame from `row` on: one, or one an entry when the view has a delimiter. The
    first of several fields with the same tag counts.

    A view of entries takes what it inherits (the symbol) from the entry before, or from before the
    group; the frame's `row_status` is BAD_LENGTH when the group has not as many entries as stated.

    Shapes:  words i64[rows * width of the view].
    Returns: (rows written, OK), or (0, OUTPUT_FULL) when there is not enough room.
    """
    head = decoder.frames[frame]
    width, delimiter = table.meta[WIDTH], table.meta[DELIMITER]
    count_tag, inherited = table.meta[COUNT_TAG], table.meta[INHERITED]
    first = np.int64(head["first"])
    rows = np.int64(0)
    base = row * width - width
    at = end = count_token = np.int64(0)
    for token in range(first, first + np.int64(head["count"])):
        tag = np.int64(decoder.tags[token])
        if tag == delimiter or (delimiter == 0 and token == first):
            if rows > 0:
                at, end = inherit_nb(words, base, table, at, end)
            base += width
            rows += 1
            if base + width > len(words):
                return 0, OUTPUT_FULL
            clear_row_nb(words, base, width, frame)
        elif tag == count_tag and rows == 0 and count_token == 0:
            count_token = np.int64(token)
        column = np.int64(table.column_of_tag[tag]) if tag < TAG_LIMIT else np.int64(-1)
        if column >= 0:
            value_at, value_end = np.int64(decoder.starts[token]), np.int64(decoder.ends[token])
            if rows > 0:
                fill_column_nb(buf, value_at, value_end, table, column, words, base)
            elif column == inherited:
                at, end = value_at, value_end
    if rows > 0:
        inherit_nb(words, base, table, at, end)
    head["row_first"] = row
    head["row_count"] = rows
    head["row_status"] = OK
    head["row_fault_at"] = -1
    if delimiter > 0:
        stated = stated_count_nb(buf, decoder, count_token) if count_token > 0 else np.int64(0)
        check_count_nb(decoder, frame, count_token, stated, rows)
    return rows, OK


@outline_kernel
def split_group_nb(
    buf: Bytes, decoder: Decoder, token: int, stop: int, out_first: Int32s
) -> tuple[int, int]:
    """Entries of the repeating group whose count is `token`, in tokens below `stop`: each begins
    with the tag that follows the count. Works for groups in an entry as well: `stop` is then the
    first token of the next entry.

    Shapes:  out_first i32[n]: first token of each entry; it ends where the next one begins, the
             last one at `stop` or before (fields after the group cannot be told from its own
             without a dictionary).
    Returns: (entries, OK); BAD_VALUE when the count is no number from 0, BAD_LENGTH when there are
             fewer or more entries than it says, OUTPUT_FULL beyond `out_first`; the entries found
             are valid.
    """
    stated, fault_at = parse_integer_nb(
        buf, np.int64(decoder.starts[token]), np.int64(decoder.ends[token])
    )
    if fault_at >= 0 or stated < 0:
        return 0, BAD_VALUE
    found = np.int64(0)
    if stated == 0:
        return 0, OK
    for i in range(token + 1, stop):
        if decoder.tags[i] == decoder.tags[token + 1]:
            if found == len(out_first):
                return found, OUTPUT_FULL
            out_first[found] = i
            found += 1
    return found, (OK if found == stated else BAD_LENGTH)
