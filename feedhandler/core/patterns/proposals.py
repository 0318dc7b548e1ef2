"""What the built-in patterns have in common: which ticks and instruments count, and how a signal is
filled in.

Every pattern sets out[0] and out[1] (an order at the touch), the values that it documents in out[2]
to out[4], and the confidence in out[5]: 5,000 basis points at its threshold, 10,000 from twice the
threshold on.
"""

from typing import Any

import numpy as np

from protocols.jit import kernel

SURE_BPS = 10_000
_AT_THRESHOLD_BPS = 5_000


@kernel
def is_late_nb(ticks: Any, slot: int, market: Any) -> int:
    """1 for a tick that a newer one of its instrument has overtaken: what it shows is no more."""
    tick = ticks[slot]
    return int(tick["seq"] < market[np.int64(tick["instrument"])]["seq"])


@kernel
def is_open_nb(market: Any, instrument: int) -> int:
    """1 when both sides have a price, the book is beyond doubt and the instrument trades."""
    row = market[instrument]
    has_prices = row["bid_price_e9"] > 0 and row["ask_price_e9"] > 0
    return int(has_prices and row["bid_qty"] > 0 and row["ask_qty"] > 0 and row["flags"] == 0)


@kernel
def confidence_bps_nb(seen: int, threshold: int) -> int:
    """Confidence in something at or above a threshold."""
    least = max(threshold, np.int64(1))
    if seen // least >= 2:
        return SURE_BPS
    # Below 2^50 by the parameters that make sense; others only spoil their own confidence.
    return min(seen * _AT_THRESHOLD_BPS // least, SURE_BPS)


@kernel
def has_held_nb(state: Any, at: int, side: int, now_ns: int, hold_ns: int) -> int:
    """1 when `side` (not 0) was waited for at each look since `hold_ns` ago. state[at] is the side
    that is waited for, 0 when there is none, and state[at + 1] since when.

    Quotes of several instruments never come together: of what one of them shows before the others
    do, nothing is left a moment later.
    """
    if state[at] != side:
        state[at] = side
        state[at + 1] = now_ns
    return int(now_ns - state[at + 1] >= hold_ns)


@kernel
def propose_nb(
    market: Any, instrument: int, side: int, qty: int, confidence_bps: int, out: Any
) -> int:
    """Fill in an order of `qty` that takes from the touch; its side."""
    row = market[instrument]
    out[0] = row["ask_price_e9"] if side > 0 else row["bid_price_e9"]
    out[1] = qty
    out[5] = confidence_bps
    return side
