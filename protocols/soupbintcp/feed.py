"""The sending side of a SoupBinTCP session: numbered messages, and one server for each client that
reads them from where it stopped.

A `SequencedFeed` is shared by its servers and keeps the newest messages; a `FeedServer` is one
connection, and takes from the feed only as fast as its client reads. So a slow client costs its
send window, and nobody else anything.
"""

from collections import deque
from collections.abc import Callable

from protocols.errors import LocalProtocolError
from protocols.kept import KeptMessages
from protocols.soupbintcp import spec
from protocols.soupbintcp.events import Event, FellBehind, LoginRequested
from protocols.soupbintcp.session import Server, Settings, State

SEND_WINDOW_BYTES = 65_536
"""Bytes that a server makes ready at a time, by default."""


class SequencedFeed:
    """The messages of session `session` from number 1 on; the newest `messages_max` are kept."""

    def __init__(self, session: str, messages_max: int) -> None:
        self.session = session
        self.kept = KeptMessages(messages_max)
        self.is_ended = False

    def append(self, message: bytes) -> None:
        """Add the next message."""
        if self.is_ended:
            raise LocalProtocolError("the feed has ended: nothing can be added")
        if len(message) > spec.PACKET_BYTES_MAX - spec.TYPE_BYTES:
            raise LocalProtocolError(
                f"a message of {len(message)} bytes: "
                f"a packet holds {spec.PACKET_BYTES_MAX - spec.TYPE_BYTES}"
            )
        self.kept.append(message)

    def end(self) -> None:
        """No more messages come: clients get the end of session behind the last one."""
        self.is_ended = True

    def start_for(self, login: LoginRequested) -> int | None:
        """Number of the first message that a client gets, or None when it can't have what it wants:
        another session, a message that is no longer kept, or one beyond the next.
        """
        if login.session not in ("", self.session):
            return None
        # 0: the most recent message, or the first one when none was made.
        start = login.sequence or max(self.kept.next_sequence - 1, 1)
        return start if self.kept.first_kept <= start <= self.kept.next_sequence else None


class FeedServer:
    """One client of a feed, with the five verbs of a session; `sequence` is the next message that
    it gets.

    Logins are answered here: `authorise(username, password)` decides on "A" (the specification
    compares both without case), the feed on "S". All events are passed on.
    """

    def __init__(
        self,
        now_ns: int,
        feed: SequencedFeed,
        authorise: Callable[[str, str], bool],
        settings: Settings | None = None,
        send_window_bytes: int = SEND_WINDOW_BYTES,
    ) -> None:
        self._server = Server(now_ns, settings or Settings())
        self._feed = feed
        self._authorise = authorise
        self._send_window_bytes = send_window_bytes
        self._events: deque[Event] = deque()

    @property
    def state(self) -> State:
        """State of the session."""
        return self._server.state

    @property
    def sequence(self) -> int:
        """Number of the next message that goes out."""
        return self._server.sequence

    def receive(self, data: bytes, now_ns: int) -> None:
        """Take bytes of the client; RemoteProtocolError at the first broken packet."""
        try:
            self._server.receive(data, now_ns)
        finally:
            while (event := self._server.next_event()) is not None:
                # A fault behind the login in the same bytes has closed the session already.
                if isinstance(event, LoginRequested) and self.state is State.LOGGING_IN:
                    self._answer(event)
                self._events.append(event)

    def next_event(self) -> Event | None:
        """Oldest event that was not taken yet, or None."""
        if not self._events:
            return self._server.next_event()
        return self._events.popleft()

    def data_to_send(self, now_ns: int) -> bytes:
        """The next bytes, about a send window of them at most: call it when the client took those
        before.
        """
        feed, server = self._feed, self._server
        if server.state is State.OPEN and server.sequence < feed.kept.first_kept:
            self._events.append(FellBehind(server.sequence))
            server.close()
        while server.state is State.OPEN and server.unsent_bytes < self._send_window_bytes:
            if server.sequence < feed.kept.next_sequence:
                server.send_sequenced(feed.kept[server.sequence])
            elif feed.is_ended:
                server.end_session()
            else:
                break
        return server.data_to_send(now_ns)

    def timer_ns(self) -> int | None:
        """When to call `handle_timer` at the latest."""
        return self._server.timer_ns()

    def handle_timer(self, now_ns: int) -> None:
        """Heartbeats, silence and the deadline of the login."""
        self._server.handle_timer(now_ns)

    def _answer(self, login: LoginRequested) -> None:
        start = self._feed.start_for(login)
        if not self._authorise(login.username, login.password):
            self._server.reject(spec.REJECT_NOT_AUTHORISED)
        elif start is None:
            self._server.reject(spec.REJECT_NO_SESSION)
        else:
            self._server.accept(self._feed.session, start)
