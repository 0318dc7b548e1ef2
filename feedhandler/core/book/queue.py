"""What is asked for and not kept: where an order stands in the queue of its price, and the best
levels of a side.

A queue that is kept costs every message two more cache lines, of the order before and of the one
behind. Here an order carries the number of its arrival, and whoever asks pays for the search.
"""

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.book.kernels import (
    find_order_nb,
    key_of_level_nb,
    order_word_nb,
    price_step_nb,
)
from feedhandler.core.book.ladders import next_level_nb
from feedhandler.core.book.layout import (
    ARRIVALS,
    BOOK_TICK_E9,
    LEVEL_ORDERS_MASK,
    LEVEL_ORDERS_SHIFT,
    LEVEL_QTY_MASK,
    LOW_32_BITS,
    NO_LEVEL,
    OVERFLOW_LIVE,
    QTY_BITS,
    QTY_MASK,
    STEP_KEYS,
    Book,
)
from feedhandler.core.book.overflow import NOT_FOUND
from protocols.jit import kernel, outline_kernel


@kernel
def _age_nb(book: Book, slot: int) -> int:
    """How many orders have been entered since this one, itself included."""
    return (book.meta[ARRIVALS] - np.int64(book.stamps[slot])) & LOW_32_BITS


@outline_kernel
def queue_position_nb(book: Book, ref: int) -> tuple[int, int]:
    """(orders, quantity) that are ahead of a live order at its price; (-1, -1) for one that is not
    live.

    Searched among the slots outwards from its own, until every order of the level is found: 1.1 ns
    a slot (AMD EPYC), so 18 ms for all of 16.7 million. Exact as long as no order lives while
    2**32 others arrive.
    """
    own = find_order_nb(book, ref)
    if own == NOT_FOUND:
        return np.int64(-1), np.int64(-1)
    level_idx = order_word_nb(book, own) >> QTY_BITS
    own_age = _age_nb(book, own)
    unseen = book.levels[level_idx] >> LEVEL_ORDERS_SHIFT
    orders = np.int64(0)
    qty = np.int64(0)
    slots = book.order_mask + 1
    # Its own slot, then in turn one below and one above, each slot once; then the overflow cells.
    steps = slots + (book.overflow_mask + 1 if book.meta[OVERFLOW_LIVE] else 0)
    for i in range(steps):
        if unseen == 0:
            break
        offset = -((i + 1) >> 1) if i & 1 else i >> 1
        slot = (ref + offset) & book.order_mask if i < slots else i
        word = np.int64(book.orders[slot]["word"])
        if word >> QTY_BITS == level_idx and word != 0:
            unseen -= 1
            if _age_nb(book, slot) > own_age:
                orders += 1
                qty += word & QTY_MASK
    return orders, qty


@outline_kernel
def best_levels_nb(book: Book, side_idx: int, out: NDArray[np.int64]) -> int:
    """The best levels of a side, best first: rows of price in 1e-4, quantity, orders.

    Shapes:  out i64[n, 3].
    Returns: levels written, n at most.
    """
    side = book.sides[side_idx]
    top = np.int64(side["top"])
    fine = np.int64(side["top_fine"])
    for i in range(out.shape[0]):
        is_fine = fine != NO_LEVEL and (fine >> 32) > (top >> 32) * STEP_KEYS
        entry = fine if is_fine else top
        if entry == NO_LEVEL:
            return i
        level_idx = entry & LOW_32_BITS
        price_e9 = abs(key_of_level_nb(book, level_idx)) * price_step_nb(book, side_idx)
        out[i, 0] = price_e9 // BOOK_TICK_E9
        out[i, 1] = book.levels[level_idx] & LEVEL_QTY_MASK
        out[i, 2] = (book.levels[level_idx] >> LEVEL_ORDERS_SHIFT) & LEVEL_ORDERS_MASK
        if is_fine:
            fine = np.int64(next_level_nb(book, 2 * side_idx + 1, entry))
        else:
            top = np.int64(next_level_nb(book, 2 * side_idx, entry))
    return out.shape[0]


@outline_kernel
def depth_nb(book: Book, side_idx: int, count: int) -> tuple[int, int]:
    """Quantity of the best `count` levels of a side together, and the price of the last of them,
    1e-9; that is 0 where there are fewer.
    """
    side = book.sides[side_idx]
    top = np.int64(side["top"])
    fine = np.int64(side["top_fine"])
    qty = np.int64(0)
    level_idx = np.int64(0)
    for _ in range(count):
        is_fine = fine != NO_LEVEL and (fine >> 32) > (top >> 32) * STEP_KEYS
        entry = fine if is_fine else top
        if entry == NO_LEVEL:
            return qty, np.int64(0)
        level_idx = entry & LOW_32_BITS
        qty += book.levels[np.uint64(level_idx)] & LEVEL_QTY_MASK
        if is_fine:
            fine = np.int64(next_level_nb(book, 2 * side_idx + 1, entry))
        else:
            top = np.int64(next_level_nb(book, 2 * side_idx, entry))
    return qty, abs(key_of_level_nb(book, level_idx)) * price_step_nb(book, side_idx)
