"""Numbers and symbols as text, written by kernels into memory of the caller's."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocols.digits import write_padded_nb
from protocols.jit import kernel

SYMBOL_BYTES_MAX = 24
"""More than eight characters, or # and a number."""
INTEGER_BYTES_MAX = 20

_ZERO = ord("0")
_MINUS = ord("-")
_HASH = ord("#")
_BLANK = ord(" ")
_COMMA = ord(",")
_QUOTE = ord('"')
_UNKNOWN = ord("?")
_TILDE = ord("~")
_DIGITS_MAX = 19

Text = NDArray[Any]


@kernel
def write_integer_nb(out: Text, at: int, value: int) -> int:
    """Decimal digits of `value` >= 0 at out[at]; where the next byte goes."""
    width = np.int64(1)
    limit = np.int64(10)
    while width < _DIGITS_MAX - 1 and value >= limit:
        limit *= 10
        width += 1
    return write_padded_nb(out, at, value, width + np.int64(value >= limit))


@kernel
def write_signed_nb(out: Text, at: int, value: int) -> int:
    """`value` of any 64 bits as a decimal integer; where the next byte goes."""
    if value >= 0:
        return write_integer_nb(out, at, value)
    out[at] = _MINUS
    # The lowest number has no opposite: its last digit is split off first.
    tens = value // -10
    at += 1
    if tens > 0:
        at = write_integer_nb(out, at, tens)
    out[at] = _ZERO - (value + 10 * tens)
    return at + 1


@kernel
def write_plain_nb(out: Text, at: int, byte: int) -> int:
    """A character that breaks no row apart, or "?" for one that could; where the next byte goes."""
    is_plain = _BLANK < byte <= _TILDE and byte not in (_COMMA, _QUOTE)
    out[at] = byte if is_plain else _UNKNOWN
    return at + 1


@kernel
def write_symbol_nb(out: Text, at: int, symbol: int, instrument: int) -> int:
    """The text that `feedhandler.core.events.symbol_text` gives, where the next byte goes."""
    if symbol == 0 or symbol & 0xFF == _BLANK:
        out[at] = _HASH
        return write_integer_nb(out, at + 1, instrument)
    for i in range(8):
        byte = (symbol >> (8 * i)) & 0xFF
        if byte == _BLANK:
            break
        at = write_plain_nb(out, at, byte)
    return at
