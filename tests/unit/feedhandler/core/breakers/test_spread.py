"""The spread against its average, and as such."""

import pytest

from feedhandler.core.breakers.spread import spread_e3bps_nb
from feedhandler.core.events import BreakerLevel
from tests.unit.feedhandler.core.breakers.support import E9, OPEN, Detector, S

NORMAL, CAUTION, RESTRICTED, HALTED = BreakerLevel
BID = 1_000_000


def quote(detector: Detector, second: int, ask_e4: int, bid_qty: int = 5, ask_qty: int = 5) -> int:
    """The level with a bid of 100.00 and this ask."""
    detector.know(bid_price_e9=BID * E9, bid_qty=bid_qty)
    detector.know(ask_price_e9=ask_e4 * E9, ask_qty=ask_qty)
    return detector.see(OPEN + second * S)


def warmed(**params: int) -> Detector:
    """One whose average is 1 basis point, and that waits for nothing."""
    detector = Detector("spread", **({"persist_ns": 0} | params))
    for second in range(101):
        assert quote(detector, second, BID + 100) == NORMAL
    return detector


@pytest.mark.parametrize(
    ("bid", "ask", "expected"),
    [
        ((1_000_000, 1), (1_000_100, 1), 999),
        ((1_000_000, 1), (1_000_000, 1), 0),
        ((1_000_100, 1), (1_000_000, 1), 0),
        ((0, 1), (1_000_000, 1), 0),
        ((1_000_000, 0), (1_000_100, 1), -1),
        ((1_000_000, 1), (0, 0), -1),
        ((1, 1), (3, 1), 10_000_000),
        ((1, 1), (1 << 46, 1), 19_999_999),
    ],
)
def test_spread_is_in_thousandths_of_a_basis_point(
    bid: tuple[int, int], ask: tuple[int, int], expected: int
):
    detector = Detector("spread")
    detector.know(bid_price_e9=bid[0] * E9, bid_qty=bid[1])
    detector.know(ask_price_e9=ask[0] * E9, ask_qty=ask[1])
    assert spread_e3bps_nb(detector.market, 1) == expected


@pytest.mark.parametrize(
    ("times", "level"), [(4, NORMAL), (6, CAUTION), (11, RESTRICTED), (26, HALTED)]
)
def test_spread_of_many_times_the_average_demands_its_level(times: int, level: BreakerLevel):
    assert quote(warmed(), 100, BID + 100 * times) == level


@pytest.mark.parametrize(
    ("bps", "level"), [(190, NORMAL), (210, CAUTION), (520, RESTRICTED), (1_100, HALTED)]
)
def test_absolute_spread_demands_its_level_from_the_first_tick_on(bps: int, level: BreakerLevel):
    assert quote(Detector("spread", persist_ns=0), 0, BID + 100 * bps) == level


def test_a_missing_side_demands_its_level_once_both_are_usual():
    assert quote(Detector("spread", one_sided_level=2), 0, BID + 100, ask_qty=0) == NORMAL
    detector = warmed(one_sided_level=2)
    assert quote(detector, 101, BID + 100, ask_qty=0) == RESTRICTED
    assert quote(detector, 102, BID + 100, bid_qty=0) == RESTRICTED
    assert quote(detector, 103, BID + 100) == NORMAL


def test_an_average_below_the_floor_counts_as_that():
    detector = warmed(floor_e3bps=50_000)
    assert quote(detector, 100, BID + 100 * 60) == NORMAL


def test_a_wide_spread_that_stays_is_normal_in_the_end():
    detector = warmed(shift=5)
    levels = [quote(detector, 101 + second, BID + 800) for second in range(60)]
    assert (levels[0], levels[-1]) == (CAUTION, NORMAL)


def test_outside_the_session_nothing_is_demanded_nor_learnt():
    detector = warmed()
    before = detector.state.copy()
    for second in (-1, 23_400):
        assert quote(detector, second, 2 * BID) == NORMAL
    assert (detector.state == before).all()


def test_a_level_is_demanded_when_it_was_wanted_long_enough():
    detector = Detector("spread", persist_ns=2 * S)
    wide, wider = BID + 30_000, BID + 150_000
    seconds = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12)
    quotes = (wide, wide, wide, wider, wider, wider, wide, BID, wider, wider, wider, BID)
    found = [quote(detector, *each) for each in zip(seconds, quotes, strict=True)]
    assert found == [0, 0, CAUTION, CAUTION, CAUTION, HALTED, CAUTION, 0, 0, 0, HALTED, 0]


def test_a_halted_instrument_demands_nothing():
    detector = warmed()
    detector.know(flags=2)
    assert quote(detector, 101, 2 * BID) == NORMAL
    detector.know(flags=0)
    assert quote(detector, 102, 2 * BID) == HALTED


def test_a_clock_that_goes_back_does_not_keep_a_level_off_for_ever():
    detector = warmed(persist_ns=2 * S)
    quote(detector, 5_000, 2 * BID)
    assert quote(detector, 200, 2 * BID) == NORMAL
    assert quote(detector, 202, 2 * BID) == HALTED
