"""Cold readers of the books: levels, orders, and a digest. For a stopped shard, or at the reader's
own risk.
"""

import hashlib
import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.book.layout import (
    BLOCK_BITS,
    BLOCK_LEVELS,
    BOOK_TICK_E9,
    LADDERS_A_SIDE,
    LEVEL_ORDERS_MASK,
    LEVEL_ORDERS_SHIFT,
    LEVEL_QTY_MASK,
    LOW_32_BITS,
    NUMBER_BIAS,
    QTY_BITS,
    QTY_MASK,
    STEP_KEYS,
    Book,
)
from feedhandler.core.split import owns

ORDER_RECORD = np.dtype(
    [
        ("instrument", "<u2"),
        ("side", "S1"),
        ("price_e4", "<u4"),
        ("order_ref", "<u8"),
        ("qty", "<u4"),
    ]
)
"""One order as the digest sees it, 19 bytes without padding."""


def orders(book: Book) -> NDArray[np.void]:
    """Every live order as ORDER_RECORD, by instrument, bids before asks, best price first, then
    reference (which is time).
    """
    live = book.orders[book.orders["word"] != 0]
    refs = live["ref"]
    words = live["word"]
    level_idx = words >> QTY_BITS
    blocks = book.blocks[level_idx >> BLOCK_BITS]
    rows = blocks["ladder"].astype(np.int64) >> 1
    keys = _keys(blocks, level_idx)
    order = np.lexsort((refs.view(np.uint64), -keys, rows))
    records = np.zeros(len(refs), ORDER_RECORD)
    records["instrument"] = (rows >> 1)[order]
    records["side"] = np.where(rows[order] & 1, b"S", b"B")
    records["price_e4"] = np.abs(keys)[order]
    records["order_ref"] = refs[order].view(np.uint64)
    records["qty"] = (words & QTY_MASK)[order]
    return records


def books_digest(*books: Book) -> str:
    """sha256 over the records of `orders`, then the price steps other than 1e-4 of books that are
    not empty, then the stated levels: equal books have equal digests. Those of all shards, in their
    order, are as one: each counts for what it owns.
    """
    shards = len(books)
    parts = [orders(book) for book in books]
    own = [part[owns(part["instrument"], i, shards)] for i, part in enumerate(parts)]
    records = np.concatenate(own)
    records = records[np.argsort(records["instrument"], kind="stable")]
    digest = hashlib.sha256(records.tobytes())
    used = [
        (side_idx, book)
        for i, book in enumerate(books)
        for side_idx in _used_sides(book)
        if owns(np.array([side_idx >> 1]), i, shards)
    ]
    used.sort(key=lambda each: each[0])
    for side_idx, book in used:
        step_e9 = book.ladders[side_idx * LADDERS_A_SIDE]["step_e9"]
        if step_e9 != BOOK_TICK_E9:
            digest.update(struct.pack("<II", side_idx, step_e9))
    if any((book.levels < 0).any() for book in books):
        for side_idx, book in used:
            for key, level in _side_levels(book, side_idx):
                if level < 0:
                    stated = (abs(key), level & LEVEL_QTY_MASK, _orders_of(level))
                    digest.update(struct.pack("<IIQI", side_idx, *stated))
    return digest.hexdigest()


def _used_sides(book: Book) -> list[int]:
    """Sides that have a price."""
    return [int(i) for i in np.unique(np.flatnonzero(book.ladders["count"]) // LADDERS_A_SIDE)]


def levels(book: Book, instrument: int, side: int) -> Iterator[tuple[int, int, int]]:
    """(price, quantity, orders) of one side (+1 bids, -1 asks), best first; the price in steps of
    the book, which are 1e-4 unless `set_price_step` said otherwise.
    """
    for key, level in _side_levels(book, 2 * instrument + (side < 0)):
        yield abs(key), level & LEVEL_QTY_MASK, _orders_of(level)


def _orders_of(level: int) -> int:
    return (level >> LEVEL_ORDERS_SHIFT) & LEVEL_ORDERS_MASK


def _side_levels(book: Book, side_idx: int) -> list[tuple[int, int]]:
    """Key and word of each level of a side, best first."""
    found: list[tuple[int, int]] = []
    for ladder in book.ladders[LADDERS_A_SIDE * side_idx : LADDERS_A_SIDE * (side_idx + 1)]:
        first = int(ladder["offset"])
        entries = book.arena[first : first + int(ladder["count"])]
        cells = (entries & LOW_32_BITS)[:, None] * BLOCK_LEVELS + np.arange(BLOCK_LEVELS)
        level_idx = cells[book.levels[cells] != 0]
        keys = _keys(book.blocks[level_idx >> BLOCK_BITS], level_idx)
        found += zip(keys.tolist(), book.levels[level_idx].tolist(), strict=True)
    return sorted(found, reverse=True)


def _keys(blocks: NDArray[np.void], level_idx: NDArray[np.int64]) -> NDArray[np.int64]:
    """Key of each level, whose blocks stand beside them."""
    numbers = blocks["number"].astype(np.int64) - NUMBER_BIAS
    steps = numbers * BLOCK_LEVELS + level_idx % BLOCK_LEVELS
    return np.where(blocks["ladder"] & 1, steps, steps * STEP_KEYS)


def live_instruments(book: Book) -> NDArray[np.int64]:
    """Instruments that have a price on either side."""
    return np.unique(np.flatnonzero(book.ladders["count"]) // (2 * LADDERS_A_SIDE))
