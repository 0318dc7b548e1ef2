"""What is done about a hole, as the channel's state asks for it: requests, snapshots, and at last
going on without.
"""

import numpy as np

from feedhandler.core.api import Venue
from feedhandler.core.atomics import load_acquire, store_release
from feedhandler.core.counts import Count
from feedhandler.core.engine import count_nb, mark_suspect_nb, show_progress_nb
from feedhandler.core.libc import MSG_DONTWAIT, send
from feedhandler.core.quotes import ENDED_FEED, LIVE_FEED, show_feed_nb
from feedhandler.core.receiver import RECOVERY, Receiver, wake_nb
from feedhandler.core.sequence import (
    SNAPSHOT_PAUSE_NS,
    Step,
    advance_state_nb,
    next_hole_nb,
    note_progress_nb,
    note_snapshot_nb,
)
from feedhandler.core.sessions import Roll, note_asked_nb, snapshot_seq_nb
from feedhandler.core.shard import Control, Setting, Shard
from feedhandler.core.snapshot import Snapshot, load_snapshot_nb
from feedhandler.core.states import State
from feedhandler.core.stream import Shared
from protocols.jit import kernel, outline_kernel

_REQUESTS_A_POLL = 32


@kernel
def _request_nb(shard: Shard, rx: Receiver, venue: Venue, seq: int, count: int) -> None:
    """Ask for `count` messages from number `seq` on."""
    first = seq - rx.sessions.words[Roll.BASE]
    size = venue.write_request(shard.request, rx.session, first, count)
    send(rx.fds[RECOVERY], shard.request.ctypes.data, size, MSG_DONTWAIT)
    count_nb(shard, Count.REQUESTS, 1)


@kernel
def _send_requests_nb(shard: Shard, rx: Receiver, venue: Venue) -> None:
    """Ask for the first missing stretches, chunk by chunk, within the request window."""
    channel = shard.channel[0]
    limit = channel["next_seq"] + channel["request_window"]
    for _ in range(_REQUESTS_A_POLL):
        start = max(np.int64(channel["request_seq"]), np.int64(channel["next_seq"]))
        if start >= limit or next_hole_nb(shard.channel, shard.window, start, rx.hole) == 0:
            return
        if rx.hole[0] >= limit:
            return
        count = min(rx.hole[1] - rx.hole[0], np.int64(channel["request_chunk"]))
        _request_nb(shard, rx, venue, rx.hole[0], count)
        channel["request_seq"] = rx.hole[0] + count


@kernel
def ask_for_rest_nb(shard: Shard, rx: Receiver, venue: Venue, seq: int, end: int) -> None:
    """An answer has come with messages `seq` to `end` - 1: when a request asked for more than
    fitted into it, ask for the rest at once, and not when the whole request is given up.
    """
    channel = shard.channel[0]
    stop = min(seq + channel["request_chunk"], np.int64(channel["request_seq"]))
    if end >= stop or next_hole_nb(shard.channel, shard.window, end, rx.hole) == 0:
        return
    if rx.hole[0] == end:
        _request_nb(shard, rx, venue, end, min(rx.hole[1], stop) - end)


@kernel
def _take_snapshot_nb(shard: Shard, rx: Receiver, venue: Venue, now_ns: int) -> None:
    """Load the snapshot that is ready, unless what it was for is over."""
    channel = shard.channel[0]
    if channel["next_seq"] >= channel["highest_seq"] and not channel["suspect"]:
        channel["held"] = 0
        return
    blocks = load_acquire(shard.control, Control.SNAPSHOT_BLOCKS)
    told_seq = load_acquire(shard.control, Control.SNAPSHOT_SEQ)
    next_seq = snapshot_seq_nb(shard, rx.sessions, told_seq)
    helped = load_snapshot_nb(shard, venue, blocks, next_seq) and not channel["suspect"]
    note_snapshot_nb(shard.channel, np.int64(helped), now_ns)
    if helped and next_hole_nb(shard.channel, shard.window, next_seq, rx.hole):
        channel["snapshot_after_ns"] = now_ns + SNAPSHOT_PAUSE_NS
    note_progress_nb(shard.channel, now_ns)


@kernel
def follow_snapshot_nb(shard: Shard, rx: Receiver, venue: Venue, now_ns: int) -> None:
    """Take a snapshot that the control plane has loaded, or note that it could not."""
    state = load_acquire(shard.control, Control.SNAPSHOT)
    if state == Snapshot.READY:
        _take_snapshot_nb(shard, rx, venue, now_ns)
    elif state == Snapshot.FAILED:
        note_snapshot_nb(shard.channel, np.int64(0), now_ns)
    else:
        return
    store_release(shard.control, Control.SNAPSHOT, np.int64(Snapshot.IDLE))


@kernel
def _want_snapshot_nb(shard: Shard, rx: Receiver) -> None:
    """Ask the control plane for a snapshot unless it is at one already. Without a hole that holds
    them back, packets wait in the window from now on: a snapshot must not be older than the books.
    """
    if load_acquire(shard.control, Control.SNAPSHOT) != Snapshot.IDLE:
        return
    channel = shard.channel[0]
    channel["told_seq"] = 0
    note_asked_nb(shard, rx.sessions)
    channel["held"] = channel["next_seq"] >= channel["highest_seq"]
    store_release(shard.control, Control.SNAPSHOT, np.int64(Snapshot.WANTED))
    wake_nb(shard, rx, Setting.CONTROL_FD)


@kernel
def skip_hole_nb(shard: Shard, rx: Receiver) -> None:
    """Nothing can bring the missing messages back: count them, mark the books suspect, and go on
    behind them.
    """
    channel = shard.channel[0]
    if next_hole_nb(shard.channel, shard.window, np.int64(channel["next_seq"]), rx.hole) == 0:
        return
    count_nb(shard, Count.UNRECOVERED, rx.hole[1] - channel["next_seq"])
    count_nb(shard, Count.GAPS_UNRECOVERED, 1)
    channel["next_seq"] = rx.hole[1]
    mark_suspect_nb(shard)


@outline_kernel
def advance_nb(shard: Shard, rx: Receiver, venue: Venue, now_ns: int) -> None:
    """Move the channel's state, act on what it asks for, and export it."""
    channel = shard.channel[0]
    before = channel["state"]
    step = advance_state_nb(shard.channel, now_ns)
    if channel["state"] == State.GAP and before != State.GAP:
        count_nb(shard, Count.GAPS, 1)
    if step == Step.REQUEST:
        _send_requests_nb(shard, rx, venue)
    elif step == Step.SNAPSHOT:
        _want_snapshot_nb(shard, rx)
    elif step == Step.GIVE_UP:
        skip_hole_nb(shard, rx)
    state = channel["state"]
    is_sound = not channel["suspect"] and load_acquire(rx.stream.shared, Shared.DOUBT) == 0
    good = LIVE_FEED * np.int64(state == State.LIVE) + ENDED_FEED * np.int64(state == State.ENDED)
    show_feed_nb(shard.quotes, shard.settings[Setting.FEED], good * np.int64(is_sound))
    shard.counts[Count.STATE, 0] = state
    shard.counts[Count.GAP_OPEN, 0] = channel["next_seq"] < channel["highest_seq"]
    shard.counts[Count.LAST_PACKET_NS, 0] = channel["last_rx_ns"]
    shard.counts[Count.END_SEQ, 0] = channel["end_seq"]
    show_progress_nb(shard)
