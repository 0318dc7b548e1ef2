"""From one session of a channel to the next, as when a venue fails over or begins anew.

    session A  ... 998 999 | end ─► session B  1 2 3 ...
    numbers    ... 998 999 |                1000 1001 1002 ...

A session numbers its messages from 1. The engine goes on counting instead: what a packet says plus
`BASE` is the number that window, gaps, requests and snapshots know, so nothing behind the receiver
sees a change, and the books stay. Another session is followed once the present one has ended and
all of it was applied: until then its packets are refused, and asked for again afterwards. One that
broke off, silent for as long as makes a channel STALE, may have had messages that nobody knows of:
its open holes are given up, and the books are suspect. So they are when one that was refused is
over before its turn comes. Of a session from which no packet came at all nobody can know.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.api import Packet, Venue
from feedhandler.core.atomics import load_acquire
from feedhandler.core.counts import Count
from feedhandler.core.engine import count_nb, mark_suspect_nb
from feedhandler.core.lines import zeros
from feedhandler.core.sequence import believe_nb, note_progress_nb
from feedhandler.core.shard import Control, Shard
from feedhandler.core.snapshot import MAX_JUMP, Snapshot
from protocols.jit import kernel, outline_kernel

FOLLOWED = -1
"""Instead of a packet's code: it was of a session that was left, and is counted."""
LEFT_MAX = 16
"""Sessions whose late packets are known."""


class Roll(IntEnum):
    """Words of `Sessions.words`."""

    FOLLOWS = 0
    """1: the session was not named by the configuration, so that others may follow it."""
    BASE = 1
    """Messages of all sessions before the present one."""
    LEFT = 2
    """How many sessions were left."""
    OUTDATED = 3
    """1: the snapshot in the making is refused, as its number may be of another session."""
    ASKED_SEQ = 4
    """One past the last message known of when a snapshot was asked for."""


class Sessions(NamedTuple):
    """What a receiver knows of sessions besides the present one: those `left` u8[16, n] (zeros:
    none) with their `bases` i64[16], room for the `other` one of a packet in hand, the one that was
    last refused and waits for its turn (zeros: none), and `words` i64[5].
    """

    left: NDArray[np.uint8]
    bases: NDArray[np.int64]
    other: NDArray[np.uint8]
    waiting: NDArray[np.uint8]
    words: NDArray[np.int64]


def allocate_sessions(session_bytes: int, *, follows: bool) -> Sessions:
    """No session before the first one."""
    words = zeros(len(Roll))
    words[Roll.FOLLOWS] = follows
    left = zeros((LEFT_MAX, session_bytes), np.uint8)
    other, waiting = zeros(session_bytes, np.uint8), zeros(session_bytes, np.uint8)
    return Sessions(left, zeros(LEFT_MAX), other, waiting, words)


@outline_kernel
def meet_session_nb(
    shard: Shard,
    sessions: Sessions,
    present: NDArray[np.uint8],
    parsed: NDArray[np.int64],
    venue: Venue,
    packet: tuple[NDArray[np.uint8], int, int],
) -> int:
    """The packet (buf, at, now_ns) of shard.packet[0] is not of the session `present`: enter its
    session if that is due.

    Returns: its code, with `parsed` filled, when it is of the present session now; WRONG_SESSION
    when it is refused; FOLLOWED when it is a late one of a session that was left, and was counted,
    with (first message, messages) as the engine numbers them in `parsed`.
    """
    buf, at, now_ns = packet
    sessions.other[:] = 0
    size = np.int64(shard.packet[0]["size"])
    code = venue.parse_packet(buf, at, size, sessions.other, parsed)
    if code >= Packet.WRONG_SESSION:
        return np.int64(code)
    place = _place_left_nb(sessions)
    if place >= 0:
        is_data = code == Packet.DATA
        count_nb(shard, Count.DUPLICATE_PACKETS if is_data else Count.HEARTBEATS, 1)
        parsed[0] += sessions.bases[place]
        parsed[1] = parsed[1] if is_data else 0
        return np.int64(FOLLOWED)
    channel = shard.channel[0]
    ended = channel["end_seq"] > 0 and channel["next_seq"] >= channel["end_seq"]
    silent = now_ns - channel["last_packet_ns"] > channel["stale_after_ns"]
    if not sessions.words[Roll.FOLLOWS] or parsed[0] > MAX_JUMP:
        return np.int64(Packet.WRONG_SESSION)
    if not ended and not silent:
        sessions.words[Roll.OUTDATED] = 1
        _copy_nb(sessions.waiting, sessions.other)
        return np.int64(Packet.WRONG_SESSION)
    if not ended:
        _give_up_nb(shard)
    if sessions.waiting[0] and not _is_same_nb(sessions.waiting, sessions.other):
        mark_suspect_nb(shard)
    _enter_nb(shard, sessions, present, now_ns)
    return np.int64(code)


