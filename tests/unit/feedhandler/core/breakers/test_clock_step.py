"""Jumps of the exchange's stamps."""

import pytest

from feedhandler.core.breakers.clock_step import within_half_a_day_nb
from feedhandler.core.events import BreakerLevel, Flag
from tests.unit.feedhandler.core.breakers.support import HOUR, MS, OPEN, Detector, S

NORMAL, CAUTION, RESTRICTED, HALTED = BreakerLevel
MIDNIGHT = 1_700_000_000 * S
DAY = 24 * HOUR


class Clock:
    """A feed with a tick every millisecond of receive time; `wrong_ns` is what the exchange's clock
    is ahead by.
    """

    def __init__(self, **params: int) -> None:
        self.detector = Detector("clock_step", **params)
        self.time_ns = OPEN
        self.wrong_ns = 0

    def tick(self, way_ns: int = 20_000, **fields: int) -> int:
        self.time_ns += MS
        stamp = (self.time_ns + self.wrong_ns) % DAY
        rx = MIDNIGHT + self.time_ns + way_ns
        return self.detector.see(stamp, **({"ts_rx_ns": rx} | fields))


def running(**params: int) -> Clock:
    clock = Clock(**params)
    for step in range(50):
        assert clock.tick(way_ns=20_000 + step * 100) == NORMAL
    return clock


@pytest.mark.parametrize(
    ("step_ns", "level"),
    [(9 * MS, NORMAL), (11 * MS, CAUTION), (101 * MS, RESTRICTED), (2 * S, HALTED)],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_step_of_the_clock_demands_its_level_with_the_first_tick(
    step_ns: int, level: BreakerLevel, sign: int
):
    clock = running()
    clock.wrong_ns = sign * step_ns
    assert clock.tick() == level


def test_a_clock_that_stays_wrong_is_the_normal_one_after_a_while():
    clock = running(settle_ns=100 * MS)
    clock.wrong_ns = S + 500 * MS
    levels = [clock.tick() for _ in range(110)]
    assert levels == [HALTED] * 100 + [NORMAL] * 10
    clock.wrong_ns = 0
    assert clock.tick() == HALTED


def test_a_clock_that_comes_back_demands_nothing_more():
    clock = running()
    clock.wrong_ns = 2 * S
    clock.tick()
    clock.wrong_ns = 0
    assert clock.tick() == HALTED
    assert clock.tick() == NORMAL


def test_a_clock_that_wanders_does_not_settle():
    clock = running(settle_ns=20 * MS)
    for step in range(100):
        clock.wrong_ns = S * (2 + step % 5)
        assert clock.tick() == HALTED


def test_slow_drift_is_followed():
    clock = running()
    for _ in range(20_000):
        clock.wrong_ns += 1_000
        assert clock.tick() == NORMAL


def test_midnight_is_no_step():
    clock = running()
    clock.time_ns = DAY - 10 * MS
    assert [clock.tick() for _ in range(30)] == [NORMAL] * 30


def test_ticks_in_doubt_tell_nothing():
    clock = running()
    assert clock.tick(way_ns=5 * S, flags=int(Flag.IN_DOUBT)) == NORMAL
    assert clock.tick() == NORMAL


def test_without_receive_stamps_only_a_step_back_is_seen():
    clock = Clock()
    for _ in range(5):
        assert clock.tick(ts_rx_ns=0) == NORMAL
    clock.wrong_ns = 5 * S
    assert clock.tick(ts_rx_ns=0) == NORMAL
    clock.wrong_ns = 0
    assert clock.tick(ts_rx_ns=0) == HALTED
    assert clock.detector.values == [0, 5 * S - MS, 0]
    assert clock.tick(ts_rx_ns=0) == NORMAL


def test_a_late_tick_is_no_step_back():
    clock = running()
    rx = MIDNIGHT + OPEN + 20_000
    assert clock.detector.see(OPEN, ts_rx_ns=rx, seq=1) == NORMAL


@pytest.mark.parametrize(
    ("difference_ns", "nearest_ns"),
    [(0, 0), (5, 5), (-5, -5), (DAY - 5, -5), (-DAY + 5, 5), (DAY // 2, DAY // 2), (3 * DAY, 0)],
)
def test_differences_are_the_nearest_ones(difference_ns: int, nearest_ns: int):
    assert within_half_a_day_nb(difference_ns) == nearest_ns
