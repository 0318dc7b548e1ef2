"""The follower, legs[0], has not moved yet after the leader, legs[1], has.

The leader has moved when within `window_ns` its bid and its ask are both at least
`leader_move_ticks` of `tick_size_e9` further in one direction, at least `leader_move_spreads` times
its spread, the wider one of then and now, as quotes of a thin book go to and fro within it, and at
least `leader_move_bps` of its price. The follower has not moved when its middle price went
`follower_move_ticks` at most in that direction meanwhile. One move is proposed once.

A follower that has not followed is none: `follow_ns` after each move of the leader, proposed or
not, it must have gone half as far. After `unfollowed_max` moves in a row that it did not follow
nothing is proposed, until it follows one again.

    state[0] quotes in the ring so far            state[4 + 4 i ..] quote i modulo 15:
    state[1] [2] the leader's bid and ask, 1e-9       +0 when it ended, ns   +1 bid   +2 ask, 1e-9
             (0: none)                                +3 the follower's middle price then, 1e-9
    state[3] moves in a row that were not         state[64] side of the move that is to be followed
             followed                                 (0: none), [65] until when, ns, [66] where the
                                                      follower is to be by then, 1e-9
"""

from typing import Any

import numpy as np

from feedhandler.core.api import pattern
from feedhandler.core.patterns.proposals import (
    confidence_bps_nb,
    is_late_nb,
    is_open_nb,
    propose_nb,
)
from protocols.jit import kernel

DEFAULTS = {
    "leader_move_ticks": 3,
    "leader_move_spreads": 1,
    "leader_move_bps": 18,
    "follower_move_ticks": 3,
    "window_ns": 150_000_000,
    "tick_size_e9": 10_000_000,
    "order_qty": 100,
    "follow_ns": 1_000_000_000,
    "unfollowed_max": 3,
}
QUOTES = 15

_COUNT, _BID_E9, _ASK_E9, _UNFOLLOWED = range(4)
_FIRST, _WORDS = 4, 4
_LED_SIDE, _LED_NS, _LED_TO_E9 = 64, 65, 66
_BPS = 10_000


@kernel
def _judge_nb(state: Any, now_ns: int, follower_mid_e9: int) -> None:
    """The follower has followed the last move, or it has not, once its time is over."""
    side = state[_LED_SIDE]
    if side == 0 or now_ns < state[_LED_NS]:
        return
    has_followed = (follower_mid_e9 - state[_LED_TO_E9]) * side >= 0
    state[_UNFOLLOWED] = np.int64(0) if has_followed else state[_UNFOLLOWED] + 1
    state[_LED_SIDE] = 0


@kernel
def _expect_nb(state: Any, side: int, until_ns: int, to_e9: int) -> None:
    """The follower is to be there by then; one move at a time is waited for."""
    if state[_LED_SIDE] == 0:
        state[_LED_SIDE] = side
        state[_LED_NS] = until_ns
        state[_LED_TO_E9] = to_e9


@kernel
def _remember_nb(state: Any, now_ns: int, follower_mid_e9: int) -> None:
    """The leader's quote so far ends now."""
    at = _FIRST + state[_COUNT] % QUOTES * _WORDS
    state[at] = now_ns
    state[at + 1] = state[_BID_E9]
    state[at + 2] = state[_ASK_E9]
    state[at + 3] = follower_mid_e9
    state[_COUNT] += 1


@kernel
def _farthest_nb(state: Any, since_ns: int, bid_e9: int, ask_e9: int) -> int:
    """Place in `state` of the quote, ended at `since_ns` or later, from which bid and ask have both
    gone farthest; 0 when there is none. The latest of several.
    """
    found, most_e9 = np.int64(0), np.int64(0)
    for back in range(min(state[_COUNT], np.int64(QUOTES))):
        at = _FIRST + (state[_COUNT] - 1 - back) % QUOTES * _WORDS
        if state[at] < since_ns:
            break
        moved_e9 = _moved_e9_nb(state, at, bid_e9, ask_e9)
        if abs(moved_e9) > most_e9:
            found, most_e9 = at, abs(moved_e9)
    return found


