"""Apply a tick to the books and complete it: what the message left unsaid, and the best prices
after it.
"""

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.book.kernels import (
    NOT_FOUND,
    Outcome,
    add_order_nb,
    clear_levels_nb,
    find_order_nb,
    order_word_nb,
    places_from_price_nb,
    price_key_nb,
    price_step_nb,
    reduce_order_nb,
    remove_order_nb,
    replace_order_nb,
    set_level_nb,
    update_best_nb,
)
from feedhandler.core.book.layout import KEY_MAX, QTY_BITS, QTY_MASK, Book
from feedhandler.core.events import Clear, Flag, Kind
from protocols.jit import kernel, outline_kernel


@kernel
def show_best_nb(book: Book, ticks: NDArray[np.void], slot: int) -> None:
    """Write the best prices of the instrument of ticks[slot] into it."""
    tick = ticks[slot]
    best = book.best[tick["instrument"]]
    tick["bid_price_e9"] = best["bid_price_e9"]
    tick["bid_qty"] = best["bid_qty"]
    tick["ask_price_e9"] = best["ask_price_e9"]
    tick["ask_qty"] = best["ask_qty"]


@kernel
def _apply_add_nb(book: Book, ticks: NDArray[np.void], slot: int) -> int:
    tick = ticks[slot]
    if tick["side"] == 0:
        return Outcome.BAD_SIDE
    is_ask = np.int64(tick["side"] < 0)
    row_idx = 2 * np.int64(tick["instrument"]) + is_ask
    key = price_key_nb(np.int64(tick["price_e9"]), is_ask, price_step_nb(book, row_idx))
    if key > KEY_MAX:
        return Outcome.BAD_PRICE
    outcome = add_order_nb(book, row_idx, key, np.int64(tick["order_ref"]), np.int64(tick["qty"]))
    if outcome == Outcome.OK and update_best_nb(book, row_idx):
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
    level = book.levels[(word >> QTY_BITS) - 1]
    row_idx = np.int64(level["row"])
    is_ask = row_idx & 1
    resting_key = np.int64(level["key"])
    tick["instrument"] = row_idx >> 1
    tick["side"] = 1 - 2 * is_ask
    outcome = np.int64(Outcome.OK)
    if kind == Kind.REPLACE:
        key = price_key_nb(np.int64(tick["price_e9"]), is_ask, price_step_nb(book, row_idx))
        if key > KEY_MAX:
            return Outcome.BAD_PRICE
        new_ref = np.int64(tick["aux"])
        outcome = replace_order_nb(book, order, ref, new_ref, key, np.int64(tick["qty"]))
    else:
        if kind != Kind.EXECUTE_AT_PRICE:
            tick["price_e9"] = (-resting_key if is_ask else resting_key) * price_step_nb(
                book, row_idx
            )
        if kind == Kind.DELETE:
            tick["qty"] = word & QTY_MASK
            remove_order_nb(book, order, ref)
        else:
            outcome = reduce_order_nb(book, order, ref, np.int64(tick["qty"]))
    if update_best_nb(book, row_idx):
        tick["flags"] |= Flag.BBO_CHANGED
    return outcome


