"""Operations on the books: add, reduce, delete, replace an order; best prices after each; queue
position; reset.

Every operation takes the same few steps whatever the depth of the book. The rules for messages
that contradict the book (unknown or double references, more taken than there is) are those of the
slow twin, `tests/reference/slow_book.py`.
"""

from enum import IntEnum

import numpy as np

from feedhandler.core.book.ladders import (
    NO_BLOCK,
    drop_block_nb,
    far_block_nb,
    level_below_nb,
    near_place_nb,
    place_of_number_nb,
    top_of_ladder_nb,
)
from feedhandler.core.book.layout import (
    ARRIVALS,
    BLOCK_BITS,
    BLOCK_LEVELS,
    BLOCKS_FREE,
    BOOK_TICK_E9,
    KEY_MAX,
    LEVEL_ORDERS_MASK,
    LEVEL_ORDERS_SHIFT,
    LEVEL_QTY_MASK,
    LEVEL_STATED,
    LEVEL_TOO_FULL,
    LOW_32_BITS,
    NEAR_BITS,
    NO_LEVEL,
    NUMBER_BIAS,
    ONE_ORDER,
    ORDERS_LIVE,
    OVERFLOW_LIVE,
    QTY_BITS,
    QTY_MASK,
    STEP_KEYS,
    STEPS_SET,
    Book,
)
from feedhandler.core.book.overflow import (
    DUPLICATE,
    NOT_FOUND,
    close_overflow_gap_nb,
    crowded_slot_nb,
    overflow_find_nb,
)
from protocols.jit import kernel, outline_kernel
from protocols.vectors import prefetch

_STEP_SHIFT = 37
_STEP_RECIPROCAL = (1 << _STEP_SHIFT) // STEP_KEYS + 1
_HALF_STEP = 1 << (_STEP_SHIFT - 1)
"""The error is below 2**-6 of a step for any key, and the product fits a signed word."""


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
    """An order at a level that the feed states, or a statement about one that orders make up."""


# Indices are unsigned where it counts: a signed one is tested for being below zero, each time.


@kernel
def find_order_nb(book: Book, ref: int) -> int:
    """Slot of a live order, or NOT_FOUND."""
    slot = ref & book.order_mask
    order = book.orders[np.uint64(slot)]
    if order["word"] != 0 and order["ref"] == ref:
        return slot
    if book.meta[OVERFLOW_LIVE] == 0:
        return np.int64(NOT_FOUND)
    return np.int64(overflow_find_nb(book, ref))


@kernel
def order_word_nb(book: Book, slot: int) -> int:
    """The word of a slot that `find_order_nb` gave: level << QTY_BITS | quantity."""
    return np.int64(book.orders[np.uint64(slot)]["word"])


@kernel
def side_of_level_nb(book: Book, level_idx: int) -> int:
    """2 * instrument + (0 bid, 1 ask) of a level in use."""
    return np.int64(book.blocks[np.uint64(level_idx >> BLOCK_BITS)]["ladder"]) >> 1


@kernel
def key_of_level_nb(book: Book, level_idx: int) -> int:
    """Key of a level in use: its price in steps of its book, negative for asks."""
    block = book.blocks[np.uint64(level_idx >> BLOCK_BITS)]
    number = np.int64(block["number"]) - NUMBER_BIAS
    step = (number << BLOCK_BITS) + (level_idx & (BLOCK_LEVELS - 1))
    return step if block["ladder"] & 1 else step * STEP_KEYS


@kernel
def steps_nb(key: int) -> int:
    """key / STEP_KEYS, rounded to the nearest: exact where there is no remainder, and one
    multiplication where a division is several instructions.
    """
    return (key * _STEP_RECIPROCAL + _HALF_STEP) >> _STEP_SHIFT


@kernel
def _put_order_nb(book: Book, slot: int, ref: int, word: int) -> None:
    order = book.orders[np.uint64(slot)]
    order["ref"] = ref
    order["word"] = word
    book.stamps[np.uint64(slot)] = book.meta[ARRIVALS] & LOW_32_BITS
    book.meta[ARRIVALS] += 1
    book.meta[ORDERS_LIVE] += 1
    if slot > book.order_mask:
        book.meta[OVERFLOW_LIVE] += 1


@kernel
def _block_nb(book: Book, side_idx: int, is_fine: int, number: int) -> int:
    """The block of this number, made when there is none; NO_BLOCK when there is no memory."""
    entry = book.near[np.uint64(near_place_nb(book, side_idx, is_fine, number))]
    if entry >> 32 != number:
        return np.int64(far_block_nb(book, 2 * side_idx + is_fine, number))
    return entry & LOW_32_BITS


