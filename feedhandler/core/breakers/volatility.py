"""Realised volatility of an instrument against its own slow average.

Every `sample_ns` of event time the realised volatility (the market row's `realised_e9`) goes into
an average of the last 2**shift samples. Where the present one is `caution_pct`, `restrict_pct` or
`halt_pct` of that average, and `warm_samples` are known, that level is demanded. An average below
`floor_e9` counts as that much: the first move of a quiet instrument is no storm. Samples above the
least threshold count as if they were at it, so a storm is not learnt as normal in a moment. Outside
the session nothing is demanded and no sample taken.
"""

from typing import Any

import numpy as np

from feedhandler.core.api import breaker
from feedhandler.core.breakers.common import (
    NORMAL,
    VALUE_LIMIT,
    average_nb,
    in_percent_nb,
    in_session_nb,
    level_of_nb,
    samples_due_nb,
    take_sample_nb,
)

_CAUTION_PCT, _FLOOR_E9, _SAMPLE, _WARM, _SHIFT, _OPEN = 0, 3, 4, 5, 6, 7
_SAMPLED_NS, _AVERAGE, _SAMPLES = range(3)


@breaker(
    "caution_pct",
    "restrict_pct",
    "halt_pct",
    "floor_e9",
    "sample_ns",
    "warm_samples",
    "shift",
    "open_ns",
    "close_ns",
    scope="instrument",
    begins_anew=("sample_ns", "shift"),
)
def volatility(
    ticks: Any,
    slot: int,
    market: Any,
    legs: Any,
    params: Any,
    state: Any,
    out: Any,
) -> int:
    """A level by the ratio; values: realised volatility, its average (both 1e-9), the ratio in
    percent. A market row only moves forward, so a late tick changes nothing.
    """
    row = market[legs[0]]
    now_ns = np.int64(row["ts_exch_ns"])
    if not in_session_nb(now_ns, params, _OPEN):
        return NORMAL
    realised_e9 = min(max(np.int64(row["realised_e9"]), 0), VALUE_LIMIT)
    average_e9 = max(average_nb(state, _AVERAGE), params[_FLOOR_E9], 1)
    is_warm = state[_SAMPLES] >= params[_WARM]
    ratio_pct = in_percent_nb(realised_e9, average_e9)
    counted_e9 = realised_e9
    if is_warm and params[_CAUTION_PCT] > 0:
        counted_e9 = min(realised_e9, average_e9 * params[_CAUTION_PCT] // 100)
    due = samples_due_nb(state, _SAMPLED_NS, now_ns, params[_SAMPLE])
    for _ in range(due):
        take_sample_nb(state, _AVERAGE, counted_e9, params[_SHIFT])
    out[2] = realised_e9
    out[3] = average_e9
    out[4] = ratio_pct
    return level_of_nb(ratio_pct, params, _CAUTION_PCT) if is_warm else NORMAL
