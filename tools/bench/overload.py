"""A worker that has twice as much to do as it can: what that does to critical ticks.

Two threads, as in the topology `pipelined`: one brings a session from memory at a constant pace,
each message stamped with when it was due, so that whatever holds it up counts; the worker has a
pattern that takes its time. One symbol with about 1 % of the messages is on the watch list, the
quotes of all others may give way to newer ones.
"""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from feedhandler.core.counts import LANES_MAX, Count, Histogram
from feedhandler.core.latency import allocate_histogram, summary
from feedhandler.core.receive import Idle, run_worker_nb
from feedhandler.core.shard import Setting
from feedhandler.core.states import State
from feedhandler.server.assemble import find_adapter
from feedhandler.server.config import PatternConfig, PriorityConfig, ServerConfig
from feedhandler.server.hiccup import HiccupMeter
from feedhandler.server.memory import reserve_memory
from feedhandler.server.priority import apply_priority
from protocols.binaryfile.kernels import LENGTH_BYTES, index_messages_nb
from protocols.binaryfile.reader import load_bytes
from protocols.itch50.spec import BY_TYPE
from protocols.moldudp64.spec import HEADER_BYTES, SESSION_BYTES
from protocols.wire import Bytes
from tools.bench.kernels_overload import bring_packets_nb, work_and_note_nb
from tools.bench.kernels_stages import write_packets_nb
from tools.bench.measure import Run, Timing, Workload
from tools.bench.scaling import REPLAY_CONFIG
from tools.exchange.symbols import ticker
from tools.replay.player import Player

COST_NS = 10_000
EACH_NS = COST_NS // 2
"""Twice as many as the pattern can look at."""
MESSAGES = 1_000_000
"""Five seconds of it."""
_SHARE = 100
_NO_LIMIT_NS = 1_000_000_000
_SESSION = b"BENCH".ljust(SESSION_BYTES)
_LOCATE_AT = LENGTH_BYTES + BY_TYPE["A"].offset("stock_locate")


class Overload(NamedTuple):
    """What happened: ticks of all lanes, of lane 0, those that gave way, those that a less urgent
    lane had in its turn, and calls of the pattern; latency of lane 0 and of the others, ns; the
    time that the backlog took after the last message; the most routine ticks that were done between
    the arrival and the end of a critical one (-1: nobody noted); the machine's own hiccups.
    """

    messages: int
    applied: int
    ticks: int
    critical: int
    conflated: int
    aged: int
    calls: int
    critical_ns: dict[str, int]
    routine_ns: dict[str, int]
    backlog_ns: int
    late_ns: int
    stood_behind: int
    hiccup_ns: dict[str, int]


def make_config(symbol: str) -> ServerConfig:
    """A symbol that is critical, the quotes of others in two lanes that conflate."""
    priority = PriorityConfig(
        from_score=(200, 30),
        kinds={},
        moves=(),
        large_trade_score=0,
        watch={symbol: 255},
        policies=("back-pressure", "conflate", "conflate"),
    )
    slow = PatternConfig(
        "take_time", "tools.bench.kernels_overload:take_time", {"cost_ns": COST_NS}, _NO_LIMIT_NS
    )
    return msgspec.structs.replace(REPLAY_CONFIG, priority=priority, patterns=(slow,))


