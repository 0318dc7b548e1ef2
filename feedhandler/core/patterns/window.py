"""What patterns remember of the recent past, in their own state and in exact integers.

A *window* holds sums of event time in eighths: the running eighth and the seven before it, so it
reaches back between seven eighths of its time and all of it. A *ring* holds the last samples.

    window, WINDOW_WORDS at state[at]
        +0              number of the running eighth (0: none yet)
        +1              when it ends, ns
        +2 .. +5        sums of the four channels over the window
        +6 .. +37       what each eighth has of each channel
    ring of n, RING_WORDS + n at state[at]
        +0 count of samples so far, +1 their sum and +2 that of their squares (of the last n)
        +3 ..           the samples
"""

from typing import Any

import numpy as np

from protocols.jit import kernel

PARTS = 8
CHANNELS = 4
WINDOW_WORDS = 2 + CHANNELS * (PARTS + 1)
RING_WORDS = 3

_NUMBER, _END_NS, _SUMS = 0, 1, 2
_CELLS = _SUMS + CHANNELS
_COUNT, _SUM, _SQUARES = 0, 1, 2


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


@kernel
def add_sample_nb(state: Any, at: int, size: int, sample: int) -> None:
    """Put a sample into a ring of `size`, in place of the oldest when it is full. Sums are exact
    while |sample| * size < 2^31.
    """
    cell = at + RING_WORDS + state[at + _COUNT] % size
    if state[at + _COUNT] >= size:
        gone = state[cell]
        state[at + _SUM] -= gone
        state[at + _SQUARES] -= gone * gone
    state[cell] = sample
    state[at + _COUNT] += 1
    state[at + _SUM] += sample
    state[at + _SQUARES] += sample * sample


@kernel
def clear_ring_nb(state: Any, at: int) -> None:
    """A ring without samples."""
    state[at + _COUNT] = 0
    state[at + _SUM] = 0
    state[at + _SQUARES] = 0


@kernel
def ring_is_full_nb(state: Any, at: int, size: int) -> int:
    """1 when the ring holds `size` samples."""
    return int(state[at + _COUNT] >= size)


@kernel
def ring_sum_nb(state: Any, at: int) -> int:
    """Sum of the samples in the ring."""
    return state[at + _SUM]


@kernel
def root_nb(value: int) -> int:
    """Largest integer whose square is not above `value`, 0 to 2^63 - 1."""
    # The float is off by one at most, and the loops make up for it.
    root = min(np.int64(np.sqrt(np.float64(value))), np.int64(3_037_000_499))
    while root * root > value:
        root -= 1
    while root < 3_037_000_499 and (root + 1) * (root + 1) <= value:
        root += 1
    return root


@kernel
def ring_deviation_nb(state: Any, at: int, size: int) -> int:
    """`size` times the standard deviation of a full ring, rounded down."""
    total = state[at + _SUM]
    return root_nb(size * state[at + _SQUARES] - total * total)
