"""A decline of the whole market."""

import pytest

from feedhandler.core.breakers.market_decline import LEGS_MAX
from feedhandler.core.events import BreakerLevel, Kind
from tests.unit.feedhandler.core.breakers.support import E9, HOUR, MINUTE, OPEN, Detector, S

NORMAL, CAUTION, RESTRICTED, HALTED = BreakerLevel
NOON = 12 * HOUR
LATE = 15 * HOUR + 25 * MINUTE
PRICES = {1: 1_000_000, 2: 50_000, 3: 2_000_000, 4: 300_000}


def opened(**params: int) -> Detector:
    """A market of four legs that have traded at PRICES."""
    detector = Detector("market_decline", tuple(PRICES), **params)
    for leg, price_e4 in PRICES.items():
        assert detector.trade(OPEN, price_e4, instrument=leg) == NORMAL
    return detector


def fall(detector: Detector, ts_ns: int, bps: int) -> int:
    """The level when all legs trade so far below their first prices."""
    level = 0
    for leg, price_e4 in PRICES.items():
        level = detector.trade(ts_ns, price_e4 * (10_000 - bps) // 10_000, instrument=leg)
    return level


@pytest.mark.parametrize(
    ("bps", "level"),
    [(480, NORMAL), (500, CAUTION), (600, RESTRICTED), (700, HALTED), (2_500, HALTED)],
)
def test_decline_of_the_index_demands_its_level(bps: int, level: BreakerLevel):
    detector = opened()
    assert fall(detector, NOON, bps) == level
    assert detector.values == [bps, {HALTED: 1}.get(level, 0) if bps < 2_000 else 3, 4]


def test_the_trade_that_reaches_the_level_trips():
    detector = opened()
    levels = [detector.trade(NOON, PRICES[leg] * 93 // 100, instrument=leg) for leg in (1, 2, 3, 4)]
    assert levels == [NORMAL, NORMAL, CAUTION, HALTED]


def test_a_rise_is_no_decline():
    detector = opened()
    assert fall(detector, NOON, -5_000) == NORMAL
    assert detector.values[0] == 0


def test_the_first_two_levels_halt_for_a_quarter_of_an_hour_once_each():
    detector = opened()
    assert fall(detector, NOON, 700) == HALTED
    assert detector.see(NOON + 15 * MINUTE - 1) == HALTED
    assert detector.see(NOON + 15 * MINUTE) == NORMAL
    assert fall(detector, NOON + 20 * MINUTE, 0) == NORMAL
    assert fall(detector, NOON + 30 * MINUTE, 1_200) == NORMAL
    assert fall(detector, NOON + 40 * MINUTE, 1_300) == HALTED
    assert detector.see(NOON + 55 * MINUTE) == NORMAL


def test_from_twenty_five_past_three_on_the_first_two_levels_do_not_halt():
    detector = opened()
    assert fall(detector, LATE - 1, 700) == HALTED
    detector = opened()
    assert fall(detector, LATE, 700) == CAUTION
    assert fall(detector, LATE + S, 1_300) == CAUTION
    assert detector.see(LATE + S + 15 * MINUTE) == NORMAL


@pytest.mark.parametrize("ts_ns", [OPEN, NOON, LATE, 16 * HOUR - 1])
def test_the_third_level_halts_for_the_rest_of_the_day(ts_ns: int):
    detector = opened()
    assert fall(detector, ts_ns, 2_000) == HALTED
    assert fall(detector, 16 * HOUR - 1, 0) == HALTED
    assert detector.see(20 * HOUR) == HALTED


def test_a_new_day_takes_it_back():
    detector = opened()
    fall(detector, 15 * HOUR, 2_000)
    assert detector.see(20 * HOUR) == HALTED
    assert detector.see(1 * HOUR) == NORMAL
    assert fall(detector, OPEN, 2_000) == NORMAL
    assert fall(detector, OPEN + S, 3_600) == HALTED


def test_a_clock_that_steps_back_takes_nothing_back():
    detector = opened()
    fall(detector, 15 * HOUR, 2_000)
    assert detector.see(10 * HOUR) == HALTED


@pytest.mark.parametrize("ts_ns", [OPEN - 1, 16 * HOUR])
def test_trades_outside_the_session_count_for_nothing(ts_ns: int):
    detector = Detector("market_decline", tuple(PRICES)) if ts_ns < OPEN else opened()
    assert fall(detector, ts_ns, 3_000) == NORMAL
    assert detector.values[1] == 0


def test_no_index_is_made_of_less_than_the_quorum():
    detector = Detector("market_decline", (1, 2, 3, 4, 5), quorum_pct=60)
    for leg in (1, 2):
        detector.trade(OPEN, 100_000, instrument=leg)
    for leg in (1, 2):
        assert detector.trade(NOON, 10_000, instrument=leg) == NORMAL
    assert detector.trade(NOON, 100_000, instrument=3) == HALTED


def test_other_instruments_are_not_in_the_index():
    detector = opened()
    detector.trade(NOON, 100_000, instrument=7)
    assert detector.trade(NOON, 1, instrument=7) == NORMAL
    assert detector.values[2] == 4


@pytest.mark.parametrize(("code", "level"), [("1", HALTED), ("2", HALTED), ("3", HALTED)])
def test_what_the_venue_says_counts_as_reached(code: str, level: BreakerLevel):
    detector = opened()
    status = {"kind": Kind.MARKET_DECLINE_STATUS, "instrument": 0}
    assert detector.see(NOON, status=ord(code), **status) == level
    assert detector.values[1] == int(code)
    expected = HALTED if code == "3" else NORMAL
    assert detector.see(NOON + 15 * MINUTE) == expected


def test_what_the_venue_says_in_other_words_counts_for_nothing():
    detector = opened()
    for status in (0, ord("0"), ord("4"), ord("A")):
        assert detector.see(NOON, Kind.MARKET_DECLINE_STATUS, status=status) == NORMAL


def test_a_late_trade_brings_no_old_price():
    detector = opened()
    for leg, price_e4 in PRICES.items():
        detector.trade(NOON, price_e4 // 2, instrument=leg, seq=1)
    assert detector.values[0] == 0


def test_wild_prices_and_more_legs_than_there_is_room_for_do_no_harm():
    detector = Detector("market_decline", [1] * (LEGS_MAX + 3))
    for price_e9 in (1, 1 << 62, -5, 100_000 * E9):
        detector.see(NOON, Kind.TRADE, price_e9=price_e9, qty=1)
    assert detector.values == [0, 0, LEGS_MAX]
