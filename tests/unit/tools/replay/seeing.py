"""A pattern over any number of instruments that tells all it sees, and a configuration of pairs, a
basket and breakers in which little goes unseen.
"""

from typing import Any

import msgspec
import numpy as np

from feedhandler.core.api import pattern
from feedhandler.server.config import PatternConfig, ServerConfig
from tests.unit.tools.replay.shards import BAND
from tests.unit.tools.replay.support import IMBALANCE, server_config

SYMBOLS = ("ARLO", "BEXA", "CIRQ", "DELV", "ESTO", "FYNN")
_BITS = (1 << 40) - 1


@pattern("every", legs=0, state_words=4)
def tells_all(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """Buys at every so manieth call; its values come from each call so far and from each leg."""
    total = np.int64(ticks[slot]["seq"])
    for i in range(len(legs)):
        row = market[legs[i]]
        total += (i + 1) * (row["seq"] + row["bid_price_e9"] + row["ask_qty"] + row["volume"])
        total += (i + 1) * (row["level"] + row["flags"] + row["message_rate"] + row["epoch"])
    state[0] += 1
    state[1] = (state[1] * 31 + total) & _BITS
    out[0], out[1], out[2], out[3] = ticks[slot]["price_e9"], 1, state[0], state[1]
    return np.int64(state[0] % params[0] == 0)


def _tells(name: str, every: int, **bound: Any) -> PatternConfig:
    return PatternConfig(name, f"{__name__}:tells_all", {"every": every}, **bound)


def config_with_legs() -> ServerConfig:
    """All pairs of six symbols, a basket, the same symbol in both; built-in ones with low
    thresholds; a breaker that opens and closes.
    """
    pair = {"window_samples": 8, "sample_ns": 1_000_000, "entry_z_e2": 150, "exit_z_e2": 20}
    basket = {"cost_bps": 1, "order_qty": 100, "weight_1": 1, "weight_2": 1}
    builtin = "feedhandler.core.patterns"
    patterns = (
        _tells("pairs", 5, pairs_of="all"),
        IMBALANCE,
        _tells("basket", 3, legs=(("ESTO", "ARLO", "CIRQ"), ("FYNN", "DELV", "ARLO"))),
        PatternConfig("spread", f"{builtin}:pair_spread", {**pair, "edge_bps": 0}, pairs_of="all"),
        PatternConfig("fund", f"{builtin}:basket", basket, legs=(("BEXA", "DELV", "CIRQ"),)),
        _tells("alone", 4, instruments=("BEXA", "ESTO"), cooldown_ms=1),
    )
    return msgspec.structs.replace(
        server_config(patterns), groups={"all": SYMBOLS}, breakers=(BAND,)
    )
