"""Pair spread: far from the mean, once, and back."""

import pytest

from feedhandler.core.events import Flag
from feedhandler.core.patterns import pair_spread
from tests.unit.feedhandler.core.patterns.desk import BUY, CENT_E9, SECOND, SELL, Desk, Signal

A, B = 1, 2
SMALL = {"window_samples": 10, "sample_ns": SECOND, "entry_z_e2": 400, "edge_bps": 5, "hold_ns": 0}


def settled(samples: int = 12, **params: int) -> Desk:
    """A pair whose spread went by one cent up and down for as many seconds."""
    desk = Desk(pair_spread, (A, B), **{**SMALL, **params})
    for second in range(samples):
        wobble = second % 2
        assert desk.quote(second * SECOND, B, 4_999, 5_001) is None
        assert desk.quote(second * SECOND, A, 9_999 + wobble, 10_001 + wobble) is None
    return desk


def at(desk: Desk, second: int, mid: int, half: int = 1, **more: int) -> Signal | None:
    return desk.quote(second * SECOND, A, mid - half, mid + half, **more)


@pytest.mark.parametrize(("mid", "side"), [(10_030, SELL), (9_970, BUY)])
def test_a_spread_far_from_its_mean_is_proposed_towards_the_mean(mid: int, side: int):
    signal = at(settled(), 12, mid)
    assert signal is not None
    assert signal.side == side
    assert signal.price_e9 == (mid - side * -1) * CENT_E9
    assert signal.values[0] * side < -400
    assert signal.confidence_bps == 10_000
    assert signal.qty == 100


def test_it_is_proposed_again_only_after_it_has_come_back():
    desk = settled()
    assert at(desk, 11, 10_030)
    assert at(desk, 11, 10_035) is None
    assert at(desk, 11, 10_000) is None
    assert at(desk, 11, 10_030)


def test_a_window_that_is_not_full_says_nothing():
    assert at(settled(samples=4), 12, 10_030) is None


def test_a_move_that_the_two_spreads_eat_up_is_none():
    assert at(settled(), 12, 10_030, half=25) is None
    assert at(settled(edge_bps=40), 12, 10_030) is None


def test_a_small_move_of_a_spread_that_moves_as_much_all_the_time_is_none():
    assert at(settled(), 12, 10_002) is None


@pytest.mark.parametrize("flag", [Flag.IN_DOUBT, Flag.HALTED])
def test_a_leg_that_is_halted_or_in_doubt_stops_the_pair(flag: Flag):
    desk = settled()
    desk.quote(11 * SECOND, B, 4_999, 5_001, flags=int(flag))
    assert at(desk, 11, 10_030) is None
    assert desk.quote(11 * SECOND, B, 4_999, 5_001)


def test_a_leg_without_a_side_stops_the_pair():
    desk = settled()
    desk.quote(12 * SECOND, B, 4_999, 5_001, ask_qty=0)
    assert at(desk, 12, 10_030) is None


def test_a_spread_that_has_gone_a_tenth_begins_anew():
    desk = settled()
    assert at(desk, 12, 11_200) is None
    assert at(desk, 12, 11_300) is None
    for second in range(13, 23):
        assert at(desk, second, 11_200 + second % 2) is None
    assert at(desk, 23, 11_250)


def test_a_tick_that_comes_late_is_passed_over():
    desk = settled()
    assert at(desk, 12, 10_030, seq=1) is None
