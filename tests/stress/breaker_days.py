"""Breakers over whole days of the exchange, by the engine as `feedhandler replay` runs it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from feedhandler.core.api import breaker
from feedhandler.core.breakers import DEFAULTS
from feedhandler.core.counts import FUNCTIONS_MAX
from feedhandler.core.events import SIGNAL, Flag, Kind, SignalKind
from feedhandler.core.functions import Fn, Off
from feedhandler.server.config import BreakerConfig, EngineConfig
from tests.unit.tools.replay.support import server_config
from tools.replay.replay import Replay

INSTRUMENTS = 128
PRINT_WORDS = 4
"""seq, ts_ns, price in 1e-4, whether it is an auction's."""
_ROOM = 15_000


@breaker(state_words=1 + PRINT_WORDS * _ROOM)
def prints(ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any) -> int:
    """Demands nothing, and writes down the trades of an instrument as breakers see them."""
    tick = ticks[slot]
    kind = np.int64(tick["kind"])
    is_auction = kind == Kind.CROSS_TRADE and tick["qty"] > 0
    is_trade = (Kind.EXECUTE <= kind <= Kind.EXECUTE_AT_PRICE) or kind == Kind.TRADE or is_auction
    if is_trade and not tick["flags"] & Flag.NOT_PRINTABLE:
        at = 1 + PRINT_WORDS * state[0]
        state[at], state[at + 1] = np.int64(tick["seq"]), np.int64(tick["ts_exch_ns"])
        state[at + 2], state[at + 3] = np.int64(tick["price_e9"]) // 100_000, np.int64(is_auction)
        state[0] += 1
    return 0


class Day(NamedTuple):
    """What breakers made of a day: `told` SIGNAL[n], the levels they told, in their order; by name
    how often cells tripped, and how many are not NORMAL at its end; `prints` i64[n, PRINT_WORDS] of
    each instrument, where they were asked for.
    """

    names: tuple[str, ...]
    told: NDArray[Any]
    trips: dict[str, int]
    active: dict[str, int]
    prints: list[NDArray[np.int64]]

    def risen(self, name: str) -> NDArray[Any]:
        """Levels above NORMAL that a breaker told."""
        source = FUNCTIONS_MAX + self.names.index(name)
        return self.told[(self.told["source"] == source) & (self.told["level"] > 0)]


def built_in(name: str, legs: Sequence[str] = ()) -> BreakerConfig:
    """A built-in breaker with its defaults, of these symbols together or of each alone."""
    choices = (tuple(legs),) if legs else ()
    return BreakerConfig(name, f"feedhandler.core.breakers:{name}", DEFAULTS[name], legs=choices)


def run_day(path: Path, breakers: Sequence[BreakerConfig], *, with_prints: bool = False) -> Day:
    """A file of the exchange, all of it."""
    tables = list(breakers)
    if with_prints:
        tables.append(BreakerConfig("prints", f"{__name__}:prints"))
    engine = EngineConfig(instruments=INSTRUMENTS, orders=1 << 18, overflow_orders=1 << 12)
    config = replace(server_config(engine=engine), breakers=tuple(tables))
    parts: list[NDArray[Any]] = []
    replay = Replay(config, on_signals=lambda rows: parts.append(rows.copy()))
    outcome = replay.run(path, "binaryfile")
    assert outcome.fault is None
    shard = replay.shard
    rows = np.concatenate(parts) if parts else np.zeros(0, SIGNAL)
    names = tuple(each.name for each in tables)
    ends = [*shard.cells.first[1 : len(names)], len(shard.cells.rows)]
    trips = {
        name: int(shard.cells.rows["trips"][first:end].sum())
        for name, first, end in zip(names, shard.cells.first, ends, strict=False)
    }
    seen = []
    if with_prints:
        of_prints = shard.breakers.rows[len(names) - 1]
        assert of_prints[Fn.OFF] == Off.NO
        at, stride = int(of_prints[Fn.STATE_AT]), int(of_prints[Fn.STRIDE])
        states = shard.breakers.state[at : at + INSTRUMENTS * stride].reshape(-1, stride)
        seen = [row[1 : 1 + PRINT_WORDS * row[0]].reshape(-1, PRINT_WORDS) for row in states]
    return Day(
        names,
        rows[rows["kind"] == SignalKind.BREAKER],
        trips,
        dict(zip(names, shard.cells.active.tolist(), strict=False)),
        seen,
    )
