"""The duty cycle of a shard's receiving thread: sockets, sequence, recovery, and its loops.

poll = receive(line A) + receive(line B) + receive(recovery) + drain window + advance state

inline:     poll + drain lanes, on one thread
pipelined:  poll on one thread, drain lanes on another
"""

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.api import Packet, Reason, Sender, StreamWord, Venue
from feedhandler.core.atomics import load_acquire, spin_pause, store_release
from feedhandler.core.book.queue import best_levels_nb
from feedhandler.core.broadcast import broadcast_close_nb
from feedhandler.core.counts import Count, Histogram
from feedhandler.core.engine import apply_blocks_nb, count_nb, mark_suspect_nb, take_rules_nb
from feedhandler.core.handover import (
    hand_packet_nb,
    hand_state_nb,
    hear_doubt_nb,
    wake_takers_nb,
)
from feedhandler.core.libc import (
    CLOCK_MONOTONIC,
    CLOCK_REALTIME,
    CONTROL_BYTES,
    MMSGHDR,
    MSG_DONTWAIT,
    clock_ns,
    poll,
    read,
    recvmmsg,
    sched_yield,
)
from feedhandler.core.receiver import BATCH, LINES, RECOVERY, Receiver, wake_nb
from feedhandler.core.recording import record_nb
from feedhandler.core.recovery import advance_nb, ask_for_rest_nb, follow_snapshot_nb
from feedhandler.core.sequence import (
    Stored,
    hear_nb,
    note_progress_nb,
    window_drop_first_nb,
    window_store_nb,
)
from feedhandler.core.sessions import (
    FOLLOWED,
    Roll,
    meet_session_nb,
)
from feedhandler.core.shard import CHUNK, Control, Setting, Shard, Watch
from feedhandler.core.snapshot import MAX_JUMP
from feedhandler.core.stages import drain_lanes_nb, has_ticks_nb
from feedhandler.core.states import State
from feedhandler.core.stream import (
    Link,
    Place,
    Shared,
    fill_stream_nb,
    has_stream_nb,
    lose_link_nb,
    read_packet_nb,
)
from feedhandler.core.summaries import EVERY_INSTRUMENT, clear_stats_nb
from protocols.jit import kernel, outline_kernel

PACKETS_A_ROUND = (LINES + 1) * BATCH
"""Packets applied in one poll at most: received, and kept ones whose turn has come."""

_HEADER_BYTES = MMSGHDR.itemsize
_SPINS = 2_000
_SPINS_OF_REST = 20
_NS_PER_S = 1_000_000_000
SLEEP_MS = 1
"""How long a thread that may sleep does so unless something comes: nothing waits for longer."""
BEAT_WALL = 0
BEAT_STEADY = 1
"""Words of a heartbeat's counter row: when the agent last made a round, by CLOCK_REALTIME (which is
exported) and by CLOCK_MONOTONIC (from which an age can be told)."""


class Idle(IntEnum):
    """What a loop does when there was no work."""

    SPIN = 0
    YIELD = 1
    BACKOFF = 2
    REST = 3
    """As BACKOFF, after fewer looks: for real-time threads, which the kernel stops for 50 ms when
    they had work for 950 of 1,000."""


@kernel
def _note_line_nb(shard: Shard, rx: Receiver, line: int, seq: int, end: int) -> None:
    """Count the messages that this line did not bring in their turn (lost, or late)."""
    if line == RECOVERY:
        return
    # A false number that was corrected since must not hide what the line loses.
    expected = min(rx.line_next[line], np.int64(shard.channel[0]["highest_seq"]))
    if expected > 0 and seq > expected:
        count_nb(shard, Count.LOST + line, seq - expected)
    rx.line_next[line] = max(expected, end)


@kernel
def _apply_packet_nb(
    shard: Shard, venue: Venue, buf: NDArray[np.uint8], at: int, packet: NDArray[np.void]
) -> None:
    """packet[0] is next in sequence (or overlaps what is): apply what is new in it, or hand it to
    the shards that do.
    """
    row = packet[0]
    first = max(np.int64(row["seq"]), np.int64(shard.channel[0]["next_seq"]))
    count_nb(shard, Count.WINS + np.int64(row["line"]), 1)
    if shard.settings[Setting.FEEDS]:
        hand_packet_nb(shard, buf, at, packet)
    else:
        apply_blocks_nb(shard, venue, buf, at, packet)
    if row["line"] == RECOVERY:
        count_nb(shard, Count.RECOVERED, np.int64(shard.channel[0]["next_seq"]) - first)


