"""Our own latency."""

import pytest

from feedhandler.core.events import BreakerLevel, Flag
from tests.unit.feedhandler.core.breakers.support import MS, OPEN, Detector

NORMAL, CAUTION, RESTRICTED, HALTED = BreakerLevel
RX = 1_700_000_000 * 10**9


def tick(detector: Detector, age_ns: int, **fields: int) -> int:
    """The level after a tick that is so old when the worker looks at it."""
    return detector.see(OPEN, now_ns=RX + age_ns, ts_rx_ns=RX, **fields)


@pytest.mark.parametrize(
    ("age_ns", "level"),
    [(MS - 1, NORMAL), (MS, CAUTION), (10 * MS, RESTRICTED), (100 * MS, HALTED)],
)
def test_the_last_strike_trips(age_ns: int, level: BreakerLevel):
    detector = Detector("latency", strikes=5)
    assert [tick(detector, age_ns) for _ in range(6)] == [NORMAL] * 4 + [level] * 2


def test_one_hiccup_does_not():
    detector = Detector("latency", strikes=5)
    for step in range(100):
        assert tick(detector, 200 * MS if step % 3 == 0 else 1_000) == NORMAL


def test_ticks_in_time_take_strikes_back():
    detector = Detector("latency", strikes=5)
    for _ in range(1_000):
        tick(detector, 2 * MS)
    assert [tick(detector, 0) for _ in range(7)] == [CAUTION] * 5 + [NORMAL] * 2


def test_values_are_age_and_strikes():
    detector = Detector("latency", strikes=5)
    tick(detector, 200 * MS)
    tick(detector, 2 * MS)
    assert detector.values == [2 * MS, 2, 0]


def test_without_the_workers_clock_the_end_of_the_book_counts():
    detector = Detector("latency", strikes=1)
    assert detector.see(OPEN, ts_rx_ns=RX, ts_decoded_ns=RX + MS) == CAUTION


@pytest.mark.parametrize("fields", [{"ts_rx_ns": 0}, {"now_ns": 0}, {"flags": int(Flag.IN_DOUBT)}])
def test_what_is_not_timed_or_in_doubt_is_passed_over(fields: dict[str, int]):
    detector = Detector("latency", strikes=2)
    tick(detector, MS)
    assert detector.see(OPEN, **({"now_ns": RX + MS, "ts_rx_ns": RX} | fields)) == NORMAL
    assert tick(detector, MS) == CAUTION
