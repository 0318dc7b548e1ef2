"""The main thread's half of a TCP stream: connections come and go here, bytes of clients come in
here, and everything that is sent is posted to the sender's thread, which owns the socket's other
direction (`streams.py`).
"""

import asyncio
import contextlib
import os
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, cast

import numpy as np

from tools.exchange import sender as sending
from tools.exchange import streams as layout

POLL_S = 0.01
LEAVE_LIMIT_S = 2.0
"""Time for the last bytes of a client to be taken."""
QUEUED_BYTES_MAX = 4 << 20
"""Mails that wait for a place in the ring; a client that causes more is dropped."""
_MAIL_COST_BYTES = 256

COUNTER_NAMES = ("clients_connected", "clients_refused", "clients_dropped", "logins_rejected")
"""Counters that the main thread keeps of each service. Refused: more than may be connected, or no
descriptor left; dropped: broke the protocol, was silent, or did not take its last bytes.
"""


class Mail(NamedTuple):
    """One entry of the ring; see `streams.py`."""

    kind: int
    a: int = 0
    b: int = 0
    c: int = 0
    body: bytes = b""


class StreamServer:
    """Listens for one service; `counters` by the names above. `make_client` gives the protocol of a
    new connection; its rows of the streams are `first` to `first + clients_max - 1`.
    """

    def __init__(
        self,
        sender: sending.Sender,
        first: int,
        clients_max: int,
        make_client: Callable[["StreamServer"], "StreamClient"],
    ) -> None:
        self.sender = sender
        self.counters = dict.fromkeys(COUNTER_NAMES, 0)
        self.clients: set[StreamClient] = set()
        self._rows = range(first, first + clients_max)
        self._make_client = make_client
        self._server: asyncio.Server | None = None
        self._timer: asyncio.Task[None] | None = None

    async def start(self, address: str, port: int) -> int:
        """Take the port, which is returned; OSError when it cannot be had."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: self._make_client(self), address, port, start_serving=False
        )
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def serve(self) -> None:
        """Listen: the sender's thread runs, so that nobody waits for it."""
        if self._server is not None:
            await self._server.start_serving()
        self._timer = asyncio.create_task(self._run_timers())

    async def stop(self) -> None:
        """Let the clients go, while the sender's thread runs."""
        for client in list(self.clients):
            client.end()
        deadline = time.monotonic() + LEAVE_LIMIT_S / 4
        while self.clients and time.monotonic() < deadline:  # noqa: ASYNC110 - a kernel lets go
            await asyncio.sleep(POLL_S)

    async def close(self) -> None:
        """Take no more clients, and close what is left: the sender's thread has ended, or never
        began.
        """
        if self._server is not None:
            self._server.close()
        if self._timer is not None:
            self._timer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._timer
        for client in list(self.clients):
            client.finish()

    def free_row(self) -> int | None:
        """A row that no client has, on either side."""
        words = self.sender.streams.words
        for row in self._rows:
            base = row * layout.CLIENT_WORDS
            if words[base + layout.WANT] == layout.FREE and (
                sending.read_word_nb(words, base + layout.HAS) == layout.FREE
            ):
                return row
        return None

    async def _run_timers(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            now_ns = time.monotonic_ns()
            for client in list(self.clients):
                client.poll(now_ns)


class StreamClient(asyncio.Protocol, ABC):
    """One connection. The socket that the sender's thread writes is a duplicate, so that the event
    loop may close its own whenever it likes.
    """

    def __init__(self, server: StreamServer) -> None:
        self.server = server
        self._transport: asyncio.Transport | None = None
        self._words = server.sender.streams.words
        self._row = -1
        self._duplicate = -1
        self._mails: deque[Mail] = deque()
        self._mail_bytes = 0
        self._posted = 0
        self._is_leaving = False
        self._deadline_ns = 0

    # -- what a service does -------------------------------------------------------------------

    @abstractmethod
    def received(self, data: bytes) -> None:
        """Bytes of the client."""

    @abstractmethod
    def tick(self, now_ns: int) -> None:
        """Do what is due; `now_ns` is monotonic."""

    @abstractmethod
    def end(self) -> None:
        """The exchange ends: say so, and leave."""

    # -- what a service may ask for ------------------------------------------------------------

    @property
    def row(self) -> int:
        """The client's row of the streams."""
        return self._row

    def word(self, index: int) -> int:
        """A word of the sender's thread."""
        return sending.read_word_nb(self._words, self._row * layout.CLIENT_WORDS + index)

    def post(self, mail: Mail) -> None:
        """Have the sender's thread do something, in order."""
        if self._is_leaving:
            return
        self._is_leaving = mail.kind == layout.LEAVE
        self._mail_bytes += len(mail.body) + _MAIL_COST_BYTES
        if self._mail_bytes > QUEUED_BYTES_MAX or len(mail.body) > layout.MAIL_BYTES:
            self.drop()
            return
        self._mails.append(mail)
        self._pump()

    def leave(self) -> None:
        """Close the connection after what was posted has been sent."""
        self.post(Mail(layout.LEAVE))
        self._deadline_ns = time.monotonic_ns() + round(LEAVE_LIMIT_S * 1e9)

    def drop(self) -> None:
        """Close the connection at once, and count it."""
        if self._row >= 0 and self._want() != layout.ABORT:
            self.server.counters["clients_dropped"] += 1
            self._abort()

    # -- asyncio -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand the socket to the sender's thread, or close it when there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        row = self.server.free_row()
        if row is not None:
            with contextlib.suppress(OSError):
                self._duplicate = os.dup(transport.get_extra_info("socket").fileno())
        if row is None or self._duplicate < 0:
            self.server.counters["clients_refused"] += 1
            self._transport.abort()
            return
        self.server.counters["clients_connected"] += 1
        self.server.clients.add(self)
        self._row = row
        base = row * layout.CLIENT_WORDS
        self._words[base + layout.DESCRIPTOR] = self._duplicate
        self._words[base + layout.POSTED] = 0
        sending.publish_word_nb(self._words, base + layout.WANT, layout.SERVE)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The client is gone: the sender's thread has to let go."""
        self._transport = None
        if self._row >= 0:
            self._abort()

    def data_received(self, data: bytes) -> None:
        """Bytes that come after the end are of no interest."""
        if self._row >= 0 and not self._is_leaving:
            self.received(data)

    # -- the sender's thread -------------------------------------------------------------------

    def poll(self, now_ns: int) -> None:
        """See how far the sender's thread is."""
        if self.word(layout.HAS) == layout.GONE:
            self.finish()
            return
        self._pump()
        if self._deadline_ns and now_ns > self._deadline_ns:
            self.drop()
        elif not self._is_leaving:
            self.tick(now_ns)

    def finish(self) -> None:
        """The sender's thread never touches the socket again: close it."""
        self.server.clients.discard(self)
        base, self._row = self._row * layout.CLIENT_WORDS, -1
        os.close(self._duplicate)
        sending.publish_word_nb(self._words, base + layout.WANT, layout.FREE)
        if self._transport is not None:
            self._transport.close()

    def _want(self) -> int:
        return int(self._words[self._row * layout.CLIENT_WORDS + layout.WANT])

    def _abort(self) -> None:
        self._is_leaving = True
        base = self._row * layout.CLIENT_WORDS
        sending.publish_word_nb(self._words, base + layout.WANT, layout.ABORT)

    def _pump(self) -> None:
        """Post what there is room for in the ring."""
        # Not before the sender's thread has begun: it sets TAKEN to 0 then.
        if not self._mails or self.word(layout.HAS) != layout.HELD:
            return
        streams = self.server.sender.streams
        room = layout.MAIL_SLOTS - (self._posted - self.word(layout.TAKEN))
        while self._mails and room > 0:
            mail = self._mails.popleft()
            self._mail_bytes -= len(mail.body) + _MAIL_COST_BYTES
            slot = self._row * layout.MAIL_SLOTS + self._posted % layout.MAIL_SLOTS
            at = slot * layout.MAIL_BYTES
            streams.mail[at : at + len(mail.body)] = np.frombuffer(mail.body, np.uint8)
            row = slot * layout.MAIL_WORDS
            values = (mail.kind, len(mail.body), mail.a, mail.b, mail.c)
            streams.mail_words[row : row + len(values)] = values
            self._posted += 1
            room -= 1
        base = self._row * layout.CLIENT_WORDS
        sending.publish_word_nb(self._words, base + layout.POSTED, self._posted)
