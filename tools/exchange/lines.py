"""A line: MoldUDP64 packets with the faults that the configuration asks for, and the count of each.

    offered ──a window cuts──► gone                            counted CUT
       │ loss ──► gone                                         counted DROPPED
       │ duplicate: twice; reorder: waits for the next packet and goes behind it
       ▼
    pending (first in, first out, each with the time when it may leave: now + delay)
       ▼
    cut? ──► gone (counted CUT)     else sendmmsg

Heartbeats and ends of session are never lost, doubled or held, and go the rest of the way too.

Windows make a fault worse for some time of the session's own clock, which is the stamp of a
packet's first message: so they take the same messages at any speed. One thread owns a line.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocols.by_reference import by_reference
from protocols.jit import kernel, outline_kernel
from protocols.moldudp64.kernels import END_OF_SESSION, HEADER_BYTES
from tools.exchange.datagrams import (
    PacketBatch,
    allocate_packets,
    put_packet_nb,
    send_packets_nb,
)
from tools.exchange.history import History, oldest_sequence_nb
from tools.exchange.layout import Engine
from tools.exchange.rng import CHANCE_ONE, happens_nb, seed_state
from tools.exchange.sessions import Sessions, own_number_nb, place_of_nb

_NO_BODY = np.int64(0)
_ONE = np.int64(1)
_FOREVER_NS = 1 << 62
BATCH_PACKETS = 64
PENDING_PACKETS = 1 << 16
DELAY_US_MAX = 1_000_000
HELD_NS_MAX = 20_000_000
"""A packet that waits to be overtaken waits no longer than this when nothing follows it."""

# Words of `settings`.
DESCRIPTOR = 0
LOSS = 1
DUPLICATE = 2
REORDER = 3
DELAY_NS = 4
CUT = 5
DATA_AT = 6
"""Address of the history's bytes."""
_SETTING_WORDS = 8

# Columns of `windows`: which of the words LOSS to CUT of `settings` is `VALUE` at least, from when
# until when.
WORD = 0
FROM_NS = 1
UNTIL_NS = 2
VALUE = 3
WINDOW_WORDS = 4

# Words of `state`.
RANDOM = 0
OLDEST = 1
NEWEST = 2
LAST_OFFERED_NS = 3
HELD = 4
HELD_UNTIL_NS = 5
ENDS_OFFERED = 6
"""Ends of session that were offered."""
STEADY_FROM_NS = 7
STEADY_UNTIL_NS = 8
"""No window begins or ends between them: `faults` is right for that time."""
_STATE_WORDS = 16

# Columns of `pending` and words of `held`: one packet.
SEQUENCE = 0
COUNT = 1
OFFSET = 2
BYTES = 3
LEAVES_NS = 4
_PACKET_WORDS = 5

COUNTER_NAMES = (
    "packets_sent",
    "messages_sent",
    "bytes_sent",
    "heartbeats_sent",
    "session_ends_sent",
    "packets_dropped",
    "messages_dropped",
    "packets_duplicated",
    "messages_duplicated",
    "packets_reordered",
    "messages_reordered",
    "packets_delayed",
    "packets_cut",
    "messages_cut",
    "packets_refused",
    "packets_expired",
)
"""Counters of a line. Sent and cut count every packet that was handed to the system, or would have
been: doubles, heartbeats and ends of session included.

Refused by the system, out of those sent; expired: held back for longer than the history lasts.
"""
(
    PACKETS_SENT,
    MESSAGES_SENT,
    BYTES_SENT,
    HEARTBEATS_SENT,
    SESSION_ENDS_SENT,
    PACKETS_DROPPED,
    MESSAGES_DROPPED,
    PACKETS_DUPLICATED,
    MESSAGES_DUPLICATED,
    PACKETS_REORDERED,
    MESSAGES_REORDERED,
    PACKETS_DELAYED,
    PACKETS_CUT,
    MESSAGES_CUT,
    PACKETS_REFUSED,
    PACKETS_EXPIRED,
) = range(len(COUNTER_NAMES))


class LineFaults(NamedTuple):
    """What a line does to its packets; chances from 0 to 1, cuts as (first ns, ns past the last)
    after the session's first message is due, windows as rows of `Line.windows`.
    """

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay_ns: int = 0
    cuts_ns: tuple[tuple[int, int], ...] = ()
    windows: tuple[tuple[int, int, int, int], ...] = ()


@by_reference
class Line(NamedTuple):
    """All memory of a line; see the top of this file."""

    settings: NDArray[np.int64]
    faults: NDArray[np.int64]
    """`settings` with what the windows make of them now."""
    cuts_ns: NDArray[np.int64]
    windows: NDArray[np.int64]
    state: NDArray[np.int64]
    counters: NDArray[np.int64]
    pending: NDArray[np.int64]
    held: NDArray[np.int64]
    sessions: Sessions
    packets: PacketBatch


