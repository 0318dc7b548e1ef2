"""How a printed trade counts in sums: bounded, so that no message makes them overflow."""

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.analytics import is_trade_nb
from feedhandler.core.events import E9_PER_E4, Flag
from protocols.jit import kernel

PRICE_LIMIT_E4 = (1 << 32) - 1
QTY_LIMIT = (1 << 29) - 1
"""A larger quantity counts as this one: times the highest price it is below SUM_LIMIT."""
SUM_LIMIT = 1 << 61


@kernel
def price_e4_nb(price_e9: int) -> int:
    """A price in 1e-4, rounded down, 0 .. PRICE_LIMIT_E4."""
    return min(max(price_e9, 0) // E9_PER_E4, PRICE_LIMIT_E4)


@kernel
def printed_qty_nb(ticks: NDArray[np.void], slot: int) -> int:
    """What was traded and printed in ticks[slot], at most QTY_LIMIT; 0 for all other ticks, and for
    a cross in which nothing traded.
    """
    tick = ticks[np.uint64(slot)]
    if not is_trade_nb(np.int64(tick["kind"])) or tick["flags"] & Flag.NOT_PRINTABLE:
        return np.int64(0)
    return min(max(np.int64(tick["qty"]), 0), QTY_LIMIT)


@kernel
def weighed_nb(weight: int, total_e4: int) -> tuple[int, int]:
    """A weight and the sum that it is of, both halved when the sum is above its limit: their ratio
    stays, to 1 in 2**29.
    """
    if total_e4 > SUM_LIMIT:
        return weight >> 1, total_e4 >> 1
    return weight, total_e4
