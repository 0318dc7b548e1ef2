"""The built-in circuit breaker, written as a user would write one: a price band around a reference,
with recovery.

The reference is the first trade price of the current window. A trade further than `band_bps` from
it trips the breaker. It recovers when for `cooldown_ns` no trade was further than half a band from
the price at which that time began; the next trade is the new reference.
"""

from typing import Any

import numpy as np

from feedhandler.core.api import breaker
from feedhandler.core.events import BreakerLevel, Flag, Kind

_REFERENCE_E4 = 0
_WINDOW_START_NS = 1
_TRIPPED = 2
_CALM_PRICE_E4 = 3
_CALM_SINCE_NS = 4

_E9_PER_E4 = 100_000
_BPS = 10_000


@breaker("band_bps", "window_ns", "cooldown_ns")
def price_band(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """HALTED while tripped, else NORMAL; values: trade price, reference price (both 1e-9),
    deviation in basis points.
    """
    tick = ticks[slot]
    kind = tick["kind"]
    now_ns = np.int64(tick["ts_exch_ns"])
    if state[_TRIPPED] and now_ns - state[_CALM_SINCE_NS] >= params[2]:
        state[_TRIPPED] = 0
        state[_REFERENCE_E4] = 0
    is_trade = Kind.EXECUTE <= kind <= Kind.EXECUTE_AT_PRICE or kind == Kind.TRADE
    if not is_trade or tick["flags"] & Flag.NOT_PRINTABLE:
        return BreakerLevel.HALTED if state[_TRIPPED] else BreakerLevel.NORMAL
    price_e4 = np.int64(tick["price_e9"]) // _E9_PER_E4
    if state[_TRIPPED]:
        if abs(price_e4 - state[_CALM_PRICE_E4]) * 2 * _BPS > params[0] * state[_CALM_PRICE_E4]:
            state[_CALM_PRICE_E4] = price_e4
            state[_CALM_SINCE_NS] = now_ns
    elif state[_REFERENCE_E4] == 0 or now_ns - state[_WINDOW_START_NS] > params[1]:
        state[_REFERENCE_E4] = price_e4
        state[_WINDOW_START_NS] = now_ns
    else:
        reference_e4 = state[_REFERENCE_E4]
        if abs(price_e4 - reference_e4) * _BPS > params[0] * reference_e4:
            state[_TRIPPED] = 1
            state[_CALM_PRICE_E4] = price_e4
            state[_CALM_SINCE_NS] = now_ns
            out[4] = abs(price_e4 - reference_e4) * _BPS // reference_e4
    out[2] = price_e4 * _E9_PER_E4
    out[3] = state[_REFERENCE_E4] * _E9_PER_E4
    return BreakerLevel.HALTED if state[_TRIPPED] else BreakerLevel.NORMAL
