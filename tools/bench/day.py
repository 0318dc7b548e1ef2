"""A long day: messages made and worked on at once, one after the other, to see whether anything
grows. The exchange's clock runs at 10,000 messages a second, so 300 million are 8 hours of it.
"""

import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.server.assemble import find_adapter
from feedhandler.server.memory import reserve_memory
from tools.bench.measure import Timing, cost_tenths
from tools.bench.stages import WITH_BOTH
from tools.exchange.day import SESSION_S_MAX
from tools.exchange.flow import generate_nb
from tools.exchange.itch_writer import MAX_BLOCK_BYTES
from tools.exchange.layout import FlowSettings, allocate_engine
from tools.replay.kernels import FOREVER_NS, Cursor, replay_blocks_nb
from tools.replay.player import Player

MESSAGES_A_BATCH = 10_000
PARTS = 10
SIMULATED_RATE = 10_000
DAY_MIN, DAY_MAX = PARTS * MESSAGES_A_BATCH, SESSION_S_MAX * SIMULATED_RATE
"""Messages: a batch for every part, and what fits a day of the exchange's clock."""
_SEED = 1


class Part(NamedTuple):
    """A tenth of the day. Costs in tenths of a nanosecond a message, over batches of
    MESSAGES_A_BATCH; memory at its end.
    """

    messages: int
    signals: int
    p50: int
    p99: int
    resident_bytes: int
    page_faults: int

    def as_json(self) -> dict[str, Any]:
        """Costs as decimal strings of ns."""
        shown = self._asdict()
        for name in ("p50", "p99"):
            tenths = shown.pop(name)
            shown[f"{name}_ns"] = f"{tenths // 10}.{tenths % 10}"
        return shown


class Day:
    """A shard with a breaker and a pattern, and the exchange that feeds it, through memory."""

    def __init__(self, messages: int) -> None:
        settings = FlowSettings(_SEED, messages=messages, simulated_rate=SIMULATED_RATE)
        self._engine = allocate_engine(settings)
        for array in self._engine:
            array[...] = array.copy()  # so that a page touched later is one of the shard's
        self._out = np.zeros((MESSAGES_A_BATCH + 1) * MAX_BLOCK_BYTES, np.uint8)
        self._venue = find_adapter("nasdaq_itch").venue()
        self._player = Player(WITH_BOTH)
        reserve_memory([self._player.shard])
        self._player.start_blocks(0)
        self.done = 0
        self.signals = 0

    def run_batch(self) -> tuple[int, int]:
        """The next messages: how many, 0 at the end, and the ns that the shard had them for."""
        count, size = generate_nb(self._engine, self._out, MESSAGES_A_BATCH)
        cursor = self._player.cursor
        cursor[Cursor.AT], cursor[Cursor.STOP] = 0, size
        started_ns = time.perf_counter_ns()
        if count:
            self._player.run_slice(self._replay, FOREVER_NS, FOREVER_NS)
        elapsed_ns = time.perf_counter_ns() - started_ns
        self.signals += sum(len(rows) for rows, _ in self._player.signals)
        self._player.signals.clear()
        self.done += count
        return count, elapsed_ns

    def _replay(self, player: Player) -> int:
        return replay_blocks_nb(player.shard, self._venue, player.stages, self._out, player.cursor)


def run_day(messages: int, on_part: Callable[[Part], None] | None = None) -> list[Part]:
    """All messages; `on_part` gets each tenth as soon as it is over."""
    day, parts = Day(messages), []
    for number in range(PARTS):
        parts.append(_run_part(day, messages * (number + 1) // PARTS))
        if on_part:
            on_part(parts[-1])
    return parts


def _run_part(day: Day, until: int) -> Part:
    before, signals_before, faults_before = day.done, day.signals, page_faults()
    costs = []
    while day.done < until:
        count, elapsed_ns = day.run_batch()
        if not count:
            break
        costs.append(cost_tenths(Timing(count, elapsed_ns)))
    return Part(
        day.done - before,
        day.signals - signals_before,
        *_quantiles(np.array(costs, np.int64)),
        resident_bytes(),
        page_faults() - faults_before,
    )


def _quantiles(costs: NDArray[np.int64]) -> tuple[int, int]:
    ranked = np.sort(costs)
    last = len(ranked) - 1
    return int(ranked[last // 2]), int(ranked[last * 99 // 100])


def resident_bytes() -> int:
    """Memory that this process has in the machine's."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def page_faults() -> int:
    """Pages that this thread has had to wait for."""
    used = resource.getrusage(resource.RUSAGE_THREAD)
    return used.ru_minflt + used.ru_majflt
