"""Momentum, stuffing, sweeps and icebergs: what the flow of one instrument shows."""

import pytest

from feedhandler.core.events import Flag, Kind
from feedhandler.core.patterns import iceberg, momentum_burst, quote_stuffing, sweep
from tests.unit.feedhandler.core.patterns.desk import BUY, CENT_E9, MS, SECOND, SELL, Desk, Signal

ONE = 1


def take(desk: Desk, ts_ns: int, price: int, side: int = BUY, **more: int) -> Signal | None:
    """An execution by `side` at a price; the quote is around it."""
    event = {"kind": Kind.EXECUTE, "side": -side, "price_e9": price * CENT_E9, "qty": 100}
    return desk.quote(ts_ns, ONE, price - 1, price + 1, **{**event, **more})


def bursting() -> Desk:
    return Desk(momentum_burst, move_bps=10, trades_min=10, window_ns=SECOND)


def burst(desk: Desk, *, step: int, trades: int = 10, side: int = BUY) -> list[Signal | None]:
    desk.quote(0, ONE, 9_999, 10_001)
    return [take(desk, (i + 1) * 10 * MS, 10_000 + side * step * i, side) for i in range(trades)]


@pytest.mark.parametrize("side", [BUY, SELL])
def test_trades_of_one_side_that_take_the_price_along_are_a_burst(side: int):
    *quiet, signal = burst(bursting(), step=3, side=side)
    assert quiet == [None] * 9
    assert signal is not None
    assert (signal.side, signal.price_e9) == (side, (10_000 + side * 28) * CENT_E9)
    assert signal.values == (27 * side * CENT_E9, 10, 10_000)


def test_a_burst_that_does_not_move_the_price_or_has_few_trades_is_none():
    assert not any(burst(bursting(), step=1))
    assert not any(burst(bursting(), step=9, trades=9))


def test_a_burst_of_both_sides_is_none():
    desk = bursting()
    sides = [SELL, BUY, BUY]
    assert not any(take(desk, i * MS, 10_000 + 3 * i, sides[i % 3]) for i in range(20))


def test_a_burst_within_its_own_spread_is_none():
    desk = bursting()
    desk.quote(0, ONE, 9_970, 10_030)
    wide = {"bid_price_e9": 9_990 * CENT_E9, "ask_price_e9": 10_070 * CENT_E9}
    assert not any(take(desk, i * MS, 10_030, **wide) for i in range(1, 20))


