"""FIX 4.4 market data: logons, requests and the session's own messages, on the main thread.

Everything is sent by the sender's thread, which owns the numbers; a `FixSession` says what, and is
given an outbound half that posts it. Market data is not sent again: a ResendRequest is answered by
a gap fill. Source: FIX 4.4 volume 2 (session), volume 3 (market data).
"""

import time
from collections.abc import Callable, Iterable

from protocols.fix.events import ApplicationMessage, Disconnect, LoggedOn
from protocols.fix.framing import Framer
from protocols.fix.message import FixMessage, Identity, decode
from protocols.fix.outbound import Outbound
from protocols.fix.rules import SessionSettings
from protocols.fix.session import FixSession
from protocols.fix.spec import MsgType, Tag
from protocols.fix.store import MemoryStore
from tools.exchange import sender as sending
from tools.exchange import streams as layout
from tools.exchange.config import FixMd
from tools.exchange.fix_md_requests import MD_REQUEST, MD_REQUEST_REJECT, Requests
from tools.exchange.stream_server import Mail, StreamClient, StreamServer

MESSAGE_BYTES_MAX = 65_536
_LOGON_LIMIT_NS = 5_000_000_000


def fix_md_server(sender: sending.Sender, config: FixMd) -> StreamServer:
    """The service as it is configured."""
    first = int(sender.streams.state[layout.FIRST_FIX])
    symbols = layout.symbol_names(sender.engine)
    return StreamServer(
        sender, first, config.clients_max, lambda server: FixClient(server, config, symbols)
    )


class _Posted(Outbound):
    """The sending half of a session whose messages another thread numbers and sends."""

    def __init__(
        self, identity: Identity, post: Callable[[Mail], None], next_number: Callable[[], int]
    ) -> None:
        super().__init__(identity, MemoryStore())
        self.has_said_logout = False
        self._post = post
        self._next_number = next_number
        self._begins_again = True

    @property
    def has_output(self) -> bool:
        """Nothing waits here."""
        return False

    def clear(self) -> None:
        """Numbers begin again with the next message: there is a new connection, or a reset."""
        super().clear()
        self._begins_again = True

    def send_admin(self, msg_type: bytes, body: bytes, now_ns: int) -> None:
        """Have a message sent."""
        self.last_sent_ns = now_ns
        self.has_said_logout = self.has_said_logout or msg_type == MsgType.LOGOUT
        self._post(Mail(layout.MESSAGE, msg_type[0], int(self._begins_again), body=body))
        self._begins_again = False

    def send_application(self, messages: Iterable[tuple[bytes, bytes]], now_ns: int) -> int:
        """The same for messages of the business; the number of the first is not known here."""
        for msg_type, body in messages:
            self.send_admin(msg_type, body, now_ns)
        return 0

    def replay(self, begin_seq: int, end_seq: int) -> bool:
        """Fill the gap; False when nothing of it was ever sent."""
        if not 1 <= begin_seq < self._next_number() or (end_seq and end_seq < begin_seq):
            return False
        self._post(Mail(layout.GAP_FILL, begin_seq, end_seq))
        return True


class FixClient(StreamClient):
    """One connection. Its session begins with its first message, which says whose it is."""

    def __init__(self, server: StreamServer, config: FixMd, symbols: list[bytes]) -> None:
        super().__init__(server)
        self._config = config
        self._requests = Requests(symbols)
        self._framer = Framer(MESSAGE_BYTES_MAX)
        self._first_bytes = b""
        self._session: FixSession | None = None
        self._posted_out: _Posted | None = None
        self._opened_ns = time.monotonic_ns()
        self._has_logged_on = False

    def received(self, data: bytes) -> None:
        """Bytes of the client."""
        if self._session is None:
            self._first_bytes += data
            self._framer.feed(data)
            frame = self._framer.next_frame()
            if self._framer.garbled_count or len(self._first_bytes) > MESSAGE_BYTES_MAX:
                self.drop()
            elif frame is not None:
                self._begin(decode(frame))
            return
        self._session.receive(data, time.time_ns())
        self._take_events(self._session)

    def tick(self, now_ns: int) -> None:
        """Heartbeats, silence and the deadline of the logon."""
        if self._session is None or self._posted_out is None:
            if now_ns - self._opened_ns > _LOGON_LIMIT_NS:
                self.drop()
            return
        # Market data is as good as a heartbeat.
        real_ns = time.time_ns()
        silent_ns = now_ns - self.word(layout.LAST_SENT_NS)
        self._posted_out.last_sent_ns = max(self._posted_out.last_sent_ns, real_ns - silent_ns)
        self._session.handle_timer(real_ns)
        self._take_events(self._session)

    def end(self) -> None:
        """Say Logout."""
        if self._session is not None and self._session.is_logged_on:
            self._session.logout("the exchange ends", time.time_ns())
        self.leave()

    def _begin(self, first: FixMessage) -> None:
        """Make the session of a client that says who it is."""
        client_id = first.get(Tag.SENDER_COMP_ID)
        is_named = 0 < len(client_id) <= layout.COMP_ID_BYTES_MAX and client_id.isascii()
        if first.msg_type != MsgType.LOGON or not is_named:
            self.server.counters["logins_rejected"] += 1
            self.drop()
            return
        identity = Identity(self._config.comp_id, client_id.decode())
        settings = SessionSettings(
            identity,
            is_initiator=False,
            application_types=frozenset({MD_REQUEST}),
            reset_on_logon=True,
            message_bytes_max=MESSAGE_BYTES_MAX,
        )
        streams = self.server.sender.streams
        fix = self.row - int(streams.state[layout.FIRST_FIX])
        layout.put_text(streams.texts[fix], identity.comp_ids + b"52=")
        self._session = FixSession(settings, MemoryStore())
        self._posted_out = _Posted(identity, self.post, lambda: self.word(layout.NEXT))
        self._session.outbound = self._posted_out
        now_ns = time.time_ns()
        self._session.connected(now_ns)
        self._session.receive(self._first_bytes, now_ns)
        self._take_events(self._session)

    def _take_events(self, session: FixSession) -> None:
        while (event := session.next_event()) is not None:
            if isinstance(event, LoggedOn):
                self._has_logged_on = True
            elif isinstance(event, ApplicationMessage):
                self._take_request(event.message)
            elif isinstance(event, Disconnect):
                self._say_why(event.reason)
                self.leave()

    def _take_request(self, message: FixMessage) -> None:
        """Answer a MarketDataRequest."""
        mail, reject_body = self._requests.take(message)
        if mail is not None:
            self.post(mail)
        elif self._session is not None:
            self._session.send(((MD_REQUEST_REJECT, reject_body),), time.time_ns())

    def _say_why(self, reason: str) -> None:
        """The session is over: a client that was refused hears the reason."""
        if not self._has_logged_on:
            self.server.counters["logins_rejected"] += 1
        if self._posted_out is not None and not self._posted_out.has_said_logout:
            body = b"%d=%b\x01" % (Tag.TEXT, reason.encode("ascii", "replace"))
            self._posted_out.send_admin(MsgType.LOGOUT, body, time.time_ns())
