"""Arithmetic of pattern definitions: 62 bits and a sign, cut off at the ends, and never a fault.

What a definition computes is the same in machine code, in plain Python and in its slow twin: a
number beyond LIMIT is LIMIT, and a division by zero gives 0.
"""

import numpy as np

from protocols.jit import kernel

LIMIT = (1 << 62) - 1
"""Largest number; the sum of two fits in 64 bits."""


@kernel
def within_nb(value: int) -> int:
    """A number, or the end that it is beyond."""
    return min(max(np.int64(value), np.int64(-LIMIT)), np.int64(LIMIT))


@kernel
def plus_nb(left: int, right: int) -> int:
    """left + right."""
    return within_nb(within_nb(left) + within_nb(right))


@kernel
def minus_nb(left: int, right: int) -> int:
    """left - right."""
    return within_nb(within_nb(left) - within_nb(right))


@kernel
def times_nb(left: int, right: int) -> int:
    """left * right."""
    one, other = within_nb(left), within_nb(right)
    if one == 0 or other == 0:
        return np.int64(0)
    # Divides by the second, which is the one that a definition mostly has as a constant.
    if abs(one) > LIMIT // abs(other):
        return np.int64(LIMIT) if (one > 0) == (other > 0) else np.int64(-LIMIT)
    return one * other


@kernel
def over_nb(left: int, right: int) -> int:
    """left // right, rounded down; 0 when `right` is 0."""
    if right == 0:
        return np.int64(0)
    return within_nb(left) // within_nb(right)


@kernel
def rest_nb(left: int, right: int) -> int:
    """What `over_nb` leaves, with the sign of `right`; 0 when that is 0."""
    if right == 0:
        return np.int64(0)
    return within_nb(left) % within_nb(right)


@kernel
def magnitude_nb(value: int) -> int:
    """Without its sign."""
    return abs(within_nb(value))


@kernel
def sign_nb(value: int) -> int:
    """+1, -1 or 0."""
    return np.int64(value > 0) - np.int64(value < 0)
