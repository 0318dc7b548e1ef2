"""The order of packets on one channel: A/B arbitration, reorder window, gaps, re-requests, and the
state that users see.

    DOWN ──► SYNCING ──► LIVE ──► GAP ──► RECOVERING ──► LIVE
                                                └──► STALE (nothing helped)
    silence: LIVE ──► STALE ──► LIVE        end of session: ENDED

A packet is (seq, end, bytes): messages seq .. end - 1. The first arrival on any line wins. A packet
ahead of its turn waits in the window, sorted by sequence number; the hole before it is asked for
again after `reorder_ns`, chunk by chunk, and when that does not help within `tries_max`, or the
hole is larger than `snapshot_above`, a snapshot is asked for. After SNAPSHOT_TRIES snapshots that
did not help the hole is asked for by requests alone, and given up when those do not help either.
Books that may be wrong ask for a snapshot too, and live packets wait for it in the window. While
the state is not LIVE every tick is flagged IN_DOUBT and no signal leaves.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.libc import copy_bytes_nb
from feedhandler.core.lines import zeros
from feedhandler.core.states import State
from protocols.by_reference import by_reference
from protocols.jit import kernel


class Stored(IntEnum):
    """What became of a packet that was ahead of its turn."""

    KEPT = 0
    DUPLICATE = 1
    FULL = 2


CHANNEL = np.dtype(
    [
        ("state", "i8"),
        ("next_seq", "i8"),
        ("highest_seq", "i8"),
        ("end_seq", "i8"),
        ("heard_seq", "i8"),
        ("heard_since_ns", "i8"),
        ("told_seq", "i8"),
        ("last_packet_ns", "i8"),
        ("last_rx_ns", "i8"),
        ("gap_since_ns", "i8"),
        ("request_seq", "i8"),
        ("request_ns", "i8"),
        ("request_tries", "i8"),
        ("snapshot_after_ns", "i8"),
        ("snapshot_failures", "i8"),
        ("held", "i8"),
        ("suspect", "i8"),
        ("reorder_ns", "i8"),
        ("request_timeout_ns", "i8"),
        ("tries_max", "i8"),
        ("request_chunk", "i8"),
        ("request_window", "i8"),
        ("snapshot_above", "i8"),
        ("stale_after_ns", "i8"),
        ("can_request", "i8"),
        ("can_snapshot", "i8"),
        ("strict", "i8"),
    ]
)
"""One row a channel: its state, then its settings (from `reorder_ns` on). Sequence numbers are
those of the next message; `highest_seq` is one past the last message that any packet or heartbeat
has told of, `heard_seq` the same for the packets since `heard_since_ns`, all of which told of less
(0: the last one did not), `told_seq` for those since a snapshot was asked for. Times are those of
the caller's clock for timers, but `last_rx_ns`, which is the receive stamp of the packet at
`last_packet_ns`. `held` 1: packets wait in the window for a snapshot. `strict` 1: a message that
contradicts the books makes them suspect (a replay of half a day has such messages)."""

SNAPSHOT_TRIES = 3
"""Snapshots in a row without a use after which requests go on alone."""
SNAPSHOT_PAUSE_NS = 1_000_000_000
SNAPSHOT_SLOW_PAUSE_NS = 60_000_000_000
"""Until the next snapshot once SNAPSHOT_TRIES failed: each one may stop the books for a moment."""

ENTRY = np.dtype(
    [
        ("seq", "i8"),
        ("end", "i8"),
        ("slot", "i4"),
        ("size", "i4"),
        ("ts_rx_ns", "i8"),
        ("line", "i8"),
    ]
)

WINDOW_HEAD = 0
WINDOW_COUNT = 1
WINDOW_FREE = 2


@by_reference
class Window(NamedTuple):
    """Packets ahead of their turn: `entries` is a circular array sorted by seq, `payload` holds
    their bytes by slot.
    """

    entries: NDArray[np.void]
    payload: NDArray[np.uint8]
    free_slots: NDArray[np.int32]
    meta: NDArray[np.int64]
    slot_bytes: int


def allocate_window(packets: int, slot_bytes: int) -> Window:
    """An empty window for `packets` (a power of two) packets of at most `slot_bytes` bytes."""
    if packets < 1 or packets & (packets - 1):
        raise ValueError(f"a window holds a power of two of packets, not {packets}")
    meta = zeros(3)
    meta[WINDOW_FREE] = packets
    return Window(
        zeros(packets, ENTRY),
        zeros(packets * slot_bytes, np.uint8),
        np.arange(packets - 1, -1, -1, dtype=np.int32),
        meta,
        slot_bytes,
    )


@kernel
def _copy_entry_nb(window: Window, to_position: int, from_position: int) -> None:
    mask = window.entries.shape[0] - 1
    window.entries[to_position & mask] = window.entries[from_position & mask]


@kernel
def _open_place_nb(window: Window, place: int) -> int:
    """Make room at `place` (0 = first) by moving the shorter side; position of the free entry."""
    head = window.meta[WINDOW_HEAD]
    count = window.meta[WINDOW_COUNT]
    if place < count - place:
        for i in range(place):
            _copy_entry_nb(window, head - 1 + i, head + i)
        window.meta[WINDOW_HEAD] = head - 1
    else:
        for i in range(count, place, -1):
            _copy_entry_nb(window, head + i, head + i - 1)
    window.meta[WINDOW_COUNT] = count + 1
    return (window.meta[WINDOW_HEAD] + place) & (window.entries.shape[0] - 1)


@kernel
def window_store_nb(
    window: Window, packet: NDArray[np.void], buf: NDArray[np.uint8], at: int, reserved: int
) -> int:
    """Keep the bytes buf[at : at + size] of packet[0] (an ENTRY without slot) until its turn, if
    that leaves `reserved` slots to others; returns Stored.
    """
    given = packet[0]
    seq = np.int64(given["seq"])
    mask = window.entries.shape[0] - 1
    head = window.meta[WINDOW_HEAD]
    low = np.int64(0)
    high = window.meta[WINDOW_COUNT]
    while low < high:
        middle = (low + high) >> 1
        if window.entries[(head + middle) & mask]["seq"] <= seq:
            low = middle + 1
        else:
            high = middle
    if low > 0 and window.entries[(head + low - 1) & mask]["end"] >= given["end"]:
        return Stored.DUPLICATE
    if window.meta[WINDOW_FREE] <= reserved or given["size"] > window.slot_bytes:
        return Stored.FULL
    window.meta[WINDOW_FREE] -= 1
    slot = np.int64(window.free_slots[window.meta[WINDOW_FREE]])
    size = np.int64(given["size"])
    copy_bytes_nb(window.payload, slot * window.slot_bytes, buf, at, size)
    entry = window.entries[_open_place_nb(window, low)]
    entry["seq"] = seq
    entry["end"] = given["end"]
    entry["slot"] = slot
    entry["size"] = size
    entry["ts_rx_ns"] = given["ts_rx_ns"]
    entry["line"] = given["line"]
    return Stored.KEPT


@kernel
def window_drop_first_nb(window: Window) -> None:
    """Forget the first entry and free its slot."""
    position = window.meta[WINDOW_HEAD] & (window.entries.shape[0] - 1)
    window.free_slots[window.meta[WINDOW_FREE]] = window.entries[position]["slot"]
    window.meta[WINDOW_FREE] += 1
    window.meta[WINDOW_HEAD] += 1
    window.meta[WINDOW_COUNT] -= 1


@kernel
def window_end_nb(window: Window) -> int:
    """One past the last message of all packets kept, 0 when there is none."""
    head = window.meta[WINDOW_HEAD]
    mask = window.entries.shape[0] - 1
    end = np.int64(0)
    for i in range(window.meta[WINDOW_COUNT]):
        end = max(end, np.int64(window.entries[(head + i) & mask]["end"]))
    return end


@kernel
def believe_nb(channel: NDArray[np.void], window: Window, end: int) -> None:
    """No message from `end` on was sent yet, whatever was told before: forget packets and an end of
    session beyond it.
    """
    row = channel[0]
    highest_seq = max(end, np.int64(row["next_seq"]))
    row["highest_seq"] = highest_seq
    row["heard_seq"] = 0
    if row["end_seq"] > highest_seq:
        row["end_seq"] = 0
    mask = window.entries.shape[0] - 1
    while window.meta[WINDOW_COUNT] > 0:
        position = (window.meta[WINDOW_HEAD] + window.meta[WINDOW_COUNT] - 1) & mask
        if window.entries[position]["end"] <= highest_seq:
            break
        window.free_slots[window.meta[WINDOW_FREE]] = window.entries[position]["slot"]
        window.meta[WINDOW_FREE] += 1
        window.meta[WINDOW_COUNT] -= 1


@kernel
def hear_nb(channel: NDArray[np.void], window: Window, end: int, now_ns: int) -> None:
    """A packet of a line, no old one, told that messages up to `end` - 1 were sent.

    One false packet must not leave a hole for ever that nobody can fill: when all packets of
    `stale_after_ns` told of less than the highest number, theirs is believed.
    """
    row = channel[0]
    if end >= row["highest_seq"]:
        row["highest_seq"] = end
        row["heard_seq"] = 0
        return
    if row["heard_seq"] == 0:
        row["heard_since_ns"] = now_ns
    row["heard_seq"] = max(np.int64(row["heard_seq"]), end)
    if now_ns - row["heard_since_ns"] > row["stale_after_ns"]:
        believe_nb(channel, window, np.int64(row["heard_seq"]))


@kernel
def next_hole_nb(
    channel: NDArray[np.void], window: Window, start: int, hole: NDArray[np.int64]
) -> int:
    """The first missing stretch at or after `start`: hole[0] .. hole[1] - 1; 1, or 0 when nothing
    more is missing.
    """
    row = channel[0]
    seq = max(start, np.int64(row["next_seq"]))
    head = window.meta[WINDOW_HEAD]
    mask = window.entries.shape[0] - 1
    for i in range(window.meta[WINDOW_COUNT]):
        entry = window.entries[(head + i) & mask]
        if entry["seq"] >= row["highest_seq"]:
            break
        if entry["seq"] > seq:
            hole[0] = seq
            hole[1] = entry["seq"]
            return 1
        seq = max(seq, np.int64(entry["end"]))
    if seq >= row["highest_seq"]:
        return 0
    hole[0] = seq
    hole[1] = row["highest_seq"]
    return 1


@kernel
def note_progress_nb(channel: NDArray[np.void], now_ns: int) -> None:
    """A packet was applied: the re-request clock starts anew."""
    row = channel[0]
    row["request_ns"] = now_ns
    row["request_tries"] = 0


@kernel
def note_snapshot_nb(channel: NDArray[np.void], helped: int, now_ns: int) -> None:
    """A snapshot was loaded, or it failed or was of no use: when the next one may be asked for."""
    row = channel[0]
    row["held"] = 0
    if helped:
        row["snapshot_failures"] = 0
        return
    row["snapshot_failures"] += 1
    given_up = row["snapshot_failures"] >= SNAPSHOT_TRIES
    pause_ns = np.int64(SNAPSHOT_SLOW_PAUSE_NS if given_up else SNAPSHOT_PAUSE_NS)
    row["snapshot_after_ns"] = now_ns + pause_ns
    if row["snapshot_failures"] <= SNAPSHOT_TRIES:
        row["request_tries"] = 0


class Step(IntEnum):
    """What the gap clock asks for."""

    NOTHING = 0
    REQUEST = 1
    SNAPSHOT = 2
    GIVE_UP = 3


@kernel
def _gap_step_nb(channel: NDArray[np.void], now_ns: int) -> int:
    """A hole is open: wait for the other line, ask again, ask for a snapshot, or give up."""
    row = channel[0]
    if row["state"] != State.RECOVERING and now_ns - row["gap_since_ns"] < row["reorder_ns"]:
        return Step.NOTHING
    if row["state"] != State.SYNCING:
        row["state"] = State.RECOVERING
    missing = row["highest_seq"] - row["next_seq"]
    hopes = row["can_snapshot"] and row["snapshot_failures"] < SNAPSHOT_TRIES
    is_due = now_ns >= row["snapshot_after_ns"]
    if row["can_snapshot"] and not hopes and is_due:
        # Requests go on meanwhile, and after the hole was given up nothing is lost by trying.
        row["snapshot_after_ns"] = now_ns + SNAPSHOT_SLOW_PAUSE_NS
        return Step.SNAPSHOT
    is_much = missing > row["snapshot_above"] or row["suspect"]
    wants_snapshot = hopes and (is_much or not row["can_request"])
    if row["can_request"] and not wants_snapshot:
        if now_ns - row["request_ns"] > row["request_timeout_ns"]:
            row["request_tries"] += 1
            row["request_ns"] = now_ns
            row["request_seq"] = row["next_seq"]
        if row["request_tries"] <= row["tries_max"]:
            return Step.REQUEST
    if hopes:
        return Step.SNAPSHOT if is_due else Step.NOTHING
    return Step.GIVE_UP


@kernel
def advance_state_nb(channel: NDArray[np.void], now_ns: int) -> int:
    """Move the state by what is known now; returns the Step to take. The caller has applied all
    that could be applied.
    """
    row = channel[0]
    state = row["state"]
    if state == State.DOWN:
        return Step.NOTHING
    if row["held"]:
        row["state"] = State.RECOVERING
        return Step.NOTHING
    if row["next_seq"] < row["highest_seq"]:
        if state in (State.LIVE, State.STALE, State.ENDED):
            row["state"] = State.GAP
            row["gap_since_ns"] = now_ns
            row["request_seq"] = row["next_seq"]
            row["request_ns"] = now_ns
            row["request_tries"] = 0
            return Step.NOTHING
        return _gap_step_nb(channel, now_ns)
    if row["suspect"]:
        row["state"] = State.STALE
        if row["can_snapshot"] and now_ns >= row["snapshot_after_ns"]:
            return Step.SNAPSHOT
    elif row["end_seq"] > 0 and row["next_seq"] >= row["end_seq"]:
        row["state"] = State.ENDED
    elif now_ns - row["last_packet_ns"] > row["stale_after_ns"]:
        row["state"] = State.STALE
    else:
        row["state"] = State.LIVE
    return Step.NOTHING
