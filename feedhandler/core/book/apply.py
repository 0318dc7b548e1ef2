"""Apply a tick to the books and complete it: what the message left unsaid, and the best prices
after it.
"""

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.book.kernels import (
    Outcome,
    add_order_nb,
    clear_levels_nb,
    find_order_nb,
    key_of_level_nb,
    order_word_nb,
    prefetch_level_nb,
    prefetch_order_nb,
    price_key_nb,
    price_step_nb,
    reduce_order_nb,
    replace_order_nb,
    set_level_nb,
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
from feedhandler.core.events import Clear, Flag, Kind
from protocols.jit import kernel, outline_kernel

_PLACE_MAX = 1 << 31


@kernel
def show_best_nb(book: Book, ticks: NDArray[np.void], slot: int) -> None:
    """Write the best prices of the instrument of ticks[slot] into it."""
    tick = ticks[slot]
    bid = book.sides[np.uint64(2 * np.int64(tick["instrument"]))]
    tick["bid_price_e9"] = bid["price_e9"]
    tick["bid_qty"] = bid["qty"]
    ask = book.sides[np.uint64(2 * np.int64(tick["instrument"]) + 1)]
    tick["ask_price_e9"] = ask["price_e9"]
    tick["ask_qty"] = ask["qty"]


@kernel
def _apply_add_nb(book: Book, ticks: NDArray[np.void], slot: int) -> int:
    tick = ticks[slot]
    if tick["side"] == 0:
        return Outcome.BAD_SIDE
    is_ask = np.int64(tick["side"] < 0)
    side_idx = 2 * np.int64(tick["instrument"]) + is_ask
    key = price_key_nb(np.int64(tick["price_e9"]), is_ask, price_step_nb(book, side_idx))
    if key > KEY_MAX:
        return Outcome.BAD_PRICE
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
        key = price_key_nb(np.int64(tick["price_e9"]), is_ask, price_step_nb(book, side_idx))
        if key > KEY_MAX:
            return Outcome.BAD_PRICE
        new_ref = np.int64(tick["aux"])
        outcome = replace_order_nb(book, order, new_ref, key, np.int64(tick["qty"]))
    else:
        if kind != Kind.EXECUTE_AT_PRICE:
            resting_key = abs(key_of_level_nb(book, level_idx))
            tick["price_e9"] = resting_key * price_step_nb(book, side_idx)
        if kind == Kind.DELETE:
            tick["qty"] = word & QTY_MASK
        outcome = reduce_order_nb(book, order, np.int64(tick["qty"]))
    if update_best_nb(book, side_idx):
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
    elif 2 * np.int64(tick["instrument"]) >= book.sides.shape[0]:
        return Outcome.BAD_INSTRUMENT
    elif kind == Kind.ADD:
        outcome = _apply_add_nb(book, ticks, slot)
    show_best_nb(book, ticks, slot)
    return outcome


@kernel
def _clear_side_nb(book: Book, side_idx: int, ticks: NDArray[np.void], slot: int) -> int:
    """CLEAR_LEVELS for one side; returns an Outcome."""
    tick = ticks[slot]
    mode, place = np.int64(tick["status"]), np.int64(tick["aux"])
    first, last = np.int64(1), np.int64(_PLACE_MAX)
    key_min, key_max = np.int64(-KEY_MAX), np.int64(KEY_MAX)
    if mode in (Clear.THROUGH_PRICE, Clear.FROM_PRICE):
        step_e9 = price_step_nb(book, side_idx)
        key = price_key_nb(np.int64(tick["price_e9"]), side_idx & 1, step_e9)
        if key > KEY_MAX:
            return Outcome.BAD_PRICE
        if mode == Clear.THROUGH_PRICE:
            key_min = key
        else:
            key_max = key
    elif mode != Clear.ALL:
        if place < 1:
            return Outcome.BAD_PRICE
        if mode != Clear.THROUGH_PLACE:
            first = place
        if mode != Clear.FROM_PLACE:
            last = place
    clear_levels_nb(book, side_idx, first, last, key_min, key_max)
    return Outcome.OK


@kernel
def _set_level_nb(book: Book, ticks: NDArray[np.void], slot: int) -> int:
    """SET_LEVEL; returns an Outcome."""
    tick = ticks[slot]
    is_ask = np.int64(tick["side"] < 0)
    side_idx = 2 * np.int64(tick["instrument"]) + is_ask
    key = price_key_nb(np.int64(tick["price_e9"]), is_ask, price_step_nb(book, side_idx))
    if key > KEY_MAX:
        return Outcome.BAD_PRICE
    place = np.int64(tick["status"])
    # The level in its place goes, unless that is the very one.
    if place > 0 and clear_levels_nb(book, side_idx, place, place, key + 1, KEY_MAX) == 0:
        clear_levels_nb(book, side_idx, place, place, -KEY_MAX, key - 1)
    return set_level_nb(book, side_idx, key, np.int64(tick["qty"]), np.int64(tick["aux"]))


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
        side_idx = 2 * np.int64(tick["instrument"]) + is_ask
        cleared = np.int64(_clear_side_nb(book, side_idx, ticks, slot))
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
    if 2 * instrument >= book.sides.shape[0]:
        return np.int64(Outcome.BAD_INSTRUMENT)
    bid, ask = book.sides[2 * instrument], book.sides[2 * instrument + 1]
    bid_price_e9, bid_qty = np.int64(bid["price_e9"]), np.int64(bid["qty"])
    ask_price_e9, ask_qty = np.int64(ask["price_e9"]), np.int64(ask["qty"])
    if tick["kind"] in (Kind.SET_LEVEL, Kind.CLEAR_LEVELS):
        outcome = np.int64(_apply_to_levels_nb(book, ticks, slot))
    else:
        outcome = np.int64(apply_tick_nb(book, ticks, slot))
    # An order is found by its reference alone.
    if tick["instrument"] == instrument:
        if tick["flags"] & Flag.PART:
            bid["price_e9"], bid["qty"] = bid_price_e9, bid_qty
            ask["price_e9"], ask["qty"] = ask_price_e9, ask_qty
            tick["flags"] &= ~np.int64(Flag.BBO_CHANGED)
        else:
            changed = update_best_nb(book, 2 * instrument)
            changed += update_best_nb(book, 2 * instrument + 1)
            if changed:
                tick["flags"] |= Flag.BBO_CHANGED
        show_best_nb(book, ticks, slot)
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
