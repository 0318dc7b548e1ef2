"""The sender: generates what is due, puts it on both lines and all TCP streams, answers requests,
takes snapshots.

Open loop: message i (from 0) is due when `pace.py` says, however late the ones before it were; what
is late is sent at once, and how late is recorded. One thread stays in `run_slice_nb`; the loop
sleeps between bursts, so it leaves the processor to those who read the feed. The words of `control`
and `progress` are shared with the main thread, which only sets flags and reads figures.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.atomics import load_acquire, store_release
from feedhandler.core.libc import CLOCK_MONOTONIC, clock_ns, usleep
from protocols.by_reference import by_reference
from protocols.jit import kernel, outline_kernel
from protocols.moldudp64.kernels import END_OF_SESSION, HEARTBEAT
from protocols.wire import Bytes, read_u48_nb
from tools.exchange.desk import Desk, note_sent_nb, take_commands_nb, tell_main_nb
from tools.exchange.history import History, packet_slice_nb
from tools.exchange.itch_writer import LENGTH_BYTES, TIMESTAMP
from tools.exchange.layout import CLOCK_NS, EMITTED, TOTAL, Engine
from tools.exchange.lines import (
    ENDS_OFFERED,
    Line,
    flush_line_nb,
    is_drained_nb,
    notice_due_nb,
    offer_notice_nb,
    offer_packet_nb,
)
from tools.exchange.market.layout import NEVER, Market
from tools.exchange.pace import (
    SPEED,
    Pace,
    clock_at_nb,
    due_count_nb,
    due_ns_nb,
    elapsed_at_nb,
)
from tools.exchange.rerequests import RerequestServer, serve_rerequests_nb
from tools.exchange.sessions import (
    ENDS_AT_NS,
    ENDS_LEFT,
    PRESENT,
    Sessions,
    begin_session_nb,
    last_of_session_nb,
    own_number_nb,
)
from tools.exchange.snapshot import write_snapshot_nb
from tools.exchange.source import clock_of_next_nb, extend_history_nb, finish_session_nb
from tools.exchange.streams import Streams
from tools.exchange.streams_kernels import serve_streams_nb

BURST_MESSAGES = 1024
"""Most messages between two looks at the clock, the requests and the flags."""
SLEEP_US_MIN = 100
SLEEP_US_MAX = 400
AWAKE_NS = 200_000
"""After an answer the loop does not sleep for so long: a recovery goes at the pace of its round
trips, and with a sleep in each of them it went at a tenth of what it can.
"""

# Words of `control`, each set by one thread and read by the other with acquire and release.
STOP = 0
"""Main thread: close the session early."""
LEAVE = 16
"""Main thread: return from the slice at once and for good."""
SNAPSHOT_WANTED = 32
"""Main thread: how many snapshots were asked for."""
SNAPSHOT_TAKEN = 48
"""Sender: how many were taken; the buffer is the main thread's until it wants another."""
PHASE = 64
"""Sender: one of the phases below."""
_CONTROL_WORDS = 80

STARTING = 0
RUNNING = 1
ENDED = 2

# Words of `settings`.
START_NS = 0
HEARTBEAT_NS = 1
PAYLOAD_BYTES = 2
"""Most that a packet holds behind its header."""
_SETTING_WORDS = 3

# Words of `progress`, written by the sender.
SENT = 0
LAST_SENT_NS = 1
LATENESS_NS = 2
"""Of the burst before: how long after its due time its first message was taken up."""
LATENESS_NS_MAX = 3
SNAPSHOT_NEXT_SEQUENCE = 4
SNAPSHOT_MESSAGES = 5
SNAPSHOT_BYTES = 6
SLEEPS = 7
LATE_MESSAGES = 8
"""Messages taken up more than LATE_NS after they were due."""
WAS_FULL = 9
"""1: the burst before held as much as one may."""
ASKED_NS = 10
"""When requests were answered last: who recovers asks again for as long as anything is missing."""
_PROGRESS_WORDS = 16
LATE_NS = 1_000_000
END_REPEATS = 5
END_INTERVAL_NS = 50_000_000
_HEARTBEAT = np.int64(HEARTBEAT)
_END_OF_SESSION = np.int64(END_OF_SESSION)


