"""Three legs whose prices make a circle: legs[0] should cost what legs[1] costs times what legs[2]
costs, as EUR/JPY does with EUR/USD and USD/JPY, times `scale_e9` where the units do not do it.

When legs[0] can be bought for less than the other two can be sold for, by `cost_ppm`, it is
proposed to be bought; to be sold when it is the other way round. The gap must have been there for
`hold_ns`. One gap is proposed once, until it is below half of the costs.

    state[0] side that was proposed (0: none)   state[1] side that is waited for (0: none)
                                                state[2] since when, ns
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
from protocols.jit import kernel

DEFAULTS = {
    "cost_ppm": 2_500,
    "scale_e9": 1_000_000_000,
    "order_qty": 100,
    "hold_ns": 150_000_000,
}

_SIDE, _WAITING = 0, 1


@kernel
def _gap_ppm_nb(first_e9: int, second_e9: int, whole_e9: int, scale_e9: int) -> int:
    """By how much the product of two prices is above a third price, in millionths of that; from -1
    to 1.
    """
    product = np.float64(first_e9) * np.float64(second_e9) * np.float64(scale_e9)
    ratio = product / (np.float64(whole_e9) * 1e18)
    return np.int64((min(ratio, 2.0) - 1.0) * 1e6)


@kernel
def _short_gap_ppm_nb(first_e9: int, second_e9: int, whole_e9: int, scale_e9: int) -> int:
    """By how much a price is above the product of two, in millionths of that; from -1 to 1."""
    product = np.float64(first_e9) * np.float64(second_e9) * np.float64(scale_e9)
    ratio = np.float64(whole_e9) * 1e18 / product
    return np.int64((min(ratio, 2.0) - 1.0) * 1e6)


@pattern("cost_ppm", "scale_e9", "order_qty", "hold_ns", legs=3, state_words=4)
def triangle(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """+1 when legs[0] is cheap, -1 when it is dear; values: the gap (1e-6, costs not taken off),
    and the prices at which legs[1] and legs[2] would be traded (1e-9).
    """
    if is_late_nb(ticks, slot, market):
        return 0
    for i in range(3):
        if not is_open_nb(market, legs[i]):
            state[_WAITING] = 0
            return 0
    whole, first, second = market[legs[0]], market[legs[1]], market[legs[2]]
    scale_e9 = max(params[1], np.int64(1))
    bought_ppm = _gap_ppm_nb(
        first["bid_price_e9"], second["bid_price_e9"], whole["ask_price_e9"], scale_e9
    )
    sold_ppm = _short_gap_ppm_nb(
        first["ask_price_e9"], second["ask_price_e9"], whole["bid_price_e9"], scale_e9
    )
    gap_ppm = max(bought_ppm, sold_ppm)
    side = np.int64(1) if bought_ppm >= sold_ppm else np.int64(-1)
    if gap_ppm <= 0 or gap_ppm < params[0]:
        state[_WAITING] = 0
        if gap_ppm <= 0 or gap_ppm * 2 < params[0]:
            state[_SIDE] = 0
        return 0
    now_ns = np.int64(ticks[slot]["ts_exch_ns"])
    if state[_SIDE] == side or not has_held_nb(state, _WAITING, side, now_ns, params[3]):
        return 0
    state[_SIDE] = side
    out[2] = gap_ppm
    out[3] = first["bid_price_e9"] if side > 0 else first["ask_price_e9"]
    out[4] = second["bid_price_e9"] if side > 0 else second["ask_price_e9"]
    confidence_bps = confidence_bps_nb(gap_ppm, params[0])
    return propose_nb(market, legs[0], side, params[2], confidence_bps, out)