@kernel
def apply_tick_nb(book: Book, ticks: NDArray[np.void], slot: int) -> int:
    """Apply ticks[slot], about an order or none, and write the best prices after it into the tick;
    returns an Outcome.

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
    elif tick["instrument"] >= book.best.shape[0]:
        return Outcome.BAD_INSTRUMENT
    elif kind == Kind.ADD:
        outcome = _apply_add_nb(book, ticks, slot)
    show_best_nb(book, ticks, slot)
    return outcome


@kernel
def _clear_row_nb(book: Book, row_idx: int, ticks: NDArray[np.void], slot: int) -> int:
    """CLEAR_LEVELS for one side; returns an Outcome."""
    tick = ticks[slot]
    row = book.rows[row_idx]
    count = np.int64(row["count"])
    mode, place = np.int64(tick["status"]), np.int64(tick["aux"])
    first, stop = np.int64(0), count
    if mode in (Clear.THROUGH_PRICE, Clear.FROM_PRICE):
        key = price_key_nb(np.int64(tick["price_e9"]), row_idx & 1, np.int64(row["step_e9"]))
        if key > KEY_MAX:
            return Outcome.BAD_PRICE
        if mode == Clear.THROUGH_PRICE:
            first = places_from_price_nb(book, row_idx, key)
        else:
            stop = places_from_price_nb(book, row_idx, key + 1)
    elif mode != Clear.ALL:
        if place < 1:
            return Outcome.BAD_PRICE
        if mode != Clear.FROM_PLACE:
            first = max(count - place, 0)
        if mode != Clear.THROUGH_PLACE:
            stop = max(count - place + 1, 0)
    clear_levels_nb(book, row_idx, first, stop)
    return Outcome.OK


@kernel
def _set_level_nb(book: Book, ticks: NDArray[np.void], slot: int) -> int:
    """SET_LEVEL; returns an Outcome."""
    tick = ticks[slot]
    is_ask = np.int64(tick["side"] < 0)
    row_idx = 2 * np.int64(tick["instrument"]) + is_ask
    row = book.rows[row_idx]
    key = price_key_nb(np.int64(tick["price_e9"]), is_ask, np.int64(row["step_e9"]))
    if key > KEY_MAX:
        return Outcome.BAD_PRICE
    at = np.int64(row["count"]) - np.int64(tick["status"])
    if tick["status"] > 0 and at >= 0 and book.keys[np.int64(row["offset"]) + at] != key:
        clear_levels_nb(book, row_idx, at, at + 1)
    return set_level_nb(book, row_idx, key, np.int64(tick["qty"]), np.int64(tick["aux"]))


@kernel
def _apply_to_levels_nb(book: Book, ticks: NDArray[np.void], slot: int) -> int:
    """SET_LEVEL or CLEAR_LEVELS; returns an Outcome."""
    tick = ticks[slot]
    side = np.int64(tick["side"])
    if tick["kind"] == Kind.SET_LEVEL:
        if side == 0:
            return Outcome.BAD_SIDE
        outcome = np.int64(_set_level_nb(book, ticks, slot))
        if outcome == Outcome.UNKNOWN_REFERENCE:
            tick["flags"] |= Flag.UNKNOWN_REFERENCE
        return outcome
    outcome = np.int64(Outcome.OK)
    for is_ask in range(np.int64(side < 0), 2 - np.int64(side > 0)):
        row_idx = 2 * np.int64(tick["instrument"]) + is_ask
        cleared = np.int64(_clear_row_nb(book, row_idx, ticks, slot))
        if cleared != Outcome.OK:
            outcome = cleared
    return outcome


@outline_kernel
def apply_part_nb(book: Book, ticks: NDArray[np.void], slot: int) -> int:
    """`apply_tick_nb` for a tick that is PART of a message or SETTLES it, and for one about price
    levels (a refused SET_LEVEL has taken away the level that it was to replace).

    With PART the best prices stay those before the message, in the book and in the tick.
    """
    tick = ticks[slot]
    instrument = np.int64(tick["instrument"])
    if instrument >= book.best.shape[0]:
        return Outcome.BAD_INSTRUMENT
    best = book.best[instrument]
    bid_price_e9, bid_qty = np.int64(best["bid_price_e9"]), np.int64(best["bid_qty"])
    ask_price_e9, ask_qty = np.int64(best["ask_price_e9"]), np.int64(best["ask_qty"])
    if tick["kind"] in (Kind.SET_LEVEL, Kind.CLEAR_LEVELS):
        outcome = np.int64(_apply_to_levels_nb(book, ticks, slot))
    else:
        outcome = np.int64(apply_tick_nb(book, ticks, slot))
    # An order is found by its reference alone.
    if tick["instrument"] == instrument:
        if tick["flags"] & Flag.PART:
            best["bid_price_e9"], best["bid_qty"] = bid_price_e9, bid_qty
            best["ask_price_e9"], best["ask_qty"] = ask_price_e9, ask_qty
            tick["flags"] &= ~np.int64(Flag.BBO_CHANGED)
        else:
            changed = update_best_nb(book, 2 * instrument)
            changed += update_best_nb(book, 2 * instrument + 1)
            if changed:
                tick["flags"] |= Flag.BBO_CHANGED
        show_best_nb(book, ticks, slot)
    return outcome
