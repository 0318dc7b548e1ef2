"""The built-in pattern, written as a user would write one: order-book imbalance with a trade that
confirms it.

When one side of the best prices shows at least `imbalance_bps` of the quantity, and within
`window_ns` of event time a trade takes from the other side, the pattern proposes an order in that
direction at the touch, once per `cooldown_ns` and instrument.
"""

from typing import Any

import numpy as np

from feedhandler.core.api import pattern
from feedhandler.core.events import Flag, Kind

_ARMED_SIDE = 0
_ARMED_NS = 1
_FIRED_NS = 2
_IMBALANCE_BPS = 3


@pattern("imbalance_bps", "window_ns", "cooldown_ns", "order_qty")
def imbalance_with_trade(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """+1 or -1 when a trade confirms an imbalance; values: imbalance in basis points, traded
    quantity, trade price.
    """
    tick = ticks[slot]
    now_ns = np.int64(tick["ts_exch_ns"])
    kind = tick["kind"]
    if kind == Kind.EXECUTE or kind == Kind.EXECUTE_AT_PRICE:
        # The resting side is hit from the other one: an execution of an ask is a buyer's trade.
        direction = -np.int64(tick["side"])
        confirmed = (
            direction == state[_ARMED_SIDE]
            and 0 <= now_ns - state[_ARMED_NS] <= params[1]
            and (state[_FIRED_NS] == 0 or now_ns - state[_FIRED_NS] >= params[2])
        )
        if confirmed and tick["bid_qty"] > 0 and tick["ask_qty"] > 0:
            state[_FIRED_NS] = now_ns
            out[0] = tick["ask_price_e9"] if direction > 0 else tick["bid_price_e9"]
            out[1] = params[3]
            out[2] = state[_IMBALANCE_BPS]
            out[3] = tick["qty"]
            out[4] = tick["price_e9"]
            state[_ARMED_SIDE] = 0
            return int(direction)
    if tick["flags"] & Flag.BBO_CHANGED:
        bid_qty = np.int64(tick["bid_qty"])
        total = bid_qty + np.int64(tick["ask_qty"])
        share_bps = bid_qty * 10_000 // total if total > 0 else np.int64(5_000)
        if share_bps >= params[0]:
            state[_ARMED_SIDE] = 1
            state[_ARMED_NS] = now_ns
            state[_IMBALANCE_BPS] = share_bps
        elif 10_000 - share_bps >= params[0]:
            state[_ARMED_SIDE] = -1
            state[_ARMED_NS] = now_ns
            state[_IMBALANCE_BPS] = 10_000 - share_bps
    return 0
