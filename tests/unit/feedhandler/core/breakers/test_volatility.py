"""Realised volatility against its average."""

import pytest

from feedhandler.core.events import BreakerLevel
from tests.unit.feedhandler.core.breakers.support import OPEN, Detector, S

NORMAL, CAUTION, RESTRICTED, HALTED = BreakerLevel
USUAL = 1_000_000
LIMITS = {"caution_pct": 400, "restrict_pct": 700, "halt_pct": 1_500, "floor_e9": 100_000}


def warmed(**params: int) -> Detector:
    """One that has seen USUAL for a hundred seconds; the newest tick was at OPEN + 100 s."""
    detector = Detector("volatility", **LIMITS | params)
    for second in range(101):
        assert storm(detector, second, USUAL) == NORMAL
    return detector


def storm(detector: Detector, second: int, realised_e9: int) -> int:
    """The level that a tick with so much volatility demands."""
    detector.know(realised_e9=realised_e9)
    return detector.see(OPEN + second * S)


@pytest.mark.parametrize(
    ("ratio_pct", "level"),
    [(399, NORMAL), (400, CAUTION), (700, RESTRICTED), (1_499, RESTRICTED), (1_500, HALTED)],
)
def test_ratio_to_the_average_demands_its_level(ratio_pct: int, level: BreakerLevel):
    detector = warmed()
    assert storm(detector, 100, USUAL * ratio_pct // 100) == level
    assert detector.values == [USUAL * ratio_pct // 100, USUAL, ratio_pct]


def test_nothing_is_demanded_before_the_average_is_known():
    detector = Detector("volatility", **LIMITS)
    for second in range(60):
        assert storm(detector, second, 10 ** (second % 9)) == NORMAL


def test_first_move_of_a_quiet_instrument_is_no_storm():
    detector = Detector("volatility", **LIMITS)
    for second in range(100):
        storm(detector, second, 0)
    assert storm(detector, 100, 399_999) == NORMAL
    assert storm(detector, 100, 400_000) == CAUTION


def test_a_storm_is_learnt_slowly_and_then_is_normal():
    detector = warmed(shift=6)
    levels = [storm(detector, 101 + second, 5 * USUAL) for second in range(120)]
    assert (levels[0], levels[-1]) == (CAUTION, NORMAL)
    assert levels == sorted(levels, reverse=True)
    # The average must be 5 / 4 of what it was, and a sample counts for 4 of it at most.
    assert levels.count(CAUTION) == 5


@pytest.mark.parametrize("realised_e9", [-1, -(1 << 62), 1 << 62])
def test_no_value_is_too_much(realised_e9: int):
    detector = warmed()
    assert storm(detector, 101, realised_e9) == (HALTED if realised_e9 > 0 else NORMAL)
    assert detector.values[0] == max(0, min(realised_e9, (1 << 40) - 1))


def test_a_tick_after_an_hour_makes_up_for_a_minute_of_samples():
    detector = warmed(shift=6)
    storm(detector, 3_700, 2 * USUAL)
    storm(detector, 3_700, 2 * USUAL)
    assert USUAL < detector.values[1] < 2 * USUAL


def test_a_clock_that_goes_back_starts_the_samples_anew():
    detector = warmed(open_ns=0)
    before = detector.state.copy()
    storm(detector, -1_000, 3 * USUAL)
    assert detector.state[1:3].tolist() == before[1:3].tolist()
    assert storm(detector, -999, 4 * USUAL) == CAUTION
    assert detector.state[2] == before[2] + 1


def test_outside_the_session_nothing_is_demanded_nor_learnt():
    detector = warmed()
    before = detector.state.copy()
    for second in (-1, 23_400):
        assert storm(detector, second, 100 * USUAL) == NORMAL
    assert (detector.state == before).all()
