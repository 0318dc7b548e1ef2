"""A burst of trades of one side that takes the price along.

Within `window_ns` at least `trades_min` executions, at least `one_sided_bps` of their quantity by
the same side, and a middle price that has gone `move_bps` in that direction, and at least the
present spread. After a proposal the window is empty, so that a burst must begin anew.

    state[0] middle price before this tick, 1e-9    state[2 .. 9] middle price before each eighth
                                                    state[10 ..] window: 0 quantity bought less
                                                    sold, 1 quantity, 2 executions
"""

from typing import Any

import numpy as np

from feedhandler.core.api import pattern
from feedhandler.core.events import Flag, Kind
from feedhandler.core.patterns.proposals import confidence_bps_nb, is_open_nb, propose_nb
from feedhandler.core.patterns.window import (
    PARTS,
    WINDOW_WORDS,
    add_to_window_nb,
    clear_window_nb,
    roll_window_nb,
    window_part_nb,
    window_sum_nb,
)
from protocols.jit import kernel

DEFAULTS = {
    "move_bps": 15,
    "trades_min": 8,
    "one_sided_bps": 8_000,
    "window_ns": 2_000_000_000,
    "order_qty": 100,
}

_MID_E9, _MIDS, _WINDOW = 0, 2, 2 + PARTS
_SIGNED_QTY, _QTY, _TRADES = range(3)
_BPS = 10_000
_QTY_MAX = 1 << 32


@kernel
def _roll_nb(state: Any, now_ns: int, window_ns: int, mid_e9: int) -> None:
    """Bring window and middle prices up to now."""
    begun = roll_window_nb(state, _WINDOW, now_ns, window_ns)
    before_e9 = state[_MID_E9] if state[_MID_E9] > 0 else mid_e9
    for back in range(begun):
        state[_MIDS + window_part_nb(state, _WINDOW, back)] = before_e9
    if mid_e9 > 0:
        state[_MID_E9] = mid_e9


@kernel
def _move_e9_nb(state: Any, side: int, mid_e9: int) -> int:
    """How far the middle price is from its farthest at the begin of an eighth, in a direction."""
    most_e9 = np.int64(0)
    for i in range(PARTS):
        if state[_MIDS + i] > 0:
            most_e9 = max(most_e9, (mid_e9 - state[_MIDS + i]) * side)
    return most_e9


@kernel
def _start_again_nb(state: Any) -> None:
    clear_window_nb(state, _WINDOW)
    for i in range(PARTS):
        state[_MIDS + i] = state[_MID_E9]


@pattern(
    "move_bps",
    "trades_min",
    "one_sided_bps",
    "window_ns",
    "order_qty",
    state_words=_WINDOW + WINDOW_WORDS,
    begins_anew=("window_ns",),
)
def momentum_burst(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """The direction of the burst; values: the move (1e-9), executions in the window, share of their
    quantity that was on this side (basis points).
    """
    tick = ticks[slot]
    now_ns = np.int64(tick["ts_exch_ns"])
    row = market[legs[0]]
    mid_e9 = np.int64(row["mid_e9"])
    _roll_nb(state, now_ns, params[3], mid_e9)
    kind = tick["kind"]
    is_execution = kind == Kind.EXECUTE or kind == Kind.EXECUTE_AT_PRICE
    if is_execution and not tick["flags"] & (Flag.NOT_PRINTABLE | Flag.UNKNOWN_REFERENCE):
        # The resting side is hit from the other one: an execution of an ask is a buyer's trade.
        qty = min(np.int64(tick["qty"]), np.int64(_QTY_MAX))
        add_to_window_nb(state, _WINDOW, _SIGNED_QTY, -np.int64(tick["side"]) * qty)
        add_to_window_nb(state, _WINDOW, _QTY, qty)
        add_to_window_nb(state, _WINDOW, _TRADES, 1)
    trades = window_sum_nb(state, _WINDOW, _TRADES)
    if trades < params[1] or not is_open_nb(market, legs[0]):
        return 0
    signed_qty = window_sum_nb(state, _WINDOW, _SIGNED_QTY)
    qty = max(window_sum_nb(state, _WINDOW, _QTY), np.int64(1))
    side = np.int64(1) if signed_qty > 0 else np.int64(-1)
    share_bps = (qty + abs(signed_qty)) * (_BPS // 2) // qty
    if signed_qty == 0 or share_bps < params[2]:
        return 0
    move_e9 = _move_e9_nb(state, side, mid_e9)
    spread_e9 = np.int64(row["ask_price_e9"]) - np.int64(row["bid_price_e9"])
    least_e9 = max(mid_e9 // _BPS * params[0], spread_e9)
    if move_e9 < least_e9 or move_e9 == 0:
        return 0
    out[2] = move_e9 * side
    out[3] = trades
    out[4] = share_bps
    _start_again_nb(state)
    confidence_bps = confidence_bps_nb(move_e9, least_e9)
    return propose_nb(market, legs[0], side, params[4], confidence_bps, out)
