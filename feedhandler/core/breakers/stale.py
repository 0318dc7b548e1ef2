"""Instruments that have fallen silent, as the event time of the others tells, and a gapped feed.

Bind it to a group (a sector, a list). With each tick of any of them it looks at a few others in
turn, and keeps of each how long it usually has been silent when it is looked at: the average of the
last 2**shift samples, at most one in `sample_ns`. One that has been silent for `silence_ns`, and
for `caution_times`, `restrict_times` or `halt_times` of what is usual, demands that level for
itself: its cell is named in out[6]. That average is the mean gap for steady flow and more for flow
in bursts. Instruments with less than `warm_samples`, those that usually are silent for
`usual_max_ns`, and those that the venue halted are not missed. A tick of a feed with a gap
(Flag.IN_DOUBT) demands `doubt_level` for its own instrument. Outside the session no silence counts.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.api import CELL_WORD, breaker
from feedhandler.core.breaker_machine import BACK_NS
from feedhandler.core.breakers.common import (
    HALTED_BIT,
    NORMAL,
    VALUE_LIMIT,
    average_nb,
    in_session_nb,
    level_of_nb,
    samples_due_nb,
    take_sample_nb,
)
from feedhandler.core.events import Flag
from protocols.jit import kernel

_CAUTION_TIMES, _SILENCE, _USUAL_MAX, _SAMPLE, _WARM = 0, 3, 4, 5, 6
_SHIFT, _DOUBT, _OPEN = 7, 8, 9
_NOW_NS, _CURSOR = range(2)
_SAMPLED_NS, _AVERAGE_NS, _SAMPLES, _IS_SILENT = range(4)
_LEGS = 4
_LEG_WORDS = 4

LEGS_MAX = 64
"""Legs behind these are not looked at."""
LOOKS = 4
"""Legs that are looked at with each tick: all of n in n / 4 ticks."""

# A sample counts as at most so many times what is usual: a silence does not hide itself at once.
_TIMES_MAX = 4


@kernel
def silence_ns_nb(market: NDArray[Any], instrument: int, now_ns: int) -> int:
    """How long an instrument has been silent, -1 for one that never spoke or is halted."""
    row = market[instrument]
    if row["seq"] == 0 or np.int64(row["flags"]) & HALTED_BIT:
        return -1
    return min(max(now_ns - np.int64(row["ts_exch_ns"]), np.int64(0)), np.int64(VALUE_LIMIT))


@kernel
def _silence_level_nb(
    state: NDArray[np.int64], at: int, silence_ns: int, params: NDArray[np.int64]
) -> int:
    """The level that so long a silence of the leg with the words at `at` demands; takes a sample
    when one is due.
    """
    usual_ns = average_nb(state, at + _AVERAGE_NS)
    is_warm = state[at + _SAMPLES] >= max(params[_WARM], 1)
    level = NORMAL
    if is_warm and usual_ns < params[_USUAL_MAX] and silence_ns >= params[_SILENCE]:
        level = level_of_nb(silence_ns // max(usual_ns, 1), params, _CAUTION_TIMES)
    if samples_due_nb(state, at + _SAMPLED_NS, state[_NOW_NS], params[_SAMPLE]):
        counted_ns = min(silence_ns, (usual_ns + 1) * _TIMES_MAX) if is_warm else silence_ns
        take_sample_nb(state, at + _AVERAGE_NS, counted_ns, params[_SHIFT])
    return level


@breaker(
    "caution_times",
    "restrict_times",
    "halt_times",
    "silence_ns",
    "usual_max_ns",
    "sample_ns",
    "warm_samples",
    "shift",
    "doubt_level",
    "open_ns",
    "close_ns",
    scope="instrument",
    legs=0,
    state_words=_LEGS + LEGS_MAX * _LEG_WORDS,
    begins_anew=("sample_ns", "shift"),
)
def stale(ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any) -> int:
    """The level of the instrument in out[6] - 1, 0 once when it speaks again; values: instrument,
    its silence and what is usual, both ns.
    """
    tick = ticks[slot]
    now_ns = np.int64(tick["ts_exch_ns"])
    if now_ns > state[_NOW_NS] or now_ns < state[_NOW_NS] - BACK_NS:
        state[_NOW_NS] = now_ns
    if tick["flags"] & Flag.IN_DOUBT:
        out[CELL_WORD] = np.int64(tick["instrument"]) + 1
        return params[_DOUBT]
    is_open = in_session_nb(state[_NOW_NS], params, _OPEN)
    count = min(len(legs), LEGS_MAX)
    for _ in range(min(count, LOOKS)):
        leg = state[_CURSOR] % count
        state[_CURSOR] = (leg + 1) % count
        at = _LEGS + leg * _LEG_WORDS
        instrument = legs[leg]
        silence_ns = silence_ns_nb(market, instrument, state[_NOW_NS])
        level = np.int64(NORMAL)
        if is_open and silence_ns >= 0:
            level = np.int64(_silence_level_nb(state, at, silence_ns, params))
        was_silent = state[at + _IS_SILENT]
        state[at + _IS_SILENT] = np.int64(level > NORMAL)
        if level > NORMAL or was_silent:
            out[CELL_WORD] = instrument + 1
            out[2] = instrument
            out[3] = silence_ns
            out[4] = average_nb(state, at + _AVERAGE_NS)
            return level
    return NORMAL
