"""Cold readers of the books: levels, orders, and a digest. For a stopped shard, or at the reader's
own risk.
"""

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.book.layout import PAGE_BITS, PAGE_ORDERS, QTY_BITS, QTY_MASK, Book

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
    """sha256 over the records of `orders`: equal books have equal digests."""
    return hashlib.sha256(orders(book).tobytes()).hexdigest()


def levels(book: Book, instrument: int, side: int) -> Iterator[tuple[int, int, int]]:
    """(price_e4, quantity, orders) of one side (+1 bids, -1 asks), best first."""
    row = book.rows[2 * instrument + (side < 0)]
    first = int(row["offset"])
    for at in range(first + int(row["count"]) - 1, first - 1, -1):
        level = book.levels[book.handles[at]]
        yield abs(int(level["key"])), int(level["qty"]), int(level["orders"])


def live_instruments(book: Book) -> NDArray[np.int64]:
    """Instruments that have a price on either side."""
    return np.unique(np.flatnonzero(book.rows["count"]) >> 1)
