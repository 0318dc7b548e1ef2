"""Instruments that have fallen silent, as the event time of the others tells, and a gapped feed.

Bind it to a group (a sector, a list). With each tick of any of them it looks at a few others in
turn: one that has at least `min_rate` messages a second (the market row's `message_rate`) and has
missed `caution_missed`, `restrict_missed` or `halt_missed` of them, and been silent for
`silence_ns`, demands that level for itself: its cell is named in out[6]. Instruments that the venue
halted are not expected to speak. A tick of a feed with a gap (Flag.IN_DOUBT) demands `doubt_level`
for its own instrument.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.api import breaker
from feedhandler.core.breakers.common import (
    BACK_NS,
    CELL_WORD,
    NORMAL,
    ONE_S_NS,
    level_of_nb,
)
from feedhandler.core.events import Flag
from protocols.jit import kernel

_CAUTION_MISSED, _SILENCE, _MIN_RATE, _DOUBT = 0, 3, 4, 5
_NOW_NS, _CURSOR, _SILENT = range(3)

STATE_WORDS = 16
BITS = 32
LEGS_MAX = (STATE_WORDS - _SILENT) * BITS
"""Legs behind these are not looked at."""
LOOKS = 4
"""Legs that are looked at with each tick: all of n in n / 4 ticks."""

_HALTED_BIT = 2
# Together below 2**54.
_SILENCE_LIMIT_NS = 3_600 * ONE_S_NS
_RATE_LIMIT = 10_000


@kernel
def silence_ns_nb(market: NDArray[Any], instrument: int, now_ns: int) -> int:
    """How long an instrument has been silent, 0 for one that never spoke or is halted."""
    row = market[instrument]
    if row["seq"] == 0 or np.int64(row["flags"]) & _HALTED_BIT:
        return 0
    return min(max(now_ns - np.int64(row["ts_exch_ns"]), np.int64(0)), np.int64(_SILENCE_LIMIT_NS))


@kernel
def silence_level_nb(
    market: NDArray[Any], instrument: int, silence_ns: int, params: NDArray[np.int64]
) -> int:
    """The level that so long a silence of an instrument demands."""
    rate = min(np.int64(market[instrument]["message_rate"]), np.int64(_RATE_LIMIT))
    if rate < max(params[_MIN_RATE], 1) or silence_ns < params[_SILENCE]:
        return NORMAL
    return level_of_nb(silence_ns * rate // ONE_S_NS, params, _CAUTION_MISSED)


@breaker(
    "caution_missed",
    "restrict_missed",
    "halt_missed",
    "silence_ns",
    "min_rate",
    "doubt_level",
    scope="instrument",
    state_words=STATE_WORDS,
)
def stale(ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any) -> int:
    """The level of the instrument in out[6] - 1, 0 once when it speaks again; values: instrument,
    its silence in ns, its usual messages a second.
    """
    tick = ticks[slot]
    now_ns = np.int64(tick["ts_exch_ns"])
    if now_ns > state[_NOW_NS] or now_ns < state[_NOW_NS] - BACK_NS:
        state[_NOW_NS] = now_ns
    if tick["flags"] & Flag.IN_DOUBT:
        out[CELL_WORD] = np.int64(tick["instrument"]) + 1
        return params[_DOUBT]
    count = min(len(legs), LEGS_MAX)
    for _ in range(min(count, LOOKS)):
        at = state[_CURSOR] % count
        state[_CURSOR] = (at + 1) % count
        instrument = legs[at]
        silence_ns = silence_ns_nb(market, instrument, state[_NOW_NS])
        level = silence_level_nb(market, instrument, silence_ns, params)
        word = _SILENT + at // BITS
        bit = np.int64(1) << (at % BITS)
        was_silent = state[word] & bit
        if level > NORMAL:
            state[word] |= bit
        elif was_silent:
            state[word] ^= bit
        if level > NORMAL or was_silent:
            out[CELL_WORD] = instrument + 1
            out[2] = instrument
            out[3] = silence_ns
            out[4] = market[instrument]["message_rate"]
            return level
    return NORMAL
