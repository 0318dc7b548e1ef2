"""A sweep, as one would begin to write it: executions of one message each, at one moment, at one
price after the other.
"""  # noqa: INP001 - no package

from typing import Any

from feedhandler.core.api import pattern
from feedhandler.core.events import Kind

TS_NS, SIDE, PRICE_E9, LEVELS = range(4)


@pattern("levels_min", "order_qty")
def sweep(ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any) -> int:
    """Go along with who took `levels_min` prices at one moment. Values: levels."""
    tick = ticks[slot]
    if tick["kind"] != Kind.EXECUTE:
        return 0
    if tick["ts_exch_ns"] != state[TS_NS] or tick["side"] != state[SIDE]:
        state[TS_NS], state[SIDE] = tick["ts_exch_ns"], tick["side"]
        state[PRICE_E9] = state[LEVELS] = 0
    if tick["price_e9"] == state[PRICE_E9]:
        return 0
    state[PRICE_E9] = tick["price_e9"]
    state[LEVELS] += 1
    touch = market[legs[0]]
    if state[LEVELS] != params[0] or touch["bid_qty"] == 0 or touch["ask_qty"] == 0:
        return 0
    side = -tick["side"]  # the order that rested is a sell: a buyer took it
    out[0] = touch["ask_price_e9"] if side > 0 else touch["bid_price_e9"]
    out[1] = params[1]
    out[2] = state[LEVELS]
    return side
