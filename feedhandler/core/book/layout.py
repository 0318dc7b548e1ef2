"""Memory of the books of one shard, allocated once.

    order reference ──► directory[ref >> 8] ──► page of 256 words
                 a reference outside the directory, or for which no page is free, lives in the
                 overflow hash instead
    order word   (level handle + 1) << 32 | quantity      0 = no order
    level        quantity, orders, key, row; the word's handle finds it: E, C, X, D never search
    row          one side of one instrument: offset, count and size class of a stretch of the arena,
                 and the price step of its keys
    arena        keys[offset : offset + count] ascending, the best price last; handles beside them

A key is the price in steps of the row for bids and its negative for asks, so that one path serves
both sides and the best is at the back, where most of the changes are. A step is 1e-4 unless it is
set otherwise while the row is empty (`set_price_step`). A level holds orders, or what the feed
states of it (`stated_orders`); quantity and number of orders are the sums of both.

Pages and rows are recycled. Bad case: one long-lived order keeps its whole page; when pages run out
the overflow hash takes the rest, and only when that is full too is an order refused and counted.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.events import E9_PER_E4

PAGE_BITS = 8
PAGE_ORDERS = 1 << PAGE_BITS
QTY_BITS = 32
QTY_MASK = (1 << QTY_BITS) - 1
SMALLEST_ROW = 8
ROW_CLASSES = 24
BOOK_TICK_E9 = E9_PER_E4
"""The price step of a row that nobody set otherwise."""
KEY_MAX = 2**31 - 1

LEVEL = np.dtype(
    [("qty", "i8"), ("orders", "i4"), ("key", "i4"), ("row", "i4"), ("stated_orders", "i4")]
)
ROW = np.dtype([("offset", "i4"), ("count", "i4"), ("size_class", "i4"), ("step_e9", "i4")])
BEST = np.dtype(
    [("bid_price_e9", "i8"), ("bid_qty", "i8"), ("ask_price_e9", "i8"), ("ask_qty", "i8")]
)

# Words of `meta`.
ORDERS_LIVE = 0
LEVELS_FREE = 1
PAGES_FREE = 2
OVERFLOW_LIVE = 3
ARENA_NEXT = 4
DIRECTORY_HIGH = 5
META_WORDS = 16


class BookCapacity(NamedTuple):
    """How much of everything; powers of two where a mask is used."""

    instruments: int = 65_536
    order_pages: int = 65_536
    overflow_orders: int = 65_536
    levels: int = 1_048_576
    arena: int = 4_194_304
    references: int = 1 << 32


class Book(NamedTuple):
    """Arrays of all the books of a shard; shapes as in the drawing above."""

    directory: NDArray[np.int32]
    page_live: NDArray[np.int32]
    free_pages: NDArray[np.int32]
    words: NDArray[np.int64]
    overflow_refs: NDArray[np.int64]
    overflow_words: NDArray[np.int64]
    levels: NDArray[np.void]
    free_levels: NDArray[np.int32]
    rows: NDArray[np.void]
    keys: NDArray[np.int32]
    handles: NDArray[np.int32]
    free_rows: NDArray[np.int32]
    best: NDArray[np.void]
    meta: NDArray[np.int64]


def allocate_book(capacity: BookCapacity) -> Book:
    """Empty books; every array has its final size."""
    for name in ("overflow_orders", "references"):
        value = getattr(capacity, name)
        if value < 1 or value & (value - 1):
            raise ValueError(f"{name} is a power of two, not {value}")
    book = Book(
        directory=np.zeros(capacity.references >> PAGE_BITS, np.int32),
        page_live=np.zeros(capacity.order_pages, np.int32),
        free_pages=np.zeros(capacity.order_pages, np.int32),
        words=np.zeros(capacity.order_pages << PAGE_BITS, np.int64),
        overflow_refs=np.zeros(capacity.overflow_orders, np.int64),
        overflow_words=np.zeros(capacity.overflow_orders, np.int64),
        levels=np.zeros(capacity.levels, LEVEL),
        free_levels=np.zeros(capacity.levels, np.int32),
        rows=np.zeros(2 * capacity.instruments, ROW),
        keys=np.zeros(capacity.arena, np.int32),
        handles=np.zeros(capacity.arena, np.int32),
        free_rows=np.zeros(ROW_CLASSES, np.int32),
        best=np.zeros(capacity.instruments, BEST),
        meta=np.zeros(META_WORDS, np.int64),
    )
    empty_free_lists(book)
    return book


def empty_free_lists(book: Book) -> None:
    """Put every page and level on its free list and no row on any; the arrays themselves are taken
    to be zero.
    """
    pages, levels = len(book.free_pages), len(book.free_levels)
    book.free_pages[:] = np.arange(pages - 1, -1, -1)
    book.free_levels[:] = np.arange(levels - 1, -1, -1)
    book.free_rows[:] = -1
    book.rows["size_class"] = -1
    book.rows["step_e9"] = BOOK_TICK_E9
    book.meta[:] = 0
    book.meta[LEVELS_FREE] = levels
    book.meta[PAGES_FREE] = pages


def set_price_step(book: Book, instrument: int, step_e9: int) -> None:
    """Count the prices of an instrument in steps of `step_e9`, a power of ten from 1 to 10**9;
    ValueError when its book is not empty.
    """
    rows = book.rows[2 * instrument : 2 * instrument + 2]
    if rows["count"].any():
        raise ValueError(f"instrument {instrument} has prices in steps of {rows[0]['step_e9']}e-9")
    rows["step_e9"] = step_e9
