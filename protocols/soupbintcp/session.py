"""SoupBinTCP sessions, client and server, without a socket or a clock: one connection each.

Both ends have the same five verbs: `receive(data, now_ns)`, `next_event()`, `data_to_send(now_ns)`,
`timer_ns()`, `handle_timer(now_ns)`. `receive` raises RemoteProtocolError when the peer broke the
protocol, with the byte of the stream where the broken packet begins; the connection is then to be
closed, and what came before the broken packet is still in `next_event`. Sending what the state
forbids raises LocalProtocolError. `now_ns` is any monotonic clock.

What a hostile peer can make a session hold: one incomplete packet (`packet_bytes_max`) and the
events of the bytes last received, which the caller takes after each `receive`. Only whole packets
count as a sign of life, and the login has a deadline that nothing moves.
"""

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.message import Message
from protocols.soupbintcp import spec
from protocols.soupbintcp.events import (
    Debug,
    Event,
    LoginAccepted,
    LoginRejected,
    LoginRequested,
    LoginTimedOut,
    LogoutRequested,
    PeerSilent,
    SequencedData,
    SessionEnded,
    UnsequencedData,
)


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

_NUMBER_WIDTH = spec.LOGIN_ACCEPTED.by_name["sequence_number"].width
_SESSION_WIDTH = spec.LOGIN_ACCEPTED.by_name["session"].width
_TIMEOUT_WIDTH = spec.LOGIN_REQUEST_TIMEOUT.by_name["heartbeat_timeout"].width
_LOGIN_ANSWERS = (ord(spec.LOGIN_ACCEPTED.type), ord(spec.LOGIN_REJECTED.type))
_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Settings:
    """What both sides agreed on, and how patient this one is.

    `packet_bytes_max` is the largest length field that is accepted from the peer;
    `silence_limit_ns` holds once the session is open, `login_limit_ns` until then.
    """

    version: spec.Version = spec.Version.V3_00
    heartbeat_ns: int = spec.HEARTBEAT_INTERVAL_NS
    silence_limit_ns: int = spec.SILENCE_LIMIT_NS
    login_limit_ns: int = spec.LOGIN_LIMIT_NS
    packet_bytes_max: int = spec.PACKET_BYTES_MAX


_DEFAULTS = Settings()


