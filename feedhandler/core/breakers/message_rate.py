"""A burst of messages, against the usual rate and as such.

Messages of the binding are counted in buckets of `bucket_ns` of event time: so what a recovery
brings all at once is no burst. The higher one of this bucket and the one before it is the present
rate; an average of 2**shift buckets is the usual one. A level is demanded at `caution_pct`,
`restrict_pct` or `halt_pct` of the usual rate (once `warm_buckets` are known; less than
`floor_rate` a second counts as that), or at `caution_rate`, `restrict_rate` or `halt_rate` messages
a second.
"""

from typing import Any

import numpy as np

from feedhandler.core.api import breaker
from feedhandler.core.breakers.common import (
    ONE_S_NS,
    VALUE_LIMIT,
    average_nb,
    in_percent_nb,
    level_of_nb,
    samples_due_nb,
    take_sample_nb,
)

_CAUTION_PCT, _CAUTION_RATE, _BUCKET, _FLOOR, _WARM, _SHIFT = 0, 3, 6, 7, 8, 9
_SAMPLED_NS, _AVERAGE, _SAMPLES, _COUNT, _COUNT_BEFORE = range(5)

# Times ONE_S_NS it stays below 2**60.
_COUNT_MAX = 1 << 30


@breaker(
    "caution_pct",
    "restrict_pct",
    "halt_pct",
    "caution_rate",
    "restrict_rate",
    "halt_rate",
    "bucket_ns",
    "floor_rate",
    "warm_buckets",
    "shift",
    scope="instrument",
    begins_anew=("bucket_ns", "shift"),
)
def message_rate(
    ticks: Any,
    slot: int,
    market: Any,
    legs: Any,
    params: Any,
    state: Any,
    out: Any,
) -> int:
    """A level by the rate; values: present rate, usual rate (both a second), the ratio in percent.
    A late tick counts in the present bucket.
    """
    bucket_ns = max(params[_BUCKET], 1)
    is_warm = state[_SAMPLES] >= params[_WARM]
    usual = max(average_nb(state, _AVERAGE), params[_FLOOR], 1)
    due = samples_due_nb(state, _SAMPLED_NS, np.int64(ticks[slot]["ts_exch_ns"]), bucket_ns)
    for _ in range(due):
        counted = min(state[_COUNT] * ONE_S_NS // bucket_ns, VALUE_LIMIT)
        if is_warm and params[_CAUTION_PCT] > 0:
            counted = min(counted, usual * params[_CAUTION_PCT] // 100)
        take_sample_nb(state, _AVERAGE, counted, params[_SHIFT])
        state[_COUNT_BEFORE] = state[_COUNT]
        state[_COUNT] = 0
    state[_COUNT] = min(state[_COUNT] + 1, _COUNT_MAX)
    most = max(state[_COUNT], state[_COUNT_BEFORE])
    rate = min(most * ONE_S_NS // bucket_ns, VALUE_LIMIT)
    ratio_pct = in_percent_nb(rate, usual)
    out[2] = rate
    out[3] = usual
    out[4] = ratio_pct
    level = level_of_nb(rate, params, _CAUTION_RATE)
    return max(level, level_of_nb(ratio_pct, params, _CAUTION_PCT)) if is_warm else level
