"""The blocks of a ladder: made, found beyond `near`, dropped; its best level. Off the common path.

A ladder's blocks stand in a stretch of the arena, number << 32 | block, ascending; a stretch that
is full moves to one of twice the size, and what it left is used again.
"""

import numpy as np

from feedhandler.core.book.layout import (
    ARENA_NEXT,
    BLOCK_BITS,
    BLOCK_LEVELS,
    BLOCKS_FREE,
    LOW_32_BITS,
    NEAR,
    NEAR_BITS,
    NO_LEVEL,
    NUMBER_BIAS,
    ROW_CLASSES,
    SMALLEST_ROW,
    Book,
)
from protocols.jit import kernel, outline_kernel
from protocols.vectors import leading_zeros

NO_BLOCK = 0


@kernel
def near_place_nb(book: Book, side_idx: int, is_fine: int, number: int) -> int:
    """Where `near` has the block of this number, if it has it: all ladders of whole cents first,
    so that what is used lies close together.
    """
    line = side_idx + book.sides.shape[0] if is_fine else side_idx
    return (line << NEAR_BITS) + (number & (NEAR - 1))


@kernel
def place_of_number_nb(book: Book, ladder_idx: int, number: int) -> int:
    """How many blocks of a ladder have a lower number."""
    ladder = book.ladders[ladder_idx]
    offset = np.int64(ladder["offset"])
    low = np.int64(0)
    high = np.int64(ladder["count"])
    while low < high:
        middle = (low + high) >> 1
        if book.arena[offset + middle] >> 32 < number:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def _take_row_nb(book: Book, size_class: int) -> int:
    """Offset of a free stretch of SMALLEST_ROW << size_class entries, or -1."""
    if size_class >= ROW_CLASSES:
        return np.int64(-1)
    offset = np.int64(book.free_rows[size_class])
    if offset >= 0:
        book.free_rows[size_class] = book.arena[offset]
        return offset
    offset = book.meta[ARENA_NEXT]
    if offset + (SMALLEST_ROW << size_class) > book.arena.shape[0]:
        return np.int64(-1)
    book.meta[ARENA_NEXT] = offset + (SMALLEST_ROW << size_class)
    return offset


@kernel
def _grow_row_nb(book: Book, ladder_idx: int) -> int:
    """Move a full stretch to one of twice the size; 0 when the arena is full."""
    ladder = book.ladders[ladder_idx]
    old_class = np.int64(ladder["size_class"])
    offset = np.int64(_take_row_nb(book, old_class + 1))
    if offset < 0:
        return 0
    old = np.int64(ladder["offset"])
    for i in range(ladder["count"]):
        book.arena[offset + i] = book.arena[old + i]
    if old_class >= 0:
        book.arena[old] = book.free_rows[old_class]
        book.free_rows[old_class] = old
    ladder["offset"] = offset
    ladder["size_class"] = old_class + 1
    return 1


@kernel
def _make_block_nb(book: Book, ladder_idx: int, number: int, place: int) -> int:
    """Enter a new, empty block at a place of the stretch; NO_BLOCK when there is no memory."""
    if book.meta[BLOCKS_FREE] == 0:
        return np.int64(NO_BLOCK)
    ladder = book.ladders[ladder_idx]
    count = np.int64(ladder["count"])
    size_class = np.int64(ladder["size_class"])
    if (size_class < 0 or count == SMALLEST_ROW << size_class) and (
        _grow_row_nb(book, ladder_idx) == 0
    ):
        return np.int64(NO_BLOCK)
    book.meta[BLOCKS_FREE] -= 1
    block_idx = np.int64(book.free_blocks[book.meta[BLOCKS_FREE]])
    block = book.blocks[block_idx]
    block["used"] = 0
    block["number"] = number
    block["ladder"] = ladder_idx
    offset = np.int64(ladder["offset"])
    for i in range(offset + count, offset + place, -1):
        book.arena[i] = book.arena[i - 1]
    book.arena[offset + place] = (number << 32) | block_idx
    ladder["count"] = count + 1
    return block_idx


