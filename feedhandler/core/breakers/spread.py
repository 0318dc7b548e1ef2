"""The spread of an instrument, against its own slow average and in basis points of the mid price.

Every `sample_ns` of event time the spread goes into an average of the last 2**shift samples. It
demands a level where it is `caution_pct`, `restrict_pct` or `halt_pct` of that average (once
`warm_samples` are known; an average below `floor_e3bps` counts as that much), or where it is
`caution_bps`, `restrict_bps` or `halt_bps` of the mid price. A side that goes missing demands
`one_sided_level`, once the instrument has had both for `warm_samples`. A level is demanded when it
was wanted for `persist_ns` without a break: between the message that takes the best price and the
next quote every thin book is wide. Outside the session, and while the venue halts the instrument,
nothing is demanded and no sample taken.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.api import breaker
from feedhandler.core.breaker_machine import BACK_NS
from feedhandler.core.breakers.common import (
    HALTED,
    HALTED_BIT,
    NORMAL,
    VALUE_LIMIT,
    average_nb,
    in_percent_nb,
    in_session_nb,
    level_of_nb,
    samples_due_nb,
    take_sample_nb,
)
from feedhandler.core.events import E9_PER_E4
from protocols.jit import kernel

_CAUTION_PCT, _CAUTION_BPS, _ONE_SIDED, _FLOOR, _SAMPLE, _WARM, _SHIFT = 0, 3, 6, 7, 8, 9, 10
_OPEN, _PERSIST = 11, 13
_SAMPLED_NS, _AVERAGE, _SAMPLES, _SINCE_NS = range(4)

_E3BPS = 10_000_000
# Times _E3BPS it stays below 2**60.
_PRICE_LIMIT_E4 = (1 << 36) - 1


@kernel
def spread_e3bps_nb(market: NDArray[Any], instrument: int) -> int:
    """The spread in thousandths of a basis point of the mid price, 0 when the book is locked or
    crossed, -1 when a side is missing.
    """
    row = market[instrument]
    if row["bid_qty"] <= 0 or row["ask_qty"] <= 0:
        return -1
    bid_e4 = min(np.int64(row["bid_price_e9"]) // E9_PER_E4, np.int64(_PRICE_LIMIT_E4))
    ask_e4 = min(np.int64(row["ask_price_e9"]) // E9_PER_E4, np.int64(_PRICE_LIMIT_E4))
    if bid_e4 <= 0 or ask_e4 <= bid_e4:
        return 0
    return min((ask_e4 - bid_e4) * _E3BPS // ((ask_e4 + bid_e4) // 2), np.int64(VALUE_LIMIT))


@kernel
def _lasting_nb(state: NDArray[np.int64], level: int, now_ns: int, persist_ns: int) -> int:
    """The highest level that was wanted for so long, when `level` is wanted now."""
    lasting = NORMAL
    for at in range(HALTED):
        if level <= at:
            state[_SINCE_NS + at] = 0
        elif state[_SINCE_NS + at] == 0 or now_ns < state[_SINCE_NS + at] - BACK_NS:
            state[_SINCE_NS + at] = max(now_ns, np.int64(1))
        if level > at and now_ns - state[_SINCE_NS + at] >= persist_ns:
            lasting = at + 1
    return lasting


@breaker(
    "caution_pct",
    "restrict_pct",
    "halt_pct",
    "caution_bps",
    "restrict_bps",
    "halt_bps",
    "one_sided_level",
    "floor_e3bps",
    "sample_ns",
    "warm_samples",
    "shift",
    "open_ns",
    "close_ns",
    "persist_ns",
    scope="instrument",
    begins_anew=("sample_ns", "shift"),
)
def spread(
    ticks: Any,
    slot: int,
    market: Any,
    legs: Any,
    params: Any,
    state: Any,
    out: Any,
) -> int:
    """A level by the spread; values: spread, its average (both 1e-3 basis points), the ratio in
    percent. A market row only moves forward, so a late tick changes nothing.
    """
    now_ns = np.int64(market[legs[0]]["ts_exch_ns"])
    is_halted = np.int64(market[legs[0]]["flags"]) & HALTED_BIT
    if is_halted or not in_session_nb(now_ns, params, _OPEN):
        return _lasting_nb(state, NORMAL, now_ns, params[_PERSIST])
    now_e3bps = spread_e3bps_nb(market, legs[0])
    is_warm = state[_SAMPLES] >= params[_WARM]
    due = samples_due_nb(state, _SAMPLED_NS, now_ns, params[_SAMPLE])
    if now_e3bps < 0:
        level = params[_ONE_SIDED] if is_warm else np.int64(NORMAL)
        return _lasting_nb(state, level, now_ns, params[_PERSIST])
    average_e3bps = max(average_nb(state, _AVERAGE), params[_FLOOR], 1)
    ratio_pct = in_percent_nb(now_e3bps, average_e3bps)
    counted_e3bps = now_e3bps
    if is_warm and params[_CAUTION_PCT] > 0:
        counted_e3bps = min(now_e3bps, average_e3bps * params[_CAUTION_PCT] // 100)
    for _ in range(due):
        take_sample_nb(state, _AVERAGE, counted_e3bps, params[_SHIFT])
    out[2] = now_e3bps
    out[3] = average_e3bps
    out[4] = ratio_pct
    level = level_of_nb(now_e3bps // 1_000, params, _CAUTION_BPS)
    if is_warm:
        level = max(level, level_of_nb(ratio_pct, params, _CAUTION_PCT))
    return _lasting_nb(state, level, now_ns, params[_PERSIST])
