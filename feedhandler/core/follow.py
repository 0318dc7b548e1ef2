"""A shard of several, live: takes what the sequencer hands on (`handover`), and its loops.

inline:     follow + drain lanes, on one thread
pipelined:  follow on one thread, drain lanes on another (`run_worker_nb`)
"""

from typing import Any

import numpy as np

from feedhandler.core.api import Sender, Venue
from feedhandler.core.atomics import store_release
from feedhandler.core.broadcast import (
    Record,
    Taken,
    broadcast_drop_nb,
    broadcast_peek_nb,
    is_closed_nb,
    taker_word_nb,
)
from feedhandler.core.counts import Count
from feedhandler.core.engine import (
    apply_blocks_nb,
    mark_suspect_nb,
    show_progress_nb,
    take_rules_nb,
)
from feedhandler.core.libc import poll, read
from feedhandler.core.receive import (
    SLEEP_MS,
    beat_for_both_nb,
    beat_nb,
    clear_asked_stats_nb,
    may_sleep_nb,
    show_book_nb,
    wake_worker_nb,
)
from feedhandler.core.receiver import BATCH, Receiver, wake_nb
from feedhandler.core.shard import Control, Setting, Shard
from feedhandler.core.snapshot import rebuild_books_nb
from feedhandler.core.stages import drain_lanes_nb
from protocols.jit import kernel, outline_kernel


@kernel
def _take_record_nb(shard: Shard, venue: Venue, place: int) -> None:
    """Do what the record at `place` says."""
    broadcast, channel = shard.broadcast, shard.channel[0]
    entry = broadcast.entries[place]
    kind = broadcast.kinds[place]
    # A hole that was given up brings no packet.
    channel["next_seq"] = broadcast.nexts[place]
    if kind == Record.PACKET:
        at = place * broadcast.slot_bytes
        apply_blocks_nb(shard, venue, broadcast.payload, at, broadcast.entries[place : place + 1])
    elif kind == Record.STATE:
        channel["state"] = entry["seq"]
        if entry["end"]:
            mark_suspect_nb(shard)
    else:
        rebuild_books_nb(shard, venue, np.int64(entry["end"]))
        channel["next_seq"] = entry["seq"]
    show_progress_nb(shard)


@outline_kernel
def follow_nb(shard: Shard, venue: Venue, most: int) -> int:
    """Take up to `most` records; how many. The sequencer hears whether the books are in doubt after
    each of them.
    """
    broadcast = shard.broadcast
    taker = shard.settings[Setting.TAKER]
    suspect_at = taker_word_nb(taker, np.int64(Taken.SUSPECT))
    take_rules_nb(shard)
    done = 0
    while done < most:
        place = broadcast_peek_nb(broadcast, taker)
        if place < 0:
            break
        _take_record_nb(shard, venue, place)
        suspect = np.int64(shard.channel[0]["suspect"])
        if broadcast.cursors[suspect_at] != suspect:
            store_release(broadcast.cursors, suspect_at, suspect)
        broadcast_drop_nb(broadcast, taker)
        done += 1
    return done


@kernel
def _sleep_until_records_nb(shard: Shard, rx: Receiver) -> None:
    """Nothing to take: sleep until the sequencer wakes this thread, at the descriptor of
    rx.pollfds[0]. A wake-up that a race loses is made up for by the end of the sleep.
    """
    broadcast = shard.broadcast
    taker = shard.settings[Setting.TAKER]
    asleep_at = taker_word_nb(taker, np.int64(Taken.ASLEEP))
    store_release(broadcast.cursors, asleep_at, np.int64(1))
    is_idle = broadcast_peek_nb(broadcast, taker) < 0 and not is_closed_nb(broadcast)
    if is_idle and poll(rx.pollfds.ctypes.data, 1, SLEEP_MS) > 0:
        read(rx.pollfds[0]["fd"], rx.drained.ctypes.data, 8)
    store_release(broadcast.cursors, asleep_at, np.int64(0))


@kernel
def run_shard_nb(
    shard: Shard, rx: Receiver, venue: Venue, breakers: Any, patterns: Any, sender: Sender
) -> int:
    """A shard of several on one thread, until the sequencer has stopped and all is taken; records
    taken.
    """
    total = 0
    idle_rounds = 0
    while True:
        closed = is_closed_nb(shard.broadcast)
        signals = shard.signal_count[0]
        work = follow_nb(shard, venue, np.int64(BATCH))
        total += work
        beat_nb(shard, Count.RX_HEARTBEAT_NS)
        beat_for_both_nb(shard)
        work += drain_lanes_nb(shard, breakers, patterns, sender, shard.ticks.shape[0])
        if shard.signal_count[0] != signals:
            wake_nb(shard, rx, Setting.SIGNAL_FD)
        show_book_nb(shard)
        clear_asked_stats_nb(shard)
        if work == 0 and closed:
            return total
        idle_rounds = 0 if work else idle_rounds + 1
        if idle_rounds and may_sleep_nb(shard.settings[Setting.IDLE], idle_rounds):
            _sleep_until_records_nb(shard, rx)


@kernel
def run_follower_nb(shard: Shard, rx: Receiver, venue: Venue) -> int:
    """The thread of a shard's books in the pipelined topology, until the sequencer has stopped and
    all is taken; records taken.
    """
    total = 0
    idle_rounds = 0
    while True:
        closed = is_closed_nb(shard.broadcast)
        work = follow_nb(shard, venue, np.int64(BATCH))
        total += work
        beat_nb(shard, Count.RX_HEARTBEAT_NS)
        if work:
            wake_worker_nb(shard, rx)
        show_book_nb(shard)
        clear_asked_stats_nb(shard)
        if work == 0 and closed:
            break
        idle_rounds = 0 if work else idle_rounds + 1
        if idle_rounds and may_sleep_nb(shard.settings[Setting.IDLE], idle_rounds):
            _sleep_until_records_nb(shard, rx)
    store_release(shard.control, Control.RX_STOPPED, np.int64(1))
    return total
