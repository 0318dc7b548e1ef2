"""A sweep: one side takes several price levels within a moment.

A run is a row of executions of one side, each at the price of the one before or beyond it, no
further apart than `window_ns`. One at a price of its own (EXECUTE_AT_PRICE) may be better than its
order's, so it begins no run and ends none. When the last `levels_min` levels of a run were reached
within `window_ns`, and at least `qty_min` was taken, an order in its direction is proposed, once a
run.

    state[0] direction of the run (0: none)   state[4] time of its last execution, ns
    state[1] its last price, 1e-9             state[5] 1: it was proposed
    state[2] levels so far                    state[6] its first price, 1e-9
    state[3] quantity so far                  state[8 ..] when its last 16 levels were reached, ns
"""

from typing import Any

import numpy as np

from feedhandler.core.api import pattern
from feedhandler.core.events import Flag, Kind
from feedhandler.core.patterns.proposals import (
    confidence_bps_nb,
    is_late_nb,
    is_open_nb,
    propose_nb,
)
from protocols.jit import kernel

DEFAULTS = {"levels_min": 5, "window_ns": 1_000_000, "qty_min": 0, "order_qty": 100}
LEVELS_MAX = 16
"""More than these are never asked for."""

_SIDE, _PRICE_E9, _LEVELS, _QTY, _LAST_NS, _IS_TOLD, _FIRST_E9 = range(7)
_TIMES = 8
_QTY_MAX = 1 << 32


@kernel
def _take_nb(ticks: Any, slot: int, window_ns: int, state: Any) -> int:
    """Put an execution into the run, or begin one with it; 0 when it is passed over."""
    tick = ticks[slot]
    now_ns, price_e9 = np.int64(tick["ts_exch_ns"]), np.int64(tick["price_e9"])
    side = -np.int64(tick["side"])
    beyond_e9 = (price_e9 - state[_PRICE_E9]) * side
    is_apart = now_ns - state[_LAST_NS] > window_ns
    if tick["kind"] == Kind.EXECUTE_AT_PRICE:
        if side != state[_SIDE] or is_apart:
            return 0
        beyond_e9 = max(beyond_e9, np.int64(0))
    if side != state[_SIDE] or beyond_e9 < 0 or is_apart:
        state[_SIDE] = side
        state[_LEVELS] = 0
        state[_QTY] = 0
        state[_IS_TOLD] = 0
        state[_FIRST_E9] = price_e9
    if state[_LEVELS] == 0 or beyond_e9 != 0:
        state[_TIMES + state[_LEVELS] % LEVELS_MAX] = now_ns
        state[_LEVELS] += 1
        state[_PRICE_E9] = price_e9
    state[_LAST_NS] = now_ns
    state[_QTY] += min(np.int64(tick["qty"]), np.int64(_QTY_MAX))
    return 1


@pattern("levels_min", "window_ns", "qty_min", "order_qty", state_words=_TIMES + LEVELS_MAX)
def sweep(ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any) -> int:
    """The direction of the sweep; values: levels, quantity, and first price of the run (1e-9)."""
    tick = ticks[slot]
    kind = tick["kind"]
    is_execution = kind == Kind.EXECUTE or kind == Kind.EXECUTE_AT_PRICE
    if not is_execution or tick["flags"] & Flag.UNKNOWN_REFERENCE or tick["side"] == 0:
        return 0
    if is_late_nb(ticks, slot, market) or not _take_nb(ticks, slot, params[1], state):
        return 0
    needed = min(max(params[0], np.int64(2)), np.int64(LEVELS_MAX))
    if state[_IS_TOLD] or state[_LEVELS] < needed or state[_QTY] < params[2]:
        return 0
    since_ns = state[_TIMES + (state[_LEVELS] - needed) % LEVELS_MAX]
    if np.int64(tick["ts_exch_ns"]) - since_ns > params[1] or not is_open_nb(market, legs[0]):
        return 0
    state[_IS_TOLD] = 1
    out[2] = state[_LEVELS]
    out[3] = state[_QTY]
    out[4] = state[_FIRST_E9]
    confidence_bps = confidence_bps_nb(state[_LEVELS], needed)
    return propose_nb(market, legs[0], state[_SIDE], params[3], confidence_bps, out)
