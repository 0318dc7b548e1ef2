"""Cold readers of the books: levels, orders, and a digest. For a stopped shard, or at the reader's
own risk.
"""

import hashlib
import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.book.layout import (
    BOOK_TICK_E9,
    PAGE_BITS,
    PAGE_ORDERS,
    QTY_BITS,
    QTY_MASK,
    Book,
)

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


def _order_words(book: Book) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """References and words of all live orders."""
    parts = np.flatnonzero(book.directory)
    pages = book.directory[parts].astype(np.int64) - 1
    words = book.words.reshape(-1, PAGE_ORDERS)[pages]
    refs = (parts.astype(np.int64)[:, None] << PAGE_BITS) + np.arange(PAGE_ORDERS)
    live = words != 0
    extra = book.overflow_words != 0
    return (
        np.concatenate([refs[live], book.overflow_refs[extra]]),
        np.concatenate([words[live], book.overflow_words[extra]]),
    )


def orders(book: Book) -> NDArray[np.void]:
    """Every live order as ORDER_RECORD, by instrument, bids before asks, best price first, then
    reference (which is time).
    """
    refs, words = _order_words(book)
    levels = book.levels[(words >> QTY_BITS) - 1]
    rows = levels["row"].astype(np.int64)
    keys = levels["key"].astype(np.int64)
    order = np.lexsort((refs.view(np.uint64), -keys, rows))
    records = np.zeros(len(refs), ORDER_RECORD)
    records["instrument"] = (rows >> 1)[order]
    records["side"] = np.where(rows[order] & 1, b"S", b"B")
    records["price_e4"] = np.abs(keys)[order]
    records["order_ref"] = refs[order].view(np.uint64)
    records["qty"] = (words & QTY_MASK)[order]
    return records


def books_digest(book: Book) -> str:
    """sha256 over the records of `orders`, then those of stated levels, then the price steps other
    than 1e-4 of books that are not empty: equal books have equal digests.
    """
    digest = hashlib.sha256(orders(book).tobytes())
    used = np.flatnonzero(book.rows["count"])
    for row_idx in used[book.rows["step_e9"][used] != BOOK_TICK_E9]:
        digest.update(struct.pack("<II", row_idx, book.rows[row_idx]["step_e9"]))
    if book.levels["stated_orders"].any():
        for row_idx in used:
            for key, level in _row_levels(book, int(row_idx)):
                if level["stated_orders"]:
                    stated = (row_idx, abs(key), level["qty"], level["stated_orders"])
                    digest.update(struct.pack("<IIQI", *map(int, stated)))
    return digest.hexdigest()


def _row_levels(book: Book, row_idx: int) -> Iterator[tuple[int, np.void]]:
    """Key and level of each place of a row, best first."""
    row = book.rows[row_idx]
    first = int(row["offset"])
    for at in range(first + int(row["count"]) - 1, first - 1, -1):
        yield int(book.keys[at]), book.levels[book.handles[at]]


def levels(book: Book, instrument: int, side: int) -> Iterator[tuple[int, int, int]]:
    """(price, quantity, orders) of one side (+1 bids, -1 asks), best first; the price in steps of
    the row, which are 1e-4 unless `set_price_step` said otherwise.
    """
    for key, level in _row_levels(book, 2 * instrument + (side < 0)):
        yield abs(key), int(level["qty"]), int(level["orders"]) + int(level["stated_orders"])


def live_instruments(book: Book) -> NDArray[np.int64]:
    """Instruments that have a price on either side."""
    return np.unique(np.flatnonzero(book.rows["count"]) >> 1)