@kernel
def _copy_nb(to: NDArray[np.uint8], session: NDArray[np.uint8]) -> None:
    """A loop: an assignment of arrays might allocate."""
    for i in range(to.shape[0]):
        to[i] = session[i]


@kernel
def _is_same_nb(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> int:
    """1 when both are the same session."""
    for i in range(one.shape[0]):
        if one[i] != other[i]:
            return 0
    return 1


@kernel
def _place_left_nb(sessions: Sessions) -> int:
    """Where the packet's session stands among those that were left; -1 when nowhere."""
    # Places beyond those are zeros, which a forged packet may bear.
    for place in range(min(np.int64(sessions.words[Roll.LEFT]), np.int64(LEFT_MAX))):
        if _is_same_nb(sessions.left[place], sessions.other):
            return place
    return -1


@kernel
def _give_up_nb(shard: Shard) -> None:
    """The present session broke off: what is missing of it stays missing, and nobody knows what
    came after what was told of.
    """
    channel = shard.channel[0]
    highest_seq = np.int64(channel["highest_seq"])
    missing = highest_seq - channel["next_seq"]
    if missing > 0:
        count_nb(shard, Count.UNRECOVERED, missing)
        count_nb(shard, Count.GAPS_UNRECOVERED, 1)
    believe_nb(shard.channel, shard.window, np.int64(channel["next_seq"]))
    channel["next_seq"] = highest_seq
    channel["highest_seq"] = highest_seq
    mark_suspect_nb(shard)


@kernel
def _enter_nb(shard: Shard, sessions: Sessions, present: NDArray[np.uint8], now_ns: int) -> None:
    """The session of the packet in hand is the present one from now on."""
    channel = shard.channel[0]
    place = sessions.words[Roll.LEFT] % LEFT_MAX
    _copy_nb(sessions.left[place], present)
    sessions.bases[place] = sessions.words[Roll.BASE]
    sessions.words[Roll.LEFT] += 1
    _copy_nb(present, sessions.other)
    sessions.waiting[:] = 0
    sessions.words[Roll.BASE] = channel["next_seq"] - 1
    sessions.words[Roll.OUTDATED] = load_acquire(shard.control, Control.SNAPSHOT) != Snapshot.IDLE
    channel["end_seq"] = 0
    channel["heard_seq"] = 0
    note_progress_nb(shard.channel, now_ns)
    count_nb(shard, Count.SESSION_CHANGES, 1)


@kernel
def note_asked_nb(shard: Shard, sessions: Sessions) -> None:
    """A snapshot is asked for now."""
    sessions.words[Roll.OUTDATED] = 0
    sessions.words[Roll.ASKED_SEQ] = shard.channel[0]["highest_seq"]


@kernel
def snapshot_seq_nb(shard: Shard, sessions: Sessions, next_seq: int) -> int:
    """The engine's number of the message that follows a snapshot, of which the venue says
    `next_seq`; 0 when that may be a number of another session than the present one.

    A venue that has sent what we know of cannot have taken a snapshot of less since.
    """
    words = sessions.words
    seq = next_seq + words[Roll.BASE]
    if not words[Roll.FOLLOWS]:
        return np.int64(seq)
    end_seq = np.int64(shard.channel[0]["end_seq"])
    is_beyond = end_seq > 0 and seq > end_seq
    if words[Roll.OUTDATED] or is_beyond or seq < words[Roll.ASKED_SEQ]:
        return np.int64(0)
    return np.int64(seq)
