"""A fund, legs[0], against the basket that it holds, legs[1:], net of costs.

A creation unit of `unit_shares` of the fund is `weight_i` shares of legs[i]. When the unit can be
bought at the touch for less than its basket can be sold for, by `cost_bps` of the basket, the fund
is proposed to be bought; to be sold when it is the other way round. The gap must have been there
for `hold_ns`. One gap is proposed once, until it is below half of the costs. Every leg must have
both sides, trade, and be beyond doubt.

    state[0] 1: the sums are made              state[5] side that is waited for (0: none)
    state[1] [2] the basket at its bids and    state[6] since when, ns
             at its asks, 1e-6                 state[8 + 2 i] [9 + 2 i] what legs[1 + i] is worth
    state[3] legs that cannot be traded            at its bid and ask, 1e-6 (0: cannot be traded)
    state[4] side that was proposed (0: none)
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

LEGS_MAX = 24
"""Of the basket."""
WEIGHTS = tuple(f"weight_{i}" for i in range(1, LEGS_MAX + 1))
DEFAULTS = {
    "cost_bps": 25,
    "unit_shares": 1,
    "order_qty": 100,
    "hold_ns": 150_000_000,
    **dict.fromkeys(WEIGHTS, 0),
}

_READY, _BIDS_E6, _ASKS_E6, _MISSING, _SIDE, _WAITING = range(6)
_LEGS = 8
_WEIGHTS_AT = 4
_E9_PER_E6 = 1_000
# Times the weight below 2^57, so that 24 of them add up in 63 bits.
_PRICE_MAX_E6 = 1 << 37
_WEIGHT_MAX = 1 << 20
_BPS = 10_000
_ONE_E6 = 1_000_000
_EXACT_BELOW = 1 << 43


@kernel
def _worth_e6_nb(price_e9: int, weight: int) -> int:
    price_e6 = min(np.int64(price_e9) // _E9_PER_E6, np.int64(_PRICE_MAX_E6))
    return price_e6 * min(max(weight, np.int64(0)), np.int64(_WEIGHT_MAX))


@kernel
def _share_e6_nb(part: int, whole: int) -> int:
    """Millionths of a whole, not 0; less exact where they would need more than 63 bits."""
    if part < _EXACT_BELOW:
        return part * _ONE_E6 // whole
    return part // (whole // _ONE_E6 + 1)


@kernel
def _update_leg_nb(market: Any, instrument: int, weight: int, state: Any, at: int) -> int:
    """Put what a leg is worth now into the sums, in place of what it was worth; 1 when that is not
    the same.
    """
    row = market[instrument]
    bid_e6, ask_e6 = np.int64(0), np.int64(0)
    if is_open_nb(market, instrument):
        bid_e6 = _worth_e6_nb(row["bid_price_e9"], weight)
        ask_e6 = _worth_e6_nb(row["ask_price_e9"], weight)
    if bid_e6 == state[at] and ask_e6 == state[at + 1]:
        return 0
    state[_MISSING] += np.int64(bid_e6 == 0) - np.int64(state[at] == 0)
    state[_BIDS_E6] += bid_e6 - state[at]
    state[_ASKS_E6] += ask_e6 - state[at + 1]
    state[at] = bid_e6
    state[at + 1] = ask_e6
    return 1


@kernel
def _update_nb(ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any) -> int:
    """Take the tick's leg into the sums, or every one the first time; 0 when nothing has changed,
    as with most ticks of a leg.
    """
    instrument = np.int64(ticks[slot]["instrument"])
    size = legs.shape[0] - 1
    if not state[_READY]:
        state[_READY] = 1
        state[_MISSING] = size
        for i in range(size):
            _update_leg_nb(market, legs[1 + i], params[_WEIGHTS_AT + i], state, _LEGS + 2 * i)
        return 1
    for i in range(size):
        if legs[1 + i] == instrument:
            weight = params[_WEIGHTS_AT + i]
            return _update_leg_nb(market, instrument, weight, state, _LEGS + 2 * i)
    return 1


@pattern(
    "cost_bps",
    "unit_shares",
    "order_qty",
    "hold_ns",
    *WEIGHTS,
    legs=0,
    state_words=_LEGS + 2 * LEGS_MAX,
    begins_anew=WEIGHTS,
)
def basket(ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any) -> int:
    """+1 when the fund is cheap, -1 when it is dear; values: the gap (1e-2 basis points of the
    basket, costs not taken off), what a share of the fund is worth by its basket and its price
    (1e-9).
    """
    if is_late_nb(ticks, slot, market) or not 2 <= legs.shape[0] <= LEGS_MAX + 1:
        return 0
    if not _update_nb(ticks, slot, market, legs, params, state) and not state[_WAITING]:
        return 0
    if state[_MISSING] or not is_open_nb(market, legs[0]):
        state[_WAITING] = 0
        return 0
    fund = market[legs[0]]
    unit = max(params[1], np.int64(1))
    bought_e6 = state[_BIDS_E6] - _worth_e6_nb(fund["ask_price_e9"], unit)
    sold_e6 = _worth_e6_nb(fund["bid_price_e9"], unit) - state[_ASKS_E6]
    side = np.int64(1) if bought_e6 >= sold_e6 else np.int64(-1)
    gap_e6 = max(bought_e6, sold_e6)
    basket_e6 = state[_BIDS_E6] if side > 0 else state[_ASKS_E6]
    cost_e6 = basket_e6 // _BPS * params[0]
    if gap_e6 <= 0 or gap_e6 < cost_e6:
        state[_WAITING] = 0
        if gap_e6 * 2 < cost_e6 or gap_e6 <= 0:
            state[_SIDE] = 0
        return 0
    now_ns = np.int64(ticks[slot]["ts_exch_ns"])
    if state[_SIDE] == side or not has_held_nb(state, _WAITING, side, now_ns, params[3]):
        return 0
    state[_SIDE] = side
    out[2] = _share_e6_nb(gap_e6, basket_e6)
    out[3] = basket_e6 // unit * _E9_PER_E6
    out[4] = fund["ask_price_e9"] if side > 0 else fund["bid_price_e9"]
    confidence_bps = confidence_bps_nb(gap_e6, cost_e6)
    return propose_nb(market, legs[0], side, params[2], confidence_bps, out)
