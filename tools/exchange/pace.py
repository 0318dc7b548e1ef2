"""When messages are due: at an even rate, or in bursts that leave the mean as it is.

Or, for a day of a market, when the market's own clock says, at SPEED thousandths of real time from
START_CLOCK_NS on.

Of every EVERY_NS the first BURST_NS have BURST_FACTOR times as many messages as the mean asks for,
what is left of the time has what is left of the messages. So that an even rate has as many due,
time is stretched within a burst and compressed behind it; both meet where the next one begins.
"""

import numpy as np
from numpy.typing import NDArray

from protocols.jit import kernel
from tools.exchange.day import NS_PER_S

# Words of a pace.
RATE, BURST_FACTOR, BURST_NS, EVERY_NS, SPEED, START_CLOCK_NS = range(6)

Pace = NDArray[np.int64]


def allocate_pace(rate: int, burst_factor: int = 1, burst_ns: int = 0, every_ns: int = 0) -> Pace:
    """A pace, i64[6], of `rate` messages a second; without bursts where the factor is 1. The bursts
    may have all messages (burst_factor * burst_ns == every_ns), but not more.
    """
    if burst_factor == 1:
        burst_ns = every_ns = 0
    return np.array([rate, burst_factor, burst_ns, every_ns, 0, 0], np.int64)


def allocate_clock_pace(speed_thousandths: int, start_clock_ns: int) -> Pace:
    """A pace by the market's clock, `speed_thousandths` of real time; what is due before
    `start_clock_ns` is due at once.
    """
    return np.array([1, 1, 0, 0, speed_thousandths, start_clock_ns], np.int64)


@kernel
def clock_at_nb(pace: Pace, elapsed_ns: int) -> int:
    """What the market's clock says `elapsed_ns` after the first message was due."""
    return pace[START_CLOCK_NS] + elapsed_ns // 1_000 * pace[SPEED]


@kernel
def elapsed_at_nb(pace: Pace, clock_ns: int) -> int:
    """When a message of that time of the market's clock is due, in ns after the first one."""
    after_ns = max(clock_ns - pace[START_CLOCK_NS], np.int64(0))
    return after_ns // pace[SPEED] * 1_000


@kernel
def even_ns_nb(pace: Pace, elapsed_ns: int) -> int:
    """When an even rate has as many messages due as there are at `elapsed_ns` from 0 on."""
    every_ns = pace[EVERY_NS]
    if every_ns == 0:
        return elapsed_ns
    burst_ns, factor = pace[BURST_NS], pace[BURST_FACTOR]
    begin_ns = elapsed_ns // every_ns * every_ns
    within_ns = elapsed_ns - begin_ns
    if within_ns < burst_ns:
        return begin_ns + factor * within_ns
    left_ns = every_ns - factor * burst_ns
    behind_ns = within_ns - burst_ns
    # Where a burst has all messages, the next one's first is not due before that begins.
    even_ns = factor * burst_ns + behind_ns * left_ns // (every_ns - burst_ns)
    return begin_ns + min(even_ns, every_ns - 1)


@kernel
def elapsed_ns_nb(pace: Pace, even_ns: int) -> int:
    """The first time for which `even_ns_nb` gives `even_ns` or more."""
    every_ns = pace[EVERY_NS]
    if every_ns == 0:
        return even_ns
    burst_ns, factor = pace[BURST_NS], pace[BURST_FACTOR]
    begin_ns = even_ns // every_ns * every_ns
    within_ns = even_ns - begin_ns
    if within_ns <= factor * burst_ns:
        return begin_ns + (within_ns + factor - 1) // factor
    left_ns = every_ns - factor * burst_ns
    behind_ns = within_ns - factor * burst_ns
    return begin_ns + burst_ns + (behind_ns * (every_ns - burst_ns) + left_ns - 1) // left_ns


@kernel
def due_count_nb(pace: Pace, elapsed_ns: int) -> int:
    """Messages due `elapsed_ns` after the first one was; in two parts, to stay in 64 bits."""
    if elapsed_ns < 0:
        return 0
    rate, even_ns = pace[RATE], even_ns_nb(pace, elapsed_ns)
    return even_ns // NS_PER_S * rate + (even_ns % NS_PER_S) * rate // NS_PER_S + 1


@kernel
def due_ns_nb(pace: Pace, index: int) -> int:
    """When message `index` (from 0) is due, in ns after the first one."""
    rate = pace[RATE]
    return elapsed_ns_nb(pace, index // rate * NS_PER_S + (index % rate) * NS_PER_S // rate)
