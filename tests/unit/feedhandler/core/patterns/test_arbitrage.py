"""Basket, triangle and crossed markets: a gap beyond the costs, once, and until it is closed."""

from collections.abc import Callable

import pytest

from feedhandler.core.events import Flag
from feedhandler.core.patterns import basket, crossed, triangle
from tests.unit.feedhandler.core.patterns.desk import BUY, CENT_E9, MS, SELL, Desk

FUND, FIRST, SECOND_LEG = 1, 2, 3
Pattern = Callable[..., int]
LASTING = {
    "basket": {"unit_shares": 2, "weight_1": 1, "weight_2": 1, "cost_bps": 50, "hold_ns": MS},
    "triangle": {"scale_e9": 100_000_000, "cost_ppm": 5_000, "hold_ns": MS},
}
"""Legs at 10.00: the fund is half of two of them, the circle a tenth of their product."""
WEIGHTS = {"unit_shares": 10, "weight_1": 20, "weight_2": 10, "cost_bps": 20, "hold_ns": 0}


def fund() -> Desk:
    """10 shares of the fund are 20 at 10.00 and 10 at 30.00: 50.00 a share."""
    desk = Desk(basket, (FUND, FIRST, SECOND_LEG), **WEIGHTS)
    desk.quote(0, FIRST, 999, 1_001)
    desk.quote(0, SECOND_LEG, 2_999, 3_001)
    assert desk.quote(0, FUND, 4_998, 5_002) is None
    return desk


@pytest.mark.parametrize(
    ("bid", "ask", "side", "worth"), [(4_982, 4_984, BUY, 4_997), (5_020, 5_022, SELL, 5_003)]
)
def test_a_fund_away_from_its_basket_by_the_costs_is_proposed(
    bid: int, ask: int, side: int, worth: int
):
    signal = fund().quote(1, FUND, bid, ask)
    assert signal is not None
    price = ask if side > 0 else bid
    assert (signal.side, signal.price_e9) == (side, price * CENT_E9)
    gap = abs(worth - price) * 1_000_000 // worth
    assert signal.values[0] in {gap - 1, gap}
    assert signal.values[1:] == (worth * CENT_E9, price * CENT_E9)


def test_a_fund_within_the_costs_is_none():
    assert fund().quote(1, FUND, 4_986, 4_988) is None


def test_a_gap_is_proposed_once_until_half_of_the_costs_is_gone():
    desk = fund()
    assert desk.quote(1, FUND, 4_980, 4_984)
    assert desk.quote(2, FUND, 4_980, 4_987) is None
    assert desk.quote(3, FUND, 4_980, 4_984) is None
    assert desk.quote(4, FUND, 4_980, 4_993) is None
    assert desk.quote(5, FUND, 4_980, 4_984)


def test_a_move_of_a_part_of_the_basket_counts_too():
    signal = fund().quote(1, FIRST, 1_009, 1_011)
    assert signal is not None
    assert (signal.side, signal.price_e9) == (BUY, 5_002 * CENT_E9)


@pytest.mark.parametrize("flag", [Flag.IN_DOUBT, Flag.HALTED])
def test_a_part_that_does_not_trade_stops_the_basket(flag: Flag):
    desk = fund()
    desk.quote(1, FIRST, 1_009, 1_011, flags=int(flag))
    assert desk.quote(2, FUND, 4_980, 4_984) is None
    assert desk.quote(3, FIRST, 999, 1_001) is not None


def test_a_part_without_a_weight_stops_the_basket():
    desk = Desk(basket, (FUND, FIRST, SECOND_LEG), **{**WEIGHTS, "weight_2": 0})
    desk.quote(0, FIRST, 999, 1_001)
    desk.quote(0, SECOND_LEG, 2_999, 3_001)
    assert desk.quote(1, FUND, 100, 101) is None


def test_more_parts_than_there_are_weights_are_never_looked_at():
    desk = Desk(basket, range(1, 27), weight_1=1)
    assert desk.quote(0, 2, 999, 1_001) is None
    assert not desk.state.any()


def circle() -> Desk:
    """EUR/JPY 150.00, EUR/USD 1.00, USD/JPY 150.00."""
    desk = Desk(triangle, (1, 2, 3), cost_ppm=500, hold_ns=0)
    desk.quote(0, 2, 100, 100)
    desk.quote(0, 3, 15_000, 15_000)
    return desk


@pytest.mark.parametrize(("bid", "ask", "side"), [(14_980, 14_990, BUY), (15_010, 15_020, SELL)])
def test_a_circle_that_does_not_close_is_proposed(bid: int, ask: int, side: int):
    signal = circle().quote(1, 1, bid, ask)
    assert signal is not None
    assert (signal.side, signal.price_e9) == (side, (ask if side > 0 else bid) * CENT_E9)
    assert signal.values[0] in range(660, 670)
    assert signal.values[1:] == (100 * CENT_E9, 15_000 * CENT_E9)
    assert signal.confidence_bps in range(6_600, 6_700)


