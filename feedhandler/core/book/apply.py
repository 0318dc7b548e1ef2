"""Apply a tick to the books and complete it: what the message left unsaid, and the best prices
after it.
"""

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.book.kernels import (
    Outcome,
    add_order_nb,
    find_order_nb,
    key_of_level_nb,
    order_word_nb,
    prefetch_level_nb,
    prefetch_order_nb,
    price_key_nb,
    reduce_order_nb,
    replace_order_nb,
    side_of_level_nb,
    update_best_nb,
)
from feedhandler.core.book.layout import (
    BOOK_TICK_E9,
    KEY_MAX,
    LOW_32_BITS,
    QTY_BITS,
    QTY_MASK,
    Book,
)
from feedhandler.core.book.overflow import NOT_FOUND
from feedhandler.core.events import Flag, Kind
from protocols.jit import kernel


@kernel
def _apply_add_nb(book: Book, ticks: NDArray[np.void], slot: int) -> int:
    tick = ticks[slot]
    if tick["side"] == 0:
        return Outcome.BAD_SIDE
    is_ask = np.int64(tick["side"] < 0)
    key = price_key_nb(np.int64(tick["price_e9"]), is_ask)
    if key > KEY_MAX:
        return Outcome.BAD_PRICE
    side_idx = 2 * np.int64(tick["instrument"]) + is_ask
    outcome = add_order_nb(book, side_idx, key, np.int64(tick["order_ref"]), np.int64(tick["qty"]))
    if outcome == Outcome.OK and update_best_nb(book, side_idx):
        tick["flags"] |= Flag.BBO_CHANGED
    return outcome


@kernel
def _apply_to_order_nb(book: Book, ticks: NDArray[np.void], slot: int) -> int:
    """E, C, X, D, U: everything that names a live order; instrument, side and resting price come
    from the book.
    """
    tick = ticks[slot]
    kind = tick["kind"]
    ref = np.int64(tick["order_ref"])
    order = find_order_nb(book, ref)
    if order == NOT_FOUND:
        tick["flags"] |= Flag.UNKNOWN_REFERENCE
        return Outcome.UNKNOWN_REFERENCE
    word = order_word_nb(book, order)
    level_idx = word >> QTY_BITS
    side_idx = side_of_level_nb(book, level_idx)
    is_ask = side_idx & 1
    tick["instrument"] = side_idx >> 1
    tick["side"] = 1 - 2 * is_ask
    outcome = np.int64(Outcome.OK)
    if kind == Kind.REPLACE:
        key = price_key_nb(np.int64(tick["price_e9"]), is_ask)
        if key > KEY_MAX:
            return Outcome.BAD_PRICE
        new_ref = np.int64(tick["aux"])
        outcome = replace_order_nb(book, order, new_ref, key, np.int64(tick["qty"]))
    else:
        if kind != Kind.EXECUTE_AT_PRICE:
            tick["price_e9"] = abs(key_of_level_nb(book, level_idx)) * BOOK_TICK_E9
        if kind == Kind.DELETE:
            tick["qty"] = word & QTY_MASK
        outcome = reduce_order_nb(book, order, np.int64(tick["qty"]))
    if update_best_nb(book, side_idx):
        tick["flags"] |= Flag.BBO_CHANGED
    return outcome


@kernel
def apply_tick_nb(book: Book, ticks: NDArray[np.void], slot: int) -> int:
    """Apply ticks[slot] and write the best prices after it into the tick; returns an Outcome.

    Only OK, OVERFILL and a REPLACE's CAPACITY changed the book. With UNKNOWN_REFERENCE and
    BAD_INSTRUMENT there is no book to take best prices from.
    """
    tick = ticks[slot]
    kind = tick["kind"]
    outcome = np.int64(Outcome.OK)
    if Kind.EXECUTE <= kind <= Kind.REPLACE:
        outcome = _apply_to_order_nb(book, ticks, slot)
        if outcome == Outcome.UNKNOWN_REFERENCE:
            return outcome
    elif 2 * np.int64(tick["instrument"]) >= book.sides.shape[0]:
        return Outcome.BAD_INSTRUMENT
    elif kind == Kind.ADD:
        outcome = _apply_add_nb(book, ticks, slot)
    bid = book.sides[np.uint64(2 * np.int64(tick["instrument"]))]
    tick["bid_price_e9"] = bid["price_e9"]
    tick["bid_qty"] = bid["qty"]
    ask = book.sides[np.uint64(2 * np.int64(tick["instrument"]) + 1)]
    tick["ask_price_e9"] = ask["price_e9"]
    tick["ask_qty"] = ask["qty"]
    return outcome


@kernel
def prefetch_tick_nb(book: Book, ticks: NDArray[np.void], slot: int) -> None:
    """Ask for what `apply_tick_nb` touches first: as soon as ticks[slot] is decoded."""
    tick = ticks[slot]
    prefetch_order_nb(book, np.int64(tick["order_ref"]), 2 * np.int64(tick["instrument"]))


@kernel
def prefetch_level_of_tick_nb(book: Book, ticks: NDArray[np.void], slot: int) -> None:
    """Ask for the rest, once what `prefetch_tick_nb` asked for has come."""
    tick = ticks[slot]
    side_idx = 2 * np.int64(tick["instrument"]) + np.int64(tick["side"] < 0)
    is_add = np.int64(tick["kind"] == Kind.ADD)
    # Ticks of other feeds may have any price: what is asked for in vain costs nothing.
    price_e4 = (np.int64(tick["price_e9"]) // BOOK_TICK_E9) & LOW_32_BITS
    prefetch_level_nb(book, is_add, np.int64(tick["order_ref"]), side_idx, price_e4)