@kernel
def _fill_level_nb(
    book: Book, side_idx: int, is_fine: int, step: int, level_idx: int, level: int
) -> None:
    """Write the word of a level that is in use from now on, if it was not, and may be the best."""
    book.levels[np.uint64(level_idx)] = level
    block = book.blocks[np.uint64(level_idx >> BLOCK_BITS)]
    block["used"] |= np.int64(1) << (step & (BLOCK_LEVELS - 1))
    side = book.sides[np.uint64(side_idx)]
    top = (step << 32) | level_idx
    if is_fine:
        side["top_fine"] = max(np.int64(side["top_fine"]), top)
    else:
        side["top"] = max(np.int64(side["top"]), top)


@kernel
def _enter_nb(book: Book, side_idx: int, key: int, slot: int, ref: int, qty: int) -> int:
    """Put a new order into a slot and on the level of its key; OK or CAPACITY."""
    step = steps_nb(key)
    is_fine = np.int64(step * STEP_KEYS != key)
    step = key if is_fine else step
    block_idx = np.int64(_block_nb(book, side_idx, is_fine, (step >> BLOCK_BITS) + NUMBER_BIAS))
    if block_idx == NO_BLOCK:
        return Outcome.CAPACITY
    level_idx = (block_idx << BLOCK_BITS) | (step & (BLOCK_LEVELS - 1))
    level = book.levels[np.uint64(level_idx)] + ONE_ORDER + qty
    # Never so in a new block, whose levels are all empty.
    if level & LEVEL_TOO_FULL:
        return Outcome.MIXED if level < 0 else Outcome.CAPACITY
    _put_order_nb(book, slot, ref, (level_idx << QTY_BITS) | qty)
    _fill_level_nb(book, side_idx, is_fine, step, level_idx, level)
    return Outcome.OK


@kernel
def add_order_nb(book: Book, side_idx: int, key: int, ref: int, qty: int) -> int:
    """Enter an order at the back of its level. side_idx = 2 * instrument + (0 bid, 1 ask); returns
    an Outcome.
    """
    if qty <= 0 or qty > QTY_MASK:
        return Outcome.BAD_QTY
    slot = ref & book.order_mask
    if book.orders[np.uint64(slot)]["word"] != 0 or book.meta[OVERFLOW_LIVE] != 0:
        slot = np.int64(crowded_slot_nb(book, ref))
        if slot < 0:
            return Outcome.DUPLICATE_REFERENCE if slot == DUPLICATE else Outcome.CAPACITY
    return _enter_nb(book, side_idx, key, slot, ref, qty)


@kernel
def _leave_level_nb(book: Book, level_idx: int) -> None:
    """A level became empty: its bit goes, its block when it was the last one, and the best level of
    the ladder is looked for when it was that.
    """
    block_idx = level_idx >> BLOCK_BITS
    block = book.blocks[np.uint64(block_idx)]
    used = np.int64(block["used"]) & ~(np.int64(1) << (level_idx & (BLOCK_LEVELS - 1)))
    block["used"] = used
    ladder_idx = np.int64(block["ladder"])
    if used == 0:
        drop_block_nb(book, block_idx)
    side = book.sides[np.uint64(ladder_idx >> 1)]
    if ladder_idx & 1:
        if np.int64(side["top_fine"]) & LOW_32_BITS == level_idx:
            side["top_fine"] = top_of_ladder_nb(book, ladder_idx)
    elif np.int64(side["top"]) & LOW_32_BITS == level_idx:
        side["top"] = top_of_ladder_nb(book, ladder_idx)


@kernel
def _take_nb(book: Book, slot: int, qty: int) -> None:
    """Take up to `qty` from a live order, and the order from the book when nothing is left."""
    order = book.orders[np.uint64(slot)]
    word = np.int64(order["word"])
    resting = word & QTY_MASK
    taken = min(qty, resting)
    is_gone = np.int64(taken == resting)
    order["word"] = np.int64(0) if is_gone else word - taken
    level_idx = word >> QTY_BITS
    level = book.levels[np.uint64(level_idx)] - taken - is_gone * ONE_ORDER
    book.levels[np.uint64(level_idx)] = level
    book.meta[ORDERS_LIVE] -= is_gone
    if level == 0:
        _leave_level_nb(book, level_idx)
    if slot > book.order_mask and is_gone:
        close_overflow_gap_nb(book, slot)


@kernel
def remove_order_nb(book: Book, slot: int) -> None:
    """Take a live order out of the book."""
    _take_nb(book, slot, np.int64(QTY_MASK))


