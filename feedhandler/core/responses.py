"""What a level does to a signal, and to the OMS when it changes: the defaults, written as a user
would write them.

A response is called for its level in two cases, with the arguments of every function of a user:

- A pattern proposes an order. `out` holds it: [0] price_e9, [1] quantity, [2] [3] [4] the pattern's
  values, [5] confidence, [6] side, [7] the level. The response may lower out[1] and returns what is
  to be done, bits of `Action`; without SEND nothing leaves.
- The level of the instrument changes to this one: out[6] is 0 and out[7] the level before. It
  returns TELL (a SecurityStatus), CANCEL (the OMS is asked to take its orders back) or both.

`ticks[slot]` is the tick, `market` the rows of what is known, legs[0] the instrument, `state` that
of this response and instrument.

What a server knows of risk: it proposes orders and hears of no position, unless somebody tells it
(`tell_position_nb`). So `restrict` lets nothing leave by default. Told a position, it lets leave
what is of the other side, up to the position less what it let leave since it was told: whether
those orders were filled is not known, so each counts as filled.
"""

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.api import response
from protocols.jit import kernel

SIDE_WORD = 6
LEVEL_WORD = 7
"""Words of `out` beside those of a pattern."""

POSITION, IS_KNOWN, LEFT = range(3)
"""Words of `restrict`'s state: the signed position that was told, whether one was, and what left
to reduce it since then."""

QTY_WORD = 1


class Action(IntEnum):
    """Bits of what a response wants done."""

    NONE = 0
    SEND = 1
    """The order leaves."""
    MARK = 2
    """It leaves with the level in it."""
    TELL = 4
    """The OMS gets a SecurityStatus of the instrument."""
    CANCEL = 8
    """The OMS is asked to take back every order of the instrument that came of our signals."""


_NOTHING = int(Action.NONE)
_SEND = int(Action.SEND)
_MARK = int(Action.MARK)
_TELL = int(Action.TELL)
_CANCEL = int(Action.CANCEL)


@response(state_words=0)
def normal(
    ticks: Any,  # noqa: ARG001
    slot: int,  # noqa: ARG001
    market: Any,  # noqa: ARG001
    legs: Any,  # noqa: ARG001
    params: Any,  # noqa: ARG001
    state: Any,  # noqa: ARG001
    out: Any,
) -> int:
    """Orders leave as they are; that trading goes on is told."""
    return _TELL if out[SIDE_WORD] == 0 else _SEND


@response("size_pct", "lot_qty", state_words=0)
def caution(
    ticks: Any,  # noqa: ARG001
    slot: int,  # noqa: ARG001
    market: Any,  # noqa: ARG001
    legs: Any,  # noqa: ARG001
    params: Any,
    state: Any,  # noqa: ARG001
    out: Any,
) -> int:
    """Orders leave marked, cut to `size_pct` of their quantity, in whole lots of `lot_qty`; one of
    which no lot is left does not leave.
    """
    if out[SIDE_WORD] == 0:
        return _TELL
    lot_qty = max(params[1], 1)
    out[QTY_WORD] = percent_nb(out[QTY_WORD], params[0]) // lot_qty * lot_qty
    return _SEND | _MARK if out[QTY_WORD] > 0 else _NOTHING


@response(state_words=3)
def restrict(
    ticks: Any,  # noqa: ARG001
    slot: int,  # noqa: ARG001
    market: Any,  # noqa: ARG001
    legs: Any,  # noqa: ARG001
    params: Any,  # noqa: ARG001
    state: Any,
    out: Any,
) -> int:
    """What reduces the position that was told leaves, marked and cut to it; without one, nothing
    does.
    """
    side = out[SIDE_WORD]
    if side == 0:
        return _TELL
    if not state[IS_KNOWN] or side * state[POSITION] >= 0:
        return _NOTHING
    out[QTY_WORD] = min(out[QTY_WORD], abs(state[POSITION]) - state[LEFT])
    if out[QTY_WORD] <= 0:
        return _NOTHING
    state[LEFT] += out[QTY_WORD]
    return _SEND | _MARK


@response(state_words=0)
def halt(
    ticks: Any,  # noqa: ARG001
    slot: int,  # noqa: ARG001
    market: Any,  # noqa: ARG001
    legs: Any,  # noqa: ARG001
    params: Any,  # noqa: ARG001
    state: Any,  # noqa: ARG001
    out: Any,
) -> int:
    """Nothing leaves; the OMS is told, and asked to cancel."""
    return _TELL | _CANCEL if out[SIDE_WORD] == 0 else _NOTHING


RESPONSES = (normal, caution, restrict, halt)
"""The defaults, by level."""

caution.defaults = {"size_pct": 25, "lot_qty": 1}  # type: ignore[attr-defined]


@kernel
def percent_nb(qty: int, size_pct: int) -> int:
    """`size_pct` percent, 0 to 100, of a quantity, rounded down."""
    size_pct = min(max(size_pct, 0), 100)
    return qty // 100 * size_pct + qty % 100 * size_pct // 100


@kernel
def tell_position_nb(state: NDArray[np.int64], position: int) -> None:
    """The signed position of an instrument, in shares, for `restrict`; of the worker's thread."""
    state[POSITION] = position
    state[IS_KNOWN] = 1
    state[LEFT] = 0


@kernel
def is_cut_nb(proposed_qty: int, qty: int) -> int:
    """1 when a response left the quantity of an order as it was, or cut it: side and price stay the
    pattern's, and what a response may do is to hold back, to cut and to mark.
    """
    return int(qty <= proposed_qty and (qty > 0 or proposed_qty <= 0))
