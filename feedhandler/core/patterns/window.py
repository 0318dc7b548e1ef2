"""What patterns remember of the recent past, in their own state and in exact integers.

A window holds sums of event time in eighths: the running eighth and the seven before it, so it
reaches back between seven eighths of its time and all of it. For a window of the last samples see
`feedhandler.core.rolling`.

    window, WINDOW_WORDS at state[at]
        +0              number of the running eighth (0: none yet)
        +1              when it ends, ns
        +2 .. +5        sums of the four channels over the window
        +6 .. +37       what each eighth has of each channel
"""

from typing import Any

import numpy as np

from protocols.jit import kernel

PARTS = 8
CHANNELS = 4
WINDOW_WORDS = 2 + CHANNELS * (PARTS + 1)

_NUMBER, _END_NS, _SUMS = 0, 1, 2
_CELLS = _SUMS + CHANNELS


@kernel
def roll_window_nb(state: Any, at: int, now_ns: int, window_ns: int) -> int:
    """Bring a window up to `now_ns`: sums lose what is older. How many eighths have begun since,
    PARTS at most; 0 also for a time before the running one, which takes what comes late.
    """
    if now_ns < state[at + _END_NS]:
        return 0
    part_ns = max(np.int64(window_ns) // PARTS, np.int64(1))
    number = now_ns // part_ns + 1
    begun = min(number - state[at + _NUMBER], np.int64(PARTS))
    for i in range(begun):
        cell = at + _CELLS + (number - i) % PARTS * CHANNELS
        for channel in range(CHANNELS):
            state[at + _SUMS + channel] -= state[cell + channel]
            state[cell + channel] = 0
    state[at + _NUMBER] = number
    state[at + _END_NS] = number * part_ns
    return begun


@kernel
def add_to_window_nb(state: Any, at: int, channel: int, amount: int) -> None:
    """Count `amount`, at most 2^32, in the running eighth."""
    cell = at + _CELLS + state[at + _NUMBER] % PARTS * CHANNELS
    state[at + _SUMS + channel] += amount
    state[cell + channel] += amount


@kernel
def window_sum_nb(state: Any, at: int, channel: int) -> int:
    """Sum of a channel over the window."""
    return state[at + _SUMS + channel]


@kernel
def window_part_nb(state: Any, at: int, back: int) -> int:
    """Place, 0 to PARTS - 1, of the eighth `back` before the running one."""
    return (state[at + _NUMBER] - back) % PARTS


@kernel
def clear_window_nb(state: Any, at: int) -> None:
    """Forget what was counted; the running eighth goes on."""
    for i in range(CHANNELS * (PARTS + 1)):
        state[at + _SUMS + i] = 0
