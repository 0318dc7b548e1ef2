"""Lead-lag: the leader has moved, the follower has not."""

import pytest

from feedhandler.core.events import Flag
from feedhandler.core.patterns import lead_lag
from tests.unit.feedhandler.core.patterns.desk import BUY, CENT_E9, MS, SECOND, SELL, Desk, Signal

FOLLOWER, LEADER = 1, 2


def quiet(**params: int) -> Desk:
    few = {"leader_move_ticks": 5, "leader_move_spreads": 2, "leader_move_bps": 4}
    few |= {"follower_move_ticks": 1, "window_ns": 50 * MS}
    desk = Desk(lead_lag, (FOLLOWER, LEADER), **{**few, **params})
    desk.quote(0, FOLLOWER, 4_999, 5_001)
    desk.quote(0, LEADER, 9_999, 10_001)
    return desk


def lead(desk: Desk, ts_ns: int, mid: int, half: int = 1, **more: int) -> Signal | None:
    return desk.quote(ts_ns, LEADER, mid - half, mid + half, **more)


@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_move_of_the_leader_alone_is_proposed_for_the_follower(side: int):
    signal = lead(quiet(), 10 * MS, 10_000 + 5 * side)
    assert signal is not None
    assert (signal.side, signal.price_e9) == (side, (5_000 + side) * CENT_E9)
    assert signal.values == (5 * side * CENT_E9, 0, 0)
    assert (signal.qty, signal.confidence_bps) == (100, 5_000)


def test_a_move_in_steps_counts_as_a_whole_within_the_window():
    desk = quiet()
    assert [lead(desk, step * 10 * MS, 10_000 + step) for step in range(1, 5)] == [None] * 4
    signal = lead(desk, 50 * MS, 10_005)
    assert signal is not None
    assert signal.values == (5 * CENT_E9, 0, 40 * MS)


def test_a_slow_move_is_none():
    desk = quiet()
    assert all(lead(desk, step * 30 * MS, 10_000 + step) is None for step in range(1, 20))


def test_a_follower_that_went_along_is_left_alone():
    desk = quiet()
    assert lead(desk, 10 * MS, 10_002) is None
    desk.quote(11 * MS, FOLLOWER, 5_001, 5_003)
    assert lead(desk, 12 * MS, 10_005) is None


def test_one_move_is_proposed_once():
    desk = quiet()
    assert lead(desk, 10 * MS, 10_005)
    assert lead(desk, 11 * MS, 10_006) is None
    assert lead(desk, 12 * MS, 10_011)


def test_a_side_that_goes_alone_is_no_move():
    assert quiet().quote(10 * MS, LEADER, 9_999, 10_020) is None


def test_a_move_within_a_wide_spread_is_none():
    desk = quiet()
    lead(desk, 1, 10_000, half=10)
    assert lead(desk, 60 * MS, 10_039, half=10) is None
    assert lead(desk, 120 * MS, 10_079, half=10)
    assert lead(desk, 130 * MS, 10_090) is None


def test_a_move_of_too_small_a_part_of_the_price_is_none():
    assert lead(quiet(leader_move_bps=12), 10 * MS, 10_011) is None
    assert lead(quiet(leader_move_bps=12), 10 * MS, 10_013)


@pytest.mark.parametrize("flag", [Flag.IN_DOUBT, Flag.HALTED])
def test_a_halt_of_the_leader_is_forgotten_with_what_was_before(flag: Flag):
    desk = quiet()
    lead(desk, 5 * MS, 10_000, flags=int(flag))
    assert lead(desk, 10 * MS, 10_005) is None


def test_a_follower_that_does_not_trade_is_left_alone():
    desk = quiet()
    desk.quote(1, FOLLOWER, 4_999, 5_001, flags=int(Flag.HALTED))
    assert lead(desk, 10 * MS, 10_005) is None


def test_a_tick_that_comes_late_is_passed_over():
    assert lead(quiet(), 10 * MS, 10_005, seq=1) is None


def to_and_fro(desk: Desk, followed: list[bool]) -> list[bool]:
    """A move of the leader every other second, which the follower follows in half a second, or not:
    whether each of them was proposed.
    """
    said = []
    mid = 5_000
    for number, follows in enumerate(followed):
        ts_ns = (2 * number + 1) * SECOND
        up = 10 * (number % 2 == 0)
        said.append(lead(desk, ts_ns, 10_000 + up) is not None)
        if follows:
            mid += 5 if up else -5
            desk.quote(ts_ns + SECOND // 2, FOLLOWER, mid - 1, mid + 1)
        lead(desk, ts_ns + SECOND, 10_000 + up, half=2)
        lead(desk, ts_ns + SECOND + 60 * MS, 10_000 + up)
    return said


def test_a_follower_that_follows_is_proposed_each_time():
    assert to_and_fro(quiet(), [True] * 6) == [True] * 6


def test_one_that_has_not_followed_again_and_again_is_left_alone_until_it_follows():
    followed = [True, False, False, False, False, True, True]
    assert to_and_fro(quiet(), followed) == [True] * 4 + [False, False, True]


def test_without_a_limit_it_is_proposed_whether_it_follows_or_not():
    assert to_and_fro(quiet(unfollowed_max=0), [False] * 5) == [True] * 5
