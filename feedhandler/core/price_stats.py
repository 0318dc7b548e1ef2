"""Price statistics of an instrument over its printed trades: least, highest and mean price, how
many, and from when to when; O(1) a tick, read from any thread.

    row of STATS_WORDS i64, a cache line, see `StatsWord`
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.atomics import store_release
from feedhandler.core.event_time import FAR_BACK_NS, event_ns_nb
from feedhandler.core.events import E9_PER_E4
from feedhandler.core.lines import zeros
from feedhandler.core.trades import price_e4_nb, printed_qty_nb, weighed_nb
from feedhandler.core.versioned import close_row_nb, open_row_nb, read_row_nb
from protocols.jit import kernel


class StatsWord(IntEnum):
    """Words of a row."""

    VERSION = 0
    TRADES = 1
    LOW_E9 = 2
    HIGH_E9 = 3
    FIRST_NS = 4
    LAST_NS = 5
    """Latest event time: it stands while stamps go back."""
    SUM_E4 = 6
    WEIGHT = 7
    """How many prices SUM_E4 has: the trades, but see `weighed_nb`."""


STATS_WORDS = len(StatsWord)


class PriceStats(NamedTuple):
    """What is told of a symbol; prices in 1e-9, the average to 1e-4 of each price."""

    low_e9: int
    high_e9: int
    average_e9: int
    trades: int
    duration_ns: int


def allocate_price_stats(instruments: int) -> NDArray[np.int64]:
    """Rows of so many instruments, one behind the other: i64[instruments * STATS_WORDS]."""
    return zeros(instruments * STATS_WORDS)


def price_stats_of(stats: NDArray[np.int64], instrument: int) -> PriceStats | None:
    """Statistics of an instrument, from any thread; None before its first trade."""
    row = np.zeros(STATS_WORDS, np.int64)
    read_row_nb(stats, instrument * STATS_WORDS, row)
    _, trades, low_e9, high_e9, first_ns, last_ns, sum_e4, weight = row.tolist()
    if trades == 0:
        return None
    average_e9 = sum_e4 * E9_PER_E4 // weight
    return PriceStats(low_e9, high_e9, average_e9, trades, last_ns - first_ns)


@kernel
def clear_price_stats_nb(stats: NDArray[np.int64], at: int) -> None:
    """Begin anew with the row at stats[at]. The thread that writes it only."""
    open_row_nb(stats, at)
    for i in range(1, STATS_WORDS):
        store_release(stats, at + i, np.int64(0))
    close_row_nb(stats, at)


@kernel
def price_stats_nb(stats: NDArray[np.int64], at: int, ticks: NDArray[np.void], slot: int) -> None:
    """Take ticks[slot] into the row at stats[at], if it is a printed trade. A stamp far back (a new
    day) begins anew.
    """
    if printed_qty_nb(ticks, slot) == 0:
        return
    tick = ticks[np.uint64(slot)]
    price_e9 = max(np.int64(tick["price_e9"]), 0)
    now_ns = event_ns_nb(np.int64(tick["ts_exch_ns"]))
    if stats[at + StatsWord.LAST_NS] - now_ns >= FAR_BACK_NS:
        clear_price_stats_nb(stats, at)
    trades = stats[at + StatsWord.TRADES]
    low_e9 = min(stats[at + StatsWord.LOW_E9], price_e9)
    high_e9 = max(stats[at + StatsWord.HIGH_E9], price_e9)
    open_row_nb(stats, at)
    if trades == 0:
        low_e9 = high_e9 = price_e9
        store_release(stats, at + StatsWord.FIRST_NS, now_ns)
    store_release(stats, at + StatsWord.TRADES, trades + 1)
    store_release(stats, at + StatsWord.LOW_E9, low_e9)
    store_release(stats, at + StatsWord.HIGH_E9, high_e9)
    last_ns = max(stats[at + StatsWord.LAST_NS], now_ns)
    store_release(stats, at + StatsWord.LAST_NS, last_ns)
    weight, sum_e4 = weighed_nb(
        stats[at + StatsWord.WEIGHT] + 1, stats[at + StatsWord.SUM_E4] + price_e4_nb(price_e9)
    )
    store_release(stats, at + StatsWord.SUM_E4, sum_e4)
    store_release(stats, at + StatsWord.WEIGHT, weight)
    close_row_nb(stats, at)
