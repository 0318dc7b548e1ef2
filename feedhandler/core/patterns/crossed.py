"""Locked and crossed markets: one symbol on two feeds (or two instruments that are the same), the
bid on one of which is at or above the ask on the other.

It must last for `hold_ns` of event time, as quotes of two feeds never come at the same moment, and
is proposed once. With `edge_e9` 0 a locked market counts (bid = ask), with more only one that is
crossed by that much.

    state[0] side (0: not crossed)   state[1] since when, ns   state[2] 1: it was proposed
"""

from typing import Any

import numpy as np

from feedhandler.core.api import pattern
from feedhandler.core.patterns.proposals import SURE_BPS, is_late_nb, is_open_nb, propose_nb

DEFAULTS = {"edge_e9": 10_000_000, "hold_ns": 1_000_000, "order_qty": 100}

_SIDE, _SINCE_NS, _IS_TOLD = range(3)
_LOCKED_BPS = 5_000


@pattern("edge_e9", "hold_ns", "order_qty", legs=2, state_words=4)
def crossed(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """+1 to buy at legs[0] what legs[1] bids for, -1 to sell there what legs[1] offers; values: the
    edge a share (1e-9), the quantity that both have, for how long (ns). Confidence 5,000 of a
    locked market, 10,000 of a crossed one; never more than both touches have is proposed.
    """
    if is_late_nb(ticks, slot, market):
        return 0
    if not (is_open_nb(market, legs[0]) and is_open_nb(market, legs[1])):
        state[_SIDE] = 0
        return 0
    here, there = market[legs[0]], market[legs[1]]
    bought_e9 = np.int64(there["bid_price_e9"]) - np.int64(here["ask_price_e9"])
    sold_e9 = np.int64(here["bid_price_e9"]) - np.int64(there["ask_price_e9"])
    edge_e9 = max(bought_e9, sold_e9)
    if edge_e9 < max(params[0], np.int64(0)):
        state[_SIDE] = 0
        return 0
    side = np.int64(1) if bought_e9 >= sold_e9 else np.int64(-1)
    now_ns = np.int64(ticks[slot]["ts_exch_ns"])
    if side != state[_SIDE]:
        state[_SIDE] = side
        state[_SINCE_NS] = now_ns
        state[_IS_TOLD] = 0
    if state[_IS_TOLD] or now_ns - state[_SINCE_NS] < params[1]:
        return 0
    state[_IS_TOLD] = 1
    if side > 0:
        qty = min(np.int64(here["ask_qty"]), np.int64(there["bid_qty"]))
    else:
        qty = min(np.int64(here["bid_qty"]), np.int64(there["ask_qty"]))
    out[2] = edge_e9
    out[3] = qty
    out[4] = now_ns - state[_SINCE_NS]
    confidence_bps = SURE_BPS if edge_e9 > 0 else _LOCKED_BPS
    return propose_nb(market, legs[0], side, min(params[2], qty), confidence_bps, out)
