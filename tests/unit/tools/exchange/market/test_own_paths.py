"""Own parts of prices: bridges that end where a minute has to, jumps, days of any size."""

import numpy as np
import pytest

from tools.exchange.market.layout import (
    LEFT,
    NEXT_JUMP,
    PART,
    SEEN,
    STEP,
    Market,
    allocate_market,
)
from tools.exchange.market.own_paths import MINUTE_BITS, NEVER
from tools.exchange.market.paths import FIRST_STEP, MINUTES, STEPS_A_MINUTE
from tools.exchange.market.prices import catch_up_nb
from tools.exchange.market.profiles import load_profiles
from tools.exchange.market.scenario import Scenario
from tools.exchange.market.tables import LOG_BITS


def market_of(symbols: int, **values: float) -> Market:
    scenario = Scenario(symbols=symbols, orders_per_symbol=8, **values)
    return allocate_market(scenario, load_profiles(symbols), 7)


def until(market: Market, symbol: int, step: int) -> int:
    """Where the own part is after so many steps."""
    market.words[STEP] = step
    catch_up_nb(market, np.int64(symbol))
    return int(market.own[symbol, PART])


@pytest.mark.parametrize("stride", [1, 7, 10, 123, 600])
def test_a_minute_ends_where_it_has_to_however_it_is_gone_through(stride: int):
    market = market_of(2, jumps_per_day=0)
    market.own[1, SEEN] = market.words[STEP] = FIRST_STEP
    before = until(market, 1, FIRST_STEP)
    for minute in range(2):
        begin = FIRST_STEP + minute * STEPS_A_MINUTE
        for step in range(begin, begin + STEPS_A_MINUTE, stride):
            until(market, 1, step)
        after = until(market, 1, begin + STEPS_A_MINUTE)
        assert after - before == int(market.own_paths.minutes[1, minute]) << MINUTE_BITS
        assert market.own[1, LEFT] == 0
        before = after


def test_noise_within_a_minute_is_what_a_walk_would_have():
    market = market_of(1, jumps_per_day=0, volatility_of_volatility=0, u_shape=1)
    market.own[0, SEEN] = FIRST_STEP
    places = [until(market, 0, FIRST_STEP + 10 * second) for second in range(1, 1_800)]
    found = np.diff(np.array(places) / (1 << LOG_BITS)).std()
    day = float(market.own_paths.sizes[0])
    assert abs(found / (day / np.sqrt(23_400)) - 1) < 0.05


def test_jumps_come_at_their_steps_and_the_minute_ends_where_it_has_to_all_the_same():
    market = market_of(1, jumps_per_day=40)
    paths = market.own_paths
    jumps = paths.jumps[paths.first_jumps[0] : -1]
    assert len(jumps) > 20
    assert paths.jumps[-1, 0] == NEVER
    assert (np.diff(jumps[:, 0]) >= 0).all()
    step = int(jumps[len(jumps) // 2, 0])
    minute = (step - FIRST_STEP) // STEPS_A_MINUTE
    begin = FIRST_STEP + minute * STEPS_A_MINUTE
    inside = jumps[(jumps[:, 0] >= begin) & (jumps[:, 0] < begin + STEPS_A_MINUTE), 1].sum()
    market.own[0, SEEN] = begin
    before = until(market, 0, begin)
    until(market, 0, step)
    assert market.own_paths.jumps[market.own[0, NEXT_JUMP], 0] == step
    moved = until(market, 0, begin + STEPS_A_MINUTE) - before
    assert moved == (int(paths.minutes[0, minute]) << MINUTE_BITS) + int(inside)


def test_jumps_leave_a_symbol_the_volatility_that_was_asked_for():
    market = market_of(3, jumps_per_day=5, jump_percent=20)
    paths = market.own_paths
    for symbol, first in enumerate(paths.first_jumps):
        moves = paths.minutes[symbol].astype(float) * (1 << MINUTE_BITS)
        for step, size in paths.jumps[first:]:
            if step == NEVER:
                break
            moves[(step - FIRST_STEP) // STEPS_A_MINUTE] += size
        profile = load_profiles(3)[symbol]
        own = np.sqrt(0.6 / 252) * profile.volatility_percent / 100
        assert abs(np.sqrt((moves**2).sum()) / (1 << LOG_BITS) / own - 1) < 1e-3


@pytest.mark.parametrize("symbols", [1, 129, 1_000])
def test_symbols_of_a_block_have_no_correlation_by_chance(symbols: int):
    market = market_of(symbols, jumps_per_day=0)
    minutes = market.own_paths.minutes[:128].astype(float)
    assert minutes.shape[1] == MINUTES
    found = np.corrcoef(minutes) if symbols == 1 else minutes @ minutes.T
    sizes = np.sqrt(np.diag(np.atleast_2d(found)))
    assert np.abs(np.atleast_2d(found) / np.outer(sizes, sizes) - np.eye(len(minutes))).max() < 1e-3
