"""Bars of printed trades: open, high, low, close and what goes with them, by time or by volume; the
present one and the last that was completed.

    row of BAR_WORDS i64:  version | bars completed | present bar, 12 words | last bar, 10 words

The kernels take any i64 words: the engine's rows, one behind the other, which others may read by
`bars_of`, or the state of a user's function (`time_bar_nb(state, 0, length_ns, ticks, slot)`, 24
state words). O(1) a tick.

A time bar is of one period, counted from midnight; the first tick of the instrument after its end,
trade or not, completes it. A period without a trade has no bar: numbers leave it out, and a reader
who wants one has the close before. Trades whose stamps go back count in the present bar. A volume
bar is of exactly its size; a trade that is larger than what is left goes on in the next ones, and
counts as a trade in each.
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


class BarWord(IntEnum):
    """Words of a bar; a last one ends before WEIGHT."""

    NUMBER = 0
    """Of the period since midnight; of a volume bar in the order of all, from 0."""
    START_NS = 1
    """Of the period; of a volume bar: its first trade."""
    END_NS = 2
    """The first moment that is not in the period; of a volume bar: its last trade."""
    OPEN_E9 = 3
    HIGH_E9 = 4
    LOW_E9 = 5
    CLOSE_E9 = 6
    VOLUME = 7
    VWAP_E9 = 8
    TRADES = 9
    WEIGHT = 10
    """What NOTIONAL_E4 is the sum of: the volume, but see `weighed_nb`."""
    NOTIONAL_E4 = 11


COMPLETED = 1
PRESENT = 2
PRESENT_WORDS = len(BarWord)
LAST = PRESENT + PRESENT_WORDS
LAST_WORDS = int(BarWord.WEIGHT)
BAR_WORDS = LAST + LAST_WORDS


class Bar(NamedTuple):
    """A bar as others see it; units as in `BarWord`."""

    number: int
    start_ns: int
    end_ns: int
    open_e9: int
    high_e9: int
    low_e9: int
    close_e9: int
    volume: int
    vwap_e9: int
    trades: int


def allocate_bars(instruments: int) -> NDArray[np.int64]:
    """Rows of so many instruments, one behind the other: i64[instruments * BAR_WORDS]."""
    return zeros(instruments * BAR_WORDS)


def bars_of(bars: NDArray[np.int64], instrument: int) -> tuple[Bar | None, Bar | None]:
    """(last, present) bar of an instrument, from any thread; None where there were no trades."""
    row = np.zeros(BAR_WORDS, np.int64)
    read_row_nb(bars, instrument * BAR_WORDS, row)
    pair = (row[at : at + LAST_WORDS].tolist() for at in (LAST, PRESENT))
    last, present = (Bar(*words) if words[BarWord.TRADES] else None for words in pair)
    return last, present


@kernel
def _add_nb(bars: NDArray[np.int64], at: int, price_e9: int, qty: int) -> None:
    """A trade into the bar at bars[at]."""
    trades = bars[at + BarWord.TRADES]
    high = max(bars[at + BarWord.HIGH_E9], price_e9)
    low = min(bars[at + BarWord.LOW_E9], price_e9)
    if trades == 0:
        store_release(bars, at + BarWord.OPEN_E9, price_e9)
        high = low = price_e9
    store_release(bars, at + BarWord.HIGH_E9, high)
    store_release(bars, at + BarWord.LOW_E9, low)
    store_release(bars, at + BarWord.CLOSE_E9, price_e9)
    store_release(bars, at + BarWord.VOLUME, bars[at + BarWord.VOLUME] + qty)
    store_release(bars, at + BarWord.TRADES, trades + 1)
    added_e4 = price_e4_nb(price_e9) * qty
    weight, notional_e4 = weighed_nb(
        bars[at + BarWord.WEIGHT] + qty, bars[at + BarWord.NOTIONAL_E4] + added_e4
    )
    store_release(bars, at + BarWord.WEIGHT, weight)
    store_release(bars, at + BarWord.NOTIONAL_E4, notional_e4)
    store_release(bars, at + BarWord.VWAP_E9, notional_e4 // max(weight, 1) * E9_PER_E4)


@kernel
def _complete_nb(bars: NDArray[np.int64], at: int) -> None:
    """The present bar becomes the last one of its row; the next is empty and has its number + 1."""
    number = bars[at + PRESENT + BarWord.NUMBER]
    for i in range(LAST_WORDS):
        store_release(bars, at + LAST + i, bars[at + PRESENT + i])
    for i in range(PRESENT_WORDS):
        store_release(bars, at + PRESENT + i, np.int64(0))
    store_release(bars, at + PRESENT + BarWord.NUMBER, number + 1)
    store_release(bars, at + COMPLETED, bars[at + COMPLETED] + 1)


@kernel
def time_bar_nb(
    bars: NDArray[np.int64], at: int, length_ns: int, ticks: NDArray[np.void], slot: int
) -> int:
    """Take ticks[slot] into the time bar at bars[at], of periods of length_ns >= 1; 1 when a bar
    was completed, else 0.
    """
    tick = ticks[np.uint64(slot)]
    now_ns = event_ns_nb(np.int64(tick["ts_exch_ns"]))
    qty = printed_qty_nb(ticks, slot)
    present = at + PRESENT
    is_over = (
        now_ns >= bars[present + BarWord.END_NS]
        or bars[present + BarWord.START_NS] - now_ns >= FAR_BACK_NS
    )
    if qty == 0 and not is_over:
        return np.int64(0)
    completed = np.int64(0)
    open_row_nb(bars, at)
    if is_over:
        if bars[present + BarWord.TRADES] > 0:
            _complete_nb(bars, at)
            completed = np.int64(1)
        number = now_ns // length_ns
        store_release(bars, present + BarWord.NUMBER, number)
        store_release(bars, present + BarWord.START_NS, number * length_ns)
        store_release(bars, present + BarWord.END_NS, (number + 1) * length_ns)
    if qty > 0:
        _add_nb(bars, present, max(np.int64(tick["price_e9"]), 0), qty)
    close_row_nb(bars, at)
    return completed


@kernel
def _add_stamped_nb(bars: NDArray[np.int64], at: int, price_e9: int, qty: int, now_ns: int) -> None:
    """A part of a trade into the volume bar at bars[at]."""
    if bars[at + BarWord.TRADES] == 0:
        store_release(bars, at + BarWord.START_NS, now_ns)
    store_release(bars, at + BarWord.END_NS, now_ns)
    _add_nb(bars, at, price_e9, qty)


@kernel
def volume_bar_nb(
    bars: NDArray[np.int64], at: int, size: int, ticks: NDArray[np.void], slot: int
) -> int:
    """Take ticks[slot] into the volume bar at bars[at], of `size` >= 1; bars that it completed, of
    which the row keeps the last.
    """
    tick = ticks[np.uint64(slot)]
    qty = printed_qty_nb(ticks, slot)
    if qty == 0:
        return np.int64(0)
    now_ns = event_ns_nb(np.int64(tick["ts_exch_ns"]))
    price_e9 = max(np.int64(tick["price_e9"]), 0)
    present = at + PRESENT
    # A size that was lowered meanwhile may have been passed already.
    room = max(size - bars[present + BarWord.VOLUME], 1)
    completed = np.int64(0)
    open_row_nb(bars, at)
    if qty >= room:
        _add_stamped_nb(bars, present, price_e9, room, now_ns)
        _complete_nb(bars, at)
        qty -= room
        whole = qty // size
        if whole > 0:
            # All alike but for their numbers: only the last of them is made.
            bars_before = bars[at + COMPLETED] + whole - 1
            store_release(bars, at + COMPLETED, bars_before)
            number = bars[present + BarWord.NUMBER] + whole - 1
            store_release(bars, present + BarWord.NUMBER, number)
            _add_stamped_nb(bars, present, price_e9, size, now_ns)
            _complete_nb(bars, at)
            qty -= whole * size
        completed = 1 + whole
    if qty > 0:
        _add_stamped_nb(bars, present, price_e9, qty, now_ns)
    close_row_nb(bars, at)
    return completed
