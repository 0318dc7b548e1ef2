"""News: both sides of the quote are suddenly elsewhere, and orders come by the dozen."""  # noqa: INP001 - no package

from typing import Any

import numpy as np

from feedhandler.core.api import pattern

SAMPLES = 8
FIRST = 4  # state[0] samples so far, [1] when the last was taken, [2] told until; then (bid, ask)


@pattern("move_bps", "window_ns", "quiet_ns", "rate_z_e3", "order_qty", state_words=32)
def news(ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any) -> int:
    """Bid and ask have both gone `move_bps` one way within `window_ns`, while messages come faster
    than usual: propose to go along. Values: the move (basis points), z-score of the message rate.
    """
    tick, row = ticks[slot], market[legs[0]]
    if tick["seq"] < row["seq"] or row["flags"] != 0:
        return 0
    if row["bid_qty"] == 0 or row["ask_qty"] == 0:
        return 0
    now_ns = np.int64(tick["ts_exch_ns"])
    bid_e9, ask_e9 = np.int64(row["bid_price_e9"]), np.int64(row["ask_price_e9"])
    side, move_bps = np.int64(0), np.int64(0)
    for i in range(min(state[0], SAMPLES)):
        old_bid_e9, old_ask_e9 = state[FIRST + 2 * i], state[FIRST + 2 * i + 1]
        up_e9 = min(bid_e9 - old_bid_e9, ask_e9 - old_ask_e9)
        down_e9 = min(old_bid_e9 - bid_e9, old_ask_e9 - ask_e9)
        bps = max(up_e9, down_e9) * 10_000 // old_ask_e9
        if bps > move_bps:
            side, move_bps = np.int64(1) if up_e9 > 0 else np.int64(-1), bps
    if now_ns - state[1] >= params[1] // SAMPLES:
        at = FIRST + 2 * (state[0] % SAMPLES)
        state[at], state[at + 1] = bid_e9, ask_e9
        state[0] += 1
        state[1] = now_ns
    if move_bps < params[0] or row["message_rate_z_e3"] < params[3] or now_ns < state[2]:
        return 0
    state[2] = now_ns + params[2]
    out[0] = ask_e9 if side > 0 else bid_e9
    out[1] = params[4]
    out[2], out[3] = move_bps, row["message_rate_z_e3"]
    return side
