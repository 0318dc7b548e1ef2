"""Flash crash: the ask is far below what was bid some minutes ago."""  # noqa: INP001 - no package

from typing import Any

import numpy as np

from feedhandler.core.api import pattern

PARTS = 10
PART, BID_E9, FALLEN_NS, QUIET_NS, FIRST = range(5)  # from FIRST on: the highest bid of a part


@pattern("fall_bps", "window_ns", "hold_ns", "quiet_ns", "order_qty", state_words=FIRST + PARTS)
def flash_crash(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """Who sold within the last `window_ns` could buy back for `fall_bps` less, and so since
    `hold_ns`: propose to sell, or, with an `order_qty` of 0, give notice. Values: the fall (basis
    points), the highest bid and the ask of now (1e-9).

    In a thin book the middle price goes by percents when somebody withdraws and nobody is behind.
    That takes no ask below what was bid. Quotes are there when a symbol hardly trades.
    """
    tick, row = ticks[slot], market[legs[0]]
    if tick["seq"] < row["seq"] or row["flags"] != 0:
        return 0
    if row["bid_qty"] == 0 or row["ask_qty"] == 0:
        return 0
    now_ns = np.int64(tick["ts_exch_ns"])
    bid_e9, ask_e9 = np.int64(row["bid_price_e9"]), np.int64(row["ask_price_e9"])
    part = now_ns // max(params[1] // PARTS, np.int64(1))
    for i in range(min(max(part - state[PART], np.int64(0)), PARTS)):
        # The bid so far stood until now, however long ago it came.
        state[FIRST + (part - i) % PARTS] = state[BID_E9]
    at = FIRST + part % PARTS
    state[at] = max(state[at], bid_e9)
    state[PART], state[BID_E9] = part, bid_e9
    highest_e9 = bid_e9
    for i in range(PARTS):
        highest_e9 = max(highest_e9, state[FIRST + i])
    fall_bps = (highest_e9 - ask_e9) * 10_000 // highest_e9
    if fall_bps < params[0]:
        state[FALLEN_NS] = 0
        return 0
    if state[FALLEN_NS] == 0:
        state[FALLEN_NS] = now_ns
    if now_ns - state[FALLEN_NS] < params[2] or now_ns < state[QUIET_NS]:
        return 0
    state[QUIET_NS] = now_ns + params[3]
    out[0] = bid_e9
    out[1] = params[4]
    out[2], out[3], out[4] = fall_bps, highest_e9, ask_e9
    return -1
