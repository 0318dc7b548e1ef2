"""Best prices as CSV text, formatted by a kernel: millions of rows at the speed of the disk."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.events import E9_PER_E4
from protocols.jit import kernel
from protocols.wire import Bytes

ROW_BYTES_MAX = 160
"""More than seven numbers of 20 digits, a symbol and the separators."""

_ZERO = ord("0")
_COMMA = ord(",")
_POINT = ord(".")
_NEWLINE = ord("\n")
_HASH = ord("#")
_BLANK = ord(" ")
_QUOTE = ord('"')
_UNKNOWN = ord("?")
_TILDE = ord("~")

SYMBOL_BYTES_MAX = 24
"""More than eight characters, or # and a number."""


@kernel
def write_integer_nb(out: Bytes, at: int, value: int) -> int:
    """Decimal digits of `value` >= 0 at out[at]; where the next byte goes."""
    size = np.int64(1)
    rest = value // 10
    while rest > 0:
        size += 1
        rest //= 10
    for i in range(size - 1, -1, -1):
        out[at + i] = _ZERO + value % 10
        value //= 10
    return at + size


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
def write_symbol_nb(out: Bytes, at: int, symbol: int, instrument: int) -> int:
    """The text that `feedhandler.core.events.symbol_text` gives, where the next byte goes."""
    if symbol == 0 or symbol & 0xFF == _BLANK:
        out[at] = _HASH
        return write_integer_nb(out, at + 1, instrument)
    for i in range(8):
        byte = (symbol >> (8 * i)) & 0xFF
        if byte == _BLANK:
            break
        is_plain = _BLANK < byte <= _TILDE and byte not in (_COMMA, _QUOTE)
        out[at] = byte if is_plain else _UNKNOWN
        at += 1
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
