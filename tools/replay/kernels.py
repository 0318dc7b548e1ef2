"""Loops that feed the engine from memory: message blocks of a BinaryFILE, and datagrams of a capture."""

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.api import Venue
from feedhandler.core.engine import CHUNK, Setting, Shard, apply_blocks_nb
from feedhandler.core.receive import Receiver, advance_nb, drain_window_nb, take_packet_nb
from feedhandler.core.ring import ring_size_nb
from feedhandler.core.sequence import WINDOW_COUNT
from feedhandler.core.stages import drain_lanes_nb
from protocols.binaryfile.kernels import index_messages_nb
from protocols.errors import Status
from protocols.jit import kernel
from protocols.wire import Bytes


class Cursor(IntEnum):
    """Words of the cursor that a replay loop advances."""

    AT = 0
    STOP = 1
    STATUS = 2
    UNTIL_NS = 3
    ROUNDS = 4


CURSOR_WORDS = 8
_MOST_A_PACKET = 8_192


@kernel
def _has_room_nb(shard: Shard) -> int:
    """1 while one more chunk or packet fits the recorded best prices and the signals, which the caller empties between slices."""
    bbo_left = shard.bbo.shape[0] - shard.bbo_count[0]
    if shard.settings[Setting.RECORD_BBO] and bbo_left < _MOST_A_PACKET:
        return 0
    return int(shard.signals.cells.shape[0] - ring_size_nb(shard.signals) >= _MOST_A_PACKET)

@kernel
def replay_blocks_nb(
    shard: Shard,
    venue: Venue,
    stages: Any,
    buf: Bytes,
    cursor: NDArray[np.int64],
    index: NDArray[np.int64],
) -> int:
    """Replay blocks of buf[cursor[AT] : cursor[STOP]], CHUNK at a time, for at most cursor[ROUNDS] rounds, while event time is not past
    cursor[UNTIL_NS]. index i64[2, CHUNK] is scratch. Returns the Status of the last chunk, OK at the end of the bytes."""
    channel = shard.channel[0]
    packet = shard.packet[0]
    for _ in range(cursor[Cursor.ROUNDS]):
        at = cursor[Cursor.AT]
        count, used, status = index_messages_nb(
            buf, at, cursor[Cursor.STOP], index[0], index[1]
        )
        packet["seq"] = channel["next_seq"]
        packet["end"] = channel["next_seq"] + count
        apply_blocks_nb(shard, venue.normalise, buf, at, shard.packet)
        drain_lanes_nb(shard, stages[0], stages[1], CHUNK)
        cursor[Cursor.AT] = at + used
        cursor[Cursor.STATUS] = status
        if status == Status.TRUNCATED or (status == Status.OK and count < CHUNK):
            return status
        if channel["last_exch_ns"] > cursor[Cursor.UNTIL_NS] or not _has_room_nb(shard):
            return Status.OUTPUT_FULL
    return Status.OUTPUT_FULL


@kernel
def replay_datagrams_nb(
    shard: Shard,
    rx: Receiver,
    venue: Venue,
    stages: Any,
    buf: Bytes,
    packets: NDArray[np.int64],
    cursor: NDArray[np.int64],
) -> int:
    """Replay packets[:, cursor[AT] : cursor[STOP]] (rows: ts_ns, at, size, line) for at most cursor[ROUNDS] packets, while capture time
    is not past cursor[UNTIL_NS]. Returns OK when all are done, OUTPUT_FULL when the caller is to call again."""
    for _ in range(cursor[Cursor.ROUNDS]):
        i = cursor[Cursor.AT]
        if i >= cursor[Cursor.STOP]:
            return Status.OK
        now_ns = packets[0, i]
        if now_ns > cursor[Cursor.UNTIL_NS] or not _has_room_nb(shard):
            return Status.OUTPUT_FULL
        packet = shard.packet[0]
        packet["ts_rx_ns"] = now_ns
        packet["size"] = packets[2, i]
        packet["line"] = packets[3, i]
        take_packet_nb(shard, rx, venue, buf, packets[1, i], now_ns)
        settle_nb(shard, rx, venue, stages, now_ns)
        cursor[Cursor.AT] = i + 1
    return Status.OUTPUT_FULL


@kernel
def settle_nb(shard: Shard, rx: Receiver, venue: Venue, stages: Any, now_ns: int) -> None:
    """Apply kept packets whose turn has come, move the channel's state, and empty the lanes."""
    while drain_window_nb(shard, venue, now_ns) > 0:
        drain_lanes_nb(shard, stages[0], stages[1], shard.ticks.shape[0])
    advance_nb(shard, rx, venue, now_ns)
    drain_lanes_nb(shard, stages[0], stages[1], shard.ticks.shape[0])


@kernel
def flush_window_nb(shard: Shard, rx: Receiver, venue: Venue, stages: Any, now_ns: int) -> int:
    """At the end of a capture: give up the first hole that is still open and apply what follows it; 1 while there is one more."""
    channel = shard.channel[0]
    settle_nb(shard, rx, venue, stages, now_ns)
    settle_nb(shard, rx, venue, stages, now_ns + channel["reorder_ns"] + 1)
    return int(shard.window.meta[WINDOW_COUNT] > 0 and _has_room_nb(shard))
