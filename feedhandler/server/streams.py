"""A feed over TCP, the side of the event loop: connect, log in, give the connection to the thread
that receives, say what the session has to say, and connect again, without end.

The thread that receives reads alone from then on, and this side alone writes and closes
(`feedhandler.core.stream`).
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable

import numpy as np
import structlog

from feedhandler.core.api import Reason, StreamWord
from feedhandler.core.source import FeedSource
from feedhandler.core.stream import (
    Link,
    Shared,
    Stream,
    allocate_stream,
    open_link_nb,
    take_told,
)
from feedhandler.server.config import Endpoint
from feedhandler.server.net import set_receive_buffer
from feedhandler.server.snapshots import read_control_nb, write_control_nb
from protocols.errors import ProtocolError
from protocols.moldudp64.spec import SESSION_BYTES

BACK_OFF_S = 0.1
BACK_OFF_MAX_S = 5.0
CONNECT_S = 5.0
_LOOK_S = 0.1
"""How long nothing may be looked at: signs of life and doubt have no descriptor."""
_GIVE_BACK_S = 2.0
_LOG_OUT_S = 1.0
_SEND_S = 5.0
_READ_BYTES = 65_536

_REASONS = {
    Reason.ASKED: "closed by us",
    Reason.CLOSED: "the peer closed the connection",
    Reason.ENDED: "the session has ended",
    Reason.GARBAGE: "bytes that are no message of the protocol",
    Reason.TOO_LONG: "a message that is too long; raise engine.packet_bytes",
    Reason.NUMBERS: "the peer's sequence numbers went back, or a message has none",
}

OnEvent = Callable[[], None]


class StreamFeed:
    """One feed; `stream` is for its receiver."""

    def __init__(
        self, source: FeedSource, endpoint: Endpoint, packet_bytes: int, buffer_bytes: int
    ) -> None:
        """`packet_bytes` as the engine takes them; `buffer_bytes` is asked of the system."""
        self.stream: Stream = allocate_stream(source.buffer_bytes, packet_bytes, source.words)
        self.on_connect: OnEvent = lambda: None
        self.on_loss: OnEvent = lambda: None
        self._source = source
        self._endpoint = endpoint
        self._buffer_bytes = buffer_bytes
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK)
        self._woken = asyncio.Event()
        self._log = structlog.get_logger(component="feed")
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._told_read = 0
        self._gaps = 0

    @property
    def books_in_doubt(self) -> int:
        """Books that may be wrong, or are not there yet."""
        return read_control_nb(self.stream.shared, Shared.DOUBT)

    def start(self) -> None:
        """Begin to connect."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._wake_fd, self._on_wake)
        self._task = loop.create_task(self._run())

    async def stop(self) -> None:
        """Log out and close, while the thread that receives still runs."""
        self._is_stopping = True
        self._woken.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=_LOG_OUT_S + _GIVE_BACK_S)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            asyncio.get_running_loop().remove_reader(self._wake_fd)
        os.close(self._wake_fd)

    def _on_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake_fd)
        self._woken.set()

    # -- connections ------------------------------------------------------------------------------

    async def _run(self) -> None:
        delay_s = BACK_OFF_S
        while not self._is_stopping:
            started_ns = time.monotonic_ns()
            try:
                sock = await self._connect()
            except (OSError, EOFError, TimeoutError, ProtocolError) as error:
                reason = str(error) or "no answer in time"
                self._tell("warning", "feed_connect_failed", reason=reason, retry_s=delay_s)
            else:
                reason = await self._serve(sock)
                if self._is_over(reason):
                    return
            self._note_all()
            if time.monotonic_ns() - started_ns > BACK_OFF_MAX_S * 1e9:
                delay_s = BACK_OFF_S
            self._woken.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping(), delay_s)
            delay_s = min(2 * delay_s, BACK_OFF_MAX_S)

    def _is_over(self, reason: str) -> bool:
        if read_control_nb(self.stream.shared, Shared.REASON) == Reason.ENDED:
            self._tell("info", "feed_ended", reason=reason)
            return True
        if self._is_stopping:
            self._tell("info", "feed_closed", reason=reason)
            return True
        self._tell("warning", "feed_lost", reason=reason)
        self.on_loss()
        return False

    async def _stopping(self) -> None:
        while not self._is_stopping:
            await self._woken.wait()
            self._woken.clear()

    async def _connect(self) -> socket.socket:
        """A connection whose login was accepted, given to the thread that receives."""
        loop, source = asyncio.get_running_loop(), self._source
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            set_receive_buffer(sock, self._buffer_bytes)
            async with asyncio.timeout(CONNECT_S):
                await loop.sock_connect(sock, (self._endpoint.address, self._endpoint.port))
            source.connected(time.monotonic_ns(), time.time_ns())
            while not source.is_open:
                await self._send(sock)
                data = await self._read(sock)
                source.receive(data, time.monotonic_ns())
                source.handle_timer(time.monotonic_ns())
                if source.is_closed:
                    raise EOFError(source.reason)
            self._hand_over(sock)
        except BaseException:
            source.disconnected()
            sock.close()
            raise
        return sock

    async def _read(self, sock: socket.socket) -> bytes:
        """Bytes of the login, b"" when a timer is due before any came."""
        due_ns = self._source.timer_ns() or time.monotonic_ns()
        wait_s = max(due_ns - time.monotonic_ns(), 0) / 1e9
        read = asyncio.get_running_loop().sock_recv(sock, _READ_BYTES)
        try:
            data = await asyncio.wait_for(read, min(wait_s, CONNECT_S))
        except TimeoutError:
            return b""
        if not data:
            raise EOFError("the peer closed the connection before the login was over")
        return data

    def _hand_over(self, sock: socket.socket) -> None:
        source, stream = self._source, self.stream
        now_ns = time.monotonic_ns()
        unread = source.take_unread(now_ns)
        stream.buf[: len(unread)] = np.frombuffer(unread, np.uint8)
        session = source.session.encode("ascii").ljust(SESSION_BYTES)
        stream.out[:SESSION_BYTES] = np.frombuffer(session, np.uint8)
        self._gaps = int(source.words[StreamWord.GAPS])
        self._told_read = read_control_nb(stream.shared, Shared.TOLD)
        open_link_nb(stream, sock.fileno(), len(unread), self._wake_fd, now_ns, time.time_ns())
        self._tell(
            "info", "feed_connected", session=source.session,
            next_seq=int(source.words[StreamWord.SEQ]),
        )  # fmt: skip
        self.on_connect()

    async def _serve(self, sock: socket.socket) -> str:
        """See to the session until the connection ends; why it did."""
        source = self._source
        reason = ""
        try:
            while self._link() == Link.OPEN:
                if self._is_stopping:
                    return await self._log_out(sock)
                self._look()
                await self._send(sock)
                if source.is_closed:
                    break
                await self._rest()
            # What was told at last may say why.
            self._look()
            with contextlib.suppress(OSError, TimeoutError):
                await self._send(sock)
        except (OSError, TimeoutError) as error:
            reason = f"cannot send: {error or 'the peer takes nothing'}"
        finally:
            await self._take_back()
            source.disconnected()
            if not self._is_stopping:
                write_control_nb(self.stream.shared, Shared.DOUBT, source.words[StreamWord.DOUBT])
            sock.close()
        return source.reason or reason or self._reason()

    async def _log_out(self, sock: socket.socket) -> str:
        source = self._source
        source.log_out(time.monotonic_ns())
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_LOG_OUT_S):
                await self._send(sock)
                while self._link() == Link.OPEN and not source.is_closed:
                    self._look()
                    await self._rest()
        return "stopped"

    async def _take_back(self) -> None:
        """Wait until the thread that receives has let go of the connection."""
        shared = self.stream.shared
        write_control_nb(shared, Shared.ASKED, 1)
        deadline_ns = time.monotonic_ns() + int(_GIVE_BACK_S * 1e9)
        while self._link() == Link.OPEN and time.monotonic_ns() < deadline_ns:
            await self._rest()
        write_control_nb(shared, Shared.LINK, np.int64(Link.CLOSED))

    # -- the session ------------------------------------------------------------------------------

    def _look(self) -> None:
        """Take in what the thread that receives found."""
        source, shared = self._source, self.stream.shared
        now_ns = time.monotonic_ns()
        source.heard(read_control_nb(shared, Shared.HEARD_NS))
        written = read_control_nb(shared, Shared.TOLD)
        messages, self._told_read = take_told(self.stream, written, self._told_read)
        write_control_nb(shared, Shared.TOLD_READ, self._told_read)
        for message in messages:
            source.told(message, now_ns)
        gaps = read_control_nb(shared, Shared.GAPS)
        if gaps != self._gaps:
            self._gaps = gaps
            source.note_gap(now_ns)
        source.note_doubt(self.books_in_doubt, now_ns)
        source.handle_timer(now_ns)
        self._note_all()

    async def _rest(self) -> None:
        """Until something is told, or due."""
        due_ns = self._source.timer_ns()
        wait_s = _LOOK_S
        if due_ns is not None:
            wait_s = min(max((due_ns - time.monotonic_ns()) / 1e9, 0), _LOOK_S)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), wait_s)
        self._woken.clear()

    async def _send(self, sock: socket.socket) -> None:
        data = self._source.data_to_send(time.monotonic_ns())
        if data:
            async with asyncio.timeout(_SEND_S):
                await asyncio.get_running_loop().sock_sendall(sock, data)

    def _link(self) -> int:
        return read_control_nb(self.stream.shared, Shared.LINK)

    def _reason(self) -> str:
        reason = Reason(read_control_nb(self.stream.shared, Shared.REASON))
        if reason == Reason.FAILED:
            return os.strerror(int(self.stream.words[StreamWord.ERROR]))
        return _REASONS.get(reason, reason.name)

    def _note_all(self) -> None:
        while (notice := self._source.next_notice()) is not None:
            self._tell(notice.level, notice.event, **notice.fields)

    def _tell(self, level: str, event: str, **fields: object) -> None:
        where = f"{self._endpoint.address}:{self._endpoint.port}"
        getattr(self._log, level)(event, peer=where, **fields)
