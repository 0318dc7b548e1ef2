"""The ITCH session over SoupBinTCP: the same messages under the same numbers as the lines, for
whoever logs in, from any message on that the history keeps.

Logins, logouts and silence are dealt with here; the messages are framed and sent by the sender's
thread. Source: SoupBinTCP 3.00.
"""

import time

from protocols.errors import RemoteProtocolError
from protocols.soupbintcp.events import (
    LoginRequested,
    LoginTimedOut,
    LogoutRequested,
    PeerSilent,
)
from protocols.soupbintcp.session import Server, Settings, State
from protocols.soupbintcp.spec import REJECT_NO_SESSION, REJECT_NOT_AUTHORISED
from tools.exchange import sender as sending
from tools.exchange import streams as layout
from tools.exchange.config import Soup
from tools.exchange.stream_server import Mail, StreamClient, StreamServer

_NEVER_NS = 1 << 62
_SETTINGS = Settings(packet_bytes_max=1_024, heartbeat_ns=_NEVER_NS)
"""Clients have nothing long to say, and the heartbeats are the sender's thread's."""


def soup_server(sender: sending.Sender, session_id: str, config: Soup) -> StreamServer:
    """The service as it is configured."""
    return StreamServer(
        sender, 0, config.clients_max, lambda server: SoupClient(server, session_id, config)
    )


class SoupClient(StreamClient):
    """One connection."""

    def __init__(self, server: StreamServer, session_id: str, config: Soup) -> None:
        super().__init__(server)
        self._session_id = session_id
        self._config = config
        self._session = Server(time.monotonic_ns(), _SETTINGS)

    def received(self, data: bytes) -> None:
        """Bytes of the client."""
        try:
            self._session.receive(data, time.monotonic_ns())
        except RemoteProtocolError:
            self.drop()
            return
        self._take_events()

    def tick(self, now_ns: int) -> None:
        """A client that is silent, or does not log in, is dropped."""
        self._session.handle_timer(now_ns)
        self._take_events()

    def end(self) -> None:
        """Those who read everything have had the end of session from the sender's thread."""
        self.leave()

    def _take_events(self) -> None:
        while (event := self._session.next_event()) is not None:
            if isinstance(event, LoginRequested) and self._session.state is State.LOGGING_IN:
                self._answer(event)
            elif isinstance(event, LogoutRequested):
                self.leave()
            elif isinstance(event, PeerSilent | LoginTimedOut):
                self.drop()

    def _answer(self, login: LoginRequested) -> None:
        reason, start = self._judge(login)
        if reason:
            self.server.counters["logins_rejected"] += 1
            self._session.reject(reason)
        else:
            self._session.accept(self._session_id, start)
        self.post(Mail(layout.RAW, body=self._session.data_to_send(time.monotonic_ns())))
        if reason:
            self.leave()
        else:
            self.post(Mail(layout.START, start))

    def _judge(self, login: LoginRequested) -> tuple[str, int]:
        """Why a login is rejected, or "" and the first message that it gets."""
        config, sender = self._config, self.server.sender
        is_known = not config.username or (
            login.username.upper() == config.username.upper()
            and login.password.upper() == config.password.upper()
        )
        if not is_known:
            return REJECT_NOT_AUTHORISED, 0
        following = int(sender.progress[sending.SENT]) + 1
        oldest = max(1, following - len(sender.history.offsets))
        # 0: the most recent message, or the first one when none was made.
        start = login.sequence or max(following - 1, 1)
        if login.session not in ("", self._session_id) or not oldest <= start <= following:
            return REJECT_NO_SESSION, 0
        return "", start
