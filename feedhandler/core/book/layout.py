"""Memory of the books of one shard, allocated once.

    order reference ──► orders[reference & order_mask]: its reference and its word
                        another live order sits there already: overflow cells behind the slots,
                        a hash with linear probing
    order word          level << 32 | quantity                       0 = no order
    level               orders << 42 | quantity, and a bit above each that is never set; below 0
                        it holds no orders, but what the feed states of it       0 = nobody there
    block               64 neighbouring price steps of a ladder: levels[64 * block + step & 63],
                        a bit for each that is not empty, which ladder, and which steps
    ladder              prices of one side of one instrument, in steps of a cent or, for those that
                        are no whole cents, of 1e-4; its blocks are found
                          near   by their number's low three bits: eight entries, a cache line
                          far    in a sorted stretch of the arena, highest last
    side                of an instrument: the best level of both of its ladders, and its price and
                        quantity; the two sides share a cache line

A message touches the order's line, the level's, the block's, the side's, and an add that of `near`:
no search, nothing moves, nothing is left behind. A price is a key: in steps of the instrument's
own for bids and negative for asks, so that one path serves both and the best is the highest. A
step is 1e-4 unless it is set otherwise while the book is empty (`set_price_step`); the "cents"
above are a hundred of them. Bad cases: a price far from all
others has a block of its own, 528 bytes; two blocks in use whose numbers have the same low three
bits drive each other out of `near`, and are looked up in the stretch. `docs/book.md` has the
structures that were tried.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.events import E9_PER_E4
from feedhandler.core.lines import carve
from protocols.by_reference import by_reference

QTY_BITS = 32
QTY_MASK = (1 << QTY_BITS) - 1
LOW_32_BITS = (1 << 32) - 1
LEVEL_QTY_BITS = 41
LEVEL_QTY_MASK = (1 << LEVEL_QTY_BITS) - 1
"""Quantity of a level: 512 orders of the largest quantity, or a million of 2 million each."""
LEVEL_ORDERS_SHIFT = LEVEL_QTY_BITS + 1
ONE_ORDER = 1 << LEVEL_ORDERS_SHIFT
LEVEL_ORDERS_MASK = (1 << 20) - 1
LEVEL_STATED = -(1 << 63)
"""The sign: what the feed states of a level, which therefore has no orders of its own."""
LEVEL_TOO_FULL = LEVEL_STATED | (1 << LEVEL_QTY_BITS) | (1 << 62)
"""One of these bits is set by an order too much, the upper one by the 2**20th, or was by a level
that takes none."""
BLOCK_BITS = 6
BLOCK_LEVELS = 1 << BLOCK_BITS
STEP_KEYS = 100
"""Keys in a step of the ladder of whole cents."""
NUMBER_BIAS = (1 << 25) + 1
"""Added to `step >> BLOCK_BITS`, so that every block's number is above 0."""
NEAR_BITS = 3
NEAR = 1 << NEAR_BITS
LADDERS_A_SIDE = 2
SMALLEST_ROW = 8
ROW_CLASSES = 24
BOOK_TICK_E9 = E9_PER_E4
"""The price step of a book that nobody set otherwise."""
KEY_MAX = 2**31 - 1
NO_LEVEL = -(1 << 63)
"""`top` of an empty ladder: below every level, and names level 0, which is always empty."""

ORDER = np.dtype([("ref", "i8"), ("word", "i8")])
BLOCK = np.dtype([("used", "i8"), ("number", "i4"), ("ladder", "i4")])
"""`used`: bit i for its level i. No order's level is in block 0."""
LADDER = np.dtype([("offset", "i4"), ("count", "i4"), ("size_class", "i4"), ("step_e9", "i4")])
SIDE = np.dtype(
    [("top", "i8"), ("top_fine", "i8"), ("price_e9", "i8"), ("qty", "i8")],
)
"""`top`, `top_fine`: step << 32 | level of the best of either ladder; `price_e9` and `qty` are as
`update_best_nb` left them, 0 for an empty side."""

_HUGE_PAGE_BYTES = 2 << 20

# Words of `meta`.
ORDERS_LIVE = 0
BLOCKS_FREE = 1
OVERFLOW_LIVE = 2
ARENA_NEXT = 3
ARRIVALS = 4
STEPS_SET = 5
"""1: some book has a price step of its own, so that it has to be looked up."""
META_WORDS = 16