@kernel
def _sequence_nb(
    shard: Shard, venue: Venue, buf: NDArray[np.uint8], block_at: int, now_ns: int
) -> None:
    """Apply, keep or drop the packet described in shard.packet[0]."""
    channel = shard.channel[0]
    row = shard.packet[0]
    if row["end"] <= channel["next_seq"]:
        count_nb(shard, Count.DUPLICATE_PACKETS, 1)
        return
    if row["seq"] <= channel["next_seq"] and not channel["held"]:
        _apply_packet_nb(shard, venue, buf, block_at, shard.packet)
        note_progress_nb(shard.channel, now_ns)
        return
    # While the window is full of packets from behind a hole, answers that fill it must find room.
    reserved = np.int64(0)
    if row["line"] != RECOVERY and channel["can_request"]:
        reserved = np.int64(shard.window.entries.shape[0] >> 3)
    stored = window_store_nb(shard.window, shard.packet, buf, block_at, reserved)
    if stored == Stored.KEPT:
        count_nb(shard, Count.WINDOW_STORED, 1)
    elif stored == Stored.DUPLICATE:
        count_nb(shard, Count.DUPLICATE_PACKETS, 1)
    else:
        count_nb(shard, Count.WINDOW_FULL, 1)


@kernel
def _note_packet_nb(shard: Shard, rx: Receiver, code: int, end: int, now_ns: int) -> None:
    """What a packet of messages up to `end` - 1, of which rx.parsed has the first, says about the
    channel's state. An old one says nothing: it may have been on its way for any time.
    """
    channel = shard.channel[0]
    seq = rx.parsed[0]
    next_seq = np.int64(channel["next_seq"])
    line = np.int64(shard.packet[0]["line"])
    is_old = end <= next_seq if code == Packet.DATA else seq < next_seq
    _note_line_nb(shard, rx, line, seq, end)
    if not is_old:
        if line == RECOVERY:
            channel["highest_seq"] = max(np.int64(channel["highest_seq"]), end)
        else:
            hear_nb(shard.channel, shard.window, end, now_ns)
        channel["told_seq"] = max(np.int64(channel["told_seq"]), end)
        channel["last_packet_ns"] = now_ns
        channel["last_rx_ns"] = shard.packet[0]["ts_rx_ns"]
        if end > channel["end_seq"]:
            channel["end_seq"] = 0
    if code == Packet.END_OF_SESSION and seq >= max(np.int64(channel["highest_seq"]), next_seq):
        channel["end_seq"] = seq
    state = channel["state"]
    in_turn = not is_old and seq <= next_seq and channel["highest_seq"] <= max(end, next_seq)
    resting = state == State.DOWN or state == State.STALE
    if state == State.ENDED and channel["end_seq"] == 0:
        resting = True
    if in_turn and resting and not channel["suspect"]:
        channel["state"] = State.LIVE
    elif state == State.DOWN:
        channel["state"] = State.SYNCING
        channel["gap_since_ns"] = now_ns


@outline_kernel
def take_packet_nb(
    shard: Shard, rx: Receiver, venue: Venue, buf: NDArray[np.uint8], at: int, now_ns: int
) -> None:
    """One datagram of shard.packet[0].size bytes at buf[at]; line and ts_rx_ns are filled in.
    Anything but data of our session is counted and dropped. `now_ns` is of the clock for timers.
    """
    packet = shard.packet[0]
    line = np.int64(packet["line"])
    count_nb(shard, Count.PACKETS + line, 1)
    session_known = rx.session[0] != 0
    code = venue.parse_packet(buf, at, np.int64(packet["size"]), rx.session, rx.parsed)
    if code == Packet.WRONG_SESSION and line != RECOVERY:
        told = (buf, at, now_ns)
        code = meet_session_nb(shard, rx.sessions, rx.session, rx.parsed, venue, told)
        if code == FOLLOWED:
            _note_line_nb(shard, rx, line, rx.parsed[0], rx.parsed[0] + rx.parsed[1])
            return
    if code >= Packet.WRONG_SESSION:
        wrong = code == Packet.WRONG_SESSION
        count_nb(shard, Count.REJECTED_SESSION if wrong else Count.REJECTED_MALFORMED, 1)
        return
    seq = rx.parsed[0] + rx.sessions.words[Roll.BASE]
    rx.parsed[0] = seq
    end = seq + (rx.parsed[1] if code == Packet.DATA else 0)
    channel = shard.channel[0]
    if channel["next_seq"] > 0 and seq - channel["next_seq"] > MAX_JUMP:
        count_nb(shard, Count.REJECTED_MALFORMED, 1)
        if not session_known:
            rx.session[0] = 0
        return
    if channel["state"] == State.DOWN:
        if channel["next_seq"] == 0:
            channel["next_seq"] = seq
        channel["highest_seq"] = channel["next_seq"]
        if seq > 1 and channel["can_snapshot"]:
            mark_suspect_nb(shard)  # orders of an earlier session may live on
    _note_packet_nb(shard, rx, code, end, now_ns)
    if code != Packet.DATA:
        count_nb(shard, Count.HEARTBEATS, 1)
        return
    packet["seq"] = seq
    packet["end"] = end
    packet["size"] = rx.parsed[3] - rx.parsed[2]
    _sequence_nb(shard, venue, buf, rx.parsed[2], now_ns)
    if line == RECOVERY:
        ask_for_rest_nb(shard, rx, venue, seq, end)


