"""A feed for several shards, live: one thread sequences it and hands it to those of the shards.

    sockets ─► sequencer: A/B, window, gaps, snapshots ─► broadcast ─► shard 0: books, stages
                   ▲                                         └──────► shard 1: books, stages
                   └── suspect, of any shard ◄────────────────────────────┘

The sequencer is an engine without books (`Setting.FEEDS`): where one of one shard would apply a
packet, it hands it on, and what changes for the books in between (a state, a doubt, a snapshot)
goes the same way, in its place among the packets. So every shard sees what one shard would have
seen, in that order, and takes what is about its own instruments. There is one sequence to be asked
for again, one snapshot for all, and one account of messages.

A taker that falls behind holds the sequencer up, which then reads no socket (SHARD_WAITS counts
that): what waits is in the sockets' buffers, as it is before one shard that falls behind.
"""

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.atomics import load_acquire
from feedhandler.core.broadcast import (
    Broadcast,
    Made,
    Record,
    Taken,
    broadcast_commit_nb,
    broadcast_reserve_nb,
    slowest_nb,
    taker_word_nb,
)
from feedhandler.core.counts import Count
from feedhandler.core.engine import count_nb, mark_suspect_nb, pause_nb, show_progress_nb
from feedhandler.core.libc import copy_bytes_nb, sched_yield, write
from feedhandler.core.shard import Control, Shard
from protocols.jit import kernel, outline_kernel


@outline_kernel
def _wait_for_room_nb(shard: Shard) -> int:
    """A taker is as far behind as there is room: place of a record once it has gone on, or -1 when
    the sequencer is to stop.
    """
    waits = 0
    place = np.int64(-1)
    while place < 0 and load_acquire(shard.control, Control.STOP) == 0:
        waits += 1
        pause_nb(waits)
        count_nb(shard, Count.SHARD_WAITS, 1)
        place = broadcast_reserve_nb(shard.broadcast)
    return place


@kernel
def _hand_nb(shard: Shard, kind: int, seq: int, end: int) -> int:
    """A record of two numbers; 1, or 0 when the sequencer is to stop meanwhile."""
    place = broadcast_reserve_nb(shard.broadcast)
    if place < 0:
        place = _wait_for_room_nb(shard)
        if place < 0:
            return 0
    entry = shard.broadcast.entries[place]
    entry["seq"] = seq
    entry["end"] = end
    shard.broadcast.kinds[place] = kind
    shard.broadcast.nexts[place] = shard.channel[0]["next_seq"]
    broadcast_commit_nb(shard.broadcast)
    return 1


@outline_kernel
def hand_state_nb(shard: Shard) -> int:
    """Tell the shards of the channel's state and of a doubt about the books, if either is new; 0
    when the sequencer is to stop meanwhile.
    """
    channel = shard.channel[0]
    handed = shard.broadcast.cursors
    state, suspect = np.int64(channel["state"]), np.int64(channel["suspect"])
    if handed[Made.STATE] == state and handed[Made.SUSPECT] == suspect:
        return 1
    if not _hand_nb(shard, np.int64(Record.STATE), state, suspect):
        return 0
    handed[Made.STATE] = state
    handed[Made.SUSPECT] = suspect
    return 1


@outline_kernel
def hand_packet_nb(shard: Shard, buf: NDArray[np.uint8], at: int, packet: NDArray[np.void]) -> None:
    """Hand the shards packet[0], an ENTRY whose blocks begin at buf[at]: applied, for the sequence.
    A sequencer that is told to stop while there is no room leaves it.
    """
    broadcast = shard.broadcast
    channel = shard.channel[0]
    if not hand_state_nb(shard):
        return
    place = broadcast_reserve_nb(broadcast)
    if place < 0:
        place = _wait_for_room_nb(shard)
        if place < 0:
            return
    given = packet[0]
    entry = broadcast.entries[place]
    size = np.int64(given["size"])
    copy_bytes_nb(broadcast.payload, place * broadcast.slot_bytes, buf, at, size)
    entry["seq"] = given["seq"]
    entry["end"] = given["end"]
    entry["size"] = size
    entry["ts_rx_ns"] = given["ts_rx_ns"]
    entry["line"] = given["line"]
    broadcast.kinds[place] = Record.PACKET
    broadcast.nexts[place] = channel["next_seq"]
    broadcast_commit_nb(broadcast)
    channel["next_seq"] = max(np.int64(channel["next_seq"]), np.int64(given["end"]))
    show_progress_nb(shard)


@outline_kernel
def hand_snapshot_nb(shard: Shard, blocks: int, next_seq: int) -> None:
    """Have every shard replace its books by its part of shard.snapshot, and wait until all have:
    then the memory may be used again, and it is known whether any has a doubt.
    """
    broadcast = shard.broadcast
    shard.channel[0]["suspect"] = 0
    shard.counts[Count.BOOKS_SUSPECT, 0] = 0
    if not _hand_nb(shard, np.int64(Record.SNAPSHOT), next_seq, blocks):
        mark_suspect_nb(shard)
        return
    broadcast.cursors[Made.SUSPECT] = 0
    position = broadcast.cursors[Made.TAIL]
    while slowest_nb(broadcast) < position:
        if load_acquire(shard.control, Control.STOP):
            mark_suspect_nb(shard)
            return
        sched_yield()
    hear_doubt_nb(shard)


@kernel
def hear_doubt_nb(shard: Shard) -> None:
    """Books of which one shard has a doubt are in doubt as a whole: the sequencer asks for a
    snapshot, as one shard would.
    """
    if shard.channel[0]["suspect"]:
        return
    cursors = shard.broadcast.cursors
    for taker in range(shard.broadcast.fds.shape[0]):
        if load_acquire(cursors, taker_word_nb(taker, np.int64(Taken.SUSPECT))):
            mark_suspect_nb(shard)


@kernel
def wake_takers_nb(broadcast: Broadcast, word: NDArray[np.int64]) -> None:
    """Wake each taker that sleeps, by word[0] = 1 to its eventfd."""
    for taker in range(broadcast.fds.shape[0]):
        fd = broadcast.fds[taker]
        asleep = load_acquire(broadcast.cursors, taker_word_nb(taker, np.int64(Taken.ASLEEP)))
        if asleep and fd >= 0:
            write(fd, word.ctypes.data, 8)
