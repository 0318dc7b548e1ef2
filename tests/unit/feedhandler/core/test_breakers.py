"""The built-in circuit breaker, trade by trade."""

import numpy as np
import pytest

from feedhandler.core.api import OUT_WORDS, STATE_WORDS
from feedhandler.core.breakers import price_band
from feedhandler.core.events import BreakerLevel, Flag, Kind
from tests.unit.feedhandler.core.support import blank_ticks

BAND_BPS, WINDOW_NS, COOLDOWN_NS = 100, 1_000, 5_000
NORMAL, HALTED = BreakerLevel.NORMAL, BreakerLevel.HALTED
E9 = 100_000


class Breaker:
    """One instrument's state and the trades that it sees."""

    def __init__(self) -> None:
        self.params = np.zeros(16, np.int64)
        self.params[:3] = BAND_BPS, WINDOW_NS, COOLDOWN_NS
        self.state = np.zeros(STATE_WORDS, np.int64)
        self.out = np.zeros(OUT_WORDS, np.int64)

    def see(self, ts_ns: int, kind: Kind, price_e4: int = 0, flags: int = 0) -> int:
        ticks = blank_ticks(kind=kind, ts_exch_ns=ts_ns, price_e9=price_e4 * E9, flags=flags)
        self.out[:] = 0
        return price_band(ticks, 0, None, None, self.params, self.state, self.out)

    def trade(self, ts_ns: int, price_e4: int) -> int:
        return self.see(ts_ns, Kind.EXECUTE, price_e4)


def tripped() -> Breaker:
    """One that tripped at time 100, at the price 10 200."""
    breaker = Breaker()
    assert breaker.trade(0, 10_000) == NORMAL
    assert breaker.trade(100, 10_200) == HALTED
    return breaker


@pytest.mark.parametrize(("price_e4", "level"), [(10_100, NORMAL), (10_101, HALTED)])
def test_trade_outside_the_band_trips(price_e4: int, level: BreakerLevel):
    breaker = Breaker()
    breaker.trade(0, 10_000)
    assert breaker.trade(1_000, price_e4) == level


def test_band_reaches_down_as_far_as_up():
    breaker = Breaker()
    breaker.trade(0, 10_000)
    assert breaker.trade(10, 9_900) == NORMAL
    assert breaker.trade(20, 9_899) == HALTED


def test_trip_tells_price_reference_and_deviation():
    breaker = tripped()
    assert breaker.out.tolist()[2:5] == [10_200 * E9, 10_000 * E9, 200]


def test_trade_within_the_band_tells_no_deviation():
    breaker = Breaker()
    breaker.trade(0, 10_000)
    breaker.trade(10, 10_050)
    assert breaker.out.tolist()[2:5] == [10_050 * E9, 10_000 * E9, 0]


def test_slow_drift_moves_the_reference_with_each_window():
    breaker = Breaker()
    for step in range(10):
        assert breaker.trade(step * 1_001, 10_000 + 99 * step) == NORMAL


@pytest.mark.parametrize("kind", [Kind.EXECUTE, Kind.EXECUTE_AT_PRICE, Kind.TRADE])
def test_every_print_counts(kind: Kind):
    breaker = Breaker()
    breaker.see(0, kind, 10_000)
    assert breaker.see(10, kind, 20_000) == HALTED


@pytest.mark.parametrize(
    ("kind", "flags"),
    [
        (Kind.ADD, 0),
        (Kind.CANCEL, 0),
        (Kind.CROSS_TRADE, 0),
        (Kind.EXECUTE_AT_PRICE, int(Flag.NOT_PRINTABLE)),
    ],
)
def test_what_is_no_print_neither_trips_nor_makes_a_reference(kind: Kind, flags: int):
    breaker = Breaker()
    assert breaker.see(0, kind, 5, flags) == NORMAL
    breaker.trade(10, 10_000)
    assert breaker.see(20, kind, 20_000, flags) == NORMAL
    assert tripped().see(110, kind, 10_000, flags) == HALTED


def test_breaker_recovers_after_a_calm_cooldown():
    breaker = tripped()
    assert breaker.trade(5_099, 10_200) == HALTED
    assert breaker.see(5_100, Kind.ADD) == NORMAL


def test_recovery_by_a_trade_makes_it_the_new_reference():
    breaker = tripped()
    assert breaker.trade(5_100, 10_300) == NORMAL
    assert breaker.out[3] == 10_300 * E9
    assert breaker.trade(5_200, 10_400) == NORMAL
    assert breaker.trade(5_300, 10_404) == HALTED


def test_trade_beyond_half_the_band_starts_the_cooldown_anew():
    breaker = tripped()
    assert breaker.trade(3_000, 10_252) == HALTED
    assert breaker.see(5_100, Kind.ADD) == HALTED
    assert breaker.see(8_000, Kind.ADD) == NORMAL


def test_trade_within_half_the_band_does_not():
    breaker = tripped()
    assert breaker.trade(3_000, 10_251) == HALTED
    assert breaker.see(5_100, Kind.ADD) == NORMAL
