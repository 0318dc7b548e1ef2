"""The GLIMPSE service: a snapshot of the market for whoever logs in over SoupBinTCP.

Runs on the main thread's event loop. The generator's thread takes the snapshot between two
messages (`sender.SNAPSHOT_WANTED`); clients that ask while one is being taken share it. A client
that reads slowly has its copy in its own socket's queue, limited to one snapshot, and a fixed
time to take it.
"""

import asyncio
import time
from typing import cast

from protocols.errors import RemoteProtocolError
from protocols.glimpse.session import LoginRefused, SnapshotServer, SnapshotWanted, State
from protocols.soupbintcp.session import Settings
from tools.exchange import sender as sending

POLL_S = 0.001
TIMER_S = 0.1
DELIVERY_LIMIT_S = 60.0
"""A client that hasn't taken its snapshot by then is dropped."""
_SETTINGS = Settings(packet_bytes_max=1_024)
"""Clients of a snapshot have nothing long to say."""

COUNTER_NAMES = (
    "clients_connected",
    "clients_refused",
    "clients_broken",
    "clients_late",
    "logins_rejected",
    "snapshots_served",
    "snapshots_taken",
)
"""Refused: more than may be connected; broken: the protocol, or nothing but silence; late: too slow
to take a snapshot.
"""


class GlimpseServer:
    """Hands out snapshots; `counters` by the names above."""

    def __init__(self, sender: sending.Sender, session_id: str, clients_max: int) -> None:
        self.counters = dict.fromkeys(COUNTER_NAMES, 0)
        self.session_id = session_id
        self.clients: set[_Client] = set()
        self.clients_max = clients_max
        self._sender = sender
        self._waiting: list[_Client] = []
        self._wanted = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, address: str, port: int) -> int:
        """Listen; returns the port. OSError when it cannot be had."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Client(self), address, port)
        self._tasks = [
            asyncio.create_task(self._take_snapshots()),
            asyncio.create_task(self._run_timers()),
        ]
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Close the port and every client, with an end of session to those that are logged in."""
        if self._server is not None:
            self._server.close()
        for client in list(self.clients):
            client.end()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def want_snapshot(self, client: "_Client") -> None:
        """Serve `client` as soon as a snapshot that begins after now is there."""
        self._waiting.append(client)
        self._wanted.set()

    async def _take_snapshots(self) -> None:
        """One snapshot at a time, for all that wait when it is asked for."""
        control, progress = self._sender.control, self._sender.progress
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            clients, self._waiting = self._waiting, []
            number = int(control[sending.SNAPSHOT_WANTED]) + 1
            # One store of a word; the sender's acquire load pairs with it.
            sending.publish_word_nb(control, sending.SNAPSHOT_WANTED, number)
            while sending.read_word_nb(control, sending.SNAPSHOT_TAKEN) != number:  # noqa: ASYNC110 - a kernel sets it
                await asyncio.sleep(POLL_S)
            packets = self._sender.snapshot[: progress[sending.SNAPSHOT_BYTES]].tobytes()
            messages = int(progress[sending.SNAPSHOT_MESSAGES])
            next_sequence = int(progress[sending.SNAPSHOT_NEXT_SEQUENCE])
            self.counters["snapshots_taken"] += 1
            for client in clients:
                client.deliver(packets, messages, next_sequence)

    async def _run_timers(self) -> None:
        """Heartbeats and silence of all clients."""
        while True:
            await asyncio.sleep(TIMER_S)
            now_ns = time.monotonic_ns()
            for client in list(self.clients):
                client.handle_timer(now_ns)


class _Client(asyncio.Protocol):
    """Moves the bytes and timers of one connection; the session decides."""

    def __init__(self, server: GlimpseServer) -> None:
        self._server = server
        self._session = SnapshotServer(server.session_id, time.monotonic_ns(), settings=_SETTINGS)
        self._transport: asyncio.Transport | None = None
        self._deadline_ns = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or close it at once when there are too many."""
        # A cast and no check: the transports of uvloop are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        if len(self._server.clients) >= self._server.clients_max:
            self._server.counters["clients_refused"] += 1
            self._transport.abort()
            return
        self._server.counters["clients_connected"] += 1
        self._server.clients.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget the client."""
        self._server.clients.discard(self)
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Feed the session and act on what it says."""
        now_ns = time.monotonic_ns()
        try:
            self._session.receive(data, now_ns)
        except RemoteProtocolError:
            self._drop("clients_broken")
            return
        while (event := self._session.next_event()) is not None:
            if isinstance(event, SnapshotWanted):
                self._server.want_snapshot(self)
            elif isinstance(event, LoginRefused):
                self._server.counters["logins_rejected"] += 1
        self._flush(now_ns)
        # After a refusal or a logout: what was written is still delivered.
        if self._session.is_closed:
            self._close()

    def handle_timer(self, now_ns: int) -> None:
        """Heartbeats to the client; a silent one is dropped, and one that takes too long."""
        timer_ns = self._session.timer_ns()
        if timer_ns is not None and now_ns >= timer_ns:
            self._session.handle_timer(now_ns)
            if self._session.is_closed:
                self._drop("clients_broken")
                return
        if self._deadline_ns and self._transport is not None:
            if self._transport.get_write_buffer_size() == 0:
                self._deadline_ns = 0
            elif now_ns > self._deadline_ns:
                self._drop("clients_late")
                return
        self._flush(now_ns)

    def deliver(self, packets: bytes, messages: int, next_sequence: int) -> None:
        """Send a snapshot and the number of the live message that follows it."""
        if self._session.state is not State.LOADING or self._transport is None:
            return
        now_ns = time.monotonic_ns()
        self._session.send_framed(packets, messages)
        self._session.send_end(next_sequence)
        self._deadline_ns = now_ns + round(DELIVERY_LIMIT_S * 1e9)
        self._server.counters["snapshots_served"] += 1
        self._flush(now_ns)

    def end(self) -> None:
        """Tell the client that the session is over, and close."""
        self._session.end_session()
        self._flush(time.monotonic_ns())
        self._close()

    def _flush(self, now_ns: int) -> None:
        """Move what the session wants sent to the transport."""
        if self._transport is None or self._transport.is_closing():
            return
        # One that reads nothing gets nothing more: its heartbeats wait in the session, as one.
        if self._deadline_ns and self._transport.get_write_buffer_size() > 0:
            return
        data = self._session.data_to_send(now_ns)
        if data:
            self._transport.write(data)

    def _close(self) -> None:
        """Close after what was written has been taken."""
        if self._transport is not None:
            self._transport.close()

    def _drop(self, counter: str) -> None:
        """Close at once and count why."""
        self._server.counters[counter] += 1
        if self._transport is not None:
            self._transport.abort()
