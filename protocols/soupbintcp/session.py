"""SoupBinTCP 3.00 sessions, client and server, without a socket or a clock.

Both ends have the same five verbs: `receive(data, now_ns)`, `next_event()`, `data_to_send(now_ns)`,
`timer_ns()`, `handle_timer(now_ns)`. `receive` raises RemoteProtocolError when the peer broke the
protocol; the connection is then to be closed, and what came before the broken packet is still in
`next_event`. Sending what the state forbids raises LocalProtocolError. `now_ns` is any monotonic
clock.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.message import Message
from protocols.soupbintcp import spec

_NUMBER_WIDTH = spec.LOGIN_ACCEPTED.by_name["sequence_number"].width
_SESSION_WIDTH = spec.LOGIN_ACCEPTED.by_name["session"].width
_LOGIN_ANSWERS = (ord(spec.LOGIN_ACCEPTED.type), ord(spec.LOGIN_REJECTED.type))


class State(Enum):
    """Where a session stands, seen from either side."""

    CONNECTED = auto()
    """No login yet."""
    LOGGING_IN = auto()
    """The login was sent (client) or received (server) and is not answered."""
    OPEN = auto()
    CLOSED = auto()
    """Nothing more is sent or accepted: close the connection when `data_to_send` has been sent."""


class Step(Enum):
    """What moves a session from one state to the next."""

    LOGIN = auto()
    ACCEPT = auto()
    END = auto()
    """A reject, an end of session, a logout, silence, or a fault."""


TRANSITIONS: dict[State, dict[Step, State]] = {
    State.CONNECTED: {Step.LOGIN: State.LOGGING_IN, Step.END: State.CLOSED},
    State.LOGGING_IN: {Step.ACCEPT: State.OPEN, Step.END: State.CLOSED},
    State.OPEN: {Step.END: State.CLOSED},
    State.CLOSED: {Step.END: State.CLOSED},
}


@dataclass(frozen=True, slots=True)
class LoginRequested:
    """A client wants in; answer with `accept` or `reject`. Names are stripped of padding, `session`
    is "" for the current one.
    """

    username: str
    password: str
    session: str
    sequence: int


@dataclass(frozen=True, slots=True)
class LoginAccepted:
    """The server let us in; `sequence` is the number of the next sequenced message."""

    session: str
    sequence: int


@dataclass(frozen=True, slots=True)
class LoginRejected:
    """The server kept us out: reason "A" not authorised, "S" session not available."""

    reason: str


@dataclass(frozen=True, slots=True)
class SequencedData:
    """One message and its implied sequence number."""

    sequence: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class UnsequencedData:
    """One message outside the sequence."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Debug:
    """Free text for a human; it means nothing to the session."""

    text: str


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The server has no more messages in this session."""


@dataclass(frozen=True, slots=True)
class LogoutRequested:
    """The client leaves."""


@dataclass(frozen=True, slots=True)
class PeerSilent:
    """Nothing came from the peer for too long; the session is closed."""

    silent_ns: int


Event = (
    LoginRequested
    | LoginAccepted
    | LoginRejected
    | SequencedData
    | UnsequencedData
    | Debug
    | SessionEnded
    | LogoutRequested
    | PeerSilent
)


class _Session(ABC):
    """What both ends share: framing, queues, state, heartbeats and silence."""

    _heartbeat_type: int
    _peer_lengths: Mapping[int, int]
    """Packet types that the peer may send, with their length on the wire; 0 where it varies."""

    def __init__(
        self,
        now_ns: int,
        heartbeat_ns: int = spec.HEARTBEAT_INTERVAL_NS,
        silence_limit_ns: int = spec.SILENCE_LIMIT_NS,
    ) -> None:
        self.state = State.CONNECTED
        self._heartbeat_ns = heartbeat_ns
        self._silence_limit_ns = silence_limit_ns
        self._received_at_ns = now_ns
        self._sent_at_ns = now_ns
        self._inbound = bytearray()
        self._outbound = bytearray()
        self._events: deque[Event] = deque()

    @property
    def is_closed(self) -> bool:
        """The session is over."""
        return self.state is State.CLOSED

    def receive(self, data: bytes, now_ns: int) -> None:
        """Take bytes as they came from the peer, however split; RemoteProtocolError at the first
        broken packet.
        """
        if self.is_closed:
            return
        if data:
            self._received_at_ns = now_ns
        self._inbound += data
        at = 0
        try:
            while not self.is_closed and len(self._inbound) - at >= spec.LENGTH_BYTES:
                end = at + spec.LENGTH_BYTES + self._packet_length(at)
                if len(self._inbound) < end:
                    break
                packet = bytes(self._inbound[at + spec.LENGTH_BYTES : end])
                at = end
                self._handle_packet(packet[0], packet)
        except RemoteProtocolError:
            self._move(Step.END)
            raise
        finally:
            del self._inbound[:at]

    def note_received(self, now_ns: int) -> None:
        """Bytes came that the caller reads itself: the peer is alive."""
        self._received_at_ns = now_ns

    def next_event(self) -> Event | None:
        """Oldest event that was not taken yet, or None."""
        return self._events.popleft() if self._events else None

    def data_to_send(self, now_ns: int) -> bytes:
        """Take the bytes to send now; b"" when there are none."""
        data = bytes(self._outbound)
        self._outbound.clear()
        if data:
            self._sent_at_ns = now_ns
        return data

    def timer_ns(self) -> int | None:
        """When to call `handle_timer` at the latest, on the same clock; None when nothing is due
        ever again.
        """
        if self.is_closed:
            return None
        silence = self._received_at_ns + self._limit_ns()
        if self.state is not State.OPEN:
            return silence
        return min(self._sent_at_ns + self._heartbeat_ns, silence)

    def handle_timer(self, now_ns: int) -> None:
        """Do what is due: queue a heartbeat, or give a silent peer up."""
        if self.is_closed:
            return
        silent_ns = now_ns - self._received_at_ns
        if silent_ns >= self._limit_ns():
            self._move(Step.END)
            self._events.append(PeerSilent(silent_ns))
        elif self.state is State.OPEN and now_ns - self._sent_at_ns >= self._heartbeat_ns:
            # Something already waits to be sent: that is as good as a heartbeat.
            if not self._outbound:
                self._queue(self._heartbeat_type)
            self._sent_at_ns = now_ns

    def send_debug(self, text: str) -> None:
        """Queue a line of text for the human at the other end."""
        self._require(State.CONNECTED, State.LOGGING_IN, State.OPEN)
        self._queue(spec.DEBUG, text.encode("latin-1", "replace"))

    def _limit_ns(self) -> int:
        """Silence that this side puts up with in the present state."""
        return self._silence_limit_ns

    def _packet_length(self, at: int) -> int:
        """Length field of the packet at `at`, checked as soon as its type byte is there, so that
        garbage is not waited for.
        """
        length = int.from_bytes(self._inbound[at : at + spec.LENGTH_BYTES], "big")
        if length == 0:
            raise RemoteProtocolError("a packet of length 0 has no type: the stream is out of step")
        if len(self._inbound) - at >= spec.FRAME_BYTES:
            packet_type = self._inbound[at + spec.LENGTH_BYTES]
            expected = self._peer_lengths.get(packet_type)
            if expected is None:
                raise RemoteProtocolError(
                    f"packet type {chr(packet_type)!r} does not come from this side"
                )
            if expected not in (0, length):
                raise RemoteProtocolError(
                    f"packet {chr(packet_type)!r} of length {length}: it has {expected}"
                )
        return length

    @abstractmethod
    def _handle_packet(self, packet_type: int, packet: bytes) -> None:
        """Act on one whole packet, from its type byte on; its type and length are good."""

    def _move(self, step: Step) -> None:
        self.state = TRANSITIONS[self.state][step]

    def _require(self, *states: State) -> None:
        if self.state not in states:
            wanted = " or ".join(state.name for state in states)
            raise LocalProtocolError(f"the session is {self.state.name}, this needs {wanted}")

    def _queue(self, packet_type: int, payload: bytes = b"") -> None:
        length = spec.TYPE_BYTES + len(payload)
        if length > spec.PACKET_BYTES_MAX:
            raise LocalProtocolError(
                f"a payload of {len(payload)} bytes: a packet holds {spec.PACKET_BYTES_MAX - 1}"
            )
        self._outbound += (
            length.to_bytes(spec.LENGTH_BYTES, "big") + bytes((packet_type,)) + payload
        )

    def _queue_message(self, message: Message, **values: str) -> None:
        wire = b"".join(item.encode(values[item.name]) for item in message.fields[1:])
        self._queue(ord(message.type), wire)


class Client(_Session):
    """The side that logs in and reads. `sequence` is the number of the next sequenced message, once
    the login is accepted.
    """

    _heartbeat_type = spec.CLIENT_HEARTBEAT
    _peer_lengths = spec.SERVER_LENGTHS

    sequence = 0

    def login(self, username: str, password: str, session: str = "", sequence: int = 1) -> None:
        """Queue the login: `session` "" for the current one, `sequence` 1 for everything, 0 for
        what comes from now on.
        """
        self._require(State.CONNECTED)
        if sequence < 0:
            raise LocalProtocolError(
                f"requested sequence number {sequence}: 0 or more can be asked for"
            )
        self._queue_message(
            spec.LOGIN_REQUEST,
            username=username,
            password=password,
            requested_session=session,
            requested_sequence_number=str(sequence).rjust(_NUMBER_WIDTH),
        )
        self._move(Step.LOGIN)

    def send_unsequenced(self, payload: bytes) -> None:
        """Queue one message to the server."""
        self._require(State.OPEN)
        self._queue(spec.UNSEQUENCED_DATA, payload)

    def logout(self) -> None:
        """Queue a logout; the session is closed with it."""
        self._require(State.LOGGING_IN, State.OPEN)
        self._queue(spec.LOGOUT_REQUEST)
        self._move(Step.END)

    def _handle_packet(self, packet_type: int, packet: bytes) -> None:
        if packet_type == spec.DEBUG:
            self._events.append(Debug(packet[spec.TYPE_BYTES :].decode("latin-1")))
        elif packet_type in _LOGIN_ANSWERS:
            self._handle_login_answer(packet_type, packet)
        elif self.state is not State.OPEN:
            raise RemoteProtocolError(
                f"packet {chr(packet_type)!r} came before the login was accepted"
            )
        elif packet_type == spec.SEQUENCED_DATA:
            self._events.append(SequencedData(self.sequence, packet[spec.TYPE_BYTES :]))
            self.sequence += 1
        elif packet_type == spec.UNSEQUENCED_DATA:
            self._events.append(UnsequencedData(packet[spec.TYPE_BYTES :]))
        elif packet_type == spec.END_OF_SESSION:
            self._events.append(SessionEnded())
            self._move(Step.END)

    def _handle_login_answer(self, packet_type: int, packet: bytes) -> None:
        if self.state is not State.LOGGING_IN:
            raise RemoteProtocolError(
                f"login answer {chr(packet_type)!r} while the session is {self.state.name}"
            )
        if packet_type == ord(spec.LOGIN_REJECTED.type):
            reason = str(spec.LOGIN_REJECTED.decode(packet)["reason"])
            self._events.append(LoginRejected(reason))
            self._move(Step.END)
            return
        fields = spec.LOGIN_ACCEPTED.decode(packet)
        self.sequence = _read_number(str(fields["sequence_number"]))
        self._events.append(LoginAccepted(str(fields["session"]).strip(), self.sequence))
        self._move(Step.ACCEPT)


class Server(_Session):
    """The side that answers a login and sends. Sequenced messages are numbered from the number that
    `accept` announced.
    """

    _heartbeat_type = spec.SERVER_HEARTBEAT
    _peer_lengths = spec.CLIENT_LENGTHS

    sequence = 0

    def __init__(
        self,
        now_ns: int,
        heartbeat_ns: int = spec.HEARTBEAT_INTERVAL_NS,
        silence_limit_ns: int = spec.SILENCE_LIMIT_NS,
        login_limit_ns: int = spec.LOGIN_LIMIT_NS,
    ) -> None:
        super().__init__(now_ns, heartbeat_ns, silence_limit_ns)
        self._login_limit_ns = login_limit_ns

    def accept(self, session: str, sequence: int) -> None:
        """Let the client in to `session`; the next sequenced message is number `sequence`."""
        self._require(State.LOGGING_IN)
        number = str(sequence).rjust(_NUMBER_WIDTH)
        self._queue_message(
            spec.LOGIN_ACCEPTED, session=session.rjust(_SESSION_WIDTH), sequence_number=number
        )
        self.sequence = sequence
        self._move(Step.ACCEPT)

    def reject(self, reason: str) -> None:
        """Keep the client out: "A" not authorised, "S" session not available."""
        self._require(State.LOGGING_IN)
        if reason not in (spec.REJECT_NOT_AUTHORISED, spec.REJECT_NO_SESSION):
            raise LocalProtocolError(f"login reject reason {reason!r}: A or S can be sent")
        self._queue_message(spec.LOGIN_REJECTED, reason=reason)
        self._move(Step.END)

    def send_sequenced(self, payload: bytes) -> None:
        """Queue the next sequenced message."""
        self._require(State.OPEN)
        self._queue(spec.SEQUENCED_DATA, payload)
        self.sequence += 1

    def send_framed(self, packets: bytes | memoryview, message_count: int) -> None:
        """Queue `message_count` sequenced packets that the caller framed already (a snapshot is
        made in one piece).
        """
        self._require(State.OPEN)
        self._outbound += packets
        self.sequence += message_count

    def end_session(self) -> None:
        """Queue the end of the session; it is closed with it."""
        self._require(State.OPEN)
        self._queue(spec.END_OF_SESSION)
        self._move(Step.END)

    def _limit_ns(self) -> int:
        return self._silence_limit_ns if self.state is State.OPEN else self._login_limit_ns

    def _handle_packet(self, packet_type: int, packet: bytes) -> None:
        if packet_type == spec.DEBUG:
            self._events.append(Debug(packet[spec.TYPE_BYTES :].decode("latin-1")))
        elif packet_type == ord(spec.LOGIN_REQUEST.type):
            self._handle_login(packet)
        elif self.state is State.CONNECTED:
            raise RemoteProtocolError(f"packet {chr(packet_type)!r} came before the login request")
        elif packet_type == spec.UNSEQUENCED_DATA:
            self._events.append(UnsequencedData(packet[spec.TYPE_BYTES :]))
        elif packet_type == spec.LOGOUT_REQUEST:
            self._events.append(LogoutRequested())
            self._move(Step.END)

    def _handle_login(self, packet: bytes) -> None:
        if self.state is not State.CONNECTED:
            raise RemoteProtocolError(
                f"a second login request while the session is {self.state.name}"
            )
        texts = {
            name: str(value).strip() for name, value in spec.LOGIN_REQUEST.decode(packet).items()
        }
        number = _read_number(texts["requested_sequence_number"])
        self._events.append(
            LoginRequested(texts["username"], texts["password"], texts["requested_session"], number)
        )
        self._move(Step.LOGIN)


def _read_number(text: str) -> int:
    """Decimal digits with spaces on either side."""
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit()):
        raise RemoteProtocolError(f"sequence number {text!r} is not made of decimal digits")
    return int(digits)
