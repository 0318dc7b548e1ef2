"""A pattern over any number of instruments that tells all it sees, and a configuration of pairs,
baskets and a breaker in which little goes unseen.
"""

from typing import Any

import msgspec
import numpy as np

from feedhandler.core.api import pattern
from feedhandler.server.config import ServerConfig

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


CONFIG = """
[feed.line_a]
port = 1
[oms]
store_dir = "unused"
allowed = ["OMS"]
[engine]
topology = "pipelined"
instruments = 64
orders = 65_536
level_blocks = 4_096
level_arena = 65_536
[priority]
open_at = "12:00:00"
phases = { opening = 40, continuous = 20 }
[groups]
all = ["ARLO", "BEXA", "CIRQ", "DELV", "ESTO", "FYNN"]

[[patterns]]
name = "pairs"
function = "tests.unit.tools.replay.seeing:tells_all"
params = { every = 5 }
pairs_of = "all"

[[patterns]]
name = "imbalance"
function = "feedhandler.core.patterns:imbalance_with_trade"
params = { imbalance_bps = 6_000, cooldown_ns = 1_000_000, trade_qty_min = 1 }

[[patterns]]
name = "baskets"
function = "tests.unit.tools.replay.seeing:tells_all"
params = { every = 3 }
legs = [["ESTO", "ARLO", "CIRQ"], ["FYNN", "DELV", "ARLO"]]

[[patterns]]
name = "spread"
function = "feedhandler.core.patterns:pair_spread"
pairs_of = "all"
[patterns.params]
window_samples = 8
sample_ns = 1_000_000
entry_z_e2 = 150
exit_z_e2 = 20
edge_bps = 0
hold_ns = 0

[[patterns]]
name = "fund"
function = "feedhandler.core.patterns:basket"
params = { cost_bps = 1, hold_ns = 0, weight_1 = 1, weight_2 = 1 }
legs = [["BEXA", "DELV", "CIRQ"]]

[[patterns]]
name = "alone"
function = "tests.unit.tools.replay.seeing:tells_all"
params = { every = 4 }
instruments = ["BEXA", "ESTO"]
cooldown_ms = 1

[[breakers]]
name = "band"
function = "feedhandler.core.breakers:price_band"
params = { band_bps = 20, open_ns = 0, close_ns = 86_400_000_000_000 }
calm_ms = 1
cooling_ms = 1
cooling_max_ms = 1
probe_ms = 1
"""
"""All pairs of six symbols, baskets, the same symbols in several; built-in ones with low
thresholds; a breaker that opens and closes; lanes by when the feed says that the market opens,
which is not at `open_at`."""


def config_with_legs() -> ServerConfig:
    """CONFIG, read."""
    return msgspec.toml.decode(CONFIG, type=ServerConfig)
