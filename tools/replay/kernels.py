"""Loops that feed the engine from memory: blocks of a BinaryFILE, and datagrams of a capture.

Both do a bounded amount and return; the caller empties what was recorded and calls again. Where
they stop never changes what they do: the order of ticks, and so every signal, depends on the input
alone, at any speed.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.api import Packet as PacketCode
from feedhandler.core.api import Venue
from feedhandler.core.engine import (
    apply_blocks_nb,
    close_stash_nb,
    fill_stash_nb,
    prefetch_rows_nb,
    show_progress_nb,
    take_rows_nb,
)
from feedhandler.core.events import Kind
from feedhandler.core.functions import Meta
from feedhandler.core.receive import drain_window_nb, take_packet_nb
from feedhandler.core.receiver import Receiver
from feedhandler.core.recovery import advance_nb, skip_hole_nb
from feedhandler.core.ring import ring_size_nb
from feedhandler.core.sequence import WINDOW_COUNT, WINDOW_FREE, WINDOW_HEAD
from feedhandler.core.shard import CHUNK, ROUNDS_AHEAD_MAX, Setting, Shard
from feedhandler.core.stages import drain_lanes_nb
from feedhandler.core.states import State
from protocols.binaryfile.kernels import index_messages_nb
from protocols.errors import Status
from protocols.jit import kernel
from protocols.vectors import prefetch
from protocols.wire import Bytes
from tools.replay.rounds import ROWS_A_ROUND_MAX, Work, hand_round_nb, wait_for_places_nb

FOREVER_NS = 2**62
"""UNTIL_NS of a replay that is not paced; every event time is below it."""


class Cursor(IntEnum):
    """Words of the cursor that a replay loop advances."""

    AT = 0
    """Next byte of a file, next packet of a capture."""
    STOP = 1
    ROUNDS = 2
    """Rounds that are left to do before a loop returns; each takes one."""
    UNTIL_NS = 3
    """Event time that is due; what is later waits."""
    EVENT_NS = 4
    """Event time that was reached, or that the next round waits for."""
    IS_SETTLED = 5
    """Datagrams: 1 when the channel's state follows from the packets taken so far."""


CURSOR_WORDS = 8
_LINE_BYTES = 64


@kernel
def _parse_nb(
    venue: Venue,
    buf: Bytes,
    extra: Bytes,
    where: NDArray[np.int64],
    session: Bytes,
    parsed: NDArray[np.int64],
) -> int:
    """What the venue makes of the datagram of where[1] bytes at where[0], through buf and extra."""
    at = where[0]
    if at < buf.shape[0]:
        return venue.parse_packet(buf, at, where[1], session, parsed)
    return venue.parse_packet(extra, at - buf.shape[0], where[1], session, parsed)


@kernel
def number_lines_nb(
    venue: Venue,
    buf: Bytes,
    extra: Bytes,
    packets: NDArray[np.int64],
    session: Bytes,
    parsed: NDArray[np.int64],
    lines: NDArray[np.int64],
) -> int:
    """Number the flows of a capture that carry the session, by their first packet of it; how many
    they are. What else was captured on the way is no line.

    Shapes:  packets i64[4, n], rows ts_ns, at (through buf and then extra), size, flow; session as
             in `Receiver`, filled by the first packet that is well formed where it is empty; parsed
             scratch, as there;
             lines i64[flows], -1 at the start, and after it for a flow without such a packet.
    """
    count = 0
    for i in range(packets.shape[1]):
        flow = packets[3, i]
        if lines[flow] >= 0:
            continue
        code = _parse_nb(venue, buf, extra, packets[1:3, i], session, parsed)
        if code < PacketCode.WRONG_SESSION:
            lines[flow] = count
            count += 1
    return count


@kernel
def has_room_nb(shard: Shard, work: Work) -> int:
    """1 while one more round fits the recorded best prices and the signals. A worker of its own
    sees to the latter, and is waited for where it is far behind.
    """
    bbo_left = shard.bbo.shape[0] - shard.bbo_count[0]
    if shard.settings[Setting.RECORD_BBO] and bbo_left < ROWS_A_ROUND_MAX:
        return 0
    if work.rounds.is_on[0]:
        return wait_for_places_nb(work.rounds, np.int64(1 + ROUNDS_AHEAD_MAX))
    return int(shard.signals.cells.shape[0] - ring_size_nb(shard.signals) >= ROWS_A_ROUND_MAX)


@kernel
def _work_nb(shard: Shard, work: Work) -> None:
    """A round is in the lanes: work it off, or have the worker do so."""
    if work.rounds.is_on[0]:
        hand_round_nb(shard, work.rounds)
    else:
        most = shard.ticks.shape[0]
        drain_lanes_nb(shard, work.breakers, work.patterns, work.sender, most)


