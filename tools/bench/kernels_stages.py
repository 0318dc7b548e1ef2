"""What `stages.py` measures: packets of a session in memory, and programs that do with them what
the engine does, up to one stage or the next.
"""

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.analytics import analyse_nb
from feedhandler.core.api import Packet, Venue
from feedhandler.core.book.apply import (
    apply_tick_nb,
    prefetch_level_of_tick_nb,
)
from feedhandler.core.engine import LEVELS_AHEAD, apply_blocks_nb, fill_stash_nb, prefetch_rows_nb
from feedhandler.core.priority import lane_of_nb
from feedhandler.core.receiver import Receiver
from feedhandler.core.shard import CHUNK, Shard
from feedhandler.core.stages import drain_lanes_nb
from protocols.jit import kernel
from protocols.moldudp64.kernels import HEADER_BYTES, write_header_nb
from protocols.wire import Bytes


class Depth(IntEnum):
    """How far `climb_nb` goes."""

    FRAME = 0
    DECODE = 1
    BOOK = 2
    ANALYTICS = 3


@kernel
def write_packets_nb(
    buf: Bytes,
    blocks: NDArray[np.int64],
    messages_each: int,
    session: Bytes,
    wire: Bytes,
    packets: NDArray[np.int64],
) -> int:
    """Put the blocks of `buf` that begin at blocks[0] to blocks[n - 1], the last one ending at
    blocks[n], into MoldUDP64 packets one behind the other, numbered from message 1.

    Shapes:  blocks i64[n + 1], session u8[10], wire u8[] with room for all of it; packets i64[4, m]
             takes at and size of each in its rows 1 and 2.
    Returns: bytes written.
    """
    at = np.int64(0)
    for i in range(packets.shape[1]):
        first = i * messages_each
        last = min(first + messages_each, blocks.shape[0] - 1)
        write_header_nb(wire, at, session, np.int64(first + 1), np.int64(last - first))
        size = blocks[last] - blocks[first]
        for j in range(size):
            wire[at + HEADER_BYTES + j] = buf[blocks[first] + j]
        packets[1, i] = at
        packets[2, i] = HEADER_BYTES + size
        at += HEADER_BYTES + size
    return at


@kernel
def climb_nb(
    shard: Shard,
    rx: Receiver,
    venue: Venue,
    wire: Bytes,
    packets: NDArray[np.int64],
    depth: int,
) -> int:
    """Every packet (see `replay_datagrams_nb`) up to a Depth, in chunks as the engine has them,
    into the same CHUNK ticks; how many messages.
    """
    total = np.int64(0)
    fill_stash_nb(shard, CHUNK)
    for i in range(packets.shape[1]):
        code = venue.parse_packet(wire, packets[1, i], packets[2, i], rx.session, rx.parsed)
        if code != Packet.DATA:
            continue
        messages = rx.parsed[1]
        total += messages
        if depth < Depth.DECODE:
            continue
        at = rx.parsed[2]
        for done in range(0, messages, CHUNK):
            count = min(CHUNK, messages - done)
            at = venue.normalise(wire, at, count, shard.ticks, shard.stash)
            if depth < Depth.BOOK:
                continue
            prefetch_rows_nb(shard, count)
            for j in range(count):
                if j + LEVELS_AHEAD < count:
                    ahead = np.int64(shard.stash[j + LEVELS_AHEAD])
                    prefetch_level_of_tick_nb(shard.book, shard.ticks, ahead)
                slot = np.int64(shard.stash[j])
                apply_tick_nb(shard.book, shard.ticks, slot)
                if depth >= Depth.ANALYTICS:
                    moved_bps = analyse_nb(shard.instruments, shard.ticks, slot)
                    tick = shard.ticks[slot]
                    tick["priority"] = lane_of_nb(
                        shard.priority, shard.instruments, shard.ticks, slot, moved_bps
                    )
    return total


@kernel
def pass_through_nb(
    shard: Shard,
    rx: Receiver,
    venue: Venue,
    stages: Any,
    wire: Bytes,
    packets: NDArray[np.int64],
) -> int:
    """Every packet checked, applied and worked on, and nothing asked about its place in the
    sequence; how many messages.
    """
    total = np.int64(0)
    row = shard.packet[0]
    for i in range(packets.shape[1]):
        code = venue.parse_packet(wire, packets[1, i], packets[2, i], rx.session, rx.parsed)
        if code != Packet.DATA:
            continue
        row["seq"] = rx.parsed[0]
        row["end"] = rx.parsed[0] + rx.parsed[1]
        total += rx.parsed[1]
        apply_blocks_nb(shard, venue, wire, rx.parsed[2], shard.packet)
        drain_lanes_nb(shard, stages[0], stages[1], stages[2], shard.ticks.shape[0])
    return total
