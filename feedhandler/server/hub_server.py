"""The hub over TCP: one JSON object a line, in both directions. See docs/hub.md.

A connection costs a bounded amount of memory (a line, a read, what its queues and a write buffer
hold) and of time: of all commands on all connections one is begun in a turn of the event loop, and
bytes move without waiting. A client that does not read has its commands wait, its queues conflated
or cut, and after `stall_s` its connection.
"""

import asyncio
import contextlib
import socket
import time
from typing import cast

import structlog

from feedhandler.server.config import HubConfig
from feedhandler.server.errors import bind_error
from feedhandler.server.hub import Client, Hub
from feedhandler.server.hub_lines import LineFramer, NotTheProtocol, TooLong
from feedhandler.server.hub_messages import (
    Code,
    End,
    Heartbeat,
    HubError,
    decode_command,
    refusal,
)
from feedhandler.server.hub_watchers import to_line
from oms_out.link import KEEPALIVE

READ_BYTES = 8_192
WRITE_BUFFER_BYTES = 65_536
FLUSH_ITEMS = 32
ERRORS_MAX = 100
"""Lines in a row that are no command, after which a connection ends: it is not a mistake."""
TICK_S = 0.1
_OPTIONS = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    # Else the kernel would take megabytes for a peer that does not read, before anybody noticed.
    (socket.SOL_SOCKET, socket.SO_SNDBUF, 262_144),
)
_LINGER_S = 1.0
_BACKLOG = 128
_QUIET_S = 1.0


class HubServer:
    """Listens where `config` says; `port` 0 lets the system choose."""

    def __init__(self, config: HubConfig, hub: Hub) -> None:
        self.config = config
        self.hub = hub
        self.connections: dict[Connection, None] = {}
        self._leaving: dict[Connection, None] = {}
        self._port = config.port
        self._server: asyncio.Server | None = None
        self._turn = asyncio.Lock()
        self._log = structlog.get_logger(component="hub")
        self._ticker: asyncio.TimerHandle | None = None
        self._is_stopping = False
        self._all_gone = asyncio.Event()
        self._quiet_until_s = 0.0
        self._suppressed = 0

    @property
    def port(self) -> int:
        """The port listened on, known after `start`."""
        return self._port

    async def start(self) -> None:
        """Listen; OsLimitError names the address when it cannot be had."""
        loop = asyncio.get_running_loop()
        address = self.config.address
        try:
            self._server = await loop.create_server(
                lambda: Connection(self, loop), address, self._port, backlog=_BACKLOG
            )
        except OSError as error:
            raise bind_error(error, "hub", address, self._port) from None
        self._port = self._server.sockets[0].getsockname()[1]
        self._ticker = loop.call_later(TICK_S, self._tick)
        self._log.info("hub_listening", address=address, port=self._port)

    def refuse_new(self) -> None:
        """Take no more connections; those that there are go on."""
        if self._server is not None:
            self._server.close()

    async def stop(self, deadline_s: float) -> None:
        """Send what waits, as far as it is taken within the deadline, and close."""
        if self._server is None:
            return
        self.refuse_new()
        self._is_stopping = True
        self._note_if_quiet()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_gone.wait(), deadline_s)
        if self._ticker is not None:
            self._ticker.cancel()
        for connection in (*self.connections, *self._leaving):
            connection.abort("shutdown")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._server.wait_closed(), _LINGER_S)
        self._server = None

    async def turn(self) -> None:
        """Wait until nobody else's command is being begun in this turn of the loop."""
        await self._turn.acquire()
        asyncio.get_running_loop().call_soon(self._turn.release)

    def make_room(self) -> bool:
        """Whether one more connection fits, if need be in the place of the oldest one that has not
        shown itself to be a client: a few silent ones must not keep everybody out.
        """
        if len(self.connections) < self.config.clients:
            return True
        silent = next((each for each in self.connections if not each.is_known), None)
        if silent is None:
            return False
        silent.end("silent", "too many connections, and this one sent no command yet")
        return True

    def let_go(self, connection: "Connection") -> None:
        """It has been told that it is over, and has a moment to read that; no more of them than
        clients.
        """
        self.connections.pop(connection, None)
        if len(self._leaving) >= self.config.clients:
            next(iter(self._leaving)).abort("silent")
        self._leaving[connection] = None

    def forget(self, connection: "Connection") -> None:
        """A connection is gone."""
        self.connections.pop(connection, None)
        self._leaving.pop(connection, None)
        self._note_if_quiet()

    def _note_if_quiet(self) -> None:
        if self._is_stopping and not self.connections and not self._leaving:
            self._all_gone.set()

    def note_refusal(self, peer: str, reason: str) -> None:
        """Count a connection that was not let in."""
        self.hub.tally.refused_clients += 1
        self._tell("hub_client_refused", peer, reason)

    def note_end(self, peer: str, reason: str) -> None:
        """Count the end of a client."""
        ended = self.hub.tally.disconnected
        ended[reason] = ended.get(reason, 0) + 1
        self._tell("hub_client_gone", peer, reason)

    def _tell(self, event: str, peer: str, reason: str) -> None:
        """Write at most one line a second: a flood of connections is no flood of lines."""
        now_s = self.hub.now_s()
        if now_s < self._quiet_until_s:
            self._suppressed += 1
            return
        suppressed, self._suppressed = self._suppressed, 0
        self._quiet_until_s = now_s + _QUIET_S
        self._log.info(event, peer=peer, reason=reason, suppressed=suppressed)

    def _tick(self) -> None:
        """Timers of all connections. It must come again whatever happens."""
        self._ticker = asyncio.get_running_loop().call_later(TICK_S, self._tick)
        now_s = self.hub.now_s()
        for connection in (*self.connections, *self._leaving):
            connection.tick(now_s)


