"""A MoldUDP64 sender without socket or clock: messages in, datagrams out.

`send` queues messages, `data_to_send` packs as many as fit into one datagram at a time (ask until
it is empty), `timer_ns` and `handle_timer` make the heartbeats and the repeated end of session.
What was sent is in `kept`, for a `RequestServer`.

Source: MoldUDP64 1.00. A heartbeat and an end of session carry the number of the NEXT message.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

from protocols.errors import LocalProtocolError
from protocols.kept import KeptMessages
from protocols.moldudp64.codec import Packet, encode_packet
from protocols.moldudp64.spec import (
    BLOCK_LENGTH_BYTES,
    HEADER_BYTES,
    MESSAGES_MAX,
    SEQUENCE_MAX,
)

DATAGRAM_BYTES_MAX = 1_420
"""UDP payload that fits any Ethernet frame, with room for tunnels."""


class State(Enum):
    """Where a sender stands."""

    OPEN = auto()
    ENDING = auto()
    """The end of session is announced over and over, so that it can't be missed."""
    CLOSED = auto()


class Step(Enum):
    """What moves a sender from one state to the next."""

    END = auto()
    QUIET = auto()
    """The end was announced for long enough."""


TRANSITIONS: dict[State, dict[Step, State]] = {
    State.OPEN: {Step.END: State.ENDING},
    State.ENDING: {Step.QUIET: State.CLOSED},
    State.CLOSED: {},
}


@dataclass(frozen=True, slots=True)
class SenderSettings:
    """Sizes and times of a sender; `datagram_bytes_max` counts header and blocks."""

    datagram_bytes_max: int = DATAGRAM_BYTES_MAX
    kept_messages_max: int = 1 << 20
    heartbeat_ns: int = 1_000_000_000
    end_interval_ns: int = 1_000_000_000
    end_for_ns: int = 10_000_000_000


_DEFAULTS = SenderSettings()


class Sender:
    """One session of one channel; `first_sequence` is the number of its first message here."""

    def __init__(
        self,
        session: str,
        now_ns: int,
        settings: SenderSettings = _DEFAULTS,
        first_sequence: int = 1,
    ) -> None:
        self.session = session
        self.settings = settings
        self.state = State.OPEN
        self.kept = KeptMessages(settings.kept_messages_max, first_sequence)
        self._queue: deque[bytes] = deque()
        self._sent_at_ns = now_ns
        self._ended_at_ns = 0
        self._is_notice_due = False

    @property
    def next_sequence(self) -> int:
        """Number of the next message that `data_to_send` packs."""
        return self.kept.next_sequence

    def send(self, message: bytes) -> None:
        """Queue the next message; LocalProtocolError when it fits no datagram, or the session no
        longer holds it.
        """
        if self.state is not State.OPEN:
            raise LocalProtocolError(f"the sender is {self.state.name}: nothing can be sent")
        room = self.settings.datagram_bytes_max - HEADER_BYTES - BLOCK_LENGTH_BYTES
        if len(message) > room:
            raise LocalProtocolError(f"a message of {len(message)} bytes: a datagram holds {room}")
        if self.next_sequence + len(self._queue) >= SEQUENCE_MAX:
            raise LocalProtocolError(
                f"the session is full: its end has to carry number {SEQUENCE_MAX} at most"
            )
        self._queue.append(message)

    def end(self, now_ns: int) -> None:
        """End the session behind what is queued."""
        if self.state is not State.OPEN:
            raise LocalProtocolError(f"the sender is {self.state.name} already")
        self._move(Step.END)
        self._ended_at_ns = now_ns
        self._is_notice_due = True

    def data_to_send(self, now_ns: int) -> bytes:
        """The next datagram, b"" when there is none now."""
        if self._queue:
            return self._encode(self._pack(), now_ns)
        if self._is_notice_due:
            self._is_notice_due = False
            return self._encode((), now_ns)
        return b""

    def timer_ns(self) -> int | None:
        """When to call `handle_timer` at the latest; None when the sender is closed."""
        if self.state is State.CLOSED:
            return None
        if self.state is State.OPEN:
            return self._sent_at_ns + self.settings.heartbeat_ns
        return min(
            self._sent_at_ns + self.settings.end_interval_ns,
            self._ended_at_ns + self.settings.end_for_ns,
        )

    def handle_timer(self, now_ns: int) -> None:
        """Make the heartbeat or the end of session that is due; close when its time is over."""
        if self.state is State.ENDING and now_ns - self._ended_at_ns >= self.settings.end_for_ns:
            self._move(Step.QUIET)
            self._is_notice_due = False
        due_ns = self.timer_ns()
        if due_ns is not None and now_ns >= due_ns:
            self._is_notice_due = True
            self._sent_at_ns = now_ns

    def _pack(self) -> tuple[bytes, ...]:
        """Take the most messages off the queue that fit one datagram."""
        messages: list[bytes] = []
        room = self.settings.datagram_bytes_max - HEADER_BYTES
        while self._queue and len(messages) < MESSAGES_MAX:
            room -= BLOCK_LENGTH_BYTES + len(self._queue[0])
            if room < 0:
                break
            messages.append(self._queue.popleft())
        return tuple(messages)

    def _encode(self, messages: tuple[bytes, ...], now_ns: int) -> bytes:
        ended = not messages and self.state is State.ENDING
        data = encode_packet(Packet(self.session, self.next_sequence, messages, ended))
        for message in messages:
            self.kept.append(message)
        self._sent_at_ns = now_ns
        # A packet says as much as a heartbeat does, but not that the session is over.
        self._is_notice_due = self._is_notice_due and self.state is State.ENDING
        return data

    def _move(self, step: Step) -> None:
        self.state = TRANSITIONS[self.state][step]
