"""Imbalance with a trade that confirms it, tick by tick."""

import pytest

from feedhandler.core.events import Flag, Kind
from feedhandler.core.patterns import imbalance_with_trade
from tests.unit.feedhandler.core.patterns.desk import BUY, NOTHING, SELL, Desk

IMBALANCE_BPS, WINDOW_NS, COOLDOWN_NS, ORDER_QTY = 8_000, 1_000, 5_000, 25
BID_E9, ASK_E9 = 990_000_000, 1_010_000_000


class Pattern:
    """One instrument and the ticks that it sees."""

    def __init__(self) -> None:
        self.desk = Desk(
            imbalance_with_trade,
            imbalance_bps=IMBALANCE_BPS,
            window_ns=WINDOW_NS,
            cooldown_ns=COOLDOWN_NS,
            order_qty=ORDER_QTY,
            trade_qty_min=7,
        )

    def see(self, kind: Kind, ts_ns: int, bid_qty: int, ask_qty: int, **values: int) -> int:
        prices = {"bid_price_e9": BID_E9, "ask_price_e9": ASK_E9}
        quantities = {"bid_qty": bid_qty, "ask_qty": ask_qty}
        signal = self.desk.see(kind=kind, ts_exch_ns=ts_ns, **prices, **quantities, **values)
        return signal.side if signal else NOTHING

    def quote(self, ts_ns: int, bid_qty: int, ask_qty: int) -> int:
        return self.see(Kind.ADD, ts_ns, bid_qty, ask_qty, flags=Flag.BBO_CHANGED)

    def trade(self, ts_ns: int, resting_side: int, kind: Kind = Kind.EXECUTE) -> int:
        return self.see(kind, ts_ns, 80, 20, side=resting_side, qty=7, price_e9=ASK_E9)


def test_trade_that_confirms_an_imbalance_proposes_an_order_at_the_touch():
    pattern = Pattern()
    assert pattern.quote(100, 80, 20) == NOTHING
    assert pattern.trade(1_100, SELL) == BUY
    assert pattern.desk.out.tolist()[:5] == [ASK_E9, ORDER_QTY, 8_000, 7, ASK_E9]


def test_a_trade_of_too_few_shares_confirms_nothing():
    pattern = Pattern()
    pattern.quote(100, 80, 20)
    event = {"side": SELL, "price_e9": ASK_E9}
    assert pattern.see(Kind.EXECUTE, 200, 80, 20, qty=6, **event) == NOTHING
    assert pattern.see(Kind.EXECUTE, 300, 80, 20, qty=7, **event) == BUY


def test_pattern_works_on_the_other_side_too():
    pattern = Pattern()
    assert pattern.quote(100, 10, 90) == NOTHING
    assert pattern.trade(200, BUY, Kind.EXECUTE_AT_PRICE) == SELL
    assert pattern.desk.out.tolist()[:3] == [BID_E9, ORDER_QTY, 9_000]


@pytest.mark.parametrize(("bid_qty", "ask_qty"), [(79, 21), (50, 50), (0, 0)])
def test_smaller_imbalance_arms_nothing(bid_qty: int, ask_qty: int):
    pattern = Pattern()
    pattern.quote(100, bid_qty, ask_qty)
    assert pattern.trade(200, SELL) == NOTHING


def test_trade_in_the_other_direction_confirms_nothing():
    pattern = Pattern()
    pattern.quote(100, 80, 20)
    assert pattern.trade(200, BUY) == NOTHING


@pytest.mark.parametrize("ts_ns", [99, 1_101])
def test_trade_before_or_after_the_window_confirms_nothing(ts_ns: int):
    pattern = Pattern()
    pattern.quote(100, 80, 20)
    assert pattern.trade(ts_ns, SELL) == NOTHING


@pytest.mark.parametrize("kind", [Kind.TRADE, Kind.CANCEL, Kind.CROSS_TRADE])
def test_only_executions_confirm(kind: Kind):
    pattern = Pattern()
    pattern.quote(100, 80, 20)
    assert pattern.trade(200, SELL, kind) == NOTHING


@pytest.mark.parametrize(("bid_qty", "ask_qty"), [(0, 20), (80, 0)])
def test_market_without_both_sides_gets_no_order(bid_qty: int, ask_qty: int):
    pattern = Pattern()
    pattern.quote(100, 80, 20)
    assert pattern.see(Kind.EXECUTE, 200, bid_qty, ask_qty, side=SELL) == NOTHING


def test_signal_comes_once_for_each_imbalance_and_cooldown():
    pattern = Pattern()
    pattern.quote(100, 80, 20)
    assert pattern.trade(200, SELL) == BUY
    assert pattern.trade(300, SELL) == NOTHING
    pattern.quote(5_000, 80, 20)
    assert pattern.trade(5_199, SELL) == NOTHING
    assert pattern.trade(5_200, SELL) == BUY


def test_imbalance_stays_armed_until_the_other_side_is_heavier():
    pattern = Pattern()
    pattern.quote(100, 80, 20)
    pattern.quote(200, 50, 50)
    assert pattern.trade(300, SELL) == BUY
    pattern.quote(6_000, 80, 20)
    pattern.quote(6_100, 20, 80)
    assert pattern.trade(6_200, SELL) == NOTHING


def test_execution_that_confirms_nothing_may_arm():
    pattern = Pattern()
    moved = {"side": SELL, "qty": 7, "flags": int(Flag.BBO_CHANGED)}
    assert pattern.see(Kind.EXECUTE, 100, 80, 20, **moved) == NOTHING
    assert pattern.trade(200, SELL) == BUY


def test_a_tick_that_comes_late_arms_nothing():
    pattern = Pattern()
    pattern.quote(90, 50, 50)
    late = {"seq": 0, "flags": int(Flag.BBO_CHANGED)}
    assert pattern.see(Kind.ADD, 100, 80, 20, **late) == NOTHING
    assert pattern.trade(200, SELL) == NOTHING


@pytest.mark.parametrize(("bid_qty", "confidence_bps"), [(80, 5_000), (90, 7_500), (100, 10_000)])
def test_confidence_grows_with_the_imbalance(bid_qty: int, confidence_bps: int):
    pattern = Pattern()
    pattern.quote(100, bid_qty, 100 - bid_qty)
    assert pattern.trade(200, SELL) == BUY
    assert pattern.desk.out[5] == confidence_bps