def allocate_line(
    descriptor: int,
    sessions: Sessions,
    history: History,
    faults: LineFaults,
    random_stream: tuple[int, int],
) -> Line:
    """A line on the connected UDP socket `descriptor`; `random_stream` is (seed, stream)."""
    settings = np.zeros(_SETTING_WORDS, np.int64)
    settings[DESCRIPTOR] = descriptor
    settings[LOSS] = int(faults.loss * CHANCE_ONE)
    settings[DUPLICATE] = int(faults.duplicate * CHANCE_ONE)
    settings[REORDER] = int(faults.reorder * CHANCE_ONE)
    settings[DELAY_NS] = faults.delay_ns
    settings[DATA_AT] = history.data.ctypes.data
    state = np.zeros(_STATE_WORDS, np.int64)
    state[RANDOM] = seed_state(*random_stream)
    return Line(
        settings,
        settings.copy(),
        np.array(faults.cuts_ns, np.int64).reshape(-1, 2),
        np.array(faults.windows, np.int64).reshape(-1, WINDOW_WORDS),
        state,
        np.zeros(len(COUNTER_NAMES), np.int64),
        np.zeros((PENDING_PACKETS, _PACKET_WORDS), np.int64),
        np.zeros(_PACKET_WORDS, np.int64),
        sessions,
        allocate_packets(BATCH_PACKETS),
    )


def counters_by_name(line: Line) -> dict[str, int]:
    """The line's counters, for a report."""
    return dict(zip(COUNTER_NAMES, line.counters.tolist(), strict=True))


@kernel
def offer_packet_nb(
    line: Line, packet: tuple[int, int, int, int], now_ns: int, session_ns: int
) -> None:
    """Send the packet (sequence, messages, offset, bytes) of the time `session_ns` of the session's
    clock, or do what the line's faults say.
    """
    count = packet[1]
    line.state[LAST_OFFERED_NS] = now_ns
    _follow_windows_nb(line, session_ns)
    if line.faults[CUT] > 0:
        line.counters[PACKETS_CUT] += 1
        line.counters[MESSAGES_CUT] += count
        return
    if happens_nb(line.state, RANDOM, line.faults[LOSS]) == 1:
        line.counters[PACKETS_DROPPED] += 1
        line.counters[MESSAGES_DROPPED] += count
        return
    copies = 1 + happens_nb(line.state, RANDOM, line.faults[DUPLICATE])
    if copies > 1:
        line.counters[PACKETS_DUPLICATED] += 1
        line.counters[MESSAGES_DUPLICATED] += count
    if line.state[HELD] == 0 and happens_nb(line.state, RANDOM, line.faults[REORDER]) == 1:
        _copy_packet_nb(line.held, packet, now_ns)
        line.state[HELD] = copies
        line.state[HELD_UNTIL_NS] = now_ns + HELD_NS_MAX
        return
    _put_pending_nb(line, packet, now_ns, copies)
    if line.state[HELD] > 0:
        line.counters[PACKETS_REORDERED] += 1
        line.counters[MESSAGES_REORDERED] += line.held[COUNT]
        _release_held_nb(line, now_ns)


@kernel
def offer_notice_nb(line: Line, sequence: int, count: int, now_ns: int, session_ns: int) -> None:
    """Send a heartbeat (count 0) or an end of session (0xFFFF): `sequence` comes next."""
    line.state[LAST_OFFERED_NS] = now_ns
    _follow_windows_nb(line, session_ns)
    if line.faults[CUT] > 0:
        line.counters[PACKETS_CUT] += 1
        return
    _put_pending_nb(line, (sequence, count, _NO_BODY, _NO_BODY), now_ns, _ONE)


@kernel
def _follow_windows_nb(line: Line, session_ns: int) -> None:
    """Bring `faults` to the time `session_ns` of the session's clock."""
    # Both ways: a heartbeat's time may be ahead of the next message's stamp.
    if not line.state[STEADY_FROM_NS] <= session_ns < line.state[STEADY_UNTIL_NS]:
        _take_windows_nb(line, session_ns)


@outline_kernel
def _take_windows_nb(line: Line, session_ns: int) -> None:
    """Fill `faults`, and note for how long it holds."""
    steady_from_ns, steady_until_ns = np.int64(-_FOREVER_NS), np.int64(_FOREVER_NS)
    for word in range(LOSS, CUT + 1):
        line.faults[word] = line.settings[word]
    for i in range(line.windows.shape[0]):
        window = line.windows[i]
        for column in range(FROM_NS, UNTIL_NS + 1):
            if window[column] <= session_ns:
                steady_from_ns = max(steady_from_ns, window[column])
            else:
                steady_until_ns = min(steady_until_ns, window[column])
        if window[FROM_NS] <= session_ns < window[UNTIL_NS]:
            word = window[WORD]
            line.faults[word] = max(line.faults[word], window[VALUE])
    line.state[STEADY_FROM_NS] = steady_from_ns
    line.state[STEADY_UNTIL_NS] = steady_until_ns


