"""Best prices as CSV text, formatted by a kernel: millions of rows at the speed of the disk."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.events import ONE_E9
from feedhandler.core.text import write_integer_nb, write_plain_nb, write_symbol_nb
from protocols.jit import kernel
from protocols.wire import Bytes

ROW_BYTES_MAX = 256
"""More than seven numbers of 20 digits, a symbol and the separators."""

_ZERO = ord("0")
_COMMA = ord(",")
_POINT = ord(".")
_NEWLINE = ord("\n")

NAME_BYTES_MAX = 72
"""More than a name of 64 characters, eight characters, or # and a number."""


@kernel
def write_price_nb(out: Bytes, at: int, price_e9: int) -> int:
    """A price with four decimals, or as many more as it has."""
    at = write_integer_nb(out, at, price_e9 // ONE_E9)
    out[at] = _POINT
    rest, decimals = price_e9 % ONE_E9, np.int64(9)
    while decimals > 4 and rest % 10 == 0:
        rest //= 10
        decimals -= 1
    for i in range(decimals, 0, -1):
        out[at + i] = _ZERO + rest % 10
        rest //= 10
    return at + 1 + decimals


@kernel
def write_name_nb(out: Bytes, at: int, symbol: int, instrument: int, names: Bytes) -> int:
    """The name of an instrument in full, where `names` (u8[n, 1 + m], a length and text) has it,
    else as `write_symbol_nb`; where the next byte goes.
    """
    if instrument >= names.shape[0] or names[instrument, 0] == 0:
        return write_symbol_nb(out, at, symbol, instrument)
    for i in range(1, np.int64(names[instrument, 0]) + 1):
        at = write_plain_nb(out, at, np.int64(names[instrument, i]))
    return at


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
def format_bbo_nb(
    rows: NDArray[Any], count: int, instruments: NDArray[Any], names: Bytes, out: Bytes
) -> int:
    """rows[:count] (BBO) as lines `seq,ts_ns,symbol,bid_price,bid_qty,ask_price,ask_qty`.

    Shapes:  instruments INSTRUMENT[m]; names as in `write_name_nb`;
             out u8[count * ROW_BYTES_MAX], caller-owned.
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
        symbol = np.int64(instruments[instrument]["symbol"])
        at = write_name_nb(out, at + 1, symbol, instrument, names)
        at = _write_side_nb(out, at, np.int64(row["bid_price_e9"]), np.int64(row["bid_qty"]))
        at = _write_side_nb(out, at, np.int64(row["ask_price_e9"]), np.int64(row["ask_qty"]))
        out[at] = _NEWLINE
        at += 1
    return at
