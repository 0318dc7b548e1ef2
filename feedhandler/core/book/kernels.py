"""Operations on the books: add, reduce, delete, replace an order; best prices after each; reset.

Every operation is O(1) but for the place of a new price level, which is searched from the best
price outwards. The rules for messages that contradict the book (unknown or double references, more
taken than there is) are those of the slow twin, `tests/reference/slow_book.py`.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.book.layout import (
    ARENA_NEXT,
    BOOK_TICK_E9,
    DIRECTORY_HIGH,
    KEY_MAX,
    LEVELS_FREE,
    ORDERS_LIVE,
    OVERFLOW_LIVE,
    PAGE_BITS,
    PAGE_ORDERS,
    PAGES_FREE,
    QTY_BITS,
    QTY_MASK,
    ROW_CLASSES,
    SMALLEST_ROW,
    Book,
)
from protocols.jit import kernel

_NEAR_LEVELS = 8
_HASH_MULTIPLIER = 0x1E3779B9
_LOW_31_BITS = 0x7FFFFFFF
NOT_FOUND = -1


class Outcome(IntEnum):
    """What an operation did; only OK, OVERFILL and a replacement's CAPACITY changed the book."""

    OK = 0
    UNKNOWN_REFERENCE = 1
    DUPLICATE_REFERENCE = 2
    OVERFILL = 3
    BAD_PRICE = 4
    BAD_QTY = 5
    BAD_INSTRUMENT = 6
    CAPACITY = 7
    BAD_SIDE = 8
    MIXED = 9
    """A statement about a level that is made up of orders."""


@kernel
def _overflow_home_nb(book: Book, ref: int) -> int:
    # 31 bits times 29 bits: the product stays positive and never wraps.
    folded = (ref ^ (ref >> 32)) & _LOW_31_BITS
    return ((folded * _HASH_MULTIPLIER) >> 28) & (book.overflow_refs.shape[0] - 1)


@kernel
def _overflow_find_nb(book: Book, ref: int) -> int:
    mask = book.overflow_refs.shape[0] - 1
    at = _overflow_home_nb(book, ref)
    # `_new_order_slot_nb` always leaves an empty cell, so the search ends.
    while book.overflow_words[at] != 0:
        if book.overflow_refs[at] == ref:
            return -2 - at
        at = (at + 1) & mask
    return NOT_FOUND


@kernel
def find_order_nb(book: Book, ref: int) -> int:
    """Slot of a live order: >= 0 in a page, <= -2 in the overflow hash, NOT_FOUND otherwise."""
    part = ref >> PAGE_BITS
    if 0 <= part < book.directory.shape[0]:
        page = book.directory[part] - 1
        if page >= 0:
            slot = (np.int64(page) << PAGE_BITS) | (ref & (PAGE_ORDERS - 1))
            if book.words[slot] != 0:
                return slot
            return NOT_FOUND if book.meta[OVERFLOW_LIVE] == 0 else _overflow_find_nb(book, ref)
    if book.meta[OVERFLOW_LIVE] == 0:
        return NOT_FOUND
    return _overflow_find_nb(book, ref)


@kernel
def order_word_nb(book: Book, slot: int) -> int:
    """The word of a slot that `find_order_nb` gave."""
    return book.words[slot] if slot >= 0 else book.overflow_words[-2 - slot]


@kernel
def _set_order_word_nb(book: Book, slot: int, word: int) -> None:
    if slot >= 0:
        book.words[slot] = word
    else:
        book.overflow_words[-2 - slot] = word


@kernel
def _new_order_slot_nb(book: Book, ref: int) -> int:
    """A slot for a reference that is not live, or NOT_FOUND when pages and overflow are full."""
    part = ref >> PAGE_BITS
    if 0 <= part < book.directory.shape[0]:
        page = np.int64(book.directory[part]) - 1
        if page < 0 and book.meta[PAGES_FREE] > 0:
            book.meta[PAGES_FREE] -= 1
            page = np.int64(book.free_pages[book.meta[PAGES_FREE]])
            book.directory[part] = page + 1
            book.meta[DIRECTORY_HIGH] = max(book.meta[DIRECTORY_HIGH], part + 1)
        if page >= 0:
            book.page_live[page] += 1
            return (page << PAGE_BITS) | (ref & (PAGE_ORDERS - 1))
    mask = book.overflow_refs.shape[0] - 1
    if book.meta[OVERFLOW_LIVE] >= mask - (mask >> 2):
        return NOT_FOUND
    book.meta[OVERFLOW_LIVE] += 1
    at = _overflow_home_nb(book, ref)
    while book.overflow_words[at] != 0:
        at = (at + 1) & mask
    book.overflow_refs[at] = ref
    return -2 - at


