"""An iceberg: an order that comes back at the same price, of the same size, each time that it was
taken whole.

A refill is an order that is added at the price and side of one that was executed, `refill_ns` at
most after its last execution, with as many shares as were executed of it. A chain is a row of
refills, each of the one before, `idle_ns` at most apart. With `refills_min` of them an order beside
the hidden one is proposed, once a chain. Each side has one chain; another order begins a new one
when the chain has fewer than two refills or is idle. Orders without a reference (a feed of price
levels has none) are passed over.

    per side (bids at state[0], asks at state[12])
    +0 reference of the order executed last   +6 shares of each refill
    +1 its price, 1e-9                        +7 shares executed of the chain's last order
    +2 shares executed of it                  +8 refills
    +3 time of the last, ns                   +9 shares executed of the chain
    +4 reference of the chain's last order    +10 time of its last execution or refill, ns
       (0: no chain)                          +11 1: it was proposed
    +5 the chain's price, 1e-9
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
    "refills_min": 3,
    "refill_ns": 1_000_000,
    "idle_ns": 1_000_000_000,
    "order_qty": 100,
}

_REF, _PRICE_E9, _EXECUTED, _TIME_NS = range(4)
_TIP_REF, _TIP_PRICE_E9, _TIP_QTY, _TIP_EXECUTED, _REFILLS, _TOTAL, _TIP_NS, _IS_TOLD = range(4, 12)
_WORDS = 12
_REFILLS_KEPT = 2
_QTY_MAX = 1 << 32


@kernel
def _execute_nb(ticks: Any, slot: int, state: Any, at: int) -> None:
    """Count an execution for its order, and for the chain when the order is its last one."""
    tick = ticks[slot]
    ref, qty = np.int64(tick["order_ref"]), min(np.int64(tick["qty"]), np.int64(_QTY_MAX))
    now_ns = np.int64(tick["ts_exch_ns"])
    if ref == state[at + _TIP_REF]:
        state[at + _TIP_EXECUTED] += qty
        state[at + _TOTAL] += qty
        state[at + _TIP_NS] = now_ns
        return
    if ref != state[at + _REF]:
        state[at + _REF] = ref
        state[at + _EXECUTED] = 0
        state[at + _PRICE_E9] = tick["price_e9"]
    elif tick["kind"] == Kind.EXECUTE:
        # The order's own price, which one of EXECUTE_AT_PRICE need not be.
        state[at + _PRICE_E9] = tick["price_e9"]
    state[at + _EXECUTED] += qty
    state[at + _TIME_NS] = now_ns


@kernel
def _refill_nb(ticks: Any, slot: int, params: Any, state: Any, at: int) -> int:
    """Take an order that is added into the chain, or begin a chain with it; 1 when it is a refill
    of the chain.
    """
    tick = ticks[slot]
    price_e9, qty = np.int64(tick["price_e9"]), np.int64(tick["qty"])
    now_ns = np.int64(tick["ts_exch_ns"])
    if (
        state[at + _TIP_REF] != 0
        and price_e9 == state[at + _TIP_PRICE_E9]
        and qty == state[at + _TIP_QTY]
        and state[at + _TIP_EXECUTED] == qty
        and now_ns - state[at + _TIP_NS] <= params[1]
    ):
        state[at + _TIP_REF] = tick["order_ref"]
        state[at + _TIP_EXECUTED] = 0
        state[at + _REFILLS] += 1
        state[at + _TIP_NS] = now_ns
        return 1
    is_idle = now_ns - state[at + _TIP_NS] > params[2]
    if (
        qty > 0
        and price_e9 == state[at + _PRICE_E9]
        and qty == state[at + _EXECUTED]
        and now_ns - state[at + _TIME_NS] <= params[1]
        and (state[at + _REFILLS] < _REFILLS_KEPT or is_idle)
    ):
        state[at + _TIP_REF] = tick["order_ref"]
        state[at + _TIP_PRICE_E9] = price_e9
        state[at + _TIP_QTY] = qty
        state[at + _TIP_EXECUTED] = 0
        state[at + _REFILLS] = 1
        state[at + _TOTAL] = qty
        state[at + _TIP_NS] = now_ns
        state[at + _IS_TOLD] = 0
        state[at + _REF] = 0
        state[at + _EXECUTED] = 0
        return 1
    return 0


@pattern("refills_min", "refill_ns", "idle_ns", "order_qty", state_words=2 * _WORDS)
def iceberg(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """+1 beside a hidden buyer, -1 beside a hidden seller; values: refills, shares executed of the
    chain, its price (1e-9).
    """
    tick = ticks[slot]
    kind, side = tick["kind"], np.int64(tick["side"])
    is_execution = kind == Kind.EXECUTE or kind == Kind.EXECUTE_AT_PRICE
    if not (is_execution or kind == Kind.ADD) or side == 0 or tick["order_ref"] == 0:
        return 0
    if tick["flags"] & Flag.UNKNOWN_REFERENCE or is_late_nb(ticks, slot, market):
        return 0
    at = np.int64(0) if side > 0 else np.int64(_WORDS)
    if is_execution:
        _execute_nb(ticks, slot, state, at)
        return 0
    if not _refill_nb(ticks, slot, params, state, at):
        return 0
    refills = state[at + _REFILLS]
    if refills < params[0] or state[at + _IS_TOLD] or not is_open_nb(market, legs[0]):
        return 0
    state[at + _IS_TOLD] = 1
    out[2] = refills
    out[3] = state[at + _TOTAL]
    out[4] = state[at + _TIP_PRICE_E9]
    return propose_nb(market, legs[0], side, params[3], confidence_bps_nb(refills, params[0]), out)
