"""Per-instrument state that is kept in sequence with the book: status, VWAP, EWMA volatility."""

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.events import E9_PER_E4, Flag, Kind
from protocols.jit import kernel

INSTRUMENT = np.dtype(
    [
        ("symbol", "i8"),
        ("halted", "i4"),
        ("volatility_e9", "i4"),
        ("mid_e4", "i8"),
        ("variance_e18", "i8"),
        ("volume", "i8"),
        ("notional_e4", "i8"),
        ("vwap_e9", "i8"),
        ("messages", "i8"),
    ]
)
"""One cache line an instrument; `symbol` is eight ASCII characters, the first in the lowest
byte."""

_ONE_E9 = 1_000_000_000
_SUM_LIMIT = 1 << 61
# No trade has more shares than this; times any 32-bit price it stays below _SUM_LIMIT, whatever a
# hostile message states.
_QTY_LIMIT = (1 << 29) - 1
_EWMA_SHIFT = 6
_BPS = 10_000
_TRADES = sum(
    1 << kind for kind in (Kind.EXECUTE, Kind.EXECUTE_AT_PRICE, Kind.TRADE, Kind.CROSS_TRADE)
)


@kernel
def is_trade_nb(kind: int) -> int:
    """1 for the kinds that print a trade."""
    return _TRADES >> kind & 1


@kernel
def _add_trade_nb(instrument: NDArray[np.void], price_e4: int, qty: int) -> None:
    row = instrument[0]
    row["volume"] += qty
    row["notional_e4"] += price_e4 * qty
    # Halving both sums keeps their ratio; no real day comes near this limit.
    if row["notional_e4"] > _SUM_LIMIT or row["volume"] > _SUM_LIMIT:
        row["volume"] >>= 1
        row["notional_e4"] >>= 1
    if row["volume"] > 0:
        row["vwap_e9"] = (row["notional_e4"] // row["volume"]) * E9_PER_E4


@kernel
def _move_mid_nb(instrument: NDArray[np.void], mid_e4: int) -> int:
    """Take the new mid price into the volatility; the move in basis points."""
    row = instrument[0]
    before = np.int64(row["mid_e4"])
    row["mid_e4"] = mid_e4
    if before <= 0:
        return 0
    change = mid_e4 - before
    return_e9 = min(max(change * _ONE_E9 // before, -_ONE_E9), _ONE_E9)
    row["variance_e18"] += (return_e9 * return_e9 - row["variance_e18"]) >> _EWMA_SHIFT
    # Here and not for each tick: most leave it, and a root takes as long as ten additions.
    row["volatility_e9"] = np.int64(np.sqrt(row["variance_e18"]))
    return abs(change) * _BPS // before


@kernel
def track_status_nb(instrument: NDArray[np.void], ticks: NDArray[np.void], slot: int) -> None:
    """Take the symbol and the halts that ticks[slot] tells of into instrument[0]."""
    row = instrument[0]
    tick = ticks[slot]
    if tick["kind"] == Kind.DEFINITION:
        row["symbol"] = tick["aux"]
    elif tick["kind"] == Kind.TRADING_STATUS:
        row["halted"] = np.int64(tick["status"] != np.int64(ord("T")))
    elif tick["kind"] == Kind.OPERATIONAL_HALT:
        row["halted"] = np.int64(tick["status"] == np.int64(ord("H")))


@kernel
def analyse_nb(instruments: NDArray[np.void], ticks: NDArray[np.void], slot: int) -> int:
    """Bring the instrument of ticks[slot] up to date and complete the tick; the move of its mid
    price in basis points.
    """
    tick = ticks[slot]
    number = np.int64(tick["instrument"])
    instrument = instruments[number : number + 1]
    row = instrument[0]
    row["messages"] += 1
    kind = np.int64(tick["kind"])
    moved_bps = np.int64(0)
    if kind == Kind.ADD:
        # A capture that begins in mid-session has no definitions; the adds name the instrument too.
        if row["symbol"] == 0:
            row["symbol"] = tick["aux"]
    elif kind >= Kind.SYSTEM_EVENT:
        track_status_nb(instrument, ticks, slot)
    elif is_trade_nb(kind) and not tick["flags"] & Flag.NOT_PRINTABLE:
        qty = min(np.int64(tick["qty"]), _QTY_LIMIT)
        _add_trade_nb(instrument, np.int64(tick["price_e9"]) // E9_PER_E4, qty)
    if tick["flags"] & Flag.BBO_CHANGED and tick["bid_qty"] > 0 and tick["ask_qty"] > 0:
        twice_e9 = np.int64(tick["bid_price_e9"]) + np.int64(tick["ask_price_e9"])
        mid_e4 = twice_e9 // (2 * E9_PER_E4)
        if mid_e4 != row["mid_e4"]:
            moved_bps = np.int64(_move_mid_nb(instrument, mid_e4))
    if row["halted"]:
        tick["flags"] |= Flag.HALTED
    tick["vwap_e9"] = row["vwap_e9"]
    tick["volatility_e9"] = row["volatility_e9"]
    return moved_bps
