"""Ticks in a file for other people's backtest engines: what our stages see, message by message."""

from pathlib import Path

import numpy as np

from feedhandler.core.book.layout import BookCapacity, allocate_book
from feedhandler.core.events import TICK, Kind
from feedhandler.core.shard import CHUNK
from protocols.binaryfile.kernels import index_messages_nb
from protocols.binaryfile.reader import load_bytes
from tools.bench.kernels import decode_and_book_nb
from tools.bench.measure import Workload

MESSAGES_MAX = 200_000
COLUMNS = (
    "instrument", "is_trade", "ts_ns", "bid_price4", "bid_qty", "ask_price4", "ask_qty",
    "price4", "qty",
)  # fmt: skip
"""Columns of the table; prices in 1e-4, as ITCH has them."""
_E9_OF_PRICE4 = 100_000
_TRADES = (Kind.EXECUTE, Kind.EXECUTE_AT_PRICE, Kind.TRADE)


def ticks_file(workload: Workload) -> Path:
    """A table i64[ticks, COLUMNS] as `.npy`: each of the first MESSAGES_MAX messages that has both
    best prices after it, or is a trade; the others are nothing that a strategy could be told.
    """
    path = workload.folder / "ticks.npy"
    if not path.exists():
        np.save(path, _table(_ticks(workload)))
    return path


def _ticks(workload: Workload) -> np.ndarray:
    """The ticks of the first messages, with the best prices after each."""
    buf = load_bytes(workload.path)
    blocks = np.zeros(min(workload.messages, MESSAGES_MAX) + 1, np.int64)
    found, _, _ = index_messages_nb(buf, 0, len(buf), blocks)
    book = allocate_book(BookCapacity(instruments=1_024))
    ticks, slots = np.zeros(CHUNK, TICK), np.arange(CHUNK, dtype=np.int32)
    chunks = []
    for first in range(0, found, CHUNK):
        count = min(CHUNK, found - first)
        decode_and_book_nb(book, buf[blocks[first] :], count, ticks, slots)
        chunks.append(ticks[:count].copy())
    return np.concatenate(chunks)


def _table(ticks: np.ndarray) -> np.ndarray:
    is_trade = np.isin(ticks["kind"], _TRADES)
    columns = {
        "instrument": ticks["instrument"],
        "is_trade": is_trade,
        "ts_ns": ticks["ts_exch_ns"],
    }
    for side in ("bid", "ask"):
        columns[f"{side}_price4"] = ticks[f"{side}_price_e9"] // _E9_OF_PRICE4
        columns[f"{side}_qty"] = ticks[f"{side}_qty"]
    columns["price4"] = ticks["price_e9"] // _E9_OF_PRICE4
    columns["qty"] = ticks["qty"]
    table = np.column_stack([columns[name] for name in COLUMNS]).astype(np.int64)
    has_both = (ticks["bid_qty"] > 0) & (ticks["ask_qty"] > 0)
    return table[has_both | is_trade]
