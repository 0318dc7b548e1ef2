"""The price band, trade by trade."""

from typing import Any

import numpy as np
import pytest

from feedhandler.core.breakers.price_band import band_e4_nb
from feedhandler.core.events import BreakerLevel, Flag, Kind
from tests.unit.feedhandler.core.breakers.support import E9, HOUR, MINUTE, OPEN, Detector, S

NORMAL, CAUTION, RESTRICTED, HALTED = BreakerLevel
NOON = 12 * HOUR
PRICE = 1_000_000
"""100.00: the band is 5.00 in tier 1."""


def band(**params: int) -> Detector:
    """One that saw a trade at PRICE at noon."""
    detector = Detector("price_band", **params)
    assert detector.trade(NOON, PRICE) == NORMAL
    return detector


@pytest.mark.parametrize(
    ("away_e4", "level"),
    [
        (30_000, NORMAL),
        (30_001, CAUTION),
        (40_000, CAUTION),
        (40_001, RESTRICTED),
        (50_000, RESTRICTED),
        (50_001, HALTED),
    ],
)
@pytest.mark.parametrize("direction", [1, -1])
def test_first_trade_beyond_a_share_of_the_band_demands_its_level(
    away_e4: int, level: BreakerLevel, direction: int
):
    detector = band()
    assert detector.trade(NOON + S, PRICE + direction * away_e4) == level


def test_a_level_whose_share_is_zero_is_never_demanded():
    detector = band(caution_pct=0, restrict_pct=0)
    assert detector.trade(NOON + S, PRICE + 50_000) == NORMAL
    assert detector.trade(NOON + S, PRICE + 50_001) == HALTED


def test_values_are_price_reference_and_distance():
    detector = band()
    detector.trade(NOON + S, 1_020_000)
    assert detector.values == [1_020_000 * E9, PRICE * E9, 200]


def test_demand_holds_until_a_trade_is_nearer():
    detector = band()
    detector.trade(NOON + S, PRICE + 50_001)
    assert detector.see(NOON + 2 * S) == HALTED
    assert detector.trade(NOON + 3 * S, PRICE + 35_000) == CAUTION
    assert detector.trade(NOON + 4 * S, PRICE) == NORMAL


@pytest.mark.parametrize(
    ("reference_e4", "tier", "phase", "band_e4"),
    [
        (1_000_000, 1, "day", 50_000),
        (1_000_000, 2, "day", 100_000),
        (30_001, 1, "day", 1_500),
        (30_000, 1, "day", 6_000),
        (30_000, 2, "day", 6_000),
        (7_500, 2, "day", 1_500),
        (7_499, 1, "day", 1_500),
        (1_000, 1, "day", 750),
        (1, 1, "day", 1),
        (1_000_000, 1, "closing", 100_000),
        (1_000_000, 2, "closing", 100_000),
        (30_000, 2, "closing", 12_000),
        (1_000, 2, "closing", 1_500),
        (1_000_000, 1, "opening", 100_000),
        (1_000_000, 2, "opening", 200_000),
    ],
)
def test_band_follows_tier_price_and_phase(reference_e4: int, tier: int, phase: str, band_e4: int):
    detector = Detector("price_band", tier=tier, opening_ns=15 * MINUTE)
    when = {"day": NOON, "opening": OPEN, "closing": 15 * HOUR + 35 * MINUTE}[phase]
    assert band_e4_nb(np.int64(reference_e4), np.int64(when), detector.params) == band_e4


def test_a_band_of_ones_own_replaces_that_of_the_tier():
    detector = band(band_bps=100)
    assert detector.trade(NOON + S, PRICE + 10_000) == RESTRICTED
    assert detector.trade(NOON + S, PRICE + 10_001) == HALTED


