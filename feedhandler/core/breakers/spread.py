"""The spread of an instrument, against its own slow average and in basis points of the mid price.

Every `sample_ns` of event time the spread goes into an average of the last 2**shift samples. It
demands a level where it is `caution_pct`, `restrict_pct` or `halt_pct` of that average (once
`warm_samples` are known; an average below `floor_e3bps` counts as that much), or where it is
`caution_bps`, `restrict_bps` or `halt_bps` of the mid price. A side that goes missing demands
`one_sided_level`, once the instrument has had both for `warm_samples`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.api import breaker
from feedhandler.core.breakers.common import (
    NORMAL,
    VALUE_LIMIT,
    average_nb,
    in_percent_nb,
    level_of_nb,
    samples_due_nb,
    take_sample_nb,
)
from feedhandler.core.events import E9_PER_E4
from protocols.jit import kernel

_CAUTION_PCT, _CAUTION_BPS, _ONE_SIDED, _FLOOR, _SAMPLE, _WARM, _SHIFT = 0, 3, 6, 7, 8, 9, 10
_SAMPLED_NS, _AVERAGE, _SAMPLES = range(3)

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
    scope="instrument",
)
def spread(
    ticks: Any,  # noqa: ARG001
    slot: int,  # noqa: ARG001
    market: Any,
    legs: Any,
    params: Any,
    state: Any,
    out: Any,
) -> int:
    """A level by the spread; values: spread, its average (both 1e-3 basis points), the ratio in
    percent. A market row only moves forward, so a late tick changes nothing.
    """
    now_e3bps = spread_e3bps_nb(market, legs[0])
    is_warm = state[_SAMPLES] >= params[_WARM]
    due = samples_due_nb(
        state, _SAMPLED_NS, np.int64(market[legs[0]]["ts_exch_ns"]), params[_SAMPLE]
    )
    if now_e3bps < 0:
        return params[_ONE_SIDED] if is_warm else NORMAL
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
    return max(level, level_of_nb(ratio_pct, params, _CAUTION_PCT)) if is_warm else level
