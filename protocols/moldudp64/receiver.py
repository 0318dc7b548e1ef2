"""A MoldUDP64 receiver without socket or clock: datagrams in, every message once and in order out.

Datagrams of any number of lines and the answers to requests all go to `receive`; the first arrival
of a message wins. `next_event` tells what happened, `data_to_send` gives request datagrams for the
re-request server one at a time, `timer_ns` and `handle_timer` move the time. `now_ns` is any
monotonic clock.

One bad datagram must not end a feed, so nothing is raised for what a network brings: what is not
used is counted in `counters`. Memory is bounded by `ReceiverSettings.ahead_bytes_max` and the
events of one datagram, which the caller takes after each call.

Source: MoldUDP64 1.00. Sequence numbers are unsigned 64-bit numbers, up to the last one.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from protocols.ahead import AheadMessages
from protocols.errors import RemoteProtocolError
from protocols.moldudp64.codec import Packet, decode_packet
from protocols.moldudp64.events import (
    Event,
    GapDetected,
    GapFilled,
    Joined,
    Lost,
    Messages,
    SessionChanged,
    SessionEnded,
    Silent,
)
from protocols.moldudp64.rerequest_client import RequestClient, RequestSettings


class State(Enum):
    """Where a receiver stands in its session."""

    WAITING = auto()
    """No packet yet."""
    LIVE = auto()
    """Every message that is known of was delivered."""
    GAP = auto()
    """Messages are missing, and later ones wait for them."""
    ENDED = auto()
    """The session is over and nothing is missing."""


class Step(Enum):
    """What moves a receiver from one state to the next."""

    JOIN = auto()
    HOLE = auto()
    FILL = auto()
    """The missing messages came, or were given up."""
    END = auto()
    MORE = auto()
    """Messages beyond an announced end."""
    CHANGE = auto()
    """Another session."""


TRANSITIONS: dict[State, dict[Step, State]] = {
    State.WAITING: {Step.JOIN: State.LIVE},
    State.LIVE: {Step.HOLE: State.GAP, Step.END: State.ENDED, Step.CHANGE: State.WAITING},
    State.GAP: {Step.FILL: State.LIVE, Step.CHANGE: State.WAITING},
    State.ENDED: {Step.HOLE: State.GAP, Step.MORE: State.LIVE, Step.CHANGE: State.WAITING},
}

COUNTER_NAMES = (
    "packets_malformed",
    "packets_other_session",
    "packets_too_far",
    "packets_duplicate",
    "messages_delivered",
    "messages_lost",
    "messages_not_kept",
)
"""Other session: not the one that was asked for, left already, or while the present one is alive;
too far: more than `jump_max` ahead; not kept: came ahead of their turn when there was no room, or
for a second time.
"""


_REQUESTS = RequestSettings()


@dataclass(frozen=True, slots=True)
class ReceiverSettings:
    """How a receiver behaves.

    session: the only one that is followed; "" for whichever comes, and the one after it.
    first_sequence: first message that is wanted, of the first session; 0 for what comes first.
    requests: how to ask for what is missing; None when there is nobody to ask.
    reorder_ns: how long a hole may be filled by other lines before it is asked for, or given up.
    session_silence_ns: another session is followed when the present one has ended, or was silent
        for this long; 0 follows any well-formed packet, a stray one too.
    silence_ns: after this long without a packet `Silent` is told.
    ahead_bytes_max: memory for messages that wait for earlier ones.
    jump_max: a packet that is further ahead is taken for garbage.
    """

    session: str = ""
    first_sequence: int = 1
    requests: RequestSettings | None = _REQUESTS
    reorder_ns: int = 1_000_000
    session_silence_ns: int = 3_000_000_000
    silence_ns: int = 15_000_000_000
    ahead_bytes_max: int = 1 << 24
    jump_max: int = 1 << 36
    sessions_left_max: int = 16


_DEFAULTS = ReceiverSettings()


class Receiver:
    """One channel; see the module for the verbs. `next_sequence` is the next message to deliver,
    `highest_sequence` one past the last that is known of.
    """

    def __init__(self, settings: ReceiverSettings = _DEFAULTS) -> None:
        self.settings = settings
        self.state = State.WAITING
        self.session = settings.session
        self.next_sequence = 0
        self.highest_sequence = 0
        self.counters = dict.fromkeys(COUNTER_NAMES, 0)
        self.requests = RequestClient(settings.requests or _REQUESTS)
        self._ahead = AheadMessages(settings.ahead_bytes_max)
        self._events: deque[Event] = deque()
        self._left: deque[str] = deque(maxlen=settings.sessions_left_max)
        self._packet_at_ns = 0
        self._is_silent = False
        self._hole_end = 0
        self._hole_since_ns = 0
        self._is_hole_asked = False
        self._is_ending = False

    @property
    def waiting_bytes(self) -> int:
        """Memory in use for messages that wait for earlier ones."""
        return self._ahead.size_bytes

    def receive(self, data: bytes, now_ns: int) -> None:
        """Take one datagram, of a line or from the re-request server."""
        try:
            packet = decode_packet(data)
        except RemoteProtocolError:
            self.counters["packets_malformed"] += 1
            return
        if not self._is_followed(packet, now_ns):
            self.counters["packets_other_session"] += 1
            return
        position = self._position(packet)
        if packet.sequence - position > self.settings.jump_max:
            self.counters["packets_too_far"] += 1
            return
        self._enter_session(packet.session, position)
        self._packet_at_ns = now_ns
        self._is_silent = False
        self._take_packet(packet, now_ns)
        self._settle(now_ns)

    def next_event(self) -> Event | None:
        """Oldest event that was not taken yet, or None."""
        return self._events.popleft() if self._events else None

    def data_to_send(self, now_ns: int) -> bytes:  # noqa: ARG002 - the five verbs are alike everywhere
        """The next request datagram, b"" when there is none."""
        return self.requests.data_to_send()

    def timer_ns(self) -> int | None:
        """When to call `handle_timer` at the latest; None when nothing is due."""
        due = []
        if self.state not in (State.WAITING, State.ENDED) and not self._is_silent:
            due.append(self._packet_at_ns + self.settings.silence_ns)
        if self.state is State.GAP:
            requests_ns = self.requests.timer_ns()
            if requests_ns is not None:
                due.append(requests_ns)
            if not self._is_hole_asked:
                due.append(self._hole_since_ns + self.settings.reorder_ns)
        return min(due, default=None)

    def handle_timer(self, now_ns: int) -> None:
        """Ask for what is missing, give up what does not come, tell of silence."""
        if self.state in (State.LIVE, State.GAP) and not self._is_silent:
            silent_ns = now_ns - self._packet_at_ns
            if silent_ns >= self.settings.silence_ns:
                self._is_silent = True
                self._events.append(Silent(self.session, silent_ns))
        if self.state is State.GAP:
            self.requests.handle_timer(now_ns)
            self._settle(now_ns)

    def _is_followed(self, packet: Packet, now_ns: int) -> bool:
        """The packet is of the session that is followed, or of one that may be from now on."""
        if self.state is State.WAITING:
            return self.settings.session in ("", packet.session)
        if packet.session == self.session:
            return True
        if self.settings.session or packet.session in self._left:
            return False
        silent_ns = now_ns - self._packet_at_ns
        return self.state is State.ENDED or silent_ns >= self.settings.session_silence_ns

    def _position(self, packet: Packet) -> int:
        """Number of the next message to deliver, as this packet finds it."""
        if self.state is State.WAITING:
            return self.settings.first_sequence or max(packet.sequence, 1)
        if packet.session == self.session:
            return self.next_sequence
        # What comes after a session that was followed is followed from its first message on.
        return min(self.settings.first_sequence, 1) or max(packet.sequence, 1)

    def _enter_session(self, session: str, position: int) -> None:
        """Begin with `session` unless it is the present one."""
        if self.state is not State.WAITING:
            if session == self.session:
                return
            self._leave(session)
        self.session = session
        self.next_sequence = self.highest_sequence = position
        self._events.append(Joined(session, position))
        self._move(Step.JOIN)

    def _leave(self, session: str) -> None:
        """Close the books of the present session, whose late packets are not taken any more."""
        if self.next_sequence < self.highest_sequence:
            self._give_up(self.highest_sequence)
        self._events.append(SessionChanged(self.session, self.next_sequence, session))
        self._left.append(self.session)
        self._ahead.clear()
        self.requests.clear()
        self._is_ending = False
        self._hole_end = 0
        self._move(Step.CHANGE)

    def _take_packet(self, packet: Packet, now_ns: int) -> None:
        """Deliver or keep the packet's messages, and learn from its numbers."""
        first, end = packet.sequence, packet.sequence + len(packet.messages)
        if packet.ended and first >= self.highest_sequence:
            self._is_ending = True
        elif end > self.highest_sequence:
            self._is_ending = False
        self.highest_sequence = max(self.highest_sequence, end)
        if not packet.messages:
            return
        self.requests.answered(first, end, now_ns)
        if end <= self.next_sequence:
            self.counters["packets_duplicate"] += 1
        elif first > self.next_sequence:
            kept = self._ahead.add(first, packet.messages)
            self.counters["messages_not_kept"] += len(packet.messages) - kept
        else:
            self._deliver(packet.messages[self.next_sequence - first :])
            self._deliver(self._ahead.take(self.next_sequence))

    def _deliver(self, messages: Sequence[bytes]) -> None:
        if messages:
            self._events.append(Messages(self.session, self.next_sequence, tuple(messages)))
            self.counters["messages_delivered"] += len(messages)
            self.next_sequence += len(messages)

    def _settle(self, now_ns: int) -> None:
        """Bring the state, and what is asked for, in line with what is missing."""
        while self.next_sequence < self.highest_sequence:
            first_ahead = self._ahead.first
            end = self.highest_sequence if first_ahead is None else first_ahead
            if self.state is not State.GAP:
                self._move(Step.HOLE)
                self._events.append(GapDetected(self.session, self.next_sequence, end))
                self._begin_hole(now_ns)
            elif self.next_sequence >= self._hole_end:
                self._begin_hole(now_ns)
            self._hole_end = end
            if now_ns - self._hole_since_ns < self.settings.reorder_ns:
                return
            if self.settings.requests is not None and not self.requests.is_hopeless:
                self.requests.want(self.session, self.next_sequence, end, now_ns)
                self._is_hole_asked = True
                return
            self._give_up(end)
            self._deliver(self._ahead.take(self.next_sequence))
        self._settle_whole()

    def _begin_hole(self, now_ns: int) -> None:
        self._hole_since_ns = now_ns
        self._is_hole_asked = False

    def _settle_whole(self) -> None:
        """Nothing is missing."""
        self.requests.clear()
        if self.state is State.GAP:
            self._move(Step.FILL)
            self._events.append(GapFilled(self.session, self.next_sequence))
        if self._is_ending and self.state is State.LIVE:
            self._move(Step.END)
            self._events.append(SessionEnded(self.session, self.next_sequence))
        elif self.state is State.ENDED and not self._is_ending:
            self._move(Step.MORE)

    def _give_up(self, end: int) -> None:
        self._events.append(Lost(self.session, self.next_sequence, end))
        self.counters["messages_lost"] += end - self.next_sequence
        self.next_sequence = end
        self.requests.clear()

    def _move(self, step: Step) -> None:
        self.state = TRANSITIONS[self.state][step]
