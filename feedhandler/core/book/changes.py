"""Books and their best prices without ticks: for whoever wants the history of the books and nothing
else, at less than half the time of a tick.

    message ──► CHANGE ──► book ──► BBO row, when the best price or its quantity changed
                decode ahead, ask for the memory, then apply

What a message does to the book, and what keeps it from it, is what `apply` says of its tick.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.book.kernels import (
    Outcome,
    add_order_nb,
    find_order_nb,
    order_word_nb,
    prefetch_level_nb,
    reduce_order_nb,
    replace_order_nb,
    side_of_level_nb,
    update_best_nb,
)
from feedhandler.core.book.layout import KEY_MAX, QTY_BITS, Book
from feedhandler.core.book.overflow import NOT_FOUND
from feedhandler.core.events import BBO, Kind
from protocols.jit import kernel

CHANGE = np.dtype(
    [
        ("order_ref", "i8"),
        ("new_ref", "i8"),
        ("ts_exch_ns", "i8"),
        ("qty", "u4"),
        ("price_e4", "u4"),
        ("instrument", "u4"),
        ("kind", "u1"),
        ("side", "i1"),
        ("_pad", "u2"),
    ]
)
"""What a message wants of the books; fields that its kind has no use for may hold anything.

`kind` is ADD to REPLACE, or NONE when the message is not about an order; a DELETE takes all there
can be, QTY_MASK."""

AT_ONCE = 128
"""Changes between decoding and applying: long enough for memory to answer, short enough for the
first cache."""
_AHEAD = 12
"""Messages before its turn that the level of one is asked for."""

# Words of `totals`.
MESSAGES = 0
"""All of them; the next one's sequence number is one more."""
BBO_ROWS = 1
"""Rows in `bbo`, set back by whoever takes them out."""
UNREADABLE = 2
"""Messages of an unknown type or a wrong length."""
FAULTS = 4
"""Here begin the counts of each Outcome but OK."""


class Work(NamedTuple):
    """What a run over messages needs beside the book: changes CHANGE[AT_ONCE], bbo BBO[n], totals
    i64[FAULTS + 9]. `bbo` is full when less than AT_ONCE rows of it are free.
    """

    changes: NDArray[np.void]
    bbo: NDArray[np.void]
    totals: NDArray[np.int64]


def allocate_work(bbo_rows: int) -> Work:
    """Memory for a run that gives up to `bbo_rows` rows (AT_ONCE at least) at a time."""
    return Work(
        np.zeros(AT_ONCE, CHANGE),
        np.zeros(max(bbo_rows, AT_ONCE), BBO),
        np.zeros(FAULTS + len(Outcome), np.int64),
    )


@kernel
def _side_of_nb(change: np.void) -> int:
    """2 * instrument + (0 bid, 1 ask), as the message has it."""
    return 2 * np.int64(change["instrument"]) + np.int64(change["side"] < 0)


@kernel
def _add_nb(book: Book, change: np.void, side_idx: int) -> int:
    price = np.int64(change["price_e4"])
    if side_idx >= book.sides.shape[0]:
        return Outcome.BAD_INSTRUMENT
    if change["side"] == 0:
        return Outcome.BAD_SIDE
    if price > KEY_MAX:
        return Outcome.BAD_PRICE
    key = -price if side_idx & 1 else price
    ref = np.int64(change["order_ref"])
    return add_order_nb(book, side_idx, key, ref, np.int64(change["qty"]))


@kernel
def _replace_nb(book: Book, change: np.void, side_idx: int, slot: int) -> int:
    price = np.int64(change["price_e4"])
    if price > KEY_MAX:
        return Outcome.BAD_PRICE
    key = -price if side_idx & 1 else price
    new_ref = np.int64(change["new_ref"])
    return replace_order_nb(book, slot, new_ref, key, np.int64(change["qty"]))


@kernel
def _apply_nb(book: Book, change: np.void) -> tuple[int, int]:
    """Apply one change: (Outcome, side that it was about)."""
    kind = np.int64(change["kind"])
    if kind == Kind.ADD:
        side_idx = _side_of_nb(change)
        return _add_nb(book, change, side_idx), side_idx
    slot = find_order_nb(book, np.int64(change["order_ref"]))
    if slot == NOT_FOUND:
        return np.int64(Outcome.UNKNOWN_REFERENCE), np.int64(0)
    side_idx = side_of_level_nb(book, order_word_nb(book, slot) >> QTY_BITS)
    if kind == Kind.REPLACE:
        return _replace_nb(book, change, side_idx, slot), side_idx
    outcome = np.int64(reduce_order_nb(book, slot, np.int64(change["qty"])))
    return np.int64(Outcome.OK) if kind == Kind.DELETE else outcome, side_idx


@kernel
def _write_best_nb(book: Book, row: np.void, seq: int, ts_exch_ns: int, instrument: int) -> None:
    bid = book.sides[np.uint64(2 * instrument)]
    ask = book.sides[np.uint64(2 * instrument + 1)]
    row["seq"] = seq
    row["ts_exch_ns"] = ts_exch_ns
    row["instrument"] = instrument
    row["bid_price_e9"] = bid["price_e9"]
    row["bid_qty"] = bid["qty"]
    row["ask_price_e9"] = ask["price_e9"]
    row["ask_qty"] = ask["qty"]


@kernel
def _prefetch_level_nb(book: Book, change: np.void) -> None:
    is_add = np.int64(change["kind"] == Kind.ADD)
    ref = np.int64(change["order_ref"])
    prefetch_level_nb(book, is_add, ref, _side_of_nb(change), np.int64(change["price_e4"]))


@kernel
def apply_changes_nb(book: Book, work: Work, count: int) -> None:
    """Apply work.changes[:count]; append a row to work.bbo for each that changed a best price or
    quantity, and add to work.totals. At least `count` rows must be free. Whoever filled in the
    changes did well to call `prefetch_order_nb` for each.

    A message that was refused changes no best price, so it needs no test: but one without a
    book, of an unknown reference or instrument, is passed over.
    """
    totals = work.totals
    seq = totals[MESSAGES]
    rows = totals[BBO_ROWS]
    for i in range(count):
        if i + _AHEAD < count:
            _prefetch_level_nb(book, work.changes[i + _AHEAD])
        change = work.changes[i]
        if change["kind"] == Kind.NONE:
            continue
        outcome, side_idx = _apply_nb(book, change)
        if outcome != Outcome.OK:
            totals[FAULTS + outcome] += 1
            if outcome in (Outcome.UNKNOWN_REFERENCE, Outcome.BAD_INSTRUMENT):
                continue
        is_changed = update_best_nb(book, side_idx)
        # Written each time and counted when it is one: nobody can foretell which.
        row = work.bbo[np.uint64(rows)]
        _write_best_nb(book, row, seq + i + 1, np.int64(change["ts_exch_ns"]), side_idx >> 1)
        rows += is_changed
    totals[MESSAGES] = seq + count
    totals[BBO_ROWS] = rows