class BookCapacity(NamedTuple):
    """How much of everything; `orders` and `overflow_orders` are powers of two."""

    instruments: int = 65_536
    orders: int = 16_777_216
    overflow_orders: int = 1_048_576
    level_blocks: int = 262_144
    arena: int = 1_048_576


@by_reference
class Book(NamedTuple):
    """Arrays of all the books of a shard.

    Shapes: orders ORDER[slots + overflow cells], stamps u32 the same, an order's arrival in the
             count of all, modulo 2**32; levels i64[64 * blocks]; near i64[ladders * NEAR] and
             arena i64[n], number << 32 | block; sides SIDE[2 * instruments], bid and ask.
    Side of an instrument: 2 * instrument + (0 bid, 1 ask). Ladder of a side: 2 * side + (0 cents,
    1 finer).
    """

    orders: NDArray[np.void]
    stamps: NDArray[np.uint32]
    levels: NDArray[np.int64]
    blocks: NDArray[np.void]
    free_blocks: NDArray[np.int32]
    near: NDArray[np.int64]
    ladders: NDArray[np.void]
    arena: NDArray[np.int64]
    free_rows: NDArray[np.int32]
    sides: NDArray[np.void]
    meta: NDArray[np.int64]
    order_mask: int
    overflow_mask: int


def allocate_book(capacity: BookCapacity) -> Book:
    """Empty books; every array has its final size."""
    for name in ("orders", "overflow_orders"):
        value = getattr(capacity, name)
        if value < 1 or value & (value - 1):
            raise ValueError(f"{name} is a power of two, not {value}")
    cells = capacity.orders + capacity.overflow_orders
    sides = 2 * capacity.instruments
    blocks = capacity.level_blocks + 1
    sizes: dict[str, tuple[int, Any]] = {
        "orders": (cells, ORDER),
        "stamps": (cells, np.uint32),
        "levels": (blocks * BLOCK_LEVELS, np.int64),
        "blocks": (blocks, BLOCK),
        "free_blocks": (capacity.level_blocks, np.int32),
        "near": (sides * LADDERS_A_SIDE * NEAR, np.int64),
        "ladders": (sides * LADDERS_A_SIDE, LADDER),
        "arena": (capacity.arena, np.int64),
        "free_rows": (ROW_CLASSES, np.int32),
        "sides": (sides, SIDE),
        "meta": (META_WORDS, np.int64),
    }
    # One stretch that begins with a huge page: NumPy asks for those where a stretch is large, which
    # most of these arrays are not by themselves.
    arrays = dict(zip(sizes, carve(sizes.values(), _HUGE_PAGE_BYTES), strict=True))
    book = Book(
        **arrays, order_mask=capacity.orders - 1, overflow_mask=capacity.overflow_orders - 1
    )
    _empty(book)
    return book


def _empty(book: Book) -> None:
    """Put every block on the free list and no stretch on any; the arrays themselves are taken to be
    zero. As `reset_book_nb` leaves them.
    """
    blocks = len(book.free_blocks)
    book.free_blocks[:] = np.arange(blocks, 0, -1)
    book.free_rows[:] = -1
    book.ladders["size_class"] = -1
    book.ladders["step_e9"] = BOOK_TICK_E9
    book.sides["top"] = NO_LEVEL
    book.sides["top_fine"] = NO_LEVEL
    book.meta[BLOCKS_FREE] = blocks


def price_step(book: Book, instrument: int) -> int:
    """The step in which the prices of an instrument are counted, 1e-9 of the currency."""
    return int(book.ladders[2 * LADDERS_A_SIDE * instrument]["step_e9"])


def set_price_step(book: Book, instrument: int, step_e9: int) -> None:
    """Count the prices of an instrument in steps of `step_e9`, a power of ten from 1 to 10**9;
    ValueError when its book is not empty.
    """
    first = 2 * LADDERS_A_SIDE * instrument
    ladders = book.ladders[first : first + 2 * LADDERS_A_SIDE]
    if ladders["count"].any():
        step = price_step(book, instrument)
        raise ValueError(f"instrument {instrument} has prices in steps of {step}e-9")
    ladders["step_e9"] = step_e9
    book.meta[STEPS_SET] |= step_e9 != BOOK_TICK_E9
