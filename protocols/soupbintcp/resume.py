"""A SoupBinTCP client that outlives its connections: it logs in again where it stopped.

    connected ─► receive, next_event, data_to_send, timer_ns, handle_timer ─► disconnected ─► …

Source: SoupBinTCP 3.00: after a lost connection the client asks for the same session
and the number of the message that it wants next.
"""

from collections import deque
from enum import Enum, auto

from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.soupbintcp.events import Event, LoginAccepted, SequencedData, SessionEnded
from protocols.soupbintcp.session import Client, Settings


class Link(Enum):
    """Where a resuming client stands."""

    OFFLINE = auto()
    LOGGING_IN = auto()
    STREAMING = auto()
    FINISHED = auto()
    """The session ended and every message of it arrived."""


class LinkStep(Enum):
    """What moves a resuming client from one state to the next."""

    DIALLED = auto()
    ACCEPTED = auto()
    LOST = auto()
    """The connection is gone, whoever's fault it was."""
    ENDED = auto()


LINK_TRANSITIONS: dict[Link, dict[LinkStep, Link]] = {
    Link.OFFLINE: {LinkStep.DIALLED: Link.LOGGING_IN, LinkStep.LOST: Link.OFFLINE},
    Link.LOGGING_IN: {LinkStep.ACCEPTED: Link.STREAMING, LinkStep.LOST: Link.OFFLINE},
    Link.STREAMING: {LinkStep.ENDED: Link.FINISHED, LinkStep.LOST: Link.OFFLINE},
    Link.FINISHED: {LinkStep.LOST: Link.FINISHED},
}


class ResumingClient:
    """Every sequenced message of one session exactly once and in order, over any number of
    connections.

    `session` and `next_sequence` are what the next login asks for; keep them to go on after a
    restart. A message counts as received once it is among the events, which outlive a connection.
    Messages that a server sends again are dropped and counted in `duplicate_count`; a server that
    goes on beyond `next_sequence`, or in another session, is a RemoteProtocolError.
    """

    def __init__(
        self,
        username: str,
        password: str,
        session: str = "",
        sequence: int = 1,
        settings: Settings | None = None,
    ) -> None:
        """`session` "" for the server's current one, `sequence` 0 for its most recent message
        on.
        """
        self.state = Link.OFFLINE
        self.session = session
        self.next_sequence = sequence
        self.duplicate_count = 0
        self._names = (username, password)
        self._settings = settings or Settings()
        self._client: Client | None = None
        self._events: deque[Event] = deque()

    def connected(self, now_ns: int) -> None:
        """A new connection exists: log in on it."""
        if self.state is not Link.OFFLINE:
            raise LocalProtocolError(f"a connection while the client is {self.state.name}")
        client = Client(now_ns, self._settings)
        client.login(*self._names, session=self.session, sequence=self.next_sequence)
        self._client = client
        self._move(LinkStep.DIALLED)

    def disconnected(self) -> None:
        """The connection is gone; whatever was incomplete on it is dropped."""
        self._client = None
        self._move(LinkStep.LOST)

    def receive(self, data: bytes, now_ns: int) -> None:
        """Take bytes of the connection; RemoteProtocolError when it is to be closed. What came
        before the fault is among the events.
        """
        client = self._require_client()
        try:
            client.receive(data, now_ns)
        finally:
            self._take_events(client)

    def next_event(self) -> Event | None:
        """Oldest event that was not taken yet, or None."""
        return self._events.popleft() if self._events else None

    def data_to_send(self, now_ns: int) -> bytes:
        """Take the bytes to send on the connection now; b"" when there are none."""
        return self._require_client().data_to_send(now_ns)

    def send_unsequenced(self, payload: bytes) -> None:
        """Queue one message to the server."""
        self._require_client().send_unsequenced(payload)

    def timer_ns(self) -> int | None:
        """When to call `handle_timer` at the latest; None without a connection that is alive."""
        return None if self._client is None else self._client.timer_ns()

    def handle_timer(self, now_ns: int) -> None:
        """Do what is due on the connection."""
        client = self._require_client()
        client.handle_timer(now_ns)
        self._take_events(client)

    @property
    def is_closed(self) -> bool:
        """The connection is to be closed, when there is one."""
        return self._client is None or self._client.is_closed

    def _require_client(self) -> Client:
        if self._client is None:
            raise LocalProtocolError("there is no connection: call `connected` first")
        return self._client

    def _move(self, step: LinkStep) -> None:
        self.state = LINK_TRANSITIONS[self.state][step]

    def _take_events(self, client: Client) -> None:
        while (event := client.next_event()) is not None:
            if isinstance(event, SequencedData):
                if event.sequence < self.next_sequence:
                    self.duplicate_count += 1
                    continue
                self.next_sequence = event.sequence + 1
            elif isinstance(event, LoginAccepted):
                self._check_answer(client, event)
            elif isinstance(event, SessionEnded):
                self._check_end(client, event)
            self._events.append(event)

    def _check_answer(self, client: Client, answer: LoginAccepted) -> None:
        if self.session not in ("", answer.session):
            client.close()
            raise RemoteProtocolError(
                f"asked for session {self.session!r}, let in to {answer.session!r}"
            )
        if self.next_sequence not in (0, answer.sequence) and answer.sequence > self.next_sequence:
            client.close()
            raise RemoteProtocolError(
                f"messages {self.next_sequence} to {answer.sequence - 1} are missing: "
                f"the server goes on with {answer.sequence}"
            )
        self.session = answer.session
        self.next_sequence = self.next_sequence or answer.sequence
        self._move(LinkStep.ACCEPTED)

    def _check_end(self, client: Client, _ended: SessionEnded) -> None:
        # A server that repeats what we have must come as far as we are before it may end.
        if client.sequence < self.next_sequence:
            raise RemoteProtocolError(
                f"the session ended before message {client.sequence}, "
                f"but {self.next_sequence - 1} was received already"
            )
        self._move(LinkStep.ENDED)