def test_nothing_is_demanded_outside_the_session():
    detector = Detector("price_band")
    assert detector.trade(OPEN - 2 * S, PRICE) == NORMAL
    assert detector.trade(OPEN - S, 2 * PRICE) == NORMAL
    assert detector.trade(OPEN, PRICE) == NORMAL
    assert detector.trade(OPEN + S, 2 * PRICE) == HALTED
    assert detector.trade(16 * HOUR, 2 * PRICE) == NORMAL


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Kind.ADD, {}),
        (Kind.CANCEL, {}),
        (Kind.BROKEN_TRADE, {}),
        (Kind.CROSS_TRADE, {"qty": 0}),
        (Kind.EXECUTE_AT_PRICE, {"flags": int(Flag.NOT_PRINTABLE)}),
        (Kind.TRADE, {"price_e9": 0}),
        (Kind.TRADE, {"price_e9": -1}),
        (Kind.TRADE, {"price_e9": 1 << 62}),
    ],
)
def test_what_is_no_print_demands_nothing(kind: Kind, fields: dict[str, Any]):
    detector = band()
    assert detector.see(NOON + S, kind, **({"price_e9": 9 * PRICE * E9, "qty": 1} | fields)) == 0
    assert detector.trade(NOON + 2 * S, PRICE) == NORMAL


def test_price_of_an_auction_is_the_new_reference():
    detector = band()
    assert detector.trade(NOON + S, 2 * PRICE) == HALTED
    assert detector.see(NOON + S, Kind.CROSS_TRADE, price_e9=2 * PRICE * E9, qty=5) == NORMAL
    assert detector.trade(NOON + 2 * S, 2 * PRICE) == NORMAL
    assert detector.trade(NOON + 2 * S, PRICE) == HALTED


def test_reference_moves_when_the_mean_is_a_step_away_and_not_too_soon():
    detector = band()
    for second in range(1, 30):
        detector.trade(NOON + second * S, PRICE + 20_000)
        assert detector.values[1] == PRICE * E9
    detector.trade(NOON + 30 * S, PRICE + 20_000)
    detector.trade(NOON + 31 * S, PRICE + 20_000)
    assert detector.values[1] == (PRICE + 30 * 20_000 // 31) * E9


def test_reference_stays_while_the_mean_is_less_than_a_step_away():
    detector = band()
    for second in range(1, 200):
        detector.trade(NOON + second * S, PRICE + 9_000)
    assert detector.values[1] == PRICE * E9


def test_trades_older_than_the_window_are_not_in_the_mean():
    detector = band(step_bps=0, hold_ns=0)
    detector.trade(NOON + 6 * MINUTE, PRICE + 10_000)
    detector.trade(NOON + 6 * MINUTE, PRICE + 10_000)
    assert detector.values[1] == (PRICE + 10_000) * E9


def test_slow_drift_is_followed():
    detector = band()
    for second in range(1, 3_600):
        # 1 % a minute: 36 % in all.
        assert detector.trade(NOON + second * S, PRICE + 100 * second) < HALTED


def test_one_wild_print_moves_no_reference():
    detector = band(step_bps=0, hold_ns=0)
    for second in range(1, 10):
        detector.trade(NOON + second * S, PRICE)
    assert detector.trade(NOON + 10 * S, 50 * PRICE) == HALTED
    assert detector.trade(NOON + 11 * S, PRICE) == NORMAL
    # It counts as two bands of 5.00: one of eleven trades.
    assert detector.values[1] == (PRICE + 100_000 // 11) * E9


def test_a_demand_as_long_as_the_window_ends_with_a_new_reference():
    detector = band()
    assert detector.trade(NOON + S, PRICE // 2) == HALTED
    assert detector.trade(NOON + 5 * MINUTE, PRICE // 2) == HALTED
    assert detector.trade(NOON + 5 * MINUTE + S, PRICE // 2) == NORMAL
    assert detector.trade(NOON + 5 * MINUTE + 2 * S, PRICE // 2) == NORMAL
    assert detector.values[1] == PRICE // 2 * E9


def test_a_demand_ends_without_any_more_trades():
    detector = band()
    detector.trade(NOON + S, PRICE // 2)
    assert detector.see(NOON + 5 * MINUTE) == HALTED
    assert detector.see(NOON + 5 * MINUTE + S) == NORMAL


def test_a_late_trade_outside_trips_and_a_late_one_inside_calms_nothing():
    detector = band()
    detector.see(NOON + 3 * S)
    assert detector.trade(NOON + 2 * S, PRICE + 60_000, seq=1) == HALTED
    assert detector.trade(NOON + 2 * S, PRICE, seq=1) == HALTED
    assert detector.trade(NOON + 4 * S, PRICE) == NORMAL


def test_another_session_has_another_reference():
    detector = band()
    detector.trade(NOON + S, 2 * PRICE)
    assert detector.trade(OPEN, 2 * PRICE) == NORMAL
    assert detector.trade(OPEN + S, PRICE) == HALTED
