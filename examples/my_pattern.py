"""A pattern of your own: how to write one is in docs/patterns.md."""  # noqa: INP001 - no package

from typing import Any

from feedhandler.core.api import pattern
from feedhandler.core.events import Kind


@pattern("large_qty", "order_qty")
def follow_large_trade(
    ticks: Any,
    slot: int,
    market: Any,
    legs: Any,
    params: Any,
    state: Any,
    out: Any,
) -> int:
    """After an execution of `large_qty` or more, propose to trade in the same direction."""
    tick = ticks[slot]
    if tick["kind"] != Kind.EXECUTE or tick["qty"] < params[0]:
        return 0
    touch = market[legs[0]]
    if touch["bid_qty"] == 0 or touch["ask_qty"] == 0:
        return 0
    direction = -tick["side"]  # the order that rested is a sell: a buyer took it
    out[0] = touch["ask_price_e9"] if direction > 0 else touch["bid_price_e9"]
    out[1] = params[1]
    return direction
