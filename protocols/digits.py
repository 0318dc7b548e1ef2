"""Decimal digits, written by kernels into memory of the caller's."""

from protocols.jit import kernel
from protocols.wire import Bytes

_ZERO = ord("0")


@kernel
def write_padded_nb(out: Bytes, at: int, value: int, width: int) -> int:
    """The lowest `width` digits of `value` >= 0 at out[at], with zeros before them; where the next
    byte goes.
    """
    for i in range(at + width - 1, at - 1, -1):
        out[i] = _ZERO + value % 10
        value //= 10
    return at + width
