"""News: one can sell for more than one could buy for a moment ago, or buy for less, while messages
come faster than usual.
"""  # noqa: INP001 - no package

from typing import Any

import numpy as np

from feedhandler.core.api import pattern

PARTS = 8
PART, BID_E9, ASK_E9, QUIET_NS, FIRST = range(5)  # from FIRST on: highest bid, lowest ask of a part


@pattern("move_bps", "window_ns", "quiet_ns", "rate_z_e3", "order_qty", state_words=32)
def news(ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any) -> int:
    """The bid is `move_bps` above the lowest ask of the last `window_ns`, or the ask as far below
    the highest bid, while messages come faster than usual: propose to go along. Values: the move
    (basis points), z-score of the message rate.

    In a thin book both sides can go by percents, when somebody withdraws and nobody is behind. That
    takes no bid above an ask that stood a moment ago.
    """
    tick, row = ticks[slot], market[legs[0]]
    if tick["seq"] < row["seq"] or row["flags"] != 0:
        return 0
    if row["bid_qty"] == 0 or row["ask_qty"] == 0:
        return 0
    now_ns = np.int64(tick["ts_exch_ns"])
    bid_e9, ask_e9 = np.int64(row["bid_price_e9"]), np.int64(row["ask_price_e9"])
    if state[ASK_E9] == 0:
        state[BID_E9], state[ASK_E9] = bid_e9, ask_e9
    part = now_ns // max(params[1] // PARTS, np.int64(1))
    for i in range(min(max(part - state[PART], np.int64(0)), PARTS)):
        # The quote so far stood until now, however long ago it came.
        at = FIRST + (part - i) % PARTS * 2
        state[at], state[at + 1] = state[BID_E9], state[ASK_E9]
    at = FIRST + part % PARTS * 2
    state[at], state[at + 1] = max(state[at], bid_e9), min(state[at + 1], ask_e9)
    state[PART], state[BID_E9], state[ASK_E9] = part, bid_e9, ask_e9
    highest_e9, lowest_e9 = bid_e9, ask_e9
    for i in range(PARTS):
        highest_e9 = max(highest_e9, state[FIRST + 2 * i])
        lowest_e9 = min(lowest_e9, state[FIRST + 2 * i + 1])
    up_e9, down_e9 = bid_e9 - lowest_e9, highest_e9 - ask_e9
    move_bps = max(up_e9, down_e9) * 10_000 // ask_e9
    if move_bps < params[0] or row["message_rate_z_e3"] < params[3] or now_ns < state[QUIET_NS]:
        return 0
    state[QUIET_NS] = now_ns + params[2]
    side = np.int64(1) if up_e9 > down_e9 else np.int64(-1)
    out[0] = ask_e9 if side > 0 else bid_e9
    out[1] = params[4]
    out[2], out[3] = move_bps, row["message_rate_z_e3"]
    return side
