"""Quote stuffing: orders by the thousand that come and go without a trade.

Within `window_ns` at least `messages_min` orders were added, replaced, reduced or deleted, at least
`removed_bps` of these messages took something away or replaced it, and `trades_max` executions at
most happened. It is told once, until the number of messages is below half of the threshold.

The signal is a notice, of quantity 0: it points away from the side that most messages were about,
as the pressure that they show is not meant.

    state[0] 1: it was told      state[1 ..] window: 0 messages about bids, 1 about asks,
                                 2 executions, 3 messages that add
"""

from typing import Any

import numpy as np

from feedhandler.core.api import pattern
from feedhandler.core.events import Flag, Kind
from feedhandler.core.patterns.proposals import confidence_bps_nb, is_open_nb, propose_nb
from feedhandler.core.patterns.window import (
    WINDOW_WORDS,
    add_to_window_nb,
    roll_window_nb,
    window_sum_nb,
)

DEFAULTS = {
    "messages_min": 1_000,
    "removed_bps": 4_000,
    "trades_max": 20,
    "window_ns": 500_000_000,
}

_IS_TOLD, _WINDOW = 0, 1
_BIDS, _ASKS, _TRADES, _ADDS = range(4)
_BPS = 10_000


@pattern(
    "messages_min",
    "removed_bps",
    "trades_max",
    "window_ns",
    state_words=_WINDOW + WINDOW_WORDS,
    begins_anew=("window_ns",),
)
def quote_stuffing(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """-1 when most of the messages were about bids, else +1; values: messages in the window, how
    many of them did not add (basis points), executions.
    """
    tick = ticks[slot]
    kind = tick["kind"]
    is_trade = kind == Kind.EXECUTE or kind == Kind.EXECUTE_AT_PRICE
    if not Kind.ADD <= kind <= Kind.REPLACE or tick["flags"] & Flag.UNKNOWN_REFERENCE:
        return 0
    roll_window_nb(state, _WINDOW, np.int64(tick["ts_exch_ns"]), params[3])
    if is_trade:
        add_to_window_nb(state, _WINDOW, _TRADES, 1)
    else:
        add_to_window_nb(state, _WINDOW, _BIDS if tick["side"] > 0 else _ASKS, 1)
        if kind == Kind.ADD:
            add_to_window_nb(state, _WINDOW, _ADDS, 1)
    bids, asks = window_sum_nb(state, _WINDOW, _BIDS), window_sum_nb(state, _WINDOW, _ASKS)
    messages = bids + asks
    if messages * 2 < params[0]:
        state[_IS_TOLD] = 0
    if messages < params[0] or messages == 0 or state[_IS_TOLD]:
        return 0
    trades = window_sum_nb(state, _WINDOW, _TRADES)
    removed_bps = (messages - window_sum_nb(state, _WINDOW, _ADDS)) * _BPS // messages
    if trades > params[2] or removed_bps < params[1] or not is_open_nb(market, legs[0]):
        return 0
    state[_IS_TOLD] = 1
    out[2] = messages
    out[3] = removed_bps
    out[4] = trades
    side = np.int64(-1) if bids > asks else np.int64(1)
    return propose_nb(market, legs[0], side, 0, confidence_bps_nb(messages, params[0]), out)
