"""VWAP and volatility against plain integers."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedhandler.core.analytics import (
    INSTRUMENT,
    analyse_nb,
    is_trade_nb,
    track_status_nb,
)
from feedhandler.core.events import Flag, Kind
from tests.unit.feedhandler.core.support import blank_ticks

E9 = 100_000
TRADES = (Kind.EXECUTE, Kind.EXECUTE_AT_PRICE, Kind.TRADE, Kind.CROSS_TRADE)
QTY_LIMIT = 2**29 - 1
SUM_LIMIT = 2**61


def analyse(instruments: Any, **values: int) -> Any:
    """(completed tick, move in basis points) of one tick."""
    ticks = blank_ticks(**values)
    moved_bps = analyse_nb(instruments, ticks, 0)
    return ticks[0], int(moved_bps)


def quote(instruments: Any, bid_e4: int, ask_e4: int) -> Any:
    """A tick after which these are the best prices."""
    return analyse(
        instruments,
        kind=Kind.ADD,
        flags=Flag.BBO_CHANGED,
        bid_price_e9=bid_e4 * E9,
        bid_qty=1,
        ask_price_e9=ask_e4 * E9,
        ask_qty=1,
    )


@pytest.mark.parametrize("kind", list(Kind))
def test_trades_are_executions_trades_and_crosses(kind: Kind):
    assert is_trade_nb(kind) == (kind in TRADES)


class SlowVwap:
    """Sums in integers of any size, halved together as the row's are."""

    def __init__(self) -> None:
        self.volume = self.notional_e4 = self.vwap_e9 = 0

    def add(self, price_e4: int, qty: int) -> None:
        qty = min(qty, QTY_LIMIT)
        self.volume += qty
        self.notional_e4 += price_e4 * qty
        if max(self.volume, self.notional_e4) > SUM_LIMIT:
            self.volume //= 2
            self.notional_e4 //= 2
        if self.volume:
            self.vwap_e9 = self.notional_e4 // self.volume * E9


prices_e4 = st.one_of(st.integers(0, 2**32 - 1), st.integers(9_000, 11_000))
quantities = st.one_of(st.integers(0, 2**63 - 1), st.integers(0, 1_000))


@given(st.lists(st.tuples(st.sampled_from(TRADES), prices_e4, quantities), max_size=12))
def test_vwap_is_that_of_plain_integers_and_never_overflows(
    trades: list[tuple[Kind, int, int]],
):
    instruments, slow = np.zeros(1, INSTRUMENT), SlowVwap()
    for kind, price_e4, qty in trades:
        slow.add(price_e4, qty)
        tick, _ = analyse(instruments, kind=kind, price_e9=price_e4 * E9, qty=qty)
        assert tick["vwap_e9"] == slow.vwap_e9
    assert instruments[0]["volume"] == slow.volume
    assert instruments[0]["messages"] == len(trades)


def test_sums_are_halved_together_before_they_could_overflow():
    instruments, slow = np.zeros(1, INSTRUMENT), SlowVwap()
    for _ in range(5):
        slow.add(2**32 - 1, QTY_LIMIT)
        highest = {"price_e9": (2**32 - 1) * E9, "qty": 2**63 - 1}
        tick, _ = analyse(instruments, kind=Kind.TRADE, **highest)
        assert tick["vwap_e9"] == slow.vwap_e9
    assert instruments[0]["notional_e4"] == slow.notional_e4 <= SUM_LIMIT
    assert slow.volume < 5 * QTY_LIMIT


def test_execution_that_is_not_printable_counts_in_no_volume():
    instruments = np.zeros(1, INSTRUMENT)
    values = {"kind": Kind.EXECUTE_AT_PRICE, "price_e9": E9, "qty": 5}
    analyse(instruments, flags=Flag.NOT_PRINTABLE, **values)
    assert instruments[0]["volume"] == 0
    assert analyse(instruments, **values)[0]["vwap_e9"] == E9


@given(st.lists(st.tuples(st.integers(1, 2**31 - 1), st.integers(0, 100)), max_size=12))
def test_volatility_and_moves_are_those_of_plain_integers(quotes: list[tuple[int, int]]):
    instruments = np.zeros(1, INSTRUMENT)
    mid_e4 = variance_e18 = 0
    for bid_e4, spread_e4 in quotes:
        tick, moved_bps = quote(instruments, bid_e4, bid_e4 + spread_e4)
        new_e4 = (2 * bid_e4 + spread_e4) * E9 // (2 * E9)
        expected_bps = 0
        if new_e4 != mid_e4 and mid_e4 > 0:
            change = new_e4 - mid_e4
            return_e9 = max(min(change * 10**9 // mid_e4, 10**9), -(10**9))
            variance_e18 += (return_e9**2 - variance_e18) >> 6
            expected_bps = abs(change) * 10_000 // mid_e4
        mid_e4 = new_e4
        assert moved_bps == expected_bps
        assert instruments[0]["variance_e18"] == variance_e18
        assert tick["volatility_e9"] == int(math.sqrt(variance_e18))


@pytest.mark.parametrize(("bid_qty", "ask_qty", "flags"), [(0, 1, 4), (1, 0, 4), (1, 1, 0)])
def test_mid_price_needs_both_sides_and_a_change(bid_qty: int, ask_qty: int, flags: int):
    instruments = np.zeros(1, INSTRUMENT)
    analyse(
        instruments,
        kind=Kind.ADD,
        flags=flags,
        bid_price_e9=100 * E9,
        bid_qty=bid_qty,
        ask_price_e9=102 * E9,
        ask_qty=ask_qty,
    )
    assert instruments[0]["mid_e4"] == 0


def test_instrument_is_named_by_its_definition_and_else_by_its_first_order():
    instruments = np.zeros(2, INSTRUMENT)
    analyse(instruments, kind=Kind.ADD, aux=11, instrument=1)
    analyse(instruments, kind=Kind.ADD, aux=12, instrument=1)
    assert instruments["symbol"].tolist() == [0, 11]
    analyse(instruments, kind=Kind.DEFINITION, aux=13, instrument=1)
    assert instruments["symbol"].tolist() == [0, 13]


HALTS = [
    (Kind.TRADING_STATUS, "H", 1),
    (Kind.TRADING_STATUS, "P", 1),
    (Kind.TRADING_STATUS, "Q", 1),
    (Kind.TRADING_STATUS, "T", 0),
    (Kind.OPERATIONAL_HALT, "H", 1),
    (Kind.OPERATIONAL_HALT, "T", 0),
]


@pytest.mark.parametrize(("kind", "status", "halted"), HALTS)
def test_halts_begin_and_end_with_the_status(kind: Kind, status: str, halted: int):
    instruments = np.zeros(1, INSTRUMENT)
    instruments[0]["halted"] = 1 - halted
    tick, _ = analyse(instruments, kind=kind, status=ord(status))
    assert instruments[0]["halted"] == halted
    assert bool(tick["flags"] & Flag.HALTED) == bool(halted)
    later, _ = analyse(instruments, kind=Kind.ADD)
    assert bool(later["flags"] & Flag.HALTED) == bool(halted)


def test_other_statuses_halt_nothing():
    instruments = np.zeros(1, INSTRUMENT)
    track_status_nb(instruments, blank_ticks(kind=Kind.SHORT_SALE_STATUS, status=ord("H")), 0)
    assert instruments[0]["halted"] == 0
