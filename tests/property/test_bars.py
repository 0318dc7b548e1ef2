"""Bars and price statistics against those made from the list of all trades."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from feedhandler.core.bars import (
    BAR_WORDS,
    COMPLETED,
    allocate_bars,
    bars_of,
    time_bar_nb,
    volume_bar_nb,
)
from feedhandler.core.events import TICK, Kind
from feedhandler.core.price_stats import (
    STATS_WORDS,
    allocate_price_stats,
    price_stats_nb,
    price_stats_of,
)
from tests.reference.slow_bars import Trade, price_stats, time_bars, volume_bars

SECOND = 1_000_000_000
stamps = st.one_of(st.integers(0, 30 * SECOND), st.integers(0, 2 * SECOND), st.integers(0, 2**61))
prices = st.one_of(st.integers(9_900, 10_100), st.integers(0, 2**32 - 1)).map(lambda e4: e4 * 10**5)
quantities = st.one_of(st.just(0), st.integers(1, 9), st.integers(1, 2**20))
trades = st.lists(st.builds(Trade, stamps, prices, quantities), max_size=25)
in_order = trades.map(sorted)


def ticks_of(trade: Trade) -> Any:
    ticks = np.zeros(1, TICK)
    tick = ticks[0]
    tick["kind"] = Kind.TRADE if trade.qty else Kind.ADD
    tick["ts_exch_ns"], tick["price_e9"], tick["qty"] = trade.ts_ns, trade.price_e9, trade.qty
    return ticks


@given(st.one_of(trades, in_order), st.integers(1, 5 * SECOND))
def test_time_bars_are_those_of_all_trades(sequence: list[Trade], length_ns: int):
    bars, completed = allocate_bars(2), 0
    for count, trade in enumerate(sequence, 1):
        completed += time_bar_nb(bars, BAR_WORDS, length_ns, ticks_of(trade), 0)
        rows, present = time_bars(sequence[:count], length_ns)
        assert completed == len(rows) == bars[BAR_WORDS + COMPLETED]
        assert bars_of(bars, 1) == (rows[-1] if rows else None, present)
    assert not bars[:BAR_WORDS].any()


@given(trades, st.one_of(st.integers(1, 12), st.integers(1, 2**21)))
def test_volume_bars_are_those_of_all_trades(sequence: list[Trade], size: int):
    # The twin makes each bar there is.
    sequence = [each._replace(qty=min(each.qty, 40 * size)) for each in sequence]
    bars, completed = allocate_bars(2), 0
    for count, trade in enumerate(sequence, 1):
        completed += volume_bar_nb(bars, BAR_WORDS, size, ticks_of(trade), 0)
        rows, present = volume_bars(sequence[:count], size)
        assert completed == len(rows) == bars[BAR_WORDS + COMPLETED]
        assert bars_of(bars, 1) == (rows[-1] if rows else None, present)


@given(st.one_of(trades, in_order))
def test_price_statistics_are_those_of_all_trades(sequence: list[Trade]):
    stats = allocate_price_stats(3)
    for count, trade in enumerate(sequence, 1):
        price_stats_nb(stats, STATS_WORDS, ticks_of(trade), 0)
        assert price_stats_of(stats, 1) == price_stats(sequence[:count])
    assert price_stats_of(stats, 0) is price_stats_of(stats, 2) is None