@kernel
def reduce_order_nb(book: Book, slot: int, qty: int) -> int:
    """Take `qty` from a live order, and the order from the book when nothing is left; returns an
    Outcome.
    """
    resting = order_word_nb(book, slot) & QTY_MASK
    _take_nb(book, slot, qty)
    return Outcome.OVERFILL if qty > resting else Outcome.OK


@kernel
def replace_order_nb(book: Book, slot: int, new_ref: int, key: int, qty: int) -> int:
    """Remove an order and enter its successor, same side, at the back of the new price; returns an
    Outcome.

    A successor whose reference is already live makes the whole message void, as does a quantity of
    0. With CAPACITY the old order is gone, as it is at the venue, and the new one is missing.
    """
    if qty <= 0 or qty > QTY_MASK:
        return Outcome.BAD_QTY
    found = find_order_nb(book, new_ref)
    if found != NOT_FOUND and found != slot:
        return Outcome.DUPLICATE_REFERENCE
    side_idx = side_of_level_nb(book, order_word_nb(book, slot) >> QTY_BITS)
    remove_order_nb(book, slot)
    return add_order_nb(book, side_idx, key, new_ref, qty)


@kernel
def update_best_nb(book: Book, side_idx: int) -> int:
    """Bring the best price and quantity of one side up to date; 1 when either changed."""
    side = book.sides[np.uint64(side_idx)]
    top = np.int64(side["top"])
    key = (top >> 32) * STEP_KEYS
    fine = np.int64(side["top_fine"])
    # Also when both are empty: either names the empty level 0.
    if (fine >> 32) > key:
        top = fine
        key = fine >> 32
    qty = book.levels[np.uint64(top & LOW_32_BITS)] & LEVEL_QTY_MASK
    price_e9 = (-key if side_idx & 1 else key) * price_step_nb(book, side_idx)
    if qty == 0:
        price_e9 = np.int64(0)
    is_changed = int(side["price_e9"] != price_e9) | int(side["qty"] != qty)
    side["price_e9"] = price_e9
    side["qty"] = qty
    return is_changed


@kernel
def price_step_nb(book: Book, side_idx: int) -> int:
    """Price step of a side, 1e-9 of the currency."""
    if book.meta[STEPS_SET] == 0:
        return np.int64(BOOK_TICK_E9)
    return np.int64(book.ladders[np.uint64(2 * side_idx)]["step_e9"])


@kernel
def price_key_nb(price_e9: int, is_ask: int, step_e9: int) -> int:
    """Key of a price in a book of this step, or KEY_MAX + 1 when it is negative, too high, or finer
    than the step.
    """
    # By a constant the compiler divides without a division.
    price = price_e9 // BOOK_TICK_E9 if step_e9 == BOOK_TICK_E9 else price_e9 // step_e9
    if price_e9 < 0 or price > KEY_MAX or price * step_e9 != price_e9:
        return KEY_MAX + 1
    return -price if is_ask else price


@kernel
def _level_at_nb(book: Book, side_idx: int, key: int) -> int:
    """The level of a key, in use or not; -1 when not even its block is there."""
    step = steps_nb(key)
    is_fine = np.int64(step * STEP_KEYS != key)
    step = key if is_fine else step
    number = (step >> BLOCK_BITS) + NUMBER_BIAS
    entry = book.near[np.uint64(near_place_nb(book, side_idx, is_fine, number))]
    if entry >> 32 != number:
        ladder_idx = 2 * side_idx + is_fine
        ladder = book.ladders[ladder_idx]
        place = place_of_number_nb(book, ladder_idx, number)
        if place == ladder["count"]:
            return np.int64(-1)
        entry = book.arena[np.int64(ladder["offset"]) + place]
        if entry >> 32 != number:
            return np.int64(-1)
    return ((entry & LOW_32_BITS) << BLOCK_BITS) | (step & (BLOCK_LEVELS - 1))


@outline_kernel
def set_level_nb(book: Book, side_idx: int, key: int, qty: int, orders: int) -> int:
    """State that a level holds `qty` in `orders` orders, or, with neither, that it is gone; returns
    an Outcome: UNKNOWN_REFERENCE when it was not there, MIXED when orders of the book make it up.
    """
    if qty < 0 or qty > QTY_MASK or orders < (qty > 0) or orders > LEVEL_ORDERS_MASK:
        return np.int64(Outcome.BAD_QTY)
    level_idx = np.int64(_level_at_nb(book, side_idx, key))
    before = book.levels[level_idx] if level_idx >= 0 else np.int64(0)
    if before > 0:
        return np.int64(Outcome.MIXED)
    if qty == 0:
        if before == 0:
            return np.int64(Outcome.UNKNOWN_REFERENCE)
        _empty_level_nb(book, level_idx)
        return np.int64(Outcome.OK)
    step = steps_nb(key)
    is_fine = np.int64(step * STEP_KEYS != key)
    step = key if is_fine else step
    block_idx = np.int64(_block_nb(book, side_idx, is_fine, (step >> BLOCK_BITS) + NUMBER_BIAS))
    if block_idx == NO_BLOCK:
        return np.int64(Outcome.CAPACITY)
    level_idx = (block_idx << BLOCK_BITS) | (step & (BLOCK_LEVELS - 1))
    level = LEVEL_STATED | (orders << LEVEL_ORDERS_SHIFT) | qty
    _fill_level_nb(book, side_idx, is_fine, step, level_idx, level)
    return np.int64(Outcome.OK)


