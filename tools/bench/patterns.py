"""What patterns cost that have nothing to say, over packets in memory: one more of them, and a
thousand pairs.
"""

import msgspec

from feedhandler.server.config import PatternConfig, ServerConfig
from tools.bench.measure import Run, Timing, Workload
from tools.bench.scaling import REPLAY_CONFIG
from tools.bench.stages import PATTERN, replay_with
from tools.exchange.symbols import ticker

IDLE_PATTERNS = 8
SYMBOLS = 100
PAIRS_A_SYMBOL = 10
_NEVER_QTY = 1 << 40


def _watching(count: int) -> ServerConfig:
    """So many patterns that look at every tick and wait for a trade that does not come."""
    params = {**PATTERN.params, "trade_qty_min": _NEVER_QTY}
    patterns = tuple(
        msgspec.structs.replace(PATTERN, name=f"idle_{number}", params=params)
        for number in range(count)
    )
    return msgspec.structs.replace(REPLAY_CONFIG, patterns=patterns)


def pairs_config() -> ServerConfig:
    """Each of 100 symbols against the ten behind it: a thousand bindings of `pair_spread`."""
    names = [ticker(number) for number in range(SYMBOLS)]
    legs = tuple(
        (names[first], names[(first + step) % SYMBOLS])
        for step in range(1, PAIRS_A_SYMBOL + 1)
        for first in range(SYMBOLS)
    )
    pairs = PatternConfig("pairs", "feedhandler.core.patterns:pair_spread", {}, legs=legs)
    return msgspec.structs.replace(REPLAY_CONFIG, patterns=(pairs,))


def pattern_idle(workload: Workload) -> Run:
    """A tick for one pattern more that does not fire: nine against one, in turn."""
    one = replay_with(_watching(1), workload)
    many = replay_with(_watching(1 + IDLE_PATTERNS), workload)

    def run() -> Timing:
        base, whole = one(), many()
        added_ns = max(whole.elapsed_ns - base.elapsed_ns, 1)
        return Timing(IDLE_PATTERNS * whole.operations, added_ns)

    return run


def pairs_1000(workload: Workload) -> Run:
    """A message on its whole way, with a thousand pairs watched; each tick is about twenty."""
    return replay_with(pairs_config(), workload)
