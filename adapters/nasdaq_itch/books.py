"""Books and best prices straight from the messages of a BinaryFILE: no ticks, no engine.

Offsets are frozen from the table of `protocols.itch50.spec`; the meaning of each field is stated
there.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.nasdaq_itch.normalise import KINDS
from feedhandler.core.book.changes import (
    AT_ONCE,
    BBO_ROWS,
    UNREADABLE,
    Work,
    apply_changes_nb,
)
from feedhandler.core.book.kernels import prefetch_order_nb
from feedhandler.core.book.layout import QTY_MASK, Book
from feedhandler.core.events import Kind
from protocols.binaryfile.kernels import LENGTH_BYTES
from protocols.errors import Status
from protocols.itch50.spec import BY_TYPE, LENGTHS
from protocols.jit import kernel, outline_kernel
from protocols.wire import Bytes, read_u16_nb, read_u32_nb, read_u48_nb, read_u64_nb

_KINDS = {type_byte: KINDS[type_byte] for type_byte in "AFECXDU"}
"""The messages that change a book."""


def _offsets(*names: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Offset by type byte of the first of `names` that the message has; 0 where it has none: the
    shortest message has room there for the widest field.
    """
    table = np.zeros(256, np.int64)
    for type_byte in _KINDS:
        message = BY_TYPE[type_byte]
        found = [message.offset(name) for name in names if name in message.by_name]
        table[ord(type_byte)] = found[0] if found else 0
    return table


_LENGTH = np.array(LENGTHS, np.int64)
_KIND = np.array([_KINDS.get(chr(code), Kind.NONE) for code in range(256)], np.int64)
_REFERENCE_AT = _offsets("order_reference_number", "original_order_reference_number")
_NEW_REFERENCE_AT = _offsets("new_order_reference_number")
_SHARES_AT = _offsets("executed_shares", "cancelled_shares", "shares")
_PRICE_AT = _offsets("price")
_SIDE_AT = _offsets("buy_sell_indicator")
_ALL_SHARES = np.zeros(256, np.int64)
_ALL_SHARES[ord("D")] = QTY_MASK
_LOCATE_AT = BY_TYPE["A"].offset("stock_locate")
_TIMESTAMP_AT = BY_TYPE["A"].offset("timestamp")
_BUY = ord("B")
_SELL = ord("S")


@kernel
def _change_nb(buf: Bytes, at: int, length: int, changes: NDArray[np.void], i: int) -> int:
    """One message of `length` bytes at buf[at] to changes[i]; 1 when the table does not know it.

    Fields are read whether the message has them or not: no branch depends on its type, which no
    processor can foretell.
    """
    change = changes[i]
    code = buf[np.uint64(at)]
    if _LENGTH[code] != length:
        change["kind"] = Kind.NONE
        return 1
    change["kind"] = _KIND[code]
    change["instrument"] = read_u16_nb(buf, at + _LOCATE_AT)
    change["ts_exch_ns"] = read_u48_nb(buf, at + _TIMESTAMP_AT)
    change["order_ref"] = read_u64_nb(buf, at + _REFERENCE_AT[code])
    change["new_ref"] = read_u64_nb(buf, at + _NEW_REFERENCE_AT[code])
    change["qty"] = read_u32_nb(buf, at + _SHARES_AT[code]) | _ALL_SHARES[code]
    change["price_e4"] = read_u32_nb(buf, at + _PRICE_AT[code])
    side = np.int64(buf[np.uint64(at + _SIDE_AT[code])])
    change["side"] = np.int64(side == _BUY) - np.int64(side == _SELL)
    return 0


@kernel
def changes_nb(
    book: Book, buf: Bytes, at: int, stop: int, changes: NDArray[np.void]
) -> tuple[int, int, int, int]:
    """The next messages of buf[at:stop], blocks of a BinaryFILE, as CHANGE rows; the memory that
    each will want is asked for at once.

    Returns: (messages, how many of them the table does not know, where the next block begins,
             status as `index_messages_nb` has it).
    """
    count = np.int64(0)
    unreadable = np.int64(0)
    status = np.int64(Status.OUTPUT_FULL)
    while count < changes.shape[0]:
        if at + LENGTH_BYTES > stop:
            status = np.int64(Status.OK if at == stop else Status.TRUNCATED)
            break
        length = read_u16_nb(buf, at)
        if length == 0:
            status = np.int64(Status.END_OF_SESSION)
            at += LENGTH_BYTES
            break
        if at + LENGTH_BYTES + length > stop:
            status = np.int64(Status.TRUNCATED)
            break
        unreadable += np.int64(_change_nb(buf, at + LENGTH_BYTES, length, changes, count))
        change = changes[count]
        side_idx = 2 * np.int64(change["instrument"])
        prefetch_order_nb(book, np.int64(change["order_ref"]), side_idx)
        count += 1
        at += LENGTH_BYTES + length
    return count, unreadable, at, status


@outline_kernel
def build_books_nb(book: Book, work: Work, buf: Bytes, at: int) -> tuple[int, int]:
    """Apply the messages of a session from buf[at] to the books until it ends, or until work.bbo
    has to be emptied: (where the next block begins, status), OUTPUT_FULL in the latter case.
    """
    stop = np.int64(buf.shape[0])
    at = np.int64(at)
    status = np.int64(Status.OUTPUT_FULL)
    while status == Status.OUTPUT_FULL and work.totals[BBO_ROWS] + AT_ONCE <= work.bbo.shape[0]:
        count, unreadable, at, status = changes_nb(book, buf, at, stop, work.changes)
        apply_changes_nb(book, work, count)
        work.totals[UNREADABLE] += unreadable
    return at, status


def best_prices(book: Book, work: Work, buf: Bytes, at: int = 0) -> Iterator[NDArray[np.void]]:
    """The best prices of a session, a row of BBO for each change: views of work.bbo, good until the
    next one is asked for. Behind the last one `book` holds what was resting then, and work.totals
    what was counted.

    The session begins at buf[at] and ends with its zero length, with the bytes, or with a block
    that is cut off.
    """
    status = int(Status.OUTPUT_FULL)
    while status == Status.OUTPUT_FULL:
        work.totals[BBO_ROWS] = 0
        at, status = build_books_nb(book, work, buf, at)
        yield work.bbo[: work.totals[BBO_ROWS]]