class Connection(asyncio.BufferedProtocol):
    """Moves bytes between one socket and a client of the hub, and watches the limits."""

    def __init__(self, server: HubServer, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._hub = server.hub
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._client: Client | None = None
        self._peer = ""
        self._buffer = bytearray(READ_BYTES)
        self._framer = LineFramer(server.config.line_bytes)
        self._worker: asyncio.Task[None] | None = None
        self._is_flushing = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._errors = 0
        self._end_reason = ""
        now_s = server.hub.now_s()
        self._connected_s = self._heard_s = self._said_s = now_s
        self._line_s = self._stalled_s = self._closing_s = 0.0
        self._is_left = False
        self._is_reading = True
        self.is_known = False

    # -- asyncio ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, unless there are too many."""
        # A cast and no check: the transports of uvloop are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._peer = f"{peer[0]}:{peer[1]}" if peer else "?"
        if not self._server.make_room():
            text = f"{self._server.config.clients} clients already; close one, or raise [hub]"
            self.end("too_many_clients", f"{text} clients")
            self._server.note_refusal(self._peer, "too_many_clients")
            return
        self._server.connections[self] = None
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        sock = transport.get_extra_info("socket")
        for level, option, value in (*_OPTIONS, *KEEPALIVE):
            sock.setsockopt(level, option, value)
        self._client = self._hub.admit(self._peer, self._wake)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        del exc
        self._server.forget(self)
        self._transport = None
        self._writable.set()
        self._forget_client("left")

    def get_buffer(self, sizehint: int) -> bytearray:
        """Where to put what comes."""
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take in what came, and read on when that has been worked off."""
        if self._client is None or not self._is_open():
            return
        now_s = self._hub.now_s()
        self._heard_s = now_s
        was_partial = self._framer.is_partial
        self._framer.feed(memoryview(self._buffer)[:nbytes])
        if not was_partial or self._framer.has_line:
            self._line_s = now_s
        if self._framer.has_line:
            self._set_reading(is_reading=False)
            if self._worker is None:
                self._worker = self._loop.create_task(self._work())

    def eof_received(self) -> bool:
        """Whoever closes its side has left, and is to miss nothing of a share; commands that came
        whole are still answered.
        """
        self._is_left = True
        if self._client is not None:
            self._client.leave_all()
        return self._worker is not None and self._is_open()

    def pause_writing(self) -> None:
        """The peer does not read: take nothing from the queues until it does."""
        self._stalled_s = self._hub.now_s()
        self._writable.clear()

    def resume_writing(self) -> None:
        """The peer read what was there: go on."""
        self._stalled_s = 0.0
        self._writable.set()
        self._wake()

    # -- commands ---------------------------------------------------------------------------------

    async def _work(self) -> None:
        """Do one command after the other, each in its turn, as long as the answers are read."""
        received_s = self._hub.now_s()
        try:
            while self._is_open() and (line := self._framer.next_line()) is not None:
                await self._writable.wait()
                await self._server.turn()
                if self._client is None or not self._is_open():
                    return
                if isinstance(line, NotTheProtocol):
                    text = "this port speaks newline JSON, no HTTP and no TLS; docs/hub.md"
                    self._write(to_line(refusal(HubError(Code.NOT_THE_PROTOCOL, text))))
                    self._hub.count_command(Code.NOT_THE_PROTOCOL)
                    self.end("not_the_protocol", text)
                    return
                await self._do(line, received_s)
        finally:
            self._worker = None
        if self._transport is None or not self._is_open():
            return
        if self._is_left:
            self._close()
            return
        self._line_s = self._hub.now_s()
        self._set_reading(is_reading=True)

    async def _do(self, line: bytes | TooLong, received_s: float) -> None:
        client = self._client
        try:
            if isinstance(line, TooLong):
                text = f"a line of more than {self._server.config.line_bytes} bytes; send shorter"
                raise HubError(Code.MALFORMED, f"{text} ones, or raise [hub] line_bytes")
            command = decode_command(line)
        except HubError as error:
            self._hub.count_command(error.code)
            self._write(to_line(refusal(error)))
            self._errors += 1
            if self._errors >= ERRORS_MAX:
                self.end("malformed", f"{ERRORS_MAX} lines in a row were no command")
            return
        self._errors = 0
        self.is_known = True
        if client is not None:
            self._write(to_line(await self._hub.execute(client, command, received_s)))

    # -- what flows -------------------------------------------------------------------------------

    def _wake(self) -> None:
        """There may be something to send: look in a later turn, once."""
        if not self._is_flushing and self._writable.is_set():
            self._is_flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flushing = False
        if self._client is None or not self._is_open() or not self._writable.is_set():
            return
        items = self._client.take(FLUSH_ITEMS)
        if not items:
            return
        self._write(b"".join(map(to_line, items)))
        if isinstance(items[-1], End):
            self._end_reason = items[-1].reason
            self._close()
        else:
            self._wake()

    # -- limits -----------------------------------------------------------------------------------

    def tick(self, now_s: float) -> None:
        """End what has waited too long; say that we live."""
        config = self._server.config
        if self._closing_s:
            if now_s >= self._closing_s + _LINGER_S:
                self.abort("silent")
        elif self._stalled_s and now_s >= self._stalled_s + config.stall_s:
            self.abort("slow")
        elif self._worker is not None:
            return
        elif self._framer.is_partial and now_s >= self._line_s + config.line_s:
            self.end("slow_line", f"a line took more than {config.line_s} s")
        elif not self.is_known and now_s >= self._connected_s + config.line_s:
            self.end("silent", f"no command within {config.line_s} s")
        elif self._client is None or self._stalled_s:
            return
        elif self._client.subscriptions:
            if now_s >= self._said_s + config.heartbeat_s:
                self._write(to_line(Heartbeat(time.time_ns())))
        elif now_s >= self._heard_s + config.idle_s:
            self.end("idle", f"no subscription and no command for {config.idle_s} s")

    def end(self, reason: str, text: str) -> None:
        """Say why, and close."""
        if self._is_open():
            self._end_reason = reason
            self._write(to_line(End(reason=reason, text=text)))
            self._close()

    def abort(self, reason: str) -> None:
        """Close at once, with what was not sent."""
        self._forget_client(reason)
        if self._transport is not None:
            self._transport.abort()

    def _forget_client(self, reason: str) -> None:
        """It is a client no more: what waits for it goes to the others of its shares."""
        if self._client is not None:
            self._client.close()
            self._client = None
            self._server.note_end(self._peer, self._end_reason or reason)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and self._is_open():
            self._said_s = self._hub.now_s()
            self._transport.write(data)

    def _set_reading(self, *, is_reading: bool) -> None:
        if self._transport is None or self._is_reading == is_reading:
            return
        self._is_reading = is_reading
        if is_reading:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _is_open(self) -> bool:
        transport = self._transport
        return not self._closing_s and transport is not None and not transport.is_closing()

    def _close(self) -> None:
        """Close our side once all is written, and let the peer read it: to close with bytes unread
        would reset the connection, and could take the last words away. The tick drops a peer that
        does not close its side.
        """
        if self._transport is None:
            return
        self._closing_s = self._hub.now_s()
        self._forget_client("left")
        self._server.let_go(self)
        try:
            if self._is_left or self._transport.is_closing():
                self._transport.close()
            else:
                self._transport.write_eof()
                self._set_reading(is_reading=True)
        except OSError:  # the peer has gone in the meantime
            self._transport.abort()
