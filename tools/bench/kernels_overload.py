"""The threads of `tools.bench.overload`: one that brings packets at a pace, whoever keeps up, and a
worker that notes in which order it took them; and a pattern that takes its time.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.api import Sender, Venue, pattern
from feedhandler.core.atomics import compare_exchange, load_acquire, spin_pause, store_release
from feedhandler.core.counts import Count
from feedhandler.core.libc import CLOCK_MONOTONIC, CLOCK_REALTIME, clock_ns
from feedhandler.core.receive import take_packet_nb
from feedhandler.core.receiver import Receiver
from feedhandler.core.ring import TAIL
from feedhandler.core.shard import Control, Shard
from feedhandler.core.stages import drain_lanes_nb
from protocols.jit import kernel
from protocols.wire import Bytes

Log = NDArray[np.int64]
"""i64[3, n]: routine ticks that were done in all (row 0, its first word), when each critical one
went to its lane (row 1), and when it was done itself (row 2)."""


@pattern("cost_ns", state_words=1)
def take_time(
    ticks: Any,  # noqa: ARG001
    slot: int,  # noqa: ARG001
    market: Any,  # noqa: ARG001
    legs: Any,  # noqa: ARG001
    params: Any,
    state: Any,
    out: Any,  # noqa: ARG001
) -> int:
    """Pattern: proposes nothing, and takes so long; state[0] counts its calls."""
    until_ns = clock_ns(CLOCK_MONOTONIC) + params[0]
    while clock_ns(CLOCK_MONOTONIC) < until_ns:
        pass
    state[0] += 1
    return 0


@kernel
def bring_packets_nb(
    shard: Shard,
    rx: Receiver,
    venue: Venue,
    wire: Bytes,
    packets: NDArray[np.int64],
    each_ns: int,
    log: Log,
) -> int:
    """Take a packet (see `replay_datagrams_nb`) each `each_ns`, from memory, stamped with when it
    was due; then say that it was the last. How late the last one was, ns.
    """
    due_ns = clock_ns(CLOCK_REALTIME)
    now_ns = due_ns
    criticals = np.int64(0)
    for i in range(packets.shape[1]):
        due_ns += each_ns
        now_ns = clock_ns(CLOCK_REALTIME)
        while now_ns < due_ns:
            spin_pause()
            now_ns = clock_ns(CLOCK_REALTIME)
        packet = shard.packet[0]
        packet["line"] = 0
        packet["ts_rx_ns"] = due_ns
        packet["size"] = packets[2, i]
        take_packet_nb(shard, rx, venue, wire, packets[1, i], now_ns)
        if shard.lane_cursors[0, TAIL] > criticals:
            # A full barrier here and in the worker: whoever misses the other's store is first.
            compare_exchange(log[0], 1, np.int64(0), np.int64(0))
            log[1, criticals] = load_acquire(log[0], 0)
            criticals += 1
    store_release(shard.control, Control.RX_STOPPED, np.int64(1))
    return now_ns - due_ns


@kernel
def work_and_note_nb(shard: Shard, breakers: Any, patterns: Any, sender: Sender, log: Log) -> int:
    """As `run_worker_nb` without sleep, one tick at a time; ticks worked on."""
    routines = np.int64(0)
    criticals = np.int64(0)
    while True:
        stopping = load_acquire(shard.control, Control.RX_STOPPED)
        if drain_lanes_nb(shard, breakers, patterns, sender, 1) == 0:
            if stopping:
                return routines + criticals
            spin_pause()
        elif shard.counts[Count.LANE_TICKS, 0] > criticals:
            log[2, criticals] = routines
            criticals += 1
        else:
            compare_exchange(log[0], 0, routines, routines + 1)
            routines += 1
