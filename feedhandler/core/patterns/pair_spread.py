"""The spread of two instruments, legs[0] over legs[1], as a z-score over a window of samples.

The spread is that of the middle prices to those at an anchor, as a ratio or its logarithm, in
1e-8. A sample is taken every `sample_ns`, and the spread is looked at then and when a middle price
has changed. One that is `entry_z_e2` away from the mean of the window, and that leaves `edge_bps`
to the mean when the touch of both legs is paid, both for `hold_ns`, is proposed once; the next one
not before the spread has come back to `exit_z_e2`, or has crossed the mean.

    state[0] side that was proposed (0: none)      state[6] deviation of the window times its size
    state[1] time of the next sample, ns           state[7] side that is waited for (0: none)
    state[2] [3] middle prices at the anchor, 1e-9 state[8] since when, ns
    state[4] [5] middle prices looked at last,     state[9 ..] window of samples
             1e-9
"""

from typing import Any

import numpy as np

from feedhandler.core.api import pattern
from feedhandler.core.patterns.proposals import (
    confidence_bps_nb,
    has_held_nb,
    is_late_nb,
    is_open_nb,
    propose_nb,
)
from feedhandler.core.rolling import (
    WINDOW_HEAD,
    window_clear_nb,
    window_is_full_nb,
    window_sample_nb,
    window_spread_nb,
    window_sum_of_samples_nb,
)
from protocols.jit import kernel

DEFAULTS = {
    "window_samples": 120,
    "sample_ns": 1_000_000_000,
    "entry_z_e2": 700,
    "exit_z_e2": 100,
    "edge_bps": 20,
    "log_spread": 1,
    "order_qty": 100,
    "hold_ns": 150_000_000,
}
SAMPLES_MAX = 240

_SIDE, _NEXT_NS, _ANCHOR_A_E9, _ANCHOR_B_E9, _LAST_A_E9, _LAST_B_E9, _DEVIATION = range(7)
_WAITING, _WINDOW = 7, 9
_ONE_E8 = 100_000_000
# Beyond a tenth the squares of a full window would leave 63 bits; it is another regime anyway.
_SPREAD_MAX_E8 = 10_000_000
_E8_PER_BPS = 10_000
_Z_MAX_E2 = 100_000


@kernel
def spread_e8_nb(price_a_e9: int, price_b_e9: int, state: Any, is_log: int) -> int:
    """By how much a is dearer against b than at the anchor, 1e-8; above a tenth it is cut off."""
    # One division, of products that floats hold to 2e-16: a division takes as long as the rest.
    dear = np.float64(price_a_e9) * np.float64(state[_ANCHOR_B_E9])
    cheap = np.float64(price_b_e9) * np.float64(state[_ANCHOR_A_E9])
    ratio = min(dear / cheap, 2.0)
    spread = np.int64(ratio * 100_000_000.0) - _ONE_E8
    if not is_log or abs(spread) > _SPREAD_MAX_E8:
        return spread
    # The series of log(1 + x): what is left out at x = 0.1 is 2e-6. No log(), whose last bit
    # depends on the library.
    square = spread * spread // _ONE_E8
    cube = square * spread // _ONE_E8
    return spread - square // 2 + cube // 3 - square * square // _ONE_E8 // 4


@kernel
def _edge_nb(market: Any, legs: Any, state: Any, size: int, asked: tuple[int, int]) -> int:
    """What is left between the mean and the spread at which side asked[0] can be traded, times
    `size`, 1e-8; asked[1] is whether the spread is a logarithm.
    """
    a, b = market[legs[0]], market[legs[1]]
    side, is_log = asked
    if side > 0:
        spread = spread_e8_nb(a["ask_price_e9"], b["bid_price_e9"], state, is_log)
    else:
        spread = spread_e8_nb(a["bid_price_e9"], b["ask_price_e9"], state, is_log)
    return (window_sum_of_samples_nb(state, _WINDOW) - size * spread) * side


@kernel
def _restart_nb(market: Any, legs: Any, state: Any) -> None:
    """A new anchor and an empty window."""
    state[_SIDE] = 0
    state[_WAITING] = 0
    state[_ANCHOR_A_E9] = market[legs[0]]["mid_e9"]
    state[_ANCHOR_B_E9] = market[legs[1]]["mid_e9"]
    state[_DEVIATION] = 0
    window_clear_nb(state, _WINDOW)


@pattern(
    "window_samples",
    "sample_ns",
    "entry_z_e2",
    "exit_z_e2",
    "edge_bps",
    "log_spread",
    "order_qty",
    "hold_ns",
    legs=2,
    state_words=_WINDOW + WINDOW_HEAD + SAMPLES_MAX,
    begins_anew=("window_samples", "sample_ns", "log_spread"),
)
def pair_spread(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """+1 when legs[0] is cheap against legs[1], -1 when it is dear; values: z-score (1e-2), spread
    and its mean (1e-8 from the anchor).
    """
    now_ns = np.int64(ticks[slot]["ts_exch_ns"])
    mid_a_e9, mid_b_e9 = np.int64(market[legs[0]]["mid_e9"]), np.int64(market[legs[1]]["mid_e9"])
    # First of all, as this is how nearly every call ends.
    is_same = mid_a_e9 == state[_LAST_A_E9] and mid_b_e9 == state[_LAST_B_E9]
    if is_same and now_ns < state[_NEXT_NS] and not state[_WAITING]:
        return 0
    if is_late_nb(ticks, slot, market):
        return 0
    if not (is_open_nb(market, legs[0]) and is_open_nb(market, legs[1])):
        state[_WAITING] = 0
        return 0
    size = min(max(params[0], np.int64(2)), np.int64(SAMPLES_MAX))
    if state[_ANCHOR_A_E9] == 0:
        _restart_nb(market, legs, state)
    state[_LAST_A_E9] = mid_a_e9
    state[_LAST_B_E9] = mid_b_e9
    spread = spread_e8_nb(mid_a_e9, mid_b_e9, state, params[5])
    if abs(spread) > _SPREAD_MAX_E8:
        _restart_nb(market, legs, state)
        return 0
    side = np.int64(0)
    if window_is_full_nb(state, _WINDOW, size):
        total = window_sum_of_samples_nb(state, _WINDOW)
        away = size * spread - total
        deviation = max(state[_DEVIATION], np.int64(1))
        if state[_SIDE] != 0:
            if away * state[_SIDE] >= 0 or abs(away) * 100 <= params[3] * deviation:
                state[_SIDE] = 0
        elif abs(away) * 100 >= params[2] * deviation:
            side = np.int64(-1) if away > 0 else np.int64(1)
            left = _edge_nb(market, legs, state, size, (side, params[5]))
            if left < params[4] * _E8_PER_BPS * size:
                side = np.int64(0)
        if side == 0:
            state[_WAITING] = 0
        elif not has_held_nb(state, _WAITING, side, now_ns, params[7]):
            side = np.int64(0)
        if side != 0:
            state[_SIDE] = side
            z_e2 = min(abs(away) * 100 // deviation, np.int64(_Z_MAX_E2))
            out[2] = -z_e2 * side
            out[3] = spread
            out[4] = total // size
            propose_nb(market, legs[0], side, params[6], confidence_bps_nb(z_e2, params[2]), out)
    if now_ns >= state[_NEXT_NS]:
        state[_NEXT_NS] = now_ns + params[1]
        window_sample_nb(state, _WINDOW, size, spread)
        if window_is_full_nb(state, _WINDOW, size):
            state[_DEVIATION] = window_spread_nb(state, _WINDOW, size)
    return side
