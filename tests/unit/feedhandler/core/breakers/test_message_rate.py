"""Bursts of messages."""

import pytest

from feedhandler.core.events import BreakerLevel
from tests.unit.feedhandler.core.breakers.support import MS, OPEN, Detector

NORMAL, CAUTION, RESTRICTED, HALTED = BreakerLevel


def warmed(**params: int) -> Detector:
    """One with 20 messages in each of 200 buckets of 100 ms: 200 a second."""
    detector = Detector("message_rate", **params)
    for step in range(200 * 20):
        assert detector.see(OPEN + step * 5 * MS) == NORMAL
    return detector


BEHIND = OPEN + 200 * 100 * MS


def burst(detector: Detector, count: int) -> list[int]:
    """Levels after each of so many messages in one millisecond, ten buckets later."""
    detector.see(BEHIND + 900 * MS)
    return [detector.see(BEHIND + 1_001 * MS) for _ in range(count)]


def test_the_message_that_reaches_the_ratio_trips():
    detector = warmed()
    usual = 195
    levels = burst(detector, 1_200)
    # 2,000 % of the usual rate, in a tenth of a second; the quiet second before lowered it.
    first = levels.index(CAUTION) + 1
    assert abs(first - usual * 20 // 10) < 20
    assert levels.index(RESTRICTED) + 1 > 2 * first
    assert HALTED not in levels
    assert sorted(levels) == levels


def test_the_message_that_reaches_the_absolute_rate_trips_without_any_average():
    detector = Detector("message_rate", caution_rate=500, restrict_rate=800, halt_rate=1_000)
    levels = [detector.see(OPEN) for _ in range(101)]
    assert [levels.index(level) + 1 for level in (CAUTION, RESTRICTED, HALTED)] == [50, 80, 100]


def test_demand_ends_with_the_burst():
    detector = Detector("message_rate", caution_rate=500)
    for _ in range(60):
        detector.see(OPEN)
    assert detector.see(OPEN + 100 * MS) == CAUTION
    assert detector.see(OPEN + 200 * MS) == NORMAL
    assert detector.see(OPEN + 300 * MS) == NORMAL


def test_a_quiet_time_is_in_the_average():
    detector = warmed()
    detector.see(BEHIND)
    usual = detector.values[1]
    detector.see(BEHIND + 3_000 * MS)
    detector.see(BEHIND + 3_000 * MS)
    assert detector.values[1] < usual


def test_late_messages_count_where_the_time_is():
    detector = Detector("message_rate", caution_rate=500)
    detector.see(OPEN + 1_000 * MS)
    levels = [detector.see(OPEN + 500 * MS, seq=1) for _ in range(49)]
    assert levels == [NORMAL] * 48 + [CAUTION]


@pytest.mark.parametrize("bucket_ns", [0, 1])
def test_a_bucket_of_no_time_is_one_nanosecond(bucket_ns: int):
    detector = Detector("message_rate", bucket_ns=bucket_ns)
    assert detector.see(OPEN) == RESTRICTED
    assert detector.values[0] == 10**9
