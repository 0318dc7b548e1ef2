"""Our own latency: from the kernel's receive stamp to the moment at which the worker looks.

A tick that is `caution_ns`, `restrict_ns` or `halt_ns` old is a strike for that level, one that is
not takes a strike back. `strikes` of them demand the level: one hiccup of the machine does not. The
worker's clock is out[7] of the call; where that is 0, the time at which the book was done stands
for it, and where nothing is timed (a replay), no level is ever demanded. Ticks in doubt may have
waited for a recovery and are passed over.
"""

from typing import Any

import numpy as np

from feedhandler.core.api import NOW_WORD, breaker
from feedhandler.core.breakers.common import CAUTION, HALTED, NORMAL
from feedhandler.core.events import Flag

_CAUTION, _STRIKES = 0, 3


@breaker("caution_ns", "restrict_ns", "halt_ns", "strikes", scope="server")
def latency(
    ticks: Any,
    slot: int,
    market: Any,
    legs: Any,
    params: Any,
    state: Any,
    out: Any,
) -> int:
    """The highest level with enough strikes; values: age of the tick in ns, strikes for caution and
    for halt. Each tick is judged by its own stamps, so order does not matter.
    """
    tick = ticks[slot]
    now_ns = np.int64(out[NOW_WORD])
    if now_ns == 0:
        now_ns = np.int64(tick["ts_decoded_ns"])
    rx_ns = np.int64(tick["ts_rx_ns"])
    strikes = max(params[_STRIKES], 1)
    is_timed = now_ns > 0 and rx_ns > 0 and not tick["flags"] & Flag.IN_DOUBT
    level = NORMAL
    for at in range(HALTED):
        if is_timed:
            is_strike = 0 < params[_CAUTION + at] <= now_ns - rx_ns
            count = state[at] + 1 if is_strike else state[at] - 1
            state[at] = min(max(count, 0), 2 * strikes)
        if state[at] >= strikes:
            level = CAUTION + at
    out[2] = now_ns - rx_ns if is_timed else 0
    out[3] = state[0]
    out[4] = state[2]
    return level