@kernel
def event_time_nb(shard: Shard, venue: Venue, buf: Bytes, at: int) -> int:
    """Event time of the message whose block starts at buf[at], ns; 0 when the venue does not know
    the message. A free tick is overwritten.
    """
    fill_stash_nb(shard, 1)
    venue.normalise(buf, at, 1, shard.ticks, shard.stash)
    tick = shard.ticks[shard.stash[0]]
    return np.int64(0) if tick["kind"] == Kind.NONE else np.int64(tick["ts_exch_ns"])


@kernel
def _apply_own_nb(shard: Shard, venue: Venue, work: Work, buf: Bytes, count: int) -> None:
    """Apply and work on what this shard takes of the `count` messages that begin where split.blocks
    says and come next in the feed.

    They are decoded in one go, so that there is something to ask the memory for ahead. But ticks
    are looked at after each CHUNK messages of the feed, as by a shard that has them all: what a
    pattern sees, and when, does not depend on the number of shards.
    """
    split, channel = shard.split, shard.channel[0]
    seq = np.int64(channel["next_seq"])
    fill_stash_nb(shard, count)
    own = venue.normalise_own(
        buf, split.blocks, count, split.roles.taken, split.offsets, shard.ticks, shard.stash
    )
    prefetch_rows_nb(shard, own)
    # Without a function nobody can tell when a tick is looked at.
    is_seen = shard.breakers.meta[Meta.FUNCTIONS] + shard.patterns.meta[Meta.FUNCTIONS] > 0
    step = np.int64(CHUNK if is_seen else CHUNK * ROUNDS_AHEAD_MAX)
    first = np.int64(0)
    for done in range(step, count + step, step):
        last = first
        while last < own and split.offsets[last] < done:
            last += 1
        if last > first:
            take_rows_nb(shard, first, last, own, seq, shard.packet)
            channel["next_seq"] = seq + min(done, count)
            _work_nb(shard, work)
        first = last
    channel["next_seq"] = seq + count
    close_stash_nb(shard, own)
    show_progress_nb(shard)


@kernel
def _prefetch_bytes_nb(buf: Bytes, at: int, size: int) -> None:
    """Ask for the bytes that the next round will look through block by block."""
    for ahead in range(0, size, _LINE_BYTES):
        prefetch(buf, at + ahead)


@kernel
def replay_blocks_nb(
    shard: Shard,
    venue: Venue,
    work: Work,
    buf: Bytes,
    cursor: NDArray[np.int64],
) -> int:
    """Replay blocks of buf[cursor[AT] : cursor[STOP]] in chunks of CHUNK messages (of several
    shards as many chunks at once), for at most cursor[ROUNDS] rounds, until the last message of a
    chunk is later than cursor[UNTIL_NS].

    Shapes:  cursor i64[CURSOR_WORDS].
    Returns: Status: OK at the end of the bytes, TRUNCATED within a message, OUTPUT_FULL when the
        caller is to call again.
    """
    channel = shard.channel[0]
    packet = shard.packet[0]
    blocks = shard.split.blocks
    if cursor[Cursor.UNTIL_NS] < FOREVER_NS:
        blocks = blocks[: CHUNK + 1]
    while cursor[Cursor.ROUNDS] > 0:
        cursor[Cursor.ROUNDS] -= 1
        if not has_room_nb(shard, work):
            return Status.OUTPUT_FULL
        at = cursor[Cursor.AT]
        stop = cursor[Cursor.STOP]
        count, used, status = index_messages_nb(buf, at, stop, blocks)
        _prefetch_bytes_nb(buf, at + used, used)
        if count > 0 and cursor[Cursor.UNTIL_NS] < FOREVER_NS:
            cursor[Cursor.EVENT_NS] = event_time_nb(shard, venue, buf, blocks[count - 1])
            if cursor[Cursor.EVENT_NS] > cursor[Cursor.UNTIL_NS]:
                return Status.OUTPUT_FULL
        packet["seq"] = channel["next_seq"]
        packet["end"] = channel["next_seq"] + count
        if shard.settings[Setting.SHARDS] <= 1:
            apply_blocks_nb(shard, venue, buf, at, shard.packet)
            _work_nb(shard, work)
        else:
            _apply_own_nb(shard, venue, work, buf, count)
        cursor[Cursor.AT] = at + used
        if status == Status.TRUNCATED or status == Status.OK:
            return status
    return Status.OUTPUT_FULL


@kernel
def _settle_nb(shard: Shard, venue: Venue, work: Work, now_ns: int) -> int:
    """Apply kept packets whose turn has come and empty the lanes; 1 when there may be more."""
    packets = drain_window_nb(shard, venue, now_ns)
    _work_nb(shard, work)
    return int(packets > 0)


@kernel
def _hole_seen_nb(shard: Shard, otherwise_ns: int) -> int:
    """When the first packet that is kept behind a hole came, ns; `otherwise_ns` where none is."""
    window = shard.window
    if window.meta[WINDOW_COUNT] == 0:
        return otherwise_ns
    first = window.entries[window.meta[WINDOW_HEAD] & (window.entries.shape[0] - 1)]
    return np.int64(first["ts_rx_ns"])


