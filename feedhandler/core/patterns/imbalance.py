"""Order-book imbalance with a trade that confirms it.

When one side of the best prices shows at least `imbalance_bps` of the quantity, and within
`window_ns` of event time a trade takes at least `trade_qty_min` from the other side, an order in
that direction is proposed, once per `cooldown_ns` (0 leaves that to the engine).

    state[0] side that is heavy (0: none), [1] since when, ns, [3] its share, basis points
    state[2] time of the last proposal, ns (0: none)
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

DEFAULTS = {
    "imbalance_bps": 9_500,
    "window_ns": 1_000_000,
    "cooldown_ns": 0,
    "order_qty": 100,
    "trade_qty_min": 1_000,
}

_ARMED_SIDE, _ARMED_NS, _FIRED_NS, _IMBALANCE_BPS = range(4)
_BPS = 10_000
# Above any order of ITCH; times 10,000 it stays below 63 bits.
_QTY_MAX = 1 << 40


@kernel
def _share_bps_nb(bid_qty: int, ask_qty: int) -> int:
    """What the bid is of both, rounded down; half where there is nothing."""
    total = bid_qty + ask_qty
    return bid_qty * _BPS // total if total > 0 else np.int64(_BPS // 2)


@kernel
def _is_heavy_nb(bid_qty: int, ask_qty: int, threshold_bps: int) -> int:
    """Whether a side has that share at least, the bid's rounded down, the other one what is left:
    without a division, which takes as long as all the rest.
    """
    total = bid_qty + ask_qty
    if total <= 0 or threshold_bps <= 0:
        return np.int64(threshold_bps <= _BPS // 2)
    share = bid_qty * _BPS
    least = min(threshold_bps, np.int64(_BPS + 1))
    return np.int64((share >= least * total) | (share < (_BPS - least + 1) * total))


@pattern("imbalance_bps", "window_ns", "cooldown_ns", "order_qty", "trade_qty_min")
def imbalance_with_trade(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """+1 or -1 when a trade confirms an imbalance; values: imbalance in basis points, traded
    quantity, trade price. Confidence: 5,000 at the threshold, 10,000 of a book with one side.
    """
    if is_late_nb(ticks, slot, market):
        return 0
    tick = ticks[slot]
    now_ns = np.int64(tick["ts_exch_ns"])
    kind = tick["kind"]
    if kind == Kind.EXECUTE or kind == Kind.EXECUTE_AT_PRICE:
        # The resting side is hit from the other one: an execution of an ask is a buyer's trade.
        direction = -np.int64(tick["side"])
        confirmed = (
            direction == state[_ARMED_SIDE]
            and tick["qty"] >= params[4]
            and 0 <= now_ns - state[_ARMED_NS] <= params[1]
            and (state[_FIRED_NS] == 0 or now_ns - state[_FIRED_NS] >= params[2])
        )
        if confirmed and direction != 0 and is_open_nb(market, legs[0]):
            share_bps = state[_IMBALANCE_BPS]
            state[_FIRED_NS] = now_ns
            state[_ARMED_SIDE] = 0
            out[2] = share_bps
            out[3] = tick["qty"]
            out[4] = tick["price_e9"]
            beyond_bps = share_bps - params[0]
            confidence_bps = confidence_bps_nb(_BPS - params[0] + beyond_bps, _BPS - params[0])
            return propose_nb(market, legs[0], direction, params[3], confidence_bps, out)
    if tick["flags"] & Flag.BBO_CHANGED:
        bid_qty = min(np.int64(tick["bid_qty"]), np.int64(_QTY_MAX))
        ask_qty = min(np.int64(tick["ask_qty"]), np.int64(_QTY_MAX))
        if _is_heavy_nb(bid_qty, ask_qty, params[0]):
            share_bps = _share_bps_nb(bid_qty, ask_qty)
            side = np.int64(1) if share_bps >= params[0] else np.int64(-1)
            state[_ARMED_SIDE] = side
            state[_ARMED_NS] = now_ns
            state[_IMBALANCE_BPS] = share_bps if side > 0 else _BPS - share_bps
    return 0