@outline_kernel
def _empty_level_nb(book: Book, level_idx: int) -> None:
    """Take away a stated level."""
    book.levels[level_idx] = 0
    _leave_level_nb(book, level_idx)


@outline_kernel
def clear_levels_nb(
    book: Book, side_idx: int, first: int, last: int, key_min: int, key_max: int
) -> int:
    """Take away the stated levels in the places `first` to `last` of a side, 1 the best, whose keys
    lie between `key_min` and `key_max`; those that orders make up stay. How many went.
    """
    side = book.sides[side_idx]
    top, fine = np.int64(side["top"]), np.int64(side["top_fine"])
    place = gone = np.int64(0)
    while place < last:
        is_fine = np.int64(fine != NO_LEVEL and (fine >> 32) > (top >> 32) * STEP_KEYS)
        entry = fine if is_fine else top
        if entry == NO_LEVEL:
            break
        place += 1
        step = entry >> 32
        key = step if is_fine else step * STEP_KEYS
        if key < key_min:
            break
        below = np.int64(level_below_nb(book, 2 * side_idx + is_fine, step))
        level_idx = entry & LOW_32_BITS
        if place >= first and key <= key_max and book.levels[level_idx] < 0:
            _empty_level_nb(book, level_idx)
            gone += 1
        if is_fine:
            fine = below
        else:
            top = below
    return gone


@kernel
def prefetch_order_nb(book: Book, ref: int, side_idx: int) -> None:
    """Ask for the lines that a message about `ref` touches first. `side_idx` is what the message
    says, in doubt wrong.
    """
    prefetch(book.orders, ref & book.order_mask)
    prefetch(book.near, side_idx << NEAR_BITS)
    prefetch(book.sides, side_idx)


@kernel
def prefetch_level_nb(book: Book, is_add: int, ref: int, side_idx: int, price_e4: int) -> None:
    """Ask for level and block of the order, or where a new one `is_add` of that price: the level
    that it will be on, if it is in whole cents and in `near`. What `prefetch_order_nb` asked for
    must have come. No branch depends on the message.
    """
    level_idx = order_word_nb(book, ref & book.order_mask) >> QTY_BITS
    side_idx = side_idx if side_idx < book.sides.shape[0] else np.int64(0)
    step = steps_nb(-price_e4 if side_idx & 1 else price_e4)
    number = (step >> BLOCK_BITS) + NUMBER_BIAS
    entry = book.near[np.uint64(near_place_nb(book, side_idx, np.int64(0), number))]
    new_idx = ((entry & LOW_32_BITS) << BLOCK_BITS) | (step & (BLOCK_LEVELS - 1))
    level_idx = new_idx if is_add else level_idx
    prefetch(book.levels, level_idx)
    prefetch(book.blocks, level_idx >> BLOCK_BITS)


@outline_kernel
def reset_book_nb(book: Book) -> None:
    """Empty every book, as before the first message; price steps stay."""
    for slot in range(book.orders.shape[0]):
        book.orders[slot]["word"] = 0
    book.levels[:] = 0
    book.near[:] = 0
    for i in range(book.free_blocks.shape[0]):
        book.free_blocks[i] = book.free_blocks.shape[0] - i
    book.free_rows[:] = -1
    for ladder_idx in range(book.ladders.shape[0]):
        ladder = book.ladders[ladder_idx]
        ladder["offset"] = 0
        ladder["count"] = 0
        ladder["size_class"] = -1
    for side_idx in range(book.sides.shape[0]):
        side = book.sides[side_idx]
        side["top"] = NO_LEVEL
        side["top_fine"] = NO_LEVEL
        side["price_e9"] = 0
        side["qty"] = 0
    steps_set = book.meta[STEPS_SET]
    book.meta[:] = 0
    book.meta[STEPS_SET] = steps_set
    book.meta[BLOCKS_FREE] = book.free_blocks.shape[0]