@outline_kernel
def far_block_nb(book: Book, ladder_idx: int, number: int) -> int:
    """The block of a ladder with this number, made when there is none, and put into `near`;
    NO_BLOCK when there is no memory for it.
    """
    ladder = book.ladders[ladder_idx]
    place = place_of_number_nb(book, ladder_idx, number)
    at = np.int64(ladder["offset"]) + place
    if place < ladder["count"] and book.arena[at] >> 32 == number:
        block_idx = book.arena[at] & LOW_32_BITS
    else:
        block_idx = np.int64(_make_block_nb(book, ladder_idx, number, place))
        if block_idx == NO_BLOCK:
            return block_idx
    near_at = near_place_nb(book, ladder_idx >> 1, ladder_idx & 1, number)
    book.near[near_at] = (number << 32) | block_idx
    return block_idx


@outline_kernel
def drop_block_nb(book: Book, block_idx: int) -> None:
    """Take a block without levels out of its ladder, for use elsewhere."""
    block = book.blocks[block_idx]
    ladder_idx = np.int64(block["ladder"])
    number = np.int64(block["number"])
    ladder = book.ladders[ladder_idx]
    offset = np.int64(ladder["offset"])
    count = np.int64(ladder["count"]) - 1
    for i in range(offset + place_of_number_nb(book, ladder_idx, number), offset + count):
        book.arena[i] = book.arena[i + 1]
    ladder["count"] = count
    near_at = near_place_nb(book, ladder_idx >> 1, ladder_idx & 1, number)
    if book.near[near_at] >> 32 == number:
        book.near[near_at] = 0
    book.free_blocks[book.meta[BLOCKS_FREE]] = block_idx
    book.meta[BLOCKS_FREE] += 1


@kernel
def _highest_nb(entry: int, used: int) -> int:
    """step << 32 | level of the highest of the levels `used` of the block of an entry."""
    best = np.int64(63) - leading_zeros(used)
    step = (((entry >> 32) - NUMBER_BIAS) << BLOCK_BITS) + best
    return (step << 32) | ((entry & LOW_32_BITS) << BLOCK_BITS) | best


@outline_kernel
def top_of_ladder_nb(book: Book, ladder_idx: int) -> int:
    """step << 32 | level of the best level of a ladder; NO_LEVEL when it is empty."""
    ladder = book.ladders[ladder_idx]
    count = np.int64(ladder["count"])
    if count == 0:
        return np.int64(NO_LEVEL)
    entry = book.arena[np.int64(ladder["offset"]) + count - 1]
    return _highest_nb(entry, np.int64(book.blocks[entry & LOW_32_BITS]["used"]))


@outline_kernel
def level_below_nb(book: Book, ladder_idx: int, step: int) -> int:
    """The same of the best level below `step`, which is the step of a level in use."""
    ladder = book.ladders[ladder_idx]
    offset = np.int64(ladder["offset"])
    number = (step >> BLOCK_BITS) + NUMBER_BIAS
    place = np.int64(place_of_number_nb(book, ladder_idx, number))
    entry = book.arena[offset + place]
    below = ~(np.int64(-1) << (step & (BLOCK_LEVELS - 1)))
    used = np.int64(book.blocks[entry & LOW_32_BITS]["used"]) & below
    if used != 0:
        return _highest_nb(entry, used)
    if place == 0:
        return np.int64(NO_LEVEL)
    entry = book.arena[offset + place - 1]
    return _highest_nb(entry, np.int64(book.blocks[entry & LOW_32_BITS]["used"]))


@kernel
def next_level_nb(book: Book, ladder_idx: int, entry: int) -> int:
    """The same of the best level below that of `entry`, step << 32 | level, which is in use: in its
    block without a search.
    """
    level_idx = entry & LOW_32_BITS
    place = level_idx & (BLOCK_LEVELS - 1)
    below = ~(np.int64(-1) << place)
    used = np.int64(book.blocks[np.uint64(level_idx >> BLOCK_BITS)]["used"]) & below
    if used == 0:
        return np.int64(level_below_nb(book, ladder_idx, entry >> 32))
    # Steps and levels of a block go together.
    steps = place - (np.int64(63) - leading_zeros(used))
    return entry - (steps << 32) - steps