def test_a_circle_within_the_costs_is_none_and_so_is_one_with_a_leg_missing():
    assert circle().quote(1, 1, 14_990, 14_995) is None
    desk = circle()
    desk.quote(1, 3, 15_000, 15_000, bid_qty=0)
    assert desk.quote(2, 1, 14_900, 14_910) is None


def test_a_circle_in_other_units_takes_a_scale():
    desk = Desk(triangle, (1, 2, 3), cost_ppm=500, scale_e9=20_000_000, hold_ns=0)
    desk.quote(0, 2, 5_000, 5_000)
    desk.quote(0, 3, 6_000, 6_000)
    assert desk.quote(1, 1, 5_999, 6_001) is None
    signal = desk.quote(2, 1, 6_010, 6_012)
    assert signal is not None
    assert (signal.side, signal.values[0]) == (SELL, 1_666)


def test_a_circle_is_proposed_once():
    desk = circle()
    assert desk.quote(1, 1, 14_980, 14_990)
    assert desk.quote(2, 1, 14_980, 14_991) is None
    assert desk.quote(3, 1, 14_990, 15_000) is None
    assert desk.quote(4, 1, 14_980, 14_990)


@pytest.mark.parametrize("pattern", [basket, triangle])
def test_a_gap_is_proposed_when_it_has_lasted_and_one_of_a_moment_never(pattern: Pattern):
    desk = Desk(pattern, (1, 2, 3), **LASTING[pattern.__name__])
    desk.quote(0, 2, 999, 1_001)
    desk.quote(0, 3, 999, 1_001)
    assert desk.quote(MS, 1, 980, 981) is None
    assert desk.quote(MS + 500_000, 1, 999, 1_001) is None
    assert desk.quote(2 * MS, 1, 980, 981) is None
    assert desk.quote(3 * MS - 1, 2, 999, 1_001) is None
    signal = desk.quote(3 * MS, 2, 999, 1_001)
    assert signal is not None
    assert (signal.side, signal.price_e9) == (BUY, 981 * CENT_E9)
    assert desk.quote(4 * MS, 2, 999, 1_001) is None


@pytest.mark.parametrize("pattern", [basket, triangle])
def test_a_leg_that_stops_to_trade_begins_the_wait_anew(pattern: Pattern):
    desk = Desk(pattern, (1, 2, 3), **LASTING[pattern.__name__])
    desk.quote(0, 2, 999, 1_001)
    desk.quote(0, 3, 999, 1_001)
    assert desk.quote(MS, 1, 980, 981) is None
    assert desk.quote(2 * MS - 1, 2, 999, 1_001, flags=int(Flag.HALTED)) is None
    assert desk.quote(2 * MS, 2, 999, 1_001) is None
    assert desk.quote(3 * MS, 2, 999, 1_001) is not None


def two_feeds(**params: int) -> Desk:
    desk = Desk(crossed, (1, 2), **params)
    assert desk.quote(0, 1, 5_000, 5_001) is None
    return desk


def test_a_crossed_market_is_proposed_when_it_has_lasted():
    desk = two_feeds()
    assert desk.quote(MS, 2, 5_003, 5_004, bid_qty=30) is None
    assert desk.quote(2 * MS - 1, 1, 5_000, 5_001) is None
    signal = desk.quote(2 * MS, 1, 5_000, 5_001)
    assert signal is not None
    assert (signal.side, signal.price_e9, signal.qty) == (BUY, 5_001 * CENT_E9, 30)
    assert signal.values == (2 * CENT_E9, 30, MS)
    assert desk.quote(3 * MS, 1, 5_000, 5_001) is None


def test_a_market_crossed_the_other_way_is_proposed_to_be_sold():
    signal = two_feeds(hold_ns=0).quote(MS, 2, 4_997, 4_998)
    assert signal is not None
    assert (signal.side, signal.price_e9, signal.confidence_bps) == (SELL, 5_000 * CENT_E9, 10_000)


def test_a_cross_that_is_over_sooner_is_none():
    desk = two_feeds()
    assert desk.quote(MS, 2, 5_003, 5_004) is None
    assert desk.quote(MS + 1, 1, 5_003, 5_004) is None
    assert desk.quote(3 * MS, 1, 5_000, 5_001) is None


@pytest.mark.parametrize(("edge_e9", "confidence_bps"), [(0, 5_000), (1, None)])
def test_a_locked_market_counts_when_no_edge_is_asked_for(edge_e9: int, confidence_bps: int | None):
    signal = two_feeds(hold_ns=0, edge_e9=edge_e9).quote(MS, 2, 5_001, 5_002)
    assert (signal and signal.confidence_bps) == confidence_bps


@pytest.mark.parametrize("flag", [Flag.IN_DOUBT, Flag.HALTED])
def test_a_feed_in_doubt_crosses_nothing(flag: Flag):
    assert two_feeds(hold_ns=0).quote(MS, 2, 5_003, 5_004, flags=int(flag)) is None