@outline_kernel
def flush_line_nb(line: Line, engine: Engine, history: History, now_ns: int, start_ns: int) -> int:
    """Send what may leave by now; returns the packets that left or were cut.

    `start_ns` is when the session's first message is due: the cuts are counted from it.
    """
    if line.state[HELD] > 0 and now_ns >= line.state[HELD_UNTIL_NS]:
        _release_held_nb(line, now_ns)
    mask = line.pending.shape[0] - 1
    cut = _is_cut_nb(line, now_ns - start_ns)
    oldest_kept = oldest_sequence_nb(engine, history)
    work = 0
    filled = 0
    while line.state[OLDEST] < line.state[NEWEST]:
        row = line.state[OLDEST] & mask
        if line.pending[row, LEAVES_NS] > now_ns:
            break
        line.state[OLDEST] += 1
        work += 1
        sequence = line.pending[row, SEQUENCE]
        count = line.pending[row, COUNT]
        size = line.pending[row, BYTES]
        if cut == 1:
            line.counters[PACKETS_CUT] += 1
            line.counters[MESSAGES_CUT] += count if size > 0 else 0
            continue
        if size > 0 and sequence < oldest_kept:
            line.counters[PACKETS_EXPIRED] += 1
            continue
        body = (line.settings[DATA_AT] + line.pending[row, OFFSET], size)
        # The end of a session is told with the number of the message that is not in it any more.
        place = place_of_nb(line.sessions, sequence - (count == END_OF_SESSION))
        header = (own_number_nb(line.sessions, place, sequence), count)
        put_packet_nb(line.packets, filled, line.sessions.ids[place], header, body)
        _count_sent_nb(line, count, size)
        filled += 1
        if filled == BATCH_PACKETS:
            _send_nb(line, filled)
            filled = 0
    if filled > 0:
        _send_nb(line, filled)
    return work


@kernel
def _send_nb(line: Line, count: int) -> None:
    """Hand the first `count` packets of the batch to the system."""
    descriptor = line.settings[DESCRIPTOR]
    line.counters[PACKETS_REFUSED] += send_packets_nb(descriptor, line.packets, count)


@kernel
def _count_sent_nb(line: Line, count: int, size: int) -> None:
    """Count one packet that leaves."""
    line.counters[PACKETS_SENT] += 1
    line.counters[BYTES_SENT] += HEADER_BYTES + size
    if size > 0:
        line.counters[MESSAGES_SENT] += count
    elif count == END_OF_SESSION:
        line.counters[SESSION_ENDS_SENT] += 1
    else:
        line.counters[HEARTBEATS_SENT] += 1


@kernel
def notice_due_nb(line: Line, now_ns: int, interval_ns: int) -> int:
    """1 when nothing was offered to the line for `interval_ns`, else 0."""
    return 1 if now_ns - line.state[LAST_OFFERED_NS] >= interval_ns else 0


@kernel
def is_drained_nb(line: Line) -> int:
    """1 when no packet is held back, else 0."""
    empty = line.state[OLDEST] == line.state[NEWEST]
    return 1 if empty and line.state[HELD] == 0 else 0


@kernel
def _is_cut_nb(line: Line, elapsed_ns: int) -> int:
    """1 inside of a window in which nothing leaves."""
    for i in range(line.cuts_ns.shape[0]):
        if line.cuts_ns[i, 0] <= elapsed_ns < line.cuts_ns[i, 1]:
            return 1
    return 0


@kernel
def _copy_packet_nb(
    row: NDArray[np.int64], packet: tuple[int, int, int, int], leaves_ns: int
) -> None:
    """Fill one row of `pending`, or `held`."""
    row[SEQUENCE] = packet[0]
    row[COUNT] = packet[1]
    row[OFFSET] = packet[2]
    row[BYTES] = packet[3]
    row[LEAVES_NS] = leaves_ns


@outline_kernel
def _put_pending_nb(
    line: Line, packet: tuple[int, int, int, int], now_ns: int, copies: int
) -> None:
    """Queue the packet, twice when doubled; when the queue is full its oldest is given up."""
    mask = line.pending.shape[0] - 1
    delay_ns = line.faults[DELAY_NS]
    for _ in range(copies):
        if line.state[NEWEST] - line.state[OLDEST] > mask:
            # Only a long delay at a high rate comes here; it is counted, as any fault.
            line.state[OLDEST] += 1
            line.counters[PACKETS_EXPIRED] += 1
        _copy_packet_nb(line.pending[line.state[NEWEST] & mask], packet, now_ns + delay_ns)
        line.state[NEWEST] += 1
        if delay_ns > 0:
            line.counters[PACKETS_DELAYED] += 1


@kernel
def _release_held_nb(line: Line, now_ns: int) -> None:
    """Let the packet that waited follow."""
    held = line.held
    packet = (held[SEQUENCE], held[COUNT], held[OFFSET], held[BYTES])
    copies = line.state[HELD]
    line.state[HELD] = 0
    _put_pending_nb(line, packet, now_ns, copies)
