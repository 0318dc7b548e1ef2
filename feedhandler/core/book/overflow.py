"""Orders whose slot another live order has: a hash with linear probing, without tombstones, in the
cells behind the slots.
"""

import numpy as np

from feedhandler.core.book.layout import OVERFLOW_LIVE, Book
from protocols.jit import kernel, outline_kernel

NOT_FOUND = -1
DUPLICATE = -2

_HASH_MULTIPLIER = 0x1E3779B9
_LOW_31_BITS = 0x7FFFFFFF


@kernel
def _home_nb(book: Book, ref: int) -> int:
    """Cell, counted from the first, where the search for a reference begins."""
    # 31 bits times 29 bits: the product stays positive and never wraps.
    folded = (ref ^ (ref >> 32)) & _LOW_31_BITS
    return ((folded * _HASH_MULTIPLIER) >> 28) & book.overflow_mask


@outline_kernel
def overflow_find_nb(book: Book, ref: int) -> int:
    """Slot of a live order among the overflow cells, or NOT_FOUND."""
    first = book.order_mask + 1
    at = _home_nb(book, ref)
    # `crowded_slot_nb` always leaves an empty cell, so the search ends.
    while book.orders[first + at]["word"] != 0:
        if book.orders[first + at]["ref"] == ref:
            return first + at
        at = (at + 1) & book.overflow_mask
    return np.int64(NOT_FOUND)


@outline_kernel
def crowded_slot_nb(book: Book, ref: int) -> int:
    """Where to put a new order when its slot is taken or some order is in the overflow: a slot,
    DUPLICATE when the reference is live, NOT_FOUND when the overflow is full. Nothing is taken yet.
    """
    slot = ref & book.order_mask
    order = book.orders[slot]
    is_taken = order["word"] != 0
    if is_taken and order["ref"] == ref:
        return np.int64(DUPLICATE)
    live = book.meta[OVERFLOW_LIVE]
    if live > 0 and overflow_find_nb(book, ref) >= 0:
        return np.int64(DUPLICATE)
    if not is_taken:
        return slot
    # A quarter stays empty: runs stay short, and one cell at least ends every search.
    if live >= book.overflow_mask - (book.overflow_mask >> 2):
        return np.int64(NOT_FOUND)
    first = book.order_mask + 1
    at = _home_nb(book, ref)
    while book.orders[first + at]["word"] != 0:
        at = (at + 1) & book.overflow_mask
    return first + at


@outline_kernel
def close_overflow_gap_nb(book: Book, slot: int) -> None:
    """The order in this overflow cell is gone: pull back every later one of the run that may move,
    so that no search ends too early.
    """
    mask = book.overflow_mask
    first = book.order_mask + 1
    hole = slot - first
    at = (hole + 1) & mask
    while book.orders[first + at]["word"] != 0:
        order = book.orders[first + at]
        home = _home_nb(book, np.int64(order["ref"]))
        if ((at - home) & mask) >= ((at - hole) & mask):
            moved = book.orders[first + hole]
            moved["ref"] = order["ref"]
            moved["word"] = order["word"]
            book.stamps[first + hole] = book.stamps[first + at]
            hole = at
        at = (at + 1) & mask
    book.orders[first + hole]["word"] = 0
    book.meta[OVERFLOW_LIVE] -= 1
