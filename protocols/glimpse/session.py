"""GLIMPSE sessions on top of SoupBinTCP, without socket or clock: a client that loads one snapshot,
a server that hands them out.

Both have the five verbs of a SoupBinTCP session, and its rules for errors: `receive` raises
RemoteProtocolError when the peer broke the protocol.

Source: GLIMPSE 5.0. The client asks for sequence number 1; each message of the snapshot is one
sequenced packet, and G is the last one.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.glimpse.spec import (
    END_OF_SNAPSHOT_TYPE,
    decode_end_of_snapshot,
    encode_end_of_snapshot,
)
from protocols.soupbintcp import events as soup
from protocols.soupbintcp import spec
from protocols.soupbintcp.session import Client, Server, Settings

FIRST_SEQUENCES = (0, 1)
"""Sequence numbers that a client may ask for: a snapshot has no middle to begin with."""


class State(Enum):
    """Where a snapshot stands, seen from either side."""

    LOGGING_IN = auto()
    LOADING = auto()
    """The login was accepted, the end of the snapshot has not passed yet."""
    COMPLETE = auto()
    FAILED = auto()
    """The session was over before the snapshot was."""


class Step(Enum):
    """What moves a snapshot from one state to the next."""

    ACCEPT = auto()
    LAST = auto()
    """The end of the snapshot, G."""
    CLOSE = auto()


TRANSITIONS: dict[State, dict[Step, State]] = {
    State.LOGGING_IN: {Step.ACCEPT: State.LOADING, Step.CLOSE: State.FAILED},
    State.LOADING: {Step.LAST: State.COMPLETE, Step.CLOSE: State.FAILED},
    State.COMPLETE: {Step.CLOSE: State.COMPLETE},
    State.FAILED: {Step.CLOSE: State.FAILED},
}


@dataclass(frozen=True, slots=True)
class SnapshotMessage:
    """One ITCH message of the snapshot."""

    message: bytes


@dataclass(frozen=True, slots=True)
class SnapshotComplete:
    """The snapshot has `message_count` messages; the live feed goes on with message
    `next_sequence`.
    """

    next_sequence: int
    message_count: int


@dataclass(frozen=True, slots=True)
class SnapshotFailed:
    """The session was over before the snapshot was: `cause` says how."""

    cause: soup.Event


ClientEvent = SnapshotMessage | SnapshotComplete | SnapshotFailed


class SnapshotClient:
    """Loads one snapshot as events; logs out behind its end."""

    def __init__(
        self,
        username: str,
        password: str,
        now_ns: int,
        session: str = "",
        settings: Settings | None = None,
    ) -> None:
        self.state = State.LOGGING_IN
        self.message_count = 0
        self._client = Client(now_ns, settings or Settings())
        self._client.login(username, password, session, sequence=1)
        self._events: deque[ClientEvent] = deque()

    @property
    def is_closed(self) -> bool:
        """The connection is to be closed when `data_to_send` has been sent."""
        return self._client.is_closed

    def receive(self, data: bytes, now_ns: int) -> None:
        """Take bytes of the service; RemoteProtocolError at the first broken packet."""
        try:
            self._client.receive(data, now_ns)
        except RemoteProtocolError:
            self._take_events()
            self._move(Step.CLOSE)
            raise
        self._take_events()

    def next_event(self) -> ClientEvent | None:
        """Oldest event that was not taken yet, or None."""
        return self._events.popleft() if self._events else None

    def data_to_send(self, now_ns: int) -> bytes:
        """Take the bytes to send now; b"" when there are none."""
        return self._client.data_to_send(now_ns)

    def timer_ns(self) -> int | None:
        """When to call `handle_timer` at the latest."""
        return self._client.timer_ns()

    def handle_timer(self, now_ns: int) -> None:
        """Heartbeats, silence and the deadline of the login."""
        self._client.handle_timer(now_ns)
        self._take_events()

    def _take_events(self) -> None:
        while (event := self._client.next_event()) is not None:
            if isinstance(event, soup.LoginAccepted):
                self._move(Step.ACCEPT)
            elif isinstance(event, soup.SequencedData):
                self._take_message(event.payload)
            elif not isinstance(event, soup.Debug | soup.UnsequencedData):
                self._fail(event)

    def _take_message(self, message: bytes) -> None:
        if self.state is not State.LOADING:
            return
        if message[:1] != bytes((END_OF_SNAPSHOT_TYPE,)):
            self.message_count += 1
            self._events.append(SnapshotMessage(message))
            return
        try:
            next_sequence = decode_end_of_snapshot(message)
        except RemoteProtocolError:
            self._client.close()
            self._move(Step.CLOSE)
            raise
        self._events.append(SnapshotComplete(next_sequence, self.message_count))
        self._move(Step.LAST)
        if not self._client.is_closed:
            self._client.logout()

    def _fail(self, cause: soup.Event) -> None:
        if self.state in (State.LOGGING_IN, State.LOADING):
            self._events.append(SnapshotFailed(cause))
        self._move(Step.CLOSE)

    def _move(self, step: Step) -> None:
        self.state = TRANSITIONS[self.state][step]


@dataclass(frozen=True, slots=True)
class SnapshotWanted:
    """A client was let in: send it a snapshot that is taken from now on."""

    username: str


@dataclass(frozen=True, slots=True)
class LoginRefused:
    """A client was kept out: "A" not authorised, "S" another session or sequence number."""

    username: str
    reason: str


ServerEvent = SnapshotWanted | LoginRefused | soup.Event


def _anyone(_username: str, _password: str) -> bool:
    return True


class SnapshotServer:
    """One client of a snapshot service for `session`. Logins are answered here; events of the
    connection that are none of the above are passed on as they are.
    """

    def __init__(
        self,
        session: str,
        now_ns: int,
        authorise: Callable[[str, str], bool] = _anyone,
        settings: Settings | None = None,
    ) -> None:
        self.state = State.LOGGING_IN
        self._session = session
        self._authorise = authorise
        self._server = Server(now_ns, settings or Settings())
        self._events: deque[ServerEvent] = deque()

    @property
    def is_closed(self) -> bool:
        """The connection is to be closed when `data_to_send` has been sent."""
        return self._server.is_closed

    def receive(self, data: bytes, now_ns: int) -> None:
        """Take bytes of the client; RemoteProtocolError at the first broken packet."""
        try:
            self._server.receive(data, now_ns)
        finally:
            self._take_events()

    def next_event(self) -> ServerEvent | None:
        """Oldest event that was not taken yet, or None."""
        return self._events.popleft() if self._events else None

    def data_to_send(self, now_ns: int) -> bytes:
        """Take the bytes to send now; b"" when there are none."""
        return self._server.data_to_send(now_ns)

    def timer_ns(self) -> int | None:
        """When to call `handle_timer` at the latest."""
        return self._server.timer_ns()

    def handle_timer(self, now_ns: int) -> None:
        """Heartbeats, silence and the deadline of the login."""
        self._server.handle_timer(now_ns)
        self._take_events()

    def send_message(self, message: bytes) -> None:
        """Queue one message of the snapshot; its end is `send_end`'s."""
        self._require_loading()
        if message[:1] == bytes((END_OF_SNAPSHOT_TYPE,)):
            raise LocalProtocolError("G ends the snapshot: use `send_end`")
        self._server.send_sequenced(message)

    def send_framed(self, packets: bytes | memoryview, message_count: int) -> None:
        """Queue `message_count` messages that are sequenced packets already."""
        self._require_loading()
        self._server.send_framed(packets, message_count)

    def send_end(self, next_sequence: int) -> None:
        """Queue the end: the live feed goes on with message `next_sequence`."""
        self._require_loading()
        self._server.send_sequenced(encode_end_of_snapshot(next_sequence))
        self._move(Step.LAST)

    def end_session(self) -> None:
        """Queue the end of the session, when there is one, and close it."""
        if self.state in (State.LOADING, State.COMPLETE) and not self.is_closed:
            self._server.end_session()
        else:
            self._server.close()
        self._move(Step.CLOSE)

    def _require_loading(self) -> None:
        if self.state is not State.LOADING:
            raise LocalProtocolError(f"the snapshot is {self.state.name}, this needs LOADING")

    def _take_events(self) -> None:
        while (event := self._server.next_event()) is not None:
            if not isinstance(event, soup.LoginRequested):
                self._events.append(event)
            elif not self.is_closed:
                self._answer(event)
        if self.is_closed:
            self._move(Step.CLOSE)

    def _answer(self, login: soup.LoginRequested) -> None:
        reason = self._refusal(login)
        if reason:
            self._server.reject(reason)
            self._events.append(LoginRefused(login.username, reason))
            return
        self._server.accept(self._session, 1)
        self._move(Step.ACCEPT)
        self._events.append(SnapshotWanted(login.username))

    def _refusal(self, login: soup.LoginRequested) -> str:
        if not self._authorise(login.username, login.password):
            return spec.REJECT_NOT_AUTHORISED
        known = login.session in ("", self._session)
        return "" if known and login.sequence in FIRST_SEQUENCES else spec.REJECT_NO_SESSION

    def _move(self, step: Step) -> None:
        self.state = TRANSITIONS[self.state][step]