class _Session(ABC):
    """What both ends share: framing, queues, state, heartbeats and silence."""

    _heartbeat_type: int
    _peer: spec.Sender

    def __init__(self, now_ns: int, settings: Settings = _DEFAULTS) -> None:
        self.state = State.CONNECTED
        self.settings = settings
        self._peer_lengths = spec.lengths_from(self._peer, settings.version)
        self._silence_limit_ns = settings.silence_limit_ns
        self._opened_at_ns = now_ns
        self._received_at_ns = now_ns
        self._sent_at_ns = now_ns
        self._inbound = bytearray()
        self._inbound_at = 0
        self._outbound = bytearray()
        self._is_reading = True
        """Packets are taken apart here: neither over, nor handed over."""
        self._events: deque[Event] = deque()

    @property
    def is_closed(self) -> bool:
        """The session is over."""
        return self.state is State.CLOSED

    @property
    def unsent_bytes(self) -> int:
        """Bytes that `data_to_send` would give."""
        return len(self._outbound)

    def receive(self, data: bytes, now_ns: int) -> None:
        """Take bytes as they came from the peer, however split; RemoteProtocolError at the first
        broken packet.
        """
        if self.is_closed:
            return
        self._inbound += data
        at = 0
        try:
            while self._is_reading and len(self._inbound) - at >= spec.LENGTH_BYTES:
                end = at + spec.LENGTH_BYTES + self._packet_length(at)
                if len(self._inbound) < end:
                    break
                self._handle_packet(bytes(self._inbound[at + spec.LENGTH_BYTES : end]))
                self._received_at_ns = now_ns
                at = end
        except RemoteProtocolError as error:
            self.close()
            raise RemoteProtocolError(f"{error} (byte {self._inbound_at + at})") from None
        finally:
            del self._inbound[:at]
            self._inbound_at += at

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
        if self.state is not State.OPEN:
            return self._opened_at_ns + self.settings.login_limit_ns
        return min(
            self._sent_at_ns + self.settings.heartbeat_ns,
            self._received_at_ns + self._silence_limit_ns,
        )

    def handle_timer(self, now_ns: int) -> None:
        """Do what is due: queue a heartbeat, or give a silent peer up."""
        if self.state is State.OPEN:
            self._handle_open_timer(now_ns)
        elif not self.is_closed and now_ns - self._opened_at_ns >= self.settings.login_limit_ns:
            self.close()
            self._events.append(LoginTimedOut(now_ns - self._opened_at_ns))

    def close(self) -> None:
        """Give the session up without a word to the peer; what is queued may still be sent."""
        self._move(Step.END)

    def send_debug(self, text: str) -> None:
        """Queue a line of text for the human at the other end."""
        self._require(State.CONNECTED, State.LOGGING_IN, State.OPEN)
        self._queue(spec.DEBUG, text.encode("latin-1", "replace"))

    def _handle_open_timer(self, now_ns: int) -> None:
        silent_ns = now_ns - self._received_at_ns
        if silent_ns >= self._silence_limit_ns:
            self.close()
            self._events.append(PeerSilent(silent_ns))
        elif now_ns - self._sent_at_ns >= self.settings.heartbeat_ns:
            # Something already waits to be sent: that is as good as a heartbeat.
            if not self._outbound:
                self._queue(self._heartbeat_type)
            self._sent_at_ns = now_ns

    def _packet_length(self, at: int) -> int:
        """Length field of the packet at `at`, checked as soon as its type byte is there, so that
        garbage is not waited for.
        """
        length = int.from_bytes(self._inbound[at : at + spec.LENGTH_BYTES], "big")
        if length == 0:
            raise RemoteProtocolError("a packet of length 0 has no type: the stream is out of step")
        if length > self.settings.packet_bytes_max:
            raise RemoteProtocolError(
                f"a packet of length {length}: at most {self.settings.packet_bytes_max} is accepted"
            )
        if len(self._inbound) - at >= spec.FRAME_BYTES:
            packet_type = self._inbound[at + spec.LENGTH_BYTES]
            expected = self._peer_lengths.get(packet_type)
            if expected is None:
                raise RemoteProtocolError(
                    f"packet type {chr(packet_type)!r} does not come from a {self._peer.value}"
                )
            if expected and length not in expected:
                wanted = " or ".join(map(str, expected))
                raise RemoteProtocolError(
                    f"packet {chr(packet_type)!r} of length {length}: it has {wanted}"
                )
        return length

    @abstractmethod
    def _handle_packet(self, packet: bytes) -> None:
        """Act on one whole packet, from its type byte on; its type and length are good."""

    def _move(self, step: Step) -> None:
        self.state = TRANSITIONS[self.state][step]
        self._is_reading = self._is_reading and not self.is_closed

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

    With `hand_over` the stream behind the login answer is left to the caller, who reads it with
    kernels: `receive` then only collects bytes, `take_unread` gives them.
    """

    _heartbeat_type = spec.CLIENT_HEARTBEAT
    _peer = spec.Sender.SERVER

    sequence = 0

    def __init__(
        self, now_ns: int, settings: Settings = _DEFAULTS, *, hand_over: bool = False
    ) -> None:
        super().__init__(now_ns, settings)
        self._hand_over = hand_over

    def login(
        self,
        username: str,
        password: str,
        session: str = "",
        sequence: int = 1,
        *,
        heartbeat_timeout_ms: int = 0,
    ) -> None:
        """Queue the login: `session` "" for the current one; `sequence` 1 for everything, 0 for
        the most recent message on; a `heartbeat_timeout_ms` needs version 4.10.
        """
        self._require(State.CONNECTED)
        _check_number("requested sequence number", sequence, _NUMBER_WIDTH)
        _check_number("heartbeat timeout", heartbeat_timeout_ms, _TIMEOUT_WIDTH)
        if heartbeat_timeout_ms and self.settings.version < spec.Version.V4_10:
            raise LocalProtocolError("a login states a heartbeat timeout since version 4.10 only")
        values = {
            "username": username,
            "password": password,
            "requested_session": session,
            "requested_sequence_number": str(sequence).rjust(_NUMBER_WIDTH),
            "heartbeat_timeout": str(heartbeat_timeout_ms).rjust(_TIMEOUT_WIDTH),
        }
        self._queue_message(
            spec.LOGIN_REQUEST_TIMEOUT if heartbeat_timeout_ms else spec.LOGIN_REQUEST, **values
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

    def take_unread(self, now_ns: int) -> bytes:
        """Bytes behind the login answer that were not given yet (`hand_over`); they count as a sign
        of life.
        """
        if self._is_reading or self.is_closed:
            return b""
        data = bytes(self._inbound)
        self._inbound.clear()
        self._inbound_at += len(data)
        if data:
            self._received_at_ns = now_ns
        return data

    def heard(self, now_ns: int) -> None:
        """The caller read whole packets of the server himself (`hand_over`), the last one then."""
        self._received_at_ns = max(self._received_at_ns, now_ns)

    def _handle_packet(self, packet: bytes) -> None:
        packet_type, payload = packet[0], packet[spec.TYPE_BYTES :]
        if packet_type == spec.DEBUG:
            self._events.append(Debug(payload.decode("latin-1")))
        elif packet_type in _LOGIN_ANSWERS:
            self._handle_login_answer(packet)
        elif self.state is not State.OPEN:
            raise RemoteProtocolError(
                f"packet {chr(packet_type)!r} came before the login was accepted"
            )
        elif packet_type == spec.SEQUENCED_DATA:
            self._events.append(SequencedData(self.sequence, payload))
            self.sequence += 1
        elif packet_type == spec.UNSEQUENCED_DATA:
            self._events.append(UnsequencedData(payload))
        elif packet_type == spec.END_OF_SESSION:
            self._events.append(SessionEnded())
            self._move(Step.END)

    def _handle_login_answer(self, packet: bytes) -> None:
        if self.state is not State.LOGGING_IN:
            raise RemoteProtocolError(
                f"login answer {chr(packet[0])!r} while the session is {self.state.name}"
            )
        if packet[0] == ord(spec.LOGIN_REJECTED.type):
            reason = str(spec.LOGIN_REJECTED.decode(packet)["reason"])
            self._events.append(LoginRejected(reason))
            self._move(Step.END)
            return
        fields = spec.LOGIN_ACCEPTED.decode(packet)
        self.sequence = _read_number("sequence number", str(fields["sequence_number"]))
        self._events.append(LoginAccepted(str(fields["session"]).strip(" "), self.sequence))
        self._move(Step.ACCEPT)
        self._is_reading = not self._hand_over


class Server(_Session):
    """The side that answers a login and sends. Sequenced messages are numbered from the number that
    `accept` announced.
    """

    _heartbeat_type = spec.SERVER_HEARTBEAT
    _peer = spec.Sender.CLIENT

    sequence = 0

    def accept(self, session: str, sequence: int) -> None:
        """Let the client in to `session`; the next sequenced message is number `sequence`."""
        self._require(State.LOGGING_IN)
        _check_number("sequence number", sequence, _NUMBER_WIDTH)
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

    def send_unsequenced(self, payload: bytes) -> None:
        """Queue one message outside the sequence; servers may since version 4.00."""
        self._require(State.OPEN)
        if self.settings.version < spec.Version.V4_00:
            raise LocalProtocolError("a server sends unsequenced data since version 4.00 only")
        self._queue(spec.UNSEQUENCED_DATA, payload)

    def end_session(self) -> None:
        """Queue the end of the session; it is closed with it."""
        self._require(State.OPEN)
        self._queue(spec.END_OF_SESSION)
        self._move(Step.END)

    def _handle_packet(self, packet: bytes) -> None:
        packet_type, payload = packet[0], packet[spec.TYPE_BYTES :]
        if packet_type == spec.DEBUG:
            self._events.append(Debug(payload.decode("latin-1")))
        elif packet_type == ord(spec.LOGIN_REQUEST.type):
            self._handle_login(packet)
        elif self.state is State.CONNECTED:
            raise RemoteProtocolError(f"packet {chr(packet_type)!r} came before the login request")
        elif packet_type == spec.UNSEQUENCED_DATA:
            self._events.append(UnsequencedData(payload))
        elif packet_type == spec.LOGOUT_REQUEST:
            self._events.append(LogoutRequested())
            self._move(Step.END)

    def _handle_login(self, packet: bytes) -> None:
        if self.state is not State.CONNECTED:
            raise RemoteProtocolError(
                f"a second login request while the session is {self.state.name}"
            )
        has_timeout = len(packet) == spec.LOGIN_REQUEST_TIMEOUT.length
        layout = spec.LOGIN_REQUEST_TIMEOUT if has_timeout else spec.LOGIN_REQUEST
        texts = {name: str(value).strip(" ") for name, value in layout.decode(packet).items()}
        sequence = _read_number("sequence number", texts["requested_sequence_number"])
        # A blank timeout is as good as none.
        timeout_ms = _read_number("heartbeat timeout", texts.get("heartbeat_timeout") or "0")
        if timeout_ms:
            self._silence_limit_ns = timeout_ms * _NS_PER_MS
        self._events.append(
            LoginRequested(
                texts["username"],
                texts["password"],
                texts["requested_session"],
                sequence,
                timeout_ms,
            )
        )
        self._move(Step.LOGIN)


def _check_number(what: str, number: int, width: int) -> None:
    if not 0 <= number < 10**width:
        raise LocalProtocolError(f"{what} {number}: 0 to {width} digits can be sent")


def _read_number(what: str, text: str) -> int:
    """Decimal digits with spaces on either side."""
    digits = text.strip(" ")
    if not (digits.isascii() and digits.isdigit()):
        raise RemoteProtocolError(f"{what} {text!r} is not made of decimal digits")
    return int(digits)
