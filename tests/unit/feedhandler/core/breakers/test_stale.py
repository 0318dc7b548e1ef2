"""Instruments that fall silent."""

import numpy as np

from feedhandler.core.breakers.stale import LEGS_MAX
from feedhandler.core.events import BreakerLevel, Flag
from tests.unit.feedhandler.core.breakers.support import MARKET, MS, OPEN, Detector, S

NORMAL, CAUTION, RESTRICTED, HALTED = BreakerLevel
LEGS = (1, 2, 3)
BEHIND = 100


def talking(gap_ms: int = 500, **params: int) -> Detector:
    """Three instruments that have a message each every `gap_ms`, until BEHIND seconds after OPEN;
    they are looked at in the middle between two of them.
    """
    detector = Detector("stale", LEGS, **params)
    for step in range(BEHIND * 1_000 // gap_ms + 1):
        now_ns = OPEN + step * gap_ms * MS
        for leg in LEGS:
            detector.know(leg, seq=1, ts_exch_ns=now_ns)
        for leg in LEGS:
            late_ns = now_ns + gap_ms * MS // 2
            detector.know(leg, seq=1, ts_exch_ns=now_ns)
            assert look(detector, late_ns) == NORMAL
    return detector


def look(detector: Detector, now_ns: int, **fields: int) -> int:
    """The level that a tick of an instrument outside the group demands."""
    return detector.see(now_ns, instrument=7, **fields)


def levels(detector: Detector, second: float) -> dict[int, int]:
    """Levels by instrument so long after BEHIND, as told by as many ticks as there are legs."""
    found = {}
    for _ in LEGS:
        level = look(detector, OPEN + int((BEHIND + second) * S))
        if detector.named >= 0:
            found[detector.named] = level
    return found


def speak(detector: Detector, second: float, *legs: int) -> None:
    for leg in legs:
        detector.know(leg, seq=2, ts_exch_ns=OPEN + int((BEHIND + second) * S))


def test_the_others_tell_which_instrument_is_silent():
    detector = talking()
    speak(detector, 5, 1)
    assert levels(detector, 4.9) == {}
    # Twenty times the usual quarter of a second, to which this silence adds a little.
    assert levels(detector, 6) == {2: CAUTION, 3: CAUTION}
    speak(detector, 18, 1)
    assert levels(detector, 18) == {2: RESTRICTED, 3: RESTRICTED}


def test_a_silence_that_goes_on_is_usual_in_the_end():
    detector = talking()
    found = [levels(detector, second) for second in range(10, 900)]
    assert found[0] == dict.fromkeys(LEGS, CAUTION)
    assert found[60] == dict.fromkeys(LEGS, RESTRICTED)
    assert found[-1] == {}


def test_values_tell_instrument_silence_and_what_is_usual():
    detector = talking()
    while not look(detector, OPEN + 106 * S):
        pass
    instrument, silence_ns, usual_ns = detector.values
    assert (instrument, silence_ns) == (detector.named, 6 * S)
    assert 250 * MS <= usual_ns < 350 * MS


def test_one_that_speaks_again_is_told_once():
    detector = talking()
    levels(detector, 6)
    speak(detector, 6.5, 2)
    assert levels(detector, 6.6) == {1: CAUTION, 2: NORMAL, 3: CAUTION}
    assert 2 not in levels(detector, 6.6)


def test_a_rare_instrument_is_given_its_time():
    detector = talking(gap_ms=4_000, warm_samples=20)
    assert levels(detector, 39) == {}
    assert levels(detector, 60) == dict.fromkeys(LEGS, CAUTION)


def test_a_busy_instrument_is_not_silent_for_less_than_the_least_silence():
    detector = talking(gap_ms=20)
    assert levels(detector, 4.9) == {}
    assert levels(detector, 5.1) == dict.fromkeys(LEGS, RESTRICTED)


def test_who_is_rare_new_or_halted_is_not_missed():
    assert levels(talking(gap_ms=500, usual_max_ns=250 * MS), 60) == {}
    assert levels(talking(gap_ms=500, warm_samples=200), 60) == {}
    detector = talking()
    for leg in LEGS:
        detector.know(leg, flags=2)
    assert levels(detector, 60) == {}
    for leg in LEGS:
        detector.know(leg, flags=0, seq=0)
    assert levels(detector, 60) == {}


def test_a_halt_ends_a_silence():
    detector = talking()
    levels(detector, 6)
    detector.know(2, flags=2)
    assert levels(detector, 7) == {1: CAUTION, 2: NORMAL, 3: CAUTION}


def test_tick_in_doubt_demands_its_level_for_its_instrument():
    detector = talking()
    in_doubt = detector.see(OPEN, instrument=2, flags=int(Flag.IN_DOUBT), seq=1)
    assert in_doubt == CAUTION
    assert detector.named == 2


def test_a_late_tick_does_not_turn_the_clock_back():
    detector = talking()
    levels(detector, 6)
    assert look(detector, OPEN + 99 * S, seq=1) == CAUTION


def test_another_session_begins_with_its_own_time():
    detector = talking()
    for leg in LEGS:
        detector.know(leg, ts_exch_ns=OPEN - 3_600 * S)
    assert levels(detector, -3_700) == {}


def test_all_of_many_legs_are_looked_at():
    detector = Detector("stale", range(LEGS_MAX + 5), warm_samples=1)
    detector.market = np.zeros(LEGS_MAX + 5, MARKET)
    for leg in range(LEGS_MAX + 5):
        detector.know(leg, seq=1, ts_exch_ns=OPEN)
    for second in range(3):
        for _ in range(LEGS_MAX):
            detector.see(OPEN + second * S, instrument=0)
    named = set()
    for _ in range(LEGS_MAX):
        detector.see(OPEN + 100 * S, instrument=0)
        named.add(detector.named)
    assert named - {-1} == set(range(1, LEGS_MAX))


def test_without_legs_nothing_is_looked_at():
    assert Detector("stale", ()).see(OPEN) == NORMAL


def test_outside_the_session_no_silence_counts():
    detector = talking(close_ns=OPEN + (BEHIND + 30) * S)
    assert levels(detector, 29.9) == dict.fromkeys(LEGS, RESTRICTED)
    assert levels(detector, 30) == dict.fromkeys(LEGS, NORMAL)
    assert levels(detector, 40) == {}