@outline_kernel
def drain_window_nb(shard: Shard, venue: Venue, now_ns: int) -> int:
    """Apply up to BATCH kept packets whose turn has come; how many. While a snapshot is awaited
    they stay.
    """
    window = shard.window
    done = 0
    if shard.channel[0]["held"]:
        return 0
    while done < BATCH and window.meta[1] > 0:
        head = window.meta[0] & (window.entries.shape[0] - 1)
        entry = window.entries[head]
        if entry["seq"] > shard.channel[0]["next_seq"]:
            break
        if entry["end"] > shard.channel[0]["next_seq"]:
            at = np.int64(entry["slot"]) * window.slot_bytes
            _apply_packet_nb(shard, venue, window.payload, at, window.entries[head : head + 1])
            note_progress_nb(shard.channel, now_ns)
        else:
            # Another line's copy was applied while this one waited.
            count_nb(shard, Count.DUPLICATE_PACKETS, 1)
        window_drop_first_nb(window)
        done += 1
    return done


@outline_kernel
def show_book_nb(shard: Shard) -> None:
    """Copy the top of the wanted book for the control plane, if it waits for one."""
    if load_acquire(shard.control, Control.WATCH) != Watch.WANTED:
        return
    book = shard.book
    instrument = load_acquire(shard.control, Control.WATCH_INSTRUMENT)
    for side in range(2):
        shown = best_levels_nb(book, 2 * instrument + side, shard.watched[side])
        shard.watched_info[2 + side] = shown
    shard.watched_info[0] = shard.channel[0]["next_seq"]
    shard.watched_info[1] = shard.channel[0]["state"]
    store_release(shard.control, Control.WATCH, np.int64(Watch.READY))


@kernel
def clear_asked_stats_nb(shard: Shard) -> None:
    """Begin anew with the price statistics that the control plane named, if it waits for that."""
    asked = load_acquire(shard.control, Control.CLEAR_STATS)
    if asked != 0:
        clear_stats_nb(shard.summaries, asked if asked == EVERY_INSTRUMENT else asked - 1)
        store_release(shard.control, Control.CLEAR_STATS, np.int64(0))


@kernel
def wake_worker_nb(shard: Shard, rx: Receiver) -> None:
    """There may be ticks: wake the worker if it sleeps."""
    if load_acquire(shard.control, Control.WORKER_ASLEEP):
        wake_nb(shard, rx, Setting.WORK_FD)


@outline_kernel
def receive_line_nb(shard: Shard, rx: Receiver, venue: Venue, line: int) -> int:
    """Receive and sequence up to BATCH datagrams of one line; how many."""
    first = line * BATCH
    for i in range(first, first + BATCH):
        rx.batch.headers[i]["controllen"] = CONTROL_BYTES
    at = rx.headers_at + first * _HEADER_BYTES
    count = recvmmsg(rx.fds[line], at, BATCH, MSG_DONTWAIT, 0)
    if count <= 0:
        return 0
    now_ns = clock_ns(CLOCK_MONOTONIC)
    wall_ns = clock_ns(CLOCK_REALTIME)
    for i in range(first, first + count):
        # cmsghdr is 16 bytes, then struct timespec (SO_TIMESTAMPNS); without one the time of this
        # call stands in.
        ts_rx_ns = wall_ns
        if rx.batch.headers[i]["controllen"] > 0:
            ts_rx_ns = rx.batch.control[i, 2] * _NS_PER_S + rx.batch.control[i, 3]
        packet = shard.packet[0]
        packet["line"] = line
        packet["ts_rx_ns"] = ts_rx_ns
        packet["size"] = rx.batch.headers[i]["size"]
        record_nb(shard.histograms[Histogram.STAGE_RECEIVE], wall_ns - ts_rx_ns)
        take_packet_nb(shard, rx, venue, rx.batch.payload, i * rx.slot_bytes, now_ns)
    return count