@by_reference
class Sender(NamedTuple):
    """All that the sender's loop works on; `control`, `settings` and `progress` as above. Of a
    market, `engine` is its engine.
    """

    market: Market | None
    desk: Desk
    engine: Engine
    history: History
    sessions: Sessions
    line_a: Line
    line_b: Line
    rerequests: RerequestServer
    snapshot: Bytes
    pace: Pace
    streams: Streams
    control: NDArray[np.int64]
    settings: NDArray[np.int64]
    progress: NDArray[np.int64]


def allocate_words(
    start_ns: int, heartbeat_ns: int, payload_bytes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """`control`, `settings` and `progress` of a sender whose first message is due at `start_ns` of
    the monotonic clock.
    """
    settings = np.zeros(_SETTING_WORDS, np.int64)
    settings[START_NS] = start_ns
    settings[HEARTBEAT_NS] = heartbeat_ns
    settings[PAYLOAD_BYTES] = payload_bytes
    return np.zeros(_CONTROL_WORDS, np.int64), settings, np.zeros(_PROGRESS_WORDS, np.int64)


@outline_kernel
def run_slice_nb(sender: Sender, until_ns: int) -> int:
    """Run until `until_ns` of the monotonic clock or until told to leave; bursts of work."""
    control = sender.control
    work = np.int64(0)
    now_ns = clock_ns(CLOCK_MONOTONIC)
    while now_ns < until_ns and load_acquire(control, LEAVE) == 0:
        stopping = load_acquire(control, STOP)
        if stopping != 0:
            finish_session_nb(sender.market, sender.engine)
        if load_acquire(control, SNAPSHOT_WANTED) != control[SNAPSHOT_TAKEN]:
            _take_snapshot_nb(sender)
        take_commands_nb(sender.desk, sender.engine, sender.history)
        sent = _send_due_nb(sender, now_ns, stopping)
        tell_main_nb(sender.desk)
        _heartbeats_nb(sender, now_ns)
        start_ns = sender.settings[START_NS]
        sent += flush_line_nb(sender.line_a, sender.engine, sender.history, now_ns, start_ns)
        sent += flush_line_nb(sender.line_b, sender.engine, sender.history, now_ns, start_ns)
        asked = serve_rerequests_nb(sender.rerequests, sender.engine, sender.history)
        sent += asked
        ended = load_acquire(control, PHASE) == ENDED
        serve_streams_nb(sender.streams, sender.engine, sender.history, now_ns, ended)
        if sent > 0:
            work += 1
        now_ns = clock_ns(CLOCK_MONOTONIC)
        if asked > 0:
            sender.progress[ASKED_NS] = now_ns
        awake = now_ns - sender.progress[ASKED_NS] < AWAKE_NS
        if not awake and _behind_nb(sender, now_ns) == 0:
            _sleep_nb(sender)
            now_ns = clock_ns(CLOCK_MONOTONIC)
    return work


@kernel
def _due_nb(sender: Sender, now_ns: int) -> tuple[int, int]:
    """What is due: (number of the last message, time of the session's clock), by whichever of them
    the pace goes.
    """
    elapsed_ns = now_ns - sender.settings[START_NS]
    total = sender.engine.state[TOTAL]
    if sender.pace[SPEED] == 0:
        return min(due_count_nb(sender.pace, elapsed_ns), total), np.int64(NEVER)
    if elapsed_ns < 0:
        return np.int64(0), np.int64(0)
    return total, clock_at_nb(sender.pace, elapsed_ns)


@kernel
def _due_of_next_ns_nb(sender: Sender) -> int:
    """When the next message is due, in ns after the first one."""
    if sender.pace[SPEED] == 0:
        return due_ns_nb(sender.pace, sender.engine.state[EMITTED])
    return elapsed_at_nb(sender.pace, clock_of_next_nb(sender.market, sender.engine))


@kernel
def _send_due_nb(sender: Sender, now_ns: int, stopping: int) -> int:
    """Generate the messages that are due, BURST_MESSAGES at most, and offer them to both lines,
    behind what clients' orders led to.
    """
    engine = sender.engine
    sent, emitted = sender.progress[SENT], engine.state[EMITTED]
    due, until_ns = _due_nb(sender, now_ns)
    if stopping != 0:
        due, until_ns = engine.state[TOTAL], np.int64(NEVER)
    last = min(due, emitted + BURST_MESSAGES)
    lateness_ns = np.int64(0)
    if due > emitted:
        lateness_ns = now_ns - sender.settings[START_NS] - _due_of_next_ns_nb(sender)
        ahead = (last, until_ns)
        extend_history_nb(sender.market, sender.desk, engine, sender.history, ahead)
    # Fewer when the session came near midnight, and closed by itself, or no more was due.
    last = np.int64(engine.state[EMITTED])
    sender.progress[WAS_FULL] = last - emitted == BURST_MESSAGES and last < engine.state[TOTAL]
    if last > sent:
        if sent == 0:
            store_release(sender.control, PHASE, RUNNING)
        _offer_nb(sender, sent + 1, last, now_ns)
        _record_progress_nb(sender, last, now_ns, lateness_ns)
    if last == engine.state[TOTAL]:
        store_release(sender.control, PHASE, ENDED)
    return last - sent


@kernel
def _offer_nb(sender: Sender, sequence: int, last: int, now_ns: int) -> None:
    """Offer messages `sequence` to `last` to both lines."""
    note_sent_nb(sender.desk, sequence, last, now_ns)
    payload_bytes = sender.settings[PAYLOAD_BYTES]
    while sequence <= last:
        upto = last_of_session_nb(sender.sessions, sender.history, sequence, last)
        if upto < sequence:
            _roll_nb(sender, sequence, now_ns)
            continue
        count, offset, size = packet_slice_nb(sender.history, sequence, upto, payload_bytes)
        # The first message's stamp, and not the engine's clock, which is at the burst's end.
        session_ns = read_u48_nb(sender.history.data, offset + LENGTH_BYTES + TIMESTAMP)
        offer_packet_nb(sender.line_a, (sequence, count, offset, size), now_ns, session_ns)
        offer_packet_nb(sender.line_b, (sequence, count, offset, size), now_ns, session_ns)
        sequence += count


@outline_kernel
def _roll_nb(sender: Sender, sequence: int, now_ns: int) -> None:
    """Message `sequence` begins another session, behind the end of the present one."""
    begin_session_nb(sender.sessions, sequence, END_REPEATS - 1, now_ns + END_INTERVAL_NS)
    _tell_end_nb(sender, now_ns)


@kernel
def _tell_end_nb(sender: Sender, now_ns: int) -> None:
    """Tell on both lines that the session before the present one is over."""
    sequence = sender.sessions.firsts[sender.sessions.state[PRESENT]]
    session_ns = _session_ns_nb(sender, now_ns)
    offer_notice_nb(sender.line_a, sequence, _END_OF_SESSION, now_ns, session_ns)
    offer_notice_nb(sender.line_b, sequence, _END_OF_SESSION, now_ns, session_ns)


@kernel
def _record_progress_nb(sender: Sender, last: int, now_ns: int, lateness_ns: int) -> None:
    """Write down what was sent and how late."""
    progress = sender.progress
    before = progress[SENT]
    progress[SENT] = last
    progress[LAST_SENT_NS] = now_ns
    # Closing early sends messages before their time, which isn't late.
    progress[LATENESS_NS] = max(lateness_ns, 0)
    progress[LATENESS_NS_MAX] = max(progress[LATENESS_NS_MAX], lateness_ns)
    if lateness_ns > LATE_NS:
        progress[LATE_MESSAGES] += last - before


@kernel
def _heartbeats_nb(sender: Sender, now_ns: int) -> None:
    """Heartbeats on an idle line; ends of session once it has ended, the first at once."""
    interval_ns = sender.settings[HEARTBEAT_NS]
    ended = load_acquire(sender.control, PHASE) == ENDED
    state = sender.sessions.state
    if state[ENDS_LEFT] > 0 and now_ns >= state[ENDS_AT_NS]:
        state[ENDS_LEFT] -= 1
        state[ENDS_AT_NS] = now_ns + END_INTERVAL_NS
        _tell_end_nb(sender, now_ns)
    _notice_nb(sender, sender.line_a, now_ns, interval_ns, ended)
    _notice_nb(sender, sender.line_b, now_ns, interval_ns, ended)


@kernel
def _session_ns_nb(sender: Sender, now_ns: int) -> int:
    """What the session's clock says when no message does: as the pace has it, where it is one."""
    elapsed_ns = max(now_ns - sender.settings[START_NS], np.int64(0))
    return max(np.int64(sender.engine.state[CLOCK_NS]), clock_at_nb(sender.pace, elapsed_ns))


@kernel
def _notice_nb(sender: Sender, line: Line, now_ns: int, interval_ns: int, ended: bool) -> None:
    """The heartbeat or end of session of one line, when it is time for it."""
    if ended and line.state[ENDS_OFFERED] < END_REPEATS:
        # The first end goes out at once, the next few soon: a receiver may have lost one.
        interval_ns = 0 if line.state[ENDS_OFFERED] == 0 else END_INTERVAL_NS
    if notice_due_nb(line, now_ns, interval_ns) == 1:
        line.state[ENDS_OFFERED] += 1 if ended else 0
        count = _END_OF_SESSION if ended else _HEARTBEAT
        session_ns = _session_ns_nb(sender, now_ns)
        offer_notice_nb(line, sender.engine.state[EMITTED] + 1, count, now_ns, session_ns)


@kernel
def _take_snapshot_nb(sender: Sender) -> None:
    """Take the snapshot that was asked for and publish it."""
    wanted = load_acquire(sender.control, SNAPSHOT_WANTED)
    messages, size = write_snapshot_nb(sender.engine, sender.snapshot)
    # Between two bursts all that was made is offered, so that the present session has it.
    present = np.int64(sender.sessions.state[PRESENT])
    following = own_number_nb(sender.sessions, present, sender.engine.state[EMITTED] + 1)
    sender.progress[SNAPSHOT_NEXT_SEQUENCE] = following
    sender.progress[SNAPSHOT_MESSAGES] = messages
    sender.progress[SNAPSHOT_BYTES] = size
    store_release(sender.control, SNAPSHOT_TAKEN, wanted)


@kernel
def _behind_nb(sender: Sender, now_ns: int) -> int:
    """1 when a burst's worth of messages is due already, so that there is no time to sleep."""
    if sender.pace[SPEED]:
        return sender.progress[WAS_FULL]
    due, _ = _due_nb(sender, now_ns)
    return 1 if due - sender.engine.state[EMITTED] >= BURST_MESSAGES else 0


@kernel
def _sleep_nb(sender: Sender) -> None:
    """Sleep until the next message is due, but SLEEP_US_MIN at least and SLEEP_US_MAX at most.

    The least keeps a fast session to few system calls, the most keeps requests answered soon.
    """
    now_ns = clock_ns(CLOCK_MONOTONIC)
    engine = sender.engine
    wait_us = np.int64(SLEEP_US_MAX)
    if engine.state[EMITTED] < engine.state[TOTAL]:
        due_ns = sender.settings[START_NS] + _due_of_next_ns_nb(sender)
        wait_us = min(wait_us, (due_ns - now_ns) // 1000)
    sender.progress[SLEEPS] += 1
    usleep(max(wait_us, SLEEP_US_MIN))


@kernel
def lines_drained_nb(sender: Sender) -> int:
    """1 when neither line holds a packet back."""
    return is_drained_nb(sender.line_a) & is_drained_nb(sender.line_b)


def load_kernels(sender: Sender) -> None:
    """Compile or load what runs while the session's clock runs: the interpreter is held meanwhile,
    and with it the sender between two slices. Nothing is sent; before the thread starts only.
    """
    run_slice_nb(sender, 0)
    lines_drained_nb(sender)
    publish_word_nb(sender.control, STOP, read_word_nb(sender.control, STOP))


@outline_kernel
def publish_word_nb(words: NDArray[np.int64], index: int, value: int) -> None:
    """Store a word of `control` so that the other thread sees all that came before it."""
    store_release(words, index, value)


@outline_kernel
def read_word_nb(words: NDArray[np.int64], index: int) -> int:
    """Load a word of `control`, and with it all that the other thread did before it stored it."""
    return load_acquire(words, index)
