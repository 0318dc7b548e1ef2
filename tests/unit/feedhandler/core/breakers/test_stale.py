"""Instruments that fall silent."""

import numpy as np

from feedhandler.core.breakers.stale import LEGS_MAX
from feedhandler.core.events import BreakerLevel, Flag
from tests.unit.feedhandler.core.breakers.support import MARKET, OPEN, Detector, S

NORMAL, CAUTION, RESTRICTED, HALTED = BreakerLevel
LEGS = (1, 2, 3)


def talking(rate: int = 10, **params: int) -> Detector:
    """Three instruments that spoke at OPEN and have `rate` messages a second."""
    detector = Detector("stale", LEGS, **params)
    for leg in LEGS:
        detector.know(leg, message_rate=rate)
        assert detector.see(OPEN, instrument=leg) == NORMAL
    return detector


def levels(detector: Detector, second: float, speaker: int = 1) -> dict[int, int]:
    """Levels by instrument, as told by as many ticks of `speaker` as there are legs."""
    found = {}
    for _ in LEGS:
        level = detector.see(OPEN + int(second * S), instrument=speaker)
        if detector.named >= 0:
            found[detector.named] = level
    return found


def test_the_others_tell_which_instrument_is_silent():
    detector = talking()
    assert levels(detector, 4.9) == {}
    assert levels(detector, 5) == {2: CAUTION, 3: CAUTION}
    assert levels(detector, 20) == {2: RESTRICTED, 3: RESTRICTED}


def test_values_tell_instrument_silence_and_rate():
    detector = talking()
    while not detector.see(OPEN + 5 * S):
        pass
    assert detector.values == [detector.named, 5 * S, 10]


def test_one_that_speaks_again_is_told_once():
    detector = talking()
    levels(detector, 5)
    detector.see(OPEN + 6 * S, instrument=2)
    assert levels(detector, 6).get(2, NORMAL) == NORMAL
    assert 2 not in levels(detector, 6)
    assert levels(detector, 6) == {3: CAUTION}


def test_a_rare_instrument_is_given_its_time():
    detector = talking(rate=1)
    assert levels(detector, 49) == {}
    assert levels(detector, 50) == {2: CAUTION, 3: CAUTION}


def test_a_busy_instrument_is_not_silent_for_less_than_the_least_silence():
    detector = talking(rate=100_000)
    assert levels(detector, 1.9) == {}
    assert levels(detector, 2) == {2: RESTRICTED, 3: RESTRICTED}


def test_who_hardly_ever_speaks_never_spoke_or_is_halted_is_not_missed():
    detector = talking()
    detector.know(2, message_rate=0)
    detector.know(3, flags=2)
    assert levels(detector, 3_000) == {}
    detector.know(3, flags=0, seq=0)
    assert levels(detector, 3_000) == {}


def test_tick_in_doubt_demands_its_level_for_its_instrument():
    detector = talking()
    assert detector.see(OPEN, instrument=2, flags=int(Flag.IN_DOUBT)) == CAUTION
    assert detector.named == 2
    assert detector.see(OPEN, instrument=2) == NORMAL


def test_a_late_tick_does_not_turn_the_clock_back():
    detector = talking()
    levels(detector, 5)
    assert detector.see(OPEN, instrument=1, seq=1) == CAUTION


def test_another_session_begins_with_its_own_time():
    detector = talking()
    levels(detector, 5)
    for leg in LEGS:
        detector.see(OPEN - 3_600 * S, instrument=leg)
    assert levels(detector, -3_600) == {}


def test_all_of_many_legs_are_looked_at():
    count = LEGS_MAX
    detector = Detector("stale", range(count + 5))
    detector.market = np.zeros(count + 5, MARKET)
    detector.know(0, message_rate=10)
    for leg in range(1, count + 5):
        detector.know(leg, message_rate=10, seq=1, ts_exch_ns=OPEN)
    named = set()
    for _ in range(count):
        detector.see(OPEN + 10 * S, instrument=0)
        named.add(detector.named)
    assert named == set(range(1, count))


def test_without_legs_nothing_is_looked_at():
    assert Detector("stale", ()).see(OPEN) == NORMAL