@kernel
def _receive_open_stream_nb(shard: Shard, rx: Receiver, venue: Venue) -> int:
    """Read and sequence up to BATCH packets of the connection; how many."""
    stream = rx.stream
    now_ns = clock_ns(CLOCK_MONOTONIC)
    if stream.places[Place.IS_IDLE]:
        reason = fill_stream_nb(stream, clock_ns(CLOCK_REALTIME))
        if reason != Reason.NONE:
            lose_link_nb(stream, np.int64(reason))
            return 0
    count_nb(shard, Count.STREAM_BYTES, stream.places[Place.NEW_BYTES])
    stream.places[Place.NEW_BYTES] = 0
    heard = stream.words[StreamWord.HEARD]
    gaps = stream.words[StreamWord.GAPS]
    done = 0
    while done < BATCH and stream.shared[Shared.LINK] == Link.OPEN:
        size = read_packet_nb(stream, venue, now_ns)
        if size == 0:
            break
        packet = shard.packet[0]
        packet["line"] = 0
        packet["ts_rx_ns"] = stream.places[Place.RX_NS]
        packet["size"] = size
        take_packet_nb(shard, rx, venue, stream.out, np.int64(0), now_ns)
        done += 1
    count_nb(shard, Count.STREAM_MESSAGES, stream.words[StreamWord.HEARD] - heard)
    count_nb(shard, Count.GAPS, stream.words[StreamWord.GAPS] - gaps)
    return done


@outline_kernel
def receive_stream_nb(shard: Shard, rx: Receiver, venue: Venue) -> int:
    """A round with the feed's TCP connection; packets handled."""
    stream = rx.stream
    work = 0
    fd = np.int64(-1)
    if load_acquire(stream.shared, Shared.LINK) == Link.OPEN:
        if load_acquire(stream.shared, Shared.ASKED):
            lose_link_nb(stream, np.int64(Reason.ASKED))
        else:
            fd = stream.places[Place.FD]
            work = _receive_open_stream_nb(shard, rx, venue)
    # What to sleep on; a connection that was given back may be closed at once.
    rx.pollfds[0]["fd"] = fd if stream.shared[Shared.LINK] == Link.OPEN else -1
    suspect = shard.channel[0]["suspect"] or load_acquire(stream.shared, Shared.DOUBT) > 0
    shard.counts[Count.BOOKS_SUSPECT, 0] = suspect
    return work


@kernel
def beat_nb(shard: Shard, row: int) -> int:
    """Note that an agent makes a round; the time for timers, ns of CLOCK_MONOTONIC."""
    now_ns = clock_ns(CLOCK_MONOTONIC)
    shard.counts[row, BEAT_WALL] = clock_ns(CLOCK_REALTIME)
    shard.counts[row, BEAT_STEADY] = now_ns
    return now_ns


@kernel
def poll_once_nb(shard: Shard, rx: Receiver, venue: Venue) -> int:
    """One round of the receiving thread; datagrams and kept packets handled."""
    work = 0
    take_rules_nb(shard)
    for line in range(LINES):
        if rx.fds[line] >= 0:
            work += receive_line_nb(shard, rx, venue, line)
    if has_stream_nb(rx.stream):
        work += receive_stream_nb(shard, rx, venue)
    now_ns = beat_nb(shard, Count.RX_HEARTBEAT_NS)
    follow_snapshot_nb(shard, rx, venue, now_ns)
    drained = drain_window_nb(shard, venue, now_ns)
    feeds = shard.settings[Setting.FEEDS]
    if feeds:
        hear_doubt_nb(shard)
    # While kept packets are still due, nothing is known to be missing: the next round goes on.
    if drained < BATCH:
        advance_nb(shard, rx, venue, now_ns)
    if feeds:
        hand_state_nb(shard)
    show_book_nb(shard)
    clear_asked_stats_nb(shard)
    return work + drained


@kernel
def beat_for_both_nb(shard: Shard) -> None:
    """Where one thread is receiver and worker, the one's round is the other's."""
    for word in (BEAT_WALL, BEAT_STEADY):
        beat = shard.counts[Count.RX_HEARTBEAT_NS, word]
        shard.counts[Count.WORKER_HEARTBEAT_NS, word] = beat