@kernel
def _moved_e9_nb(state: Any, at: int, bid_e9: int, ask_e9: int) -> int:
    """How far both sides have gone since the quote at state[at]; 0 when they went apart."""
    bid_moved_e9, ask_moved_e9 = bid_e9 - state[at + 1], ask_e9 - state[at + 2]
    if bid_moved_e9 > 0 and ask_moved_e9 > 0:
        return min(bid_moved_e9, ask_moved_e9)
    if bid_moved_e9 < 0 and ask_moved_e9 < 0:
        return max(bid_moved_e9, ask_moved_e9)
    return np.int64(0)


@pattern(
    "leader_move_ticks",
    "leader_move_spreads",
    "leader_move_bps",
    "follower_move_ticks",
    "window_ns",
    "tick_size_e9",
    "order_qty",
    "follow_ns",
    "unfollowed_max",
    legs=2,
    state_words=_FIRST + QUOTES * _WORDS + 3,
)
def lead_lag(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """The direction of the leader's move; values: the leader's move and the follower's (1e-9), time
    since the quote that the leader left (ns).
    """
    tick = ticks[slot]
    if np.int64(tick["instrument"]) != legs[1] or is_late_nb(ticks, slot, market):
        return 0
    if not is_open_nb(market, legs[1]):
        # A side that is empty for a moment comes back, often elsewhere: that is a move.
        if market[legs[1]]["flags"] != 0:
            state[_COUNT] = 0
            state[_BID_E9] = state[_ASK_E9] = 0
            state[_LED_SIDE] = 0
        return 0
    leader = market[legs[1]]
    bid_e9, ask_e9 = np.int64(leader["bid_price_e9"]), np.int64(leader["ask_price_e9"])
    if bid_e9 == state[_BID_E9] and ask_e9 == state[_ASK_E9]:
        return 0
    now_ns = np.int64(tick["ts_exch_ns"])
    follower_mid_e9 = np.int64(market[legs[0]]["mid_e9"])
    _judge_nb(state, now_ns, follower_mid_e9)
    if state[_ASK_E9] != 0:
        _remember_nb(state, now_ns, follower_mid_e9)
    state[_BID_E9] = bid_e9
    state[_ASK_E9] = ask_e9
    found = _farthest_nb(state, now_ns - params[4], bid_e9, ask_e9)
    if found == 0 or not is_open_nb(market, legs[0]):
        return 0
    moved_e9 = _moved_e9_nb(state, found, bid_e9, ask_e9)
    side = np.int64(1) if moved_e9 > 0 else np.int64(-1)
    spread_e9 = max(ask_e9 - bid_e9, state[found + 2] - state[found + 1])
    share_e9 = np.int64(leader["mid_e9"]) // _BPS * params[2]
    least_e9 = max(params[0] * params[5], params[1] * spread_e9, share_e9)
    follower_moved_e9 = follower_mid_e9 - state[found + 3]
    if state[found + 3] == 0 or abs(moved_e9) < least_e9:
        return 0
    if follower_moved_e9 * side > params[3] * params[5]:
        return 0
    state[_COUNT] = 0
    moved_bps = abs(moved_e9) * _BPS // np.int64(leader["mid_e9"])
    to_e9 = follower_mid_e9 + follower_mid_e9 // (2 * _BPS) * moved_bps * side
    _expect_nb(state, side, now_ns + params[7], to_e9)
    if params[8] > 0 and state[_UNFOLLOWED] >= params[8]:
        return 0
    out[2] = moved_e9
    out[3] = follower_moved_e9
    out[4] = now_ns - state[found]
    confidence_bps = confidence_bps_nb(abs(moved_e9), least_e9)
    return propose_nb(market, legs[0], side, params[6], confidence_bps, out)
