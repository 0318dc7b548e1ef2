"""Where the time of a message goes, stage by stage: programs that each do one thing more than the
one before, on the same packets, in turn; a stage costs what its program takes more.

Packets of 40 messages lie in memory, so receiving them is not in it. Kernels are inlined into one
another, and the processor does the next message while it waits for the memory of this one, so a
stage has no time of its own that a clock could see: the difference is what it adds to the whole.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from feedhandler.core.api import Venue
from feedhandler.core.shard import Setting
from feedhandler.core.states import State
from feedhandler.server.assemble import find_adapter
from feedhandler.server.config import BreakerConfig, PatternConfig, ServerConfig
from feedhandler.server.memory import reserve_memory
from protocols.binaryfile.kernels import index_messages_nb
from protocols.binaryfile.reader import load_bytes
from protocols.moldudp64.spec import HEADER_BYTES, SESSION_BYTES
from protocols.wire import Bytes
from tools.bench.kernels_stages import (
    Depth,
    climb_nb,
    pass_through_nb,
    write_packets_nb,
)
from tools.bench.measure import RUNS, Run, Timing, Workload, cost_tenths, timed
from tools.bench.scaling import REPLAY_CONFIG
from tools.bench.signals import fix_signal
from tools.replay.kernels import FOREVER_NS, Cursor, replay_blocks_nb, replay_datagrams_nb
from tools.replay.player import Player

MESSAGES_A_PACKET = 40
_SESSION = b"BENCH".ljust(SESSION_BYTES)
# One of each, as in examples/server.toml.
BREAKER = BreakerConfig(
    "price_band",
    "feedhandler.core.breakers:price_band",
    {"band_bps": 300},
)
PATTERN = PatternConfig(
    "imbalance",
    "feedhandler.core.patterns:imbalance_with_trade",
    {
        "imbalance_bps": 7_000,
        "window_ns": 5_000_000,
        "cooldown_ns": 100_000_000,
        "order_qty": 100,
        "trade_qty_min": 1,
    },
)
WITH_BREAKER: ServerConfig = msgspec.structs.replace(REPLAY_CONFIG, breakers=(BREAKER,))
WITH_BOTH: ServerConfig = msgspec.structs.replace(WITH_BREAKER, patterns=(PATTERN,))

Drive = Callable[[Player, Venue, Bytes, NDArray[np.int64]], object]


class Stage(NamedTuple):
    """A stage, what it does, and the program that ends with it; its cost is what that takes more
    than the program of `below`, all of it where `below` is "".
    """

    name: str
    what: str
    below: str
    prepare: Callable[[Workload], Run]
    is_countable: bool = True


class Cost(NamedTuple):
    """Tenths of a nanosecond a message that a stage adds: median, lowest and highest of the rounds;
    and hundredths of an instruction, None where nobody counted.
    """

    name: str
    what: str
    median: int
    lowest: int
    highest: int
    instructions: int | None

    def as_json(self) -> dict[str, Any]:
        """One entry of `stages` in the JSON file."""
        return {
            "name": self.name,
            "what": self.what,
            "median_ns": self.median / 10,
            "lowest_ns": self.lowest / 10,
            "highest_ns": self.highest / 10,
            "instructions": None if self.instructions is None else self.instructions / 100,
        }


def session_packets(workload: Workload) -> tuple[Bytes, NDArray[np.int64]]:
    """The session as packets: their bytes, and ts_ns, at, size, line of each as i64[4, n]."""
    buf = load_bytes(workload.path)
    blocks = np.zeros(workload.messages + 1, np.int64)
    count, _, _ = index_messages_nb(buf, 0, len(buf), blocks)
    packets = np.zeros((4, -(-count // MESSAGES_A_PACKET)), np.int64)
    packets[0] = time.time_ns() + np.arange(packets.shape[1])
    wire = np.zeros(len(buf) + packets.shape[1] * HEADER_BYTES, np.uint8)
    session = np.frombuffer(_SESSION, np.uint8).copy()
    size = write_packets_nb(
        buf, blocks[: count + 1], np.int64(MESSAGES_A_PACKET), session, wire, packets
    )
    return wire[:size], packets


def _engine(config: ServerConfig, packets: NDArray[np.int64]) -> Player:
    player = Player(config)
    reserve_memory([player.shard])
    player.shard.channel[0]["state"] = State.LIVE
    player.shard.channel[0]["next_seq"] = 1
    player.cursor[Cursor.STOP] = packets.shape[1]
    player.cursor[Cursor.IS_SETTLED] = 1
    return player


def _program(
    drive: Drive, config: ServerConfig = REPLAY_CONFIG, *, lines: int = 1, stamps: bool = False
) -> Callable[[Workload], Run]:
    """The `prepare` of a program: an engine of its own each time, with its memory touched."""

    def prepare(workload: Workload) -> Run:
        wire, packets = session_packets(workload)
        packets = np.repeat(packets, lines, axis=1)
        packets[3] = np.arange(packets.shape[1]) % lines
        venue = find_adapter("nasdaq_itch").venue()

        def run() -> Timing:
            player = _engine(config, packets)
            player.shard.settings[Setting.TIMED] = stamps
            return timed(workload.messages, lambda: drive(player, venue, wire, packets))

        return run

    return prepare


def _climb(depth: Depth) -> Drive:
    return lambda player, venue, wire, packets: climb_nb(
        player.shard, player.rx, venue, wire, packets, np.int64(depth)
    )


def _pass_through(player: Player, venue: Venue, wire: Bytes, packets: NDArray[np.int64]) -> None:
    pass_through_nb(player.shard, player.rx, venue, player.stages, wire, packets)


def _replay(player: Player, venue: Venue, wire: Bytes, packets: NDArray[np.int64]) -> None:
    extra = np.zeros(1, np.uint8)
    player.run_slice(
        lambda each: replay_datagrams_nb(
            each.shard, each.rx, venue, each.stages, wire, extra, packets, each.cursor
        ),
        FOREVER_NS,
        FOREVER_NS,
    )


def replay_with_stages(workload: Workload) -> Run:
    """The kernels of `feedhandler replay` with a breaker and a pattern: blocks of a file."""
    return replay_with(WITH_BOTH, workload)


def replay_with(config: ServerConfig, workload: Workload) -> Run:
    """The same with the functions of `config`."""
    buf = load_bytes(workload.path)
    venue = find_adapter("nasdaq_itch").venue()

    def run() -> Timing:
        player = Player(config)
        reserve_memory([player.shard])
        player.start_blocks(len(buf))
        return timed(
            workload.messages,
            lambda: player.run_slice(
                lambda each: replay_blocks_nb(each.shard, venue, each.stages, buf, each.cursor),
                FOREVER_NS,
                FOREVER_NS,
            ),
        )

    return run


STAGES = (
    Stage("frame", "packets checked, blocks found", "", _program(_climb(Depth.FRAME))),
    Stage("decode", "messages to ticks", "frame", _program(_climb(Depth.DECODE))),
    Stage("book", "orders, levels, best prices", "decode", _program(_climb(Depth.BOOK))),
    Stage("analytics", "tick completed, lane chosen", "book", _program(_climb(Depth.ANALYTICS))),
    Stage("lane", "pool, lane, counters", "analytics", _program(_pass_through)),
    Stage("sequence", "place in the feed, state, timers", "lane", _program(_replay)),
    Stage("breaker", "a price band, for each tick", "sequence", _program(_replay, WITH_BREAKER)),
    Stage("pattern", "an imbalance; signals' rows", "breaker", _program(_replay, WITH_BOTH)),
    Stage("line_b", "the same packets once more", "pattern", _program(_replay, WITH_BOTH, lines=2)),
    Stage(
        "stamps",
        "clock and histograms",
        "pattern",
        _program(_replay, WITH_BOTH, stamps=True),
        # Under valgrind the clock is a system call, which it is not otherwise.
        is_countable=False,
    ),
)
"""In the order of the table."""
WHOLE = "pattern"
"""The stage whose program has all those before it, with one line and without a clock."""
SIGNAL = "signal"
"""The last row. What is sent is rare, so it has a program of its own: messages of signals alone."""
COUNTED_STAGES = {
    **{stage.name: f"stage_{stage.name}" for stage in STAGES if stage.is_countable},
    SIGNAL: "fix_signal",
}
"""What `tools.bench.instructions` calls the programs."""


def count_signals(workload: Workload) -> int:
    """Signals that breaker and pattern make of the session."""
    wire, packets = session_packets(workload)
    player = _engine(WITH_BOTH, packets)
    _replay(player, find_adapter("nasdaq_itch").venue(), wire, packets)
    return int(player.shard.signal_count[0])


def time_stages(workload: Workload, runs: int = RUNS) -> dict[str, list[int]]:
    """Tenths of a nanosecond a message (SIGNAL: a signal) that each program took in each round,
    after a round that does not count; in a round every program has its turn.
    """
    programs = {stage.name: stage.prepare(workload) for stage in STAGES}
    programs[SIGNAL] = fix_signal(workload)
    found: dict[str, list[int]] = {name: [] for name in programs}
    for round_number in range(runs + 1):
        for name, run in programs.items():
            tenths = cost_tenths(run())
            if round_number:
                found[name].append(tenths)
    return found


def costs(
    rounds: Mapping[str, Sequence[int]],
    signals_per_message: Fraction,
    instructions: Mapping[str, int] | None = None,
) -> list[Cost]:
    """What each stage adds, of what the programs took: differences within a round; the same of
    `instructions`, hundredths a message (SIGNAL: a signal).
    """
    counts = instructions or {}
    found = []
    for stage in STAGES:
        base = rounds[stage.below] if stage.below else [0] * len(rounds[stage.name])
        added = [a - b for a, b in zip(rounds[stage.name], base, strict=True)]
        counted = counts.get(stage.name)
        if counted is not None and stage.below:
            counted -= counts[stage.below]
        found.append(_cost(stage.name, stage.what, added, counted))
    share = [round(each * signals_per_message) for each in rounds[SIGNAL]]
    counted = round(counts[SIGNAL] * signals_per_message) if counts else None
    each_ns = statistics.median_low(rounds[SIGNAL]) // 10
    return [*found, _cost(SIGNAL, f"FIX bytes, {each_ns} ns a signal", share, counted)]


def whole(rounds: Mapping[str, Sequence[int]], instructions: Mapping[str, int] | None) -> Cost:
    """All stages up to WHOLE, by its own program."""
    counted = instructions[WHOLE] if instructions else None
    return _cost("whole", f"all from frame to {WHOLE}", rounds[WHOLE], counted)


def _cost(name: str, what: str, tenths: Sequence[int], counted: int | None) -> Cost:
    median = statistics.median_low(tenths)
    return Cost(name, what, median, min(tenths), max(tenths), counted)