def test_what_happened_longer_ago_than_the_window_is_no_part_of_the_burst():
    desk = bursting()
    assert not any(take(desk, i * SECOND // 5, 10_000 + 10 * i) for i in range(30))


def test_after_a_burst_another_one_must_begin_anew():
    desk = bursting()
    assert burst(desk, step=3)[-1]
    assert not any(take(desk, 110 * MS + i, 10_030 + 3 * i) for i in range(9))


def stuff(desk: Desk, count: int, *, step_ns: int = 10_000, side: int = BUY) -> list[Signal]:
    said = []
    for i in range(count):
        kind = Kind.DELETE if i % 2 else Kind.ADD
        said.append(desk.quote(i * step_ns, ONE, 9_999, 10_001, kind=kind, side=side))
    return [signal for signal in said if signal]


@pytest.mark.parametrize("side", [BUY, SELL])
def test_orders_by_the_thousand_without_a_trade_are_told_once(side: int):
    (signal,) = stuff(Desk(quote_stuffing), 3_000, side=side)
    assert (signal.side, signal.qty, signal.values) == (-side, 0, (1_000, 5_000, 0))
    assert signal.confidence_bps == 5_000


def test_a_quick_market_that_trades_or_only_adds_is_not_stuffed():
    desk = Desk(quote_stuffing)
    for i in range(25):
        take(desk, i, 10_000)
    assert stuff(desk, 3_000) == []
    desk = Desk(quote_stuffing)
    assert not any(desk.quote(i, ONE, 9_999, 10_001, kind=Kind.ADD) for i in range(3_000))


def test_a_slow_market_is_not_stuffed():
    assert stuff(Desk(quote_stuffing), 3_000, step_ns=MS) == []


def test_stuffing_is_told_again_when_it_had_stopped():
    desk = Desk(quote_stuffing, messages_min=10)
    assert len(stuff(desk, 30)) == 1
    desk.quote(5 * SECOND, ONE, 9_999, 10_001, kind=Kind.ADD)
    for i in range(12):
        signal = desk.quote(5 * SECOND + i, ONE, 9_999, 10_001, kind=Kind.DELETE, side=BUY)
        if signal:
            return
    pytest.fail("stuffing was not told again")


@pytest.mark.parametrize("side", [BUY, SELL])
def test_several_levels_within_a_moment_are_a_sweep(side: int):
    desk = Desk(sweep)
    said = [take(desk, i * 10_000, 10_000 + side * i, side) for i in range(6)]
    assert [bool(signal) for signal in said] == [False] * 4 + [True] + [False]
    (signal,) = filter(None, said)
    assert (signal.side, signal.price_e9) == (side, (10_000 + side * 5) * CENT_E9)
    assert signal.values == (5, 500, 10_000 * CENT_E9)
    assert signal.confidence_bps == 5_000


def test_an_execution_at_a_price_of_its_own_is_part_of_a_sweep_and_ends_none():
    desk = Desk(sweep)
    other = int(Kind.EXECUTE_AT_PRICE)
    prices = [(10_000, 0), (10_001, 0), (10_000, other), (10_002, other), (10_003, 0), (10_004, 0)]
    said = [
        take(desk, i, at, **({"kind": kind} if kind else {})) for i, (at, kind) in enumerate(prices)
    ]
    assert [bool(signal) for signal in said] == [False] * 5 + [True]
    assert said[-1] is not None
    assert said[-1].values == (5, 600, 10_000 * CENT_E9)


def test_executions_at_prices_of_their_own_begin_no_sweep():
    desk = Desk(sweep)
    other = int(Kind.EXECUTE_AT_PRICE)
    assert not any(take(desk, i, 10_000 + i, kind=other) for i in range(9))


def test_an_iceberg_that_is_taken_at_prices_of_their_own_is_followed():
    desk = Desk(iceberg, refills_min=2)
    for i in range(3):
        part = {"side": BUY, "price_e9": 10_000 * CENT_E9, "order_ref": 7 + i, "qty": 40}
        desk.quote(i * SECOND, ONE, 10_000, 10_001, kind=Kind.EXECUTE, **part)
        part |= {"qty": 60, "price_e9": 10_001 * CENT_E9}
        desk.quote(i * SECOND, ONE, 10_000, 10_001, kind=Kind.EXECUTE_AT_PRICE, **part)
        part |= {"qty": 100, "price_e9": 10_000 * CENT_E9, "order_ref": 8 + i}
        signal = desk.quote(i * SECOND, ONE, 10_000, 10_001, kind=Kind.ADD, **part)
        assert bool(signal) == (i == 1)


def test_many_orders_of_one_level_are_no_sweep():
    desk = Desk(sweep)
    assert not any(take(desk, i, 10_000) for i in range(50))


def test_levels_taken_one_by_one_over_a_while_are_no_sweep():
    desk = Desk(sweep)
    assert not any(take(desk, i * MS // 2, 10_000 + i) for i in range(50))


def test_a_price_that_comes_back_ends_a_sweep():
    desk = Desk(sweep)
    assert not any(take(desk, i, 10_000 + (i % 3)) for i in range(50))


def test_a_sweep_of_too_few_shares_is_none():
    desk = Desk(sweep, qty_min=1_000)
    said = [take(desk, i, 10_000 + i) for i in range(10)]
    assert [bool(signal) for signal in said] == [False] * 9 + [True]


@pytest.mark.parametrize("flag", [Flag.IN_DOUBT, Flag.HALTED, Flag.UNKNOWN_REFERENCE])
def test_a_sweep_of_a_book_that_does_not_trade_is_none(flag: Flag):
    desk = Desk(sweep)
    assert not any(take(desk, i, 10_000 + i, flags=int(flag)) for i in range(10))


def refill(desk: Desk, ts_ns: int, ref: int, side: int = BUY, **more: int) -> Signal | None:
    """Order `ref` is taken whole, and order `ref` + 1 comes for it."""
    event = {"side": side, "price_e9": 10_000 * CENT_E9, "qty": 100, **more}
    desk.quote(ts_ns, ONE, 10_000, 10_001, kind=Kind.EXECUTE, **{**event, "order_ref": ref})
    return desk.quote(
        ts_ns + event.pop("delay_ns", 1_000),
        ONE,
        10_000,
        10_001,
        kind=Kind.ADD,
        **{**event, "order_ref": ref + 1},
    )


@pytest.mark.parametrize("side", [BUY, SELL])
def test_an_order_that_comes_back_again_and_again_is_an_iceberg(side: int):
    desk = Desk(iceberg)
    said = [refill(desk, i * SECOND, 7 + i, side) for i in range(6)]
    assert [bool(signal) for signal in said] == [False] * 2 + [True] + [False] * 3
    (signal,) = filter(None, said)
    assert (signal.side, signal.qty) == (side, 100)
    assert signal.values == (3, 300, 10_000 * CENT_E9)


def test_an_order_that_is_taken_in_parts_is_followed_too():
    desk = Desk(iceberg, refills_min=2)
    for i in range(3):
        part = {"side": BUY, "price_e9": 10_000 * CENT_E9, "order_ref": 7 + i, "qty": 40}
        desk.quote(i * SECOND, ONE, 10_000, 10_001, kind=Kind.EXECUTE, **part)
        part |= {"qty": 60}
        desk.quote(i * SECOND, ONE, 10_000, 10_001, kind=Kind.EXECUTE, **part)
        part |= {"qty": 100, "order_ref": 8 + i}
        signal = desk.quote(i * SECOND, ONE, 10_000, 10_001, kind=Kind.ADD, **part)
        assert bool(signal) == (i == 1)


def test_orders_of_another_size_price_or_moment_refill_nothing():
    desk = Desk(iceberg, refills_min=2)
    assert not any(refill(desk, i * SECOND, 7 + i, qty=100 + i) for i in range(9))
    desk = Desk(iceberg, refills_min=2)
    prices = [(10_000 - i) * CENT_E9 for i in range(9)]
    assert not any(refill(desk, i * SECOND, 7 + i, price_e9=prices[i]) for i in range(9))
    desk = Desk(iceberg, refills_min=2)
    assert not any(refill(desk, i * SECOND, 7 + i, delay_ns=2 * MS) for i in range(9))


def test_orders_that_nobody_took_refill_nothing():
    desk = Desk(iceberg, refills_min=1)
    event = {"side": BUY, "price_e9": 10_000 * CENT_E9, "qty": 100}
    for i in range(9):
        assert desk.quote(i, ONE, 10_000, 10_001, kind=Kind.ADD, order_ref=i, **event) is None
