"""What several detectors share: levels by thresholds, sampling in event time, a slow average.

A detector keeps these in its own `state`: a time word for `samples_due_nb`, and two words for
`take_sample_nb`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.breaker_machine import BACK_NS
from feedhandler.core.events import BreakerLevel, Flag, Kind
from protocols.jit import kernel

NORMAL = int(BreakerLevel.NORMAL)
CAUTION = int(BreakerLevel.CAUTION)
RESTRICTED = int(BreakerLevel.RESTRICTED)
HALTED = int(BreakerLevel.HALTED)

ONE_S_NS = 1_000_000_000
DAY_NS = 86_400 * ONE_S_NS
HALTED_BIT = 2
"""Of `flags` in a market row: the venue halted the instrument."""
VALUE_LIMIT = (1 << 40) - 1
"""No value that is averaged is above this, so that nothing overflows."""
SAMPLES_MAX = 64
"""Samples that are made up for at once after a time without ticks."""

_FRACTION_BITS = 16


@kernel
def is_print_nb(ticks: NDArray[Any], slot: int) -> int:
    """1 when ticks[slot] prints a trade of the continuous market, with a price."""
    tick = ticks[slot]
    kind = tick["kind"]
    if kind != Kind.EXECUTE and kind != Kind.EXECUTE_AT_PRICE and kind != Kind.TRADE:
        return 0
    return int(tick["price_e9"] > 0 and not tick["flags"] & Flag.NOT_PRINTABLE)


@kernel
def in_session_nb(now_ns: int, params: NDArray[np.int64], at: int) -> int:
    """1 from params[at] on, until params[at + 1]."""
    return int(params[at] <= now_ns < params[at + 1])


@kernel
def level_of_nb(value: int, params: NDArray[np.int64], at: int) -> int:
    """The level that `value` demands: params[at : at + 3] are the least values for caution,
    restrict and halt; one that is 0 is never demanded.
    """
    if 0 < params[at + 2] <= value:
        return HALTED
    if 0 < params[at + 1] <= value:
        return RESTRICTED
    if 0 < params[at] <= value:
        return CAUTION
    return NORMAL


@kernel
def samples_due_nb(state: NDArray[np.int64], at: int, now_ns: int, sample_ns: int) -> int:
    """How many samples, one in each `sample_ns` of event time, are due at `now_ns`, and note that
    they are taken; state[at] is the time of the last one. A late tick is due none.
    """
    sample_ns = max(sample_ns, 1)
    last_ns = state[at]
    if last_ns == 0 or now_ns < last_ns - BACK_NS:
        state[at] = max(now_ns, 1)
        return 0
    if now_ns - last_ns < sample_ns:
        return 0
    due = (now_ns - last_ns) // sample_ns
    state[at] = last_ns + due * sample_ns
    return min(due, SAMPLES_MAX)


@kernel
def take_sample_nb(state: NDArray[np.int64], at: int, value: int, shift: int) -> None:
    """Take a value of 0 to VALUE_LIMIT into the average at state[at], of state[at + 1] samples: the
    mean of all until there are 2**shift, then each weighs 1 / 2**shift.
    """
    count = state[at + 1] + 1
    state[at + 1] = min(count, VALUE_LIMIT)
    weight = min(count, np.int64(1) << shift)
    state[at] += ((value << _FRACTION_BITS) - state[at]) // weight


@kernel
def average_nb(state: NDArray[np.int64], at: int) -> int:
    """The average that `take_sample_nb` keeps, as an integer."""
    return state[at] >> _FRACTION_BITS


@kernel
def in_percent_nb(value: int, base: int) -> int:
    """`value` in percent of a base that is 1 at least."""
    return value * 100 // max(base, 1)