def one_message_packets(path: Any, messages: int) -> tuple[Bytes, NDArray[np.int64], str]:
    """The first messages of a session, each in a packet of its own: their bytes, and ts_ns, at,
    size, line of each; and the symbol whose share of them is nearest to 1 %.
    """
    buf = load_bytes(path)
    blocks = np.zeros(messages + 1, np.int64)
    count, _, _ = index_messages_nb(buf, 0, len(buf), blocks)
    packets = np.zeros((4, count), np.int64)
    wire = np.zeros(int(blocks[count]) + count * HEADER_BYTES, np.uint8)
    session = np.frombuffer(_SESSION, np.uint8).copy()
    write_packets_nb(buf, blocks[: count + 1], np.int64(1), session, wire, packets)
    at = blocks[:count] + _LOCATE_AT
    shares = np.bincount(buf[at].astype(np.int64) << 8 | buf[at + 1], minlength=2)
    distances = np.where(shares > 0, np.abs(shares - count // _SHARE), count)
    locate = int(np.argmin(distances[1:])) + 1
    return wire, packets, ticker(locate - 1)


def overload(path: Any, messages: int = MESSAGES, *, is_noted: bool = False) -> Overload:
    """Run it over the first messages of a session; `is_noted` with a worker that notes the order,
    instead of the server's.
    """
    wire, packets, symbol = one_message_packets(path, messages)
    config = make_config(symbol)
    player = Player(config)
    shard, rx = player.shard, player.rx
    apply_priority(shard, config.priority, {}, is_live=True)
    shard.settings[Setting.TIMED] = 1
    shard.settings[Setting.IDLE] = Idle.SPIN
    shard.settings[Setting.PATTERN_BUDGET_NS] = _NO_LIMIT_NS
    shard.channel[0]["next_seq"] = 1
    shard.channel[0]["state"] = State.LIVE
    reserve_memory([shard])
    log = np.zeros((3, packets.shape[1] + 8), np.int64)
    worker: Callable[[], int] = partial(run_worker_nb, shard, rx, *player.stages[:3])
    if is_noted:
        worker = partial(work_and_note_nb, shard, *player.stages[:3], log)
    venue = find_adapter("nasdaq_itch").venue()
    # Compiled before they meet: nothing to bring, and then nothing to wait for.
    bring_packets_nb(shard, rx, venue, wire, packets[:, :0], EACH_NS, log)
    worker()
    shard.control[:] = 0
    histogram = allocate_histogram()
    hiccup = HiccupMeter(histogram)
    thread = threading.Thread(target=worker, name="worker", daemon=True)
    hiccup.start()
    thread.start()
    late_ns = bring_packets_nb(shard, rx, venue, wire, packets, EACH_NS, log)
    ended_ns = time.monotonic_ns()
    thread.join()
    backlog_ns = time.monotonic_ns() - ended_ns
    hiccup.stop()
    return _found(player, packets.shape[1], (backlog_ns, int(late_ns)), log, summary(histogram))


def _found(
    player: Player, messages: int, took: tuple[int, int], log: Any, hiccup_ns: dict[str, int]
) -> Overload:
    shard = player.shard
    counts = shard.counts[:, 0]
    critical = int(counts[Count.LANE_TICKS])
    stood_behind = -1
    if log[0, 0]:
        stood_behind = int((log[2, :critical] - log[1, :critical]).max(initial=0))
    lanes = shard.histograms[Histogram.LANE_LATENCY :]
    return Overload(
        messages=messages,
        applied=int(counts[Count.APPLIED]),
        ticks=int(counts[Count.TICKS]),
        critical=critical,
        conflated=int(counts[Count.LANE_CONFLATED : Count.LANE_CONFLATED + LANES_MAX].sum()),
        aged=int(counts[Count.LANE_AGED : Count.LANE_AGED + LANES_MAX].sum()),
        calls=int(shard.patterns.state.sum()),
        critical_ns=summary(lanes[0]),
        routine_ns=summary(lanes[1]),
        backlog_ns=took[0],
        late_ns=took[1],
        stood_behind=stood_behind,
        hiccup_ns=hiccup_ns,
    )


def critical_p999(workload: Workload) -> Run:
    """The 99.9th percentile of a critical tick, from when its message was due until its last stage,
    while the worker has twice as much to do as it can.
    """
    messages = min(workload.messages, MESSAGES)

    def run() -> Timing:
        found = overload(workload.path, messages)
        return Timing(1, max(found.critical_ns["p999"], 1))

    return run
