"""Best prices as CSV text, formatted by a kernel: millions of rows at the speed of the disk."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.events import E9_PER_E4
from feedhandler.core.text import write_integer_nb, write_symbol_nb
from protocols.jit import kernel
from protocols.wire import Bytes

ROW_BYTES_MAX = 160
"""More than seven numbers of 20 digits, a symbol and the separators."""

_ZERO = ord("0")
_COMMA = ord(",")
_POINT = ord(".")
_NEWLINE = ord("\n")


@kernel
def write_price_nb(out: Bytes, at: int, price_e9: int) -> int:
    """A price with four decimals."""
    price_e4 = price_e9 // E9_PER_E4
    at = write_integer_nb(out, at, price_e4 // 10_000)
    out[at] = _POINT
    rest = price_e4 % 10_000
    for i in range(4, 0, -1):
        out[at + i] = _ZERO + rest % 10
        rest //= 10
    return at + 5


@kernel
def _write_side_nb(out: Bytes, at: int, price_e9: int, qty: int) -> int:
    out[at] = _COMMA
    at += 1
    if qty > 0:
        at = write_price_nb(out, at, price_e9)
    out[at] = _COMMA
    at += 1
    if qty > 0:
        at = write_integer_nb(out, at, qty)
    return at


@kernel
def format_bbo_nb(rows: NDArray[Any], count: int, instruments: NDArray[Any], out: Bytes) -> int:
    """rows[:count] (BBO) as lines `seq,ts_ns,symbol,bid_price,bid_qty,ask_price,ask_qty`.

    Shapes:  instruments INSTRUMENT[m]; out u8[count * ROW_BYTES_MAX], caller-owned.
    Returns: bytes written to `out`.
    """
    at = np.int64(0)
    for i in range(count):
        row = rows[i]
        at = write_integer_nb(out, at, np.int64(row["seq"]))
        out[at] = _COMMA
        at = write_integer_nb(out, at + 1, np.int64(row["ts_exch_ns"]))
        out[at] = _COMMA
        instrument = np.int64(row["instrument"])
        at = write_symbol_nb(out, at + 1, np.int64(instruments[instrument]["symbol"]), instrument)
        at = _write_side_nb(out, at, np.int64(row["bid_price_e9"]), np.int64(row["bid_qty"]))
        at = _write_side_nb(out, at, np.int64(row["ask_price_e9"]), np.int64(row["ask_qty"]))
        out[at] = _NEWLINE
        at += 1
    return at
