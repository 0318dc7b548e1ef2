"""Our side of ITCH over SoupBinTCP: each login asks for the message behind the last one that was
applied, so that none is missing and none comes twice.

Source: SoupBinTCP 3.00: after a lost connection the client asks for the same session and the number
of the message that it wants next.
"""

from collections import deque
from typing import NamedTuple

from adapters.nasdaq_itch.stream import BUFFER_BYTES, stream_words
from feedhandler.core.api import StreamWord
from feedhandler.core.source import Notice
from protocols.errors import RemoteProtocolError
from protocols.soupbintcp.events import (
    Debug,
    Event,
    LoginAccepted,
    LoginRejected,
    LoginTimedOut,
    PeerSilent,
)
from protocols.soupbintcp.session import Client, State
from protocols.soupbintcp.spec import REJECT_NOT_AUTHORISED

_NS_PER_MS = 1_000_000


class Nothing(NamedTuple):
    """No memory but the words of the stream."""


class SoupSource:
    """A `feedhandler.core.source.FeedSource`."""

    buffer_bytes = BUFFER_BYTES

    def __init__(self, username: str, password: str, session: str) -> None:
        """`session` "" for the server's current one at the first login."""
        self.words = stream_words()
        self.memory = Nothing()
        self.session = session
        self.reason = ""
        self._names = (username, password)
        self._client = Client(0, hand_over=True)
        self._notices: deque[Notice] = deque()

    @property
    def is_open(self) -> bool:
        """The login was accepted."""
        return self._client.state is State.OPEN

    @property
    def is_closed(self) -> bool:
        """The session is over for this connection."""
        return self._client.is_closed

    def connected(self, now_ns: int, epoch_ns: int) -> None:  # noqa: ARG002
        """Log in for the next message."""
        self.reason = ""
        self._client = Client(now_ns, hand_over=True)
        sequence = int(self.words[StreamWord.SEQ])
        self._client.login(*self._names, session=self.session, sequence=sequence)

    def receive(self, data: bytes, now_ns: int) -> None:
        """Take the answer to the login; RemoteProtocolError when it leads nowhere."""
        self._client.receive(data, now_ns)
        self._take_events()

    def take_unread(self, now_ns: int) -> bytes:
        """The stream so far."""
        return self._client.take_unread(now_ns)

    def heard(self, now_ns: int) -> None:
        """A sign of life of the server."""
        self._client.heard(now_ns)

    def told(self, message: bytes, now_ns: int) -> None:
        """Nothing is ever left to the session."""

    def note_gap(self, now_ns: int) -> None:
        """Numbers are implied by the order: there is none."""

    def note_doubt(self, books: int, now_ns: int) -> None:
        """What was lost with a connection comes with the next one."""

    def data_to_send(self, now_ns: int) -> bytes:
        """Login, heartbeats, logout."""
        return self._client.data_to_send(now_ns)

    def timer_ns(self) -> int | None:
        """When the next heartbeat, or the patience with the server, is due."""
        return self._client.timer_ns()

    def handle_timer(self, now_ns: int) -> None:
        """Heartbeats, and silence of the server."""
        self._client.handle_timer(now_ns)
        self._take_events()

    def log_out(self, now_ns: int) -> None:  # noqa: ARG002
        """Leave."""
        if not self._client.is_closed:
            self._client.logout()

    def disconnected(self) -> None:
        """The next login goes on from the messages that were read."""
        self._client.close()

    def next_notice(self) -> Notice | None:
        """Oldest notice that was not taken yet, or None."""
        return self._notices.popleft() if self._notices else None

    def _take_events(self) -> None:
        while (event := self._client.next_event()) is not None:
            self._take(event)

    def _take(self, event: Event) -> None:
        if isinstance(event, LoginAccepted):
            self._check_answer(event)
        elif isinstance(event, LoginRejected):
            if event.reason == REJECT_NOT_AUTHORISED:
                text = "not authorised; check feed.soup.username and password"
            else:
                text = "session not available; check feed.session"
            raise RemoteProtocolError(f"login rejected, reason {event.reason}: {text}")
        elif isinstance(event, PeerSilent):
            self.reason = f"the server was silent for {event.silent_ns // _NS_PER_MS} ms"
        elif isinstance(event, LoginTimedOut):
            self.reason = f"no answer to the login for {event.waited_ns // _NS_PER_MS} ms"
        elif isinstance(event, Debug):
            self._notices.append(Notice("info", "feed_debug", {"text": event.text}))

    def _check_answer(self, answer: LoginAccepted) -> None:
        expected = int(self.words[StreamWord.SEQ])
        if self.session not in ("", answer.session):
            self._client.close()
            raise RemoteProtocolError(
                f"asked for session {self.session!r}, let in to {answer.session!r}"
            )
        if answer.sequence > expected:
            self._client.close()
            raise RemoteProtocolError(
                f"messages {expected} to {answer.sequence - 1} are missing: "
                f"the server goes on with {answer.sequence}"
            )
        self.session = answer.session
        # What comes again is known by its number.
        self.words[StreamWord.SEQ] = answer.sequence