@kernel
def _advance_nb(shard: Shard, rx: Receiver, venue: Venue, now_ns: int) -> None:
    """Move the channel's state; each hole waits its own time for the other line.

    A live channel with one hole behind it asks for what is missing without waiting again; here
    there is nobody to ask, and the message may stand a few packets further on.
    """
    channel = shard.channel[0]
    if channel["state"] == State.RECOVERING:
        channel["state"] = State.GAP
        channel["gap_since_ns"] = now_ns
    if channel["state"] == State.GAP:
        channel["gap_since_ns"] = _hole_seen_nb(shard, np.int64(channel["gap_since_ns"]))
    advance_nb(shard, rx, venue, now_ns)


@kernel
def has_data_nb(
    venue: Venue,
    buf: Bytes,
    extra: Bytes,
    packets: NDArray[np.int64],
    session: Bytes,
    parsed: NDArray[np.int64],
) -> int:
    """1 when any of packets (as for `replay_datagrams_nb`) is one of the venue with messages in it.

    Shapes:  session u8[64], zeros, and parsed i64[4], both scratch.
    """
    for i in range(packets.shape[1]):
        session[0] = 0
        code = _parse_nb(venue, buf, extra, packets[1:3, i], session, parsed)
        if code == PacketCode.DATA:
            return 1
    return 0


@kernel
def replay_datagrams_nb(
    shard: Shard,
    rx: Receiver,
    venue: Venue,
    work: Work,
    buf: Bytes,
    extra: Bytes,
    packets: NDArray[np.int64],
    cursor: NDArray[np.int64],
) -> int:
    """Replay packets[:, cursor[AT] : cursor[STOP]], for at most cursor[ROUNDS] rounds, until
    a packet is later than cursor[UNTIL_NS].

    Shapes:  packets i64[4, n], rows ts_ns, at, size, line, where `at` counts through buf u8[] and
             then extra u8[]; cursor i64[CURSOR_WORDS], with IS_SETTLED 1 at the start.
    Returns: Status: OK when all are done, OUTPUT_FULL when the caller is to call again.
    """
    while cursor[Cursor.ROUNDS] > 0:
        cursor[Cursor.ROUNDS] -= 1
        if not has_room_nb(shard, work):
            return Status.OUTPUT_FULL
        if _settle_nb(shard, venue, work, cursor[Cursor.EVENT_NS]):
            continue
        if not cursor[Cursor.IS_SETTLED]:
            # It may give up a hole, and then there are kept packets to apply.
            _advance_nb(shard, rx, venue, cursor[Cursor.EVENT_NS])
            cursor[Cursor.IS_SETTLED] = 1
            continue
        if shard.window.meta[WINDOW_FREE] == 0:
            # Nobody waits in a replay: the hole is given up before a packet has to be thrown away.
            skip_hole_nb(shard, rx)
            continue
        i = cursor[Cursor.AT]
        if i >= cursor[Cursor.STOP]:
            return Status.OK
        now_ns = packets[0, i]
        cursor[Cursor.EVENT_NS] = now_ns
        if now_ns > cursor[Cursor.UNTIL_NS]:
            return Status.OUTPUT_FULL
        packet = shard.packet[0]
        packet["ts_rx_ns"] = now_ns
        packet["size"] = packets[2, i]
        packet["line"] = packets[3, i]
        at = packets[1, i]
        if at < buf.shape[0]:
            take_packet_nb(shard, rx, venue, buf, at, now_ns)
        else:
            take_packet_nb(shard, rx, venue, extra, at - buf.shape[0], now_ns)
        cursor[Cursor.AT] = i + 1
        cursor[Cursor.IS_SETTLED] = 0
    return Status.OUTPUT_FULL


@kernel
def finish_datagrams_nb(
    shard: Shard, rx: Receiver, venue: Venue, work: Work, cursor: NDArray[np.int64]
) -> int:
    """After the last packet: give up each hole that is still open and apply what follows it.

    Returns: Status: OK when nothing is missing or kept any more, OUTPUT_FULL to call again.
    """
    channel = shard.channel[0]
    while cursor[Cursor.ROUNDS] > 0:
        cursor[Cursor.ROUNDS] -= 1
        if not has_room_nb(shard, work):
            return Status.OUTPUT_FULL
        if _settle_nb(shard, venue, work, cursor[Cursor.EVENT_NS]):
            continue
        is_whole = channel["next_seq"] >= channel["highest_seq"]
        if is_whole and shard.window.meta[WINDOW_COUNT] == 0:
            return Status.OK
        # The stamps of a capture may go back: time goes on from the latest that matters.
        now_ns = max(cursor[Cursor.EVENT_NS], _hole_seen_nb(shard, cursor[Cursor.EVENT_NS]))
        cursor[Cursor.EVENT_NS] = now_ns + channel["reorder_ns"] + 1
        _advance_nb(shard, rx, venue, cursor[Cursor.EVENT_NS])
    return Status.OUTPUT_FULL