@kernel
def may_sleep_nb(strategy: int, idle_rounds: int) -> int:
    """No work was found for `idle_rounds` rounds: 1 when the thread may sleep now, else 0, and the
    little that it waits instead is over.
    """
    spins = _SPINS_OF_REST if strategy == Idle.REST else _SPINS
    if strategy == Idle.SPIN or idle_rounds < spins:
        spin_pause()
        return 0
    if strategy == Idle.YIELD:
        sched_yield()
        return 0
    return 1


@kernel
def _idle_nb(rx: Receiver, strategy: int, idle_rounds: int) -> None:
    """No work was found for `idle_rounds` rounds."""
    if may_sleep_nb(strategy, idle_rounds):
        poll(rx.pollfds.ctypes.data, LINES, SLEEP_MS)


@kernel
def _sleep_until_ticks_nb(shard: Shard, rx: Receiver) -> None:
    """The worker found no tick: sleep until the receiver wakes it. A wake-up that a race loses is
    made up for by the end of the sleep.
    """
    store_release(shard.control, Control.WORKER_ASLEEP, np.int64(1))
    if not has_ticks_nb(shard) and load_acquire(shard.control, Control.RX_STOPPED) == 0:
        rx.work_pollfd[0]["fd"] = shard.settings[Setting.WORK_FD]
        if poll(rx.work_pollfd.ctypes.data, 1, SLEEP_MS) > 0:
            read(shard.settings[Setting.WORK_FD], rx.drained.ctypes.data, 8)
    store_release(shard.control, Control.WORKER_ASLEEP, np.int64(0))


@kernel
def run_inline_nb(
    shard: Shard, rx: Receiver, venue: Venue, breakers: Any, patterns: Any, sender: Sender
) -> int:
    """Receive and work on one thread until control[STOP]; rounds made."""
    rounds = 0
    idle_rounds = 0
    strategy = shard.settings[Setting.IDLE]
    while load_acquire(shard.control, Control.STOP) == 0:
        signals = shard.signal_count[0]
        work = poll_once_nb(shard, rx, venue)
        work += drain_lanes_nb(shard, breakers, patterns, sender, shard.ticks.shape[0])
        if shard.signal_count[0] != signals:
            wake_nb(shard, rx, Setting.SIGNAL_FD)
        beat_for_both_nb(shard)
        rounds += 1
        idle_rounds = 0 if work else idle_rounds + 1
        if idle_rounds:
            _idle_nb(rx, strategy, idle_rounds)
    drain_lanes_nb(shard, breakers, patterns, sender, shard.ticks.shape[0])
    wake_nb(shard, rx, Setting.SIGNAL_FD)
    return rounds


@kernel
def run_receiver_nb(shard: Shard, rx: Receiver, venue: Venue) -> int:
    """The receiving thread of the pipelined topology, or the one before several shards, until
    control[STOP]; rounds made.
    """
    rounds = 0
    idle_rounds = 0
    strategy = shard.settings[Setting.IDLE]
    while load_acquire(shard.control, Control.STOP) == 0:
        work = poll_once_nb(shard, rx, venue)
        if work:
            wake_worker_nb(shard, rx)
            wake_takers_nb(shard.broadcast, rx.wakeup)
        rounds += 1
        idle_rounds = 0 if work else idle_rounds + 1
        if idle_rounds:
            _idle_nb(rx, strategy, idle_rounds)
    store_release(shard.control, Control.RX_STOPPED, np.int64(1))
    broadcast_close_nb(shard.broadcast)
    return rounds


@kernel
def run_worker_nb(shard: Shard, rx: Receiver, breakers: Any, patterns: Any, sender: Sender) -> int:
    """The worker's thread of the pipelined topology: until the receiver has stopped and the lanes
    are empty; ticks worked on.
    """
    total = 0
    idle_rounds = 0
    strategy = shard.settings[Setting.IDLE]
    while True:
        stopping = load_acquire(shard.control, Control.RX_STOPPED)
        signals = shard.signal_count[0]
        work = drain_lanes_nb(shard, breakers, patterns, sender, CHUNK)
        total += work
        if shard.signal_count[0] != signals:
            wake_nb(shard, rx, Setting.SIGNAL_FD)
        beat_nb(shard, Count.WORKER_HEARTBEAT_NS)
        if work == 0 and stopping:
            return total
        idle_rounds = 0 if work else idle_rounds + 1
        if may_sleep_nb(strategy, idle_rounds):
            _sleep_until_ticks_nb(shard, rx)
