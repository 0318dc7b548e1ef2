"""Bars by numbers that can be worked out by hand."""

from typing import Any

import numpy as np

from feedhandler.core.bars import (
    BAR_WORDS,
    Bar,
    allocate_bars,
    bars_of,
    time_bar_nb,
    volume_bar_nb,
)
from feedhandler.core.events import Kind
from tests.unit.feedhandler.core.support import blank_ticks

SECOND = 1_000_000_000
E9 = 100_000


def trade(ts_ns: int, price_e4: int, qty: int) -> Any:
    return blank_ticks(kind=Kind.TRADE, ts_exch_ns=ts_ns, price_e9=price_e4 * E9, qty=qty)


def test_a_row_is_three_cache_lines():
    assert BAR_WORDS == 24
    assert allocate_bars(3).shape == (72,)


def test_a_time_bar_has_what_was_traded_in_its_period():
    bars = allocate_bars(1)
    for ts_ns, price_e4, qty in ((12, 100, 1), (13, 140, 2), (14, 90, 1), (19, 110, 4)):
        assert time_bar_nb(bars, 0, 10, trade(ts_ns, price_e4, qty), 0) == 0
    bar = Bar(1, 10, 20, 100 * E9, 140 * E9, 90 * E9, 110 * E9, 8, 113 * E9, 4)
    assert bars_of(bars, 0) == (None, bar)
    assert time_bar_nb(bars, 0, 10, blank_ticks(kind=Kind.ADD, ts_exch_ns=20), 0) == 1
    assert bars_of(bars, 0) == (bar, None)


def test_periods_without_a_trade_have_no_bar():
    bars = allocate_bars(1)
    completed = [
        time_bar_nb(bars, 0, 10, trade(ts_ns, 100, 1), 0) for ts_ns in (5, 57, 58, 60, 700)
    ]
    assert completed == [0, 1, 0, 1, 1]
    last, present = bars_of(bars, 0)
    assert (last.number, present.number) == (6, 70)


def test_a_late_trade_counts_in_the_present_bar_and_a_new_day_begins_anew():
    bars = allocate_bars(1)
    time_bar_nb(bars, 0, SECOND, trade(20 * SECOND, 100, 1), 0)
    assert time_bar_nb(bars, 0, SECOND, trade(11 * SECOND, 90, 1), 0) == 0
    assert time_bar_nb(bars, 0, SECOND, trade(10 * SECOND, 80, 1), 0) == 1
    last, present = bars_of(bars, 0)
    assert (last.number, last.trades, present.number, present.open_e9) == (20, 2, 10, 80 * E9)


def test_a_large_trade_goes_on_in_the_next_volume_bars():
    bars = allocate_bars(1)
    assert volume_bar_nb(bars, 0, 100, trade(1, 10, 60), 0) == 0
    assert volume_bar_nb(bars, 0, 100, trade(2, 20, 345), 0) == 4
    last, present = bars_of(bars, 0)
    assert last == Bar(3, 2, 2, *[20 * E9] * 4, 100, 20 * E9, 1)
    assert present == Bar(4, 2, 2, *[20 * E9] * 4, 5, 20 * E9, 1)
    assert volume_bar_nb(bars, 0, 100, blank_ticks(kind=Kind.ADD), 0) == 0
    assert volume_bar_nb(bars, 0, 100, trade(9, 30, 95), 0) == 1
    last, present = bars_of(bars, 0)
    assert last == Bar(4, 2, 9, *[20 * E9, 30 * E9, 20 * E9, 30 * E9], 100, 29 * E9, 2)
    assert present is None


def test_a_bar_that_is_over_a_lowered_size_is_completed_by_the_next_share():
    bars = allocate_bars(1)
    volume_bar_nb(bars, 0, 100, trade(1, 10, 60), 0)
    assert volume_bar_nb(bars, 0, 10, trade(2, 10, 12), 0) == 2
    last, present = bars_of(bars, 0)
    assert (last.volume, present.volume) == (10, 1)


def test_vwap_of_the_largest_trades_does_not_overflow():
    bars = allocate_bars(1)
    for _ in range(20):
        time_bar_nb(bars, 0, 10, trade(1, 2**32 - 1, 2**63 - 1), 0)
    _, present = bars_of(bars, 0)
    assert present.volume == 20 * (2**29 - 1)
    assert abs(present.vwap_e9 - (2**32 - 1) * E9) <= 2**32 * E9 // 2**28


def test_bars_fit_into_the_state_of_a_function():
    state = np.zeros(30, np.int64)
    time_bar_nb(state, 6, 10, trade(1, 5, 5), 0)
    assert not state[:6].any()
