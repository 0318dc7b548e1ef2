"""A jump of the exchange's stamps against our receive stamps, and stamps that go back.

The difference of the two is a constant and the time on the way. It is followed slowly (each tick
weighs 1 / 2**shift); a tick whose difference is `caution_ns`, `restrict_ns` or `halt_ns` away
demands that level. Downwards it can only be a clock; upwards it may be a delay on the way, which is
as good a reason. A new difference that holds for `settle_ns` of receive time is the normal one from
then on. Ticks without a receive stamp (a replay) tell only of stamps that go back from one message
to the next; ticks in doubt, which may have waited for a recovery, tell of nothing.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.api import breaker
from feedhandler.core.breakers.common import DAY_NS, NORMAL, level_of_nb
from feedhandler.core.events import Flag
from protocols.jit import kernel

_CAUTION, _SETTLE, _SHIFT = 0, 3, 4
_IS_KNOWN, _USUAL_NS, _NEW_NS, _NEW_SINCE_NS, _SEQ, _STAMP_NS = range(6)


@kernel
def within_half_a_day_nb(difference_ns: int) -> int:
    """A difference of times since midnight, as the nearest one: it may lie between them."""
    rest = difference_ns % DAY_NS
    return rest - DAY_NS if rest > DAY_NS // 2 else rest


@kernel
def _back_ns_nb(state: NDArray[np.int64], seq: int, stamp_ns: int) -> int:
    """How far the stamp lies before that of an earlier message; more than half a day is another
    session.
    """
    if seq <= state[_SEQ]:
        return 0
    back_ns = state[_STAMP_NS] - stamp_ns if state[_SEQ] > 0 else np.int64(0)
    state[_SEQ] = seq
    state[_STAMP_NS] = stamp_ns
    return back_ns if 0 < back_ns < DAY_NS // 2 else 0


@kernel
def _jump_ns_nb(
    state: NDArray[np.int64], rx_ns: int, stamp_ns: int, params: NDArray[np.int64]
) -> int:
    """How far the difference is from the usual one, signed; follows it."""
    offset_ns = rx_ns - stamp_ns
    if not state[_IS_KNOWN]:
        state[_IS_KNOWN] = 1
        state[_USUAL_NS] = offset_ns
    jump_ns = within_half_a_day_nb(offset_ns - state[_USUAL_NS])
    if level_of_nb(abs(jump_ns), params, _CAUTION) == NORMAL:
        state[_USUAL_NS] += jump_ns // (np.int64(1) << params[_SHIFT])
        state[_NEW_SINCE_NS] = 0
    elif (
        state[_NEW_SINCE_NS] == 0
        or abs(within_half_a_day_nb(offset_ns - state[_NEW_NS])) * 2 > params[_CAUTION]
    ):
        state[_NEW_NS] = offset_ns
        state[_NEW_SINCE_NS] = rx_ns
    elif rx_ns - state[_NEW_SINCE_NS] >= params[_SETTLE]:
        state[_USUAL_NS] = offset_ns
        state[_NEW_SINCE_NS] = 0
        jump_ns = np.int64(0)
    return jump_ns


@breaker(
    "caution_ns",
    "restrict_ns",
    "halt_ns",
    "settle_ns",
    "shift",
    scope="server",
    begins_anew=("shift",),
)
def clock_step(
    ticks: Any,
    slot: int,
    market: Any,
    legs: Any,
    params: Any,
    state: Any,
    out: Any,
) -> int:
    """A level by the larger of jump and step back; values: jump, step back, usual difference (all
    ns). A late tick has the stamps it always had, so it is judged like any other.
    """
    tick = ticks[slot]
    if tick["flags"] & Flag.IN_DOUBT:
        return NORMAL
    stamp_ns = np.int64(tick["ts_exch_ns"])
    back_ns = _back_ns_nb(state, np.int64(tick["seq"]), stamp_ns)
    jump_ns = np.int64(0)
    if tick["ts_rx_ns"] > 0:
        jump_ns = _jump_ns_nb(state, np.int64(tick["ts_rx_ns"]), stamp_ns, params)
    out[2] = jump_ns
    out[3] = back_ns
    out[4] = state[_USUAL_NS]
    return level_of_nb(max(abs(jump_ns), back_ns), params, _CAUTION)