@kernel
def _free_order_slot_nb(book: Book, slot: int, ref: int) -> None:
    if slot >= 0:
        book.words[slot] = 0
        page = slot >> PAGE_BITS
        book.page_live[page] -= 1
        if book.page_live[page] == 0:
            book.directory[ref >> PAGE_BITS] = 0
            book.free_pages[book.meta[PAGES_FREE]] = page
            book.meta[PAGES_FREE] += 1
        return
    # Linear probing without tombstones: pull back every later entry of the run that may move.
    mask = book.overflow_refs.shape[0] - 1
    hole = -2 - slot
    at = (hole + 1) & mask
    while book.overflow_words[at] != 0:
        home = _overflow_home_nb(book, book.overflow_refs[at])
        if ((at - home) & mask) >= ((at - hole) & mask):
            book.overflow_refs[hole] = book.overflow_refs[at]
            book.overflow_words[hole] = book.overflow_words[at]
            hole = at
        at = (at + 1) & mask
    book.overflow_words[hole] = 0
    book.meta[OVERFLOW_LIVE] -= 1


@kernel
def _position_nb(keys: NDArray[np.int32], offset: int, count: int, key: int) -> int:
    """How many of the ascending keys[offset : offset + count] are below `key`; near the back
    first.
    """
    low = 0
    high = count
    for _ in range(_NEAR_LEVELS):
        if high == 0 or keys[offset + high - 1] < key:
            return high
        high -= 1
    while low < high:
        middle = (low + high) >> 1
        if keys[offset + middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def _take_row_nb(book: Book, size_class: int) -> int:
    """Offset of a free stretch of SMALLEST_ROW << size_class cells, or NOT_FOUND."""
    if size_class >= ROW_CLASSES:
        return NOT_FOUND
    offset = np.int64(book.free_rows[size_class])
    if offset >= 0:
        book.free_rows[size_class] = book.keys[offset]
        return offset
    offset = book.meta[ARENA_NEXT]
    if offset + (SMALLEST_ROW << size_class) > book.keys.shape[0]:
        return NOT_FOUND
    book.meta[ARENA_NEXT] = offset + (SMALLEST_ROW << size_class)
    return offset


@kernel
def _grow_row_nb(book: Book, row_idx: int) -> int:
    """Move a full row to a stretch of twice the size; 0 when the arena is full."""
    row = book.rows[row_idx]
    old_class = np.int64(row["size_class"])
    offset = _take_row_nb(book, old_class + 1)
    if offset < 0:
        return 0
    old = np.int64(row["offset"])
    for i in range(row["count"]):
        book.keys[offset + i] = book.keys[old + i]
        book.handles[offset + i] = book.handles[old + i]
    if old_class >= 0:
        book.keys[old] = book.free_rows[old_class]
        book.free_rows[old_class] = old
    row["offset"] = offset
    row["size_class"] = old_class + 1
    return 1


@kernel
def _level_of_nb(book: Book, row_idx: int, key: int) -> int:
    """Handle of the level with this key, made when there is none; NOT_FOUND when there is no memory
    for it.
    """
    row = book.rows[row_idx]
    count = np.int64(row["count"])
    offset = np.int64(row["offset"])
    position = _position_nb(book.keys, offset, count, key)
    if position < count and book.keys[offset + position] == key:
        return np.int64(book.handles[offset + position])
    if book.meta[LEVELS_FREE] == 0:
        return NOT_FOUND
    size_class = np.int64(row["size_class"])
    if size_class < 0 or count == SMALLEST_ROW << size_class:
        if _grow_row_nb(book, row_idx) == 0:
            return NOT_FOUND
        offset = np.int64(row["offset"])
    book.meta[LEVELS_FREE] -= 1
    handle = np.int64(book.free_levels[book.meta[LEVELS_FREE]])
    level = book.levels[handle]
    level["qty"] = 0
    level["orders"] = 0
    level["stated_orders"] = 0
    level["key"] = key
    level["row"] = row_idx
    for i in range(count, position, -1):
        book.keys[offset + i] = book.keys[offset + i - 1]
        book.handles[offset + i] = book.handles[offset + i - 1]
    book.keys[offset + position] = key
    book.handles[offset + position] = handle
    row["count"] = count + 1
    return handle


@kernel
def _drop_level_nb(book: Book, handle: int) -> None:
    level = book.levels[handle]
    row = book.rows[level["row"]]
    count = np.int64(row["count"])
    offset = np.int64(row["offset"])
    position = _position_nb(book.keys, offset, count, np.int64(level["key"]))
    for i in range(position, count - 1):
        book.keys[offset + i] = book.keys[offset + i + 1]
        book.handles[offset + i] = book.handles[offset + i + 1]
    row["count"] = count - 1
    book.free_levels[book.meta[LEVELS_FREE]] = handle
    book.meta[LEVELS_FREE] += 1


@kernel
def _take_from_level_nb(book: Book, handle: int, qty: int, orders: int) -> None:
    level = book.levels[handle]
    level["qty"] -= qty
    level["orders"] -= orders
    if level["orders"] == 0:
        _drop_level_nb(book, handle)


@kernel
def add_order_nb(book: Book, row_idx: int, key: int, ref: int, qty: int) -> int:
    """Enter an order at the back of its level. row_idx = 2 * instrument + (0 bid, 1 ask); returns
    an Outcome.
    """
    if qty <= 0 or qty > QTY_MASK:
        return Outcome.BAD_QTY
    if find_order_nb(book, ref) != NOT_FOUND:
        return Outcome.DUPLICATE_REFERENCE
    handle = _level_of_nb(book, row_idx, key)
    if handle < 0:
        return Outcome.CAPACITY
    slot = _new_order_slot_nb(book, ref)
    if slot == NOT_FOUND:
        if book.levels[handle]["qty"] == 0:
            _drop_level_nb(book, handle)
        return Outcome.CAPACITY
    _set_order_word_nb(book, slot, ((handle + 1) << QTY_BITS) | qty)
    level = book.levels[handle]
    level["qty"] += qty
    level["orders"] += 1
    book.meta[ORDERS_LIVE] += 1
    return Outcome.OK


@kernel
def remove_order_nb(book: Book, slot: int, ref: int) -> None:
    """Take a live order out of the book."""
    word = order_word_nb(book, slot)
    _take_from_level_nb(book, (word >> QTY_BITS) - 1, word & QTY_MASK, 1)
    _free_order_slot_nb(book, slot, ref)
    book.meta[ORDERS_LIVE] -= 1


@kernel
def reduce_order_nb(book: Book, slot: int, ref: int, qty: int) -> int:
    """Take `qty` from a live order, and the order from the book when nothing is left; returns an
    Outcome.
    """
    word = order_word_nb(book, slot)
    left = (word & QTY_MASK) - qty
    if left <= 0:
        remove_order_nb(book, slot, ref)
        return Outcome.OVERFILL if left < 0 else Outcome.OK
    _take_from_level_nb(book, (word >> QTY_BITS) - 1, qty, 0)
    _set_order_word_nb(book, slot, word - qty)
    return Outcome.OK


@kernel
def replace_order_nb(book: Book, slot: int, ref: int, new_ref: int, key: int, qty: int) -> int:
    """Remove an order and enter its successor, same side, at the back of the new price; returns an
    Outcome.

    A successor whose reference is already live makes the whole message void, as does a quantity of
    0. With CAPACITY the old order is gone, as it is at the venue, and the new one is missing.
    """
    if qty <= 0 or qty > QTY_MASK:
        return Outcome.BAD_QTY
    if new_ref != ref and find_order_nb(book, new_ref) != NOT_FOUND:
        return Outcome.DUPLICATE_REFERENCE
    row_idx = np.int64(book.levels[(order_word_nb(book, slot) >> QTY_BITS) - 1]["row"])
    remove_order_nb(book, slot, ref)
    return add_order_nb(book, row_idx, key, new_ref, qty)


@kernel
def update_best_nb(book: Book, row_idx: int) -> int:
    """Bring the best price and quantity of one side up to date; 1 when either changed."""
    row = book.rows[row_idx]
    count = np.int64(row["count"])
    price_e9 = np.int64(0)
    qty = np.int64(0)
    if count > 0:
        last = np.int64(row["offset"]) + count - 1
        price_e9 = np.int64(book.keys[last]) * np.int64(row["step_e9"])
        qty = np.int64(book.levels[book.handles[last]]["qty"])
    best = book.best[row_idx >> 1]
    if row_idx & 1:
        if best["ask_price_e9"] == -price_e9 and best["ask_qty"] == qty:
            return 0
        best["ask_price_e9"] = -price_e9
        best["ask_qty"] = qty
    else:
        if best["bid_price_e9"] == price_e9 and best["bid_qty"] == qty:
            return 0
        best["bid_price_e9"] = price_e9
        best["bid_qty"] = qty
    return 1


@kernel
def price_step_nb(book: Book, row_idx: int) -> int:
    """Price step of a row, 1e-9 of the currency."""
    return np.int64(book.rows[np.uint64(row_idx)]["step_e9"])


@kernel
def price_key_nb(price_e9: int, is_ask: int, step_e9: int) -> int:
    """Key of a price in a row of this step, or KEY_MAX + 1 when it is negative, too high, or finer
    than the step.
    """
    # By a constant the compiler divides without a division.
    price = price_e9 // BOOK_TICK_E9 if step_e9 == BOOK_TICK_E9 else price_e9 // step_e9
    if price_e9 < 0 or price > KEY_MAX or price * step_e9 != price_e9:
        return KEY_MAX + 1
    return -price if is_ask else price


@kernel
def find_level_nb(book: Book, row_idx: int, key: int) -> int:
    """Handle of the level with this key, or NOT_FOUND."""
    row = book.rows[row_idx]
    count = np.int64(row["count"])
    offset = np.int64(row["offset"])
    position = _position_nb(book.keys, offset, count, key)
    if position < count and book.keys[offset + position] == key:
        return np.int64(book.handles[offset + position])
    return NOT_FOUND


@kernel
def set_level_nb(book: Book, row_idx: int, key: int, qty: int, orders: int) -> int:
    """State that a level holds `qty` in `orders` orders, or, with neither, that it is gone; returns
    an Outcome: UNKNOWN_REFERENCE when it was not there, MIXED when orders of the book make it up.
    """
    if qty < 0 or qty > QTY_MASK or orders < (qty > 0) or orders > KEY_MAX:
        return Outcome.BAD_QTY
    handle = find_level_nb(book, row_idx, key)
    if handle >= 0 and book.levels[handle]["orders"] > 0:
        return Outcome.MIXED
    if qty == 0:
        if handle < 0:
            return Outcome.UNKNOWN_REFERENCE
        _drop_level_nb(book, handle)
        return Outcome.OK
    handle = _level_of_nb(book, row_idx, key)
    if handle < 0:
        return Outcome.CAPACITY
    level = book.levels[handle]
    level["qty"] = qty
    level["stated_orders"] = orders
    return Outcome.OK


@kernel
def clear_levels_nb(book: Book, row_idx: int, first: int, stop: int) -> None:
    """Take away the stated levels in the places first to stop - 1 of a row, the best is the last of
    all; those that orders make up stay.
    """
    row = book.rows[row_idx]
    offset = np.int64(row["offset"])
    kept = np.int64(first)
    for position in range(first, np.int64(row["count"])):
        handle = np.int64(book.handles[offset + position])
        if position < stop and book.levels[handle]["orders"] == 0:
            book.free_levels[book.meta[LEVELS_FREE]] = handle
            book.meta[LEVELS_FREE] += 1
        else:
            book.keys[offset + kept] = book.keys[offset + position]
            book.handles[offset + kept] = handle
            kept += 1
    row["count"] = kept


@kernel
def places_from_price_nb(book: Book, row_idx: int, key: int) -> int:
    """How many levels of a row are worse than `key`, which is the place of its level if there is
    one.
    """
    row = book.rows[row_idx]
    return _position_nb(book.keys, np.int64(row["offset"]), np.int64(row["count"]), key)


@kernel
def reset_book_nb(book: Book) -> None:
    """Empty every book, as before the first message; price steps stay."""
    book.directory[: book.meta[DIRECTORY_HIGH]] = 0
    for page in range(book.page_live.shape[0]):
        if book.page_live[page] > 0:
            book.words[page << PAGE_BITS : (page + 1) << PAGE_BITS] = 0
            book.page_live[page] = 0
        book.free_pages[page] = book.page_live.shape[0] - 1 - page
    book.overflow_words[:] = 0
    for handle in range(book.free_levels.shape[0]):
        book.free_levels[handle] = book.free_levels.shape[0] - 1 - handle
    book.free_rows[:] = -1
    for row_idx in range(book.rows.shape[0]):
        row = book.rows[row_idx]
        row["offset"] = 0
        row["count"] = 0
        row["size_class"] = -1
    for instrument in range(book.best.shape[0]):
        best = book.best[instrument]
        best["bid_price_e9"] = 0
        best["bid_qty"] = 0
        best["ask_price_e9"] = 0
        best["ask_qty"] = 0
    book.meta[:] = 0
    book.meta[LEVELS_FREE] = book.free_levels.shape[0]
    book.meta[PAGES_FREE] = book.free_pages.shape[0]
