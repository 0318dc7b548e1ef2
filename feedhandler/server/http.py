"""A small HTTP/1.1 server for the pages of a process: metrics and health, GET and HEAD, bounded.

A connection has 5 seconds to finish a request and to take the answer, a request has 8 KiB, and
there are at most 32 connections. What breaks a rule gets one answer (400, 405, 408, 413) and is
closed and counted; it delays nobody else, because handlers are short, bytes move without waiting,
and of all requests on all connections one is answered in a turn of the event loop. h11 holds the
rules of the protocol.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import cast

import h11

from feedhandler.server.errors import bind_error

REQUEST_TIMEOUT_S = 5.0
MAX_REQUEST_BYTES = 8 * 1024
MAX_CONNECTIONS = 32
_CLOSE_TIMEOUT_S = 1.0
TEXT = "text/plain; charset=utf-8"

Response = tuple[int, str, bytes]
"""Status, content type, body."""
Handler = Callable[[], Response | Awaitable[Response]]
"""Makes a page at once, or gives something to await that does."""


class HttpServer:
    """Serves `routes` (path to handler) on one address; `port` 0 lets the system choose.

    `on_reject(reason)` is told of everything refused: bad_request, method_not_allowed, not_found,
    too_large, timeout, too_many_connections, handler_failed.
    """

    def __init__(
        self,
        address: str,
        port: int,
        routes: Mapping[str, Handler],
        on_reject: Callable[[str], None],
        *,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        self._address = address
        self._port = port
        self.routes = routes
        self.on_reject = on_reject
        self.timeout_s = timeout_s
        self.connections: set[_Connection] = set()
        self._due: deque[_Connection] = deque()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port listened on, known after `start`."""
        return self._port

    async def start(self) -> None:
        """Listen; OsLimitError names the address when it cannot be had."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: _Connection(self, loop), self._address, self._port, backlog=MAX_CONNECTIONS
            )
        except OSError as error:
            raise bind_error(error, "http", self._address, self._port) from error
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self.connections):
            connection.abort()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._server.wait_closed(), _CLOSE_TIMEOUT_S)
        self._server = None

    def queue(self, connection: "_Connection") -> None:
        """Answer the request of this connection when its turn comes."""
        self._due.append(connection)
        if len(self._due) == 1:
            asyncio.get_running_loop().call_soon(self._answer_next)

    def _answer_next(self) -> None:
        """Answer one request; the loop serves everybody else before the next one."""
        self._due[0].answer()
        self._due.popleft()
        if self._due:
            asyncio.get_running_loop().call_soon(self._answer_next)


class _Connection(asyncio.Protocol):
    """Moves bytes between one socket and h11, and watches the limits."""

    def __init__(self, server: HttpServer, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._machine = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_REQUEST_BYTES)
        self._transport: asyncio.Transport | None = None
        self._request: h11.Request | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._received_bytes = 0
        self._requests_answered = 0
        self._writing_paused = False
        self._is_due = False
        self._page: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept the connection, unless there are too many."""
        # A cast and no check: the transports of uvloop are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        if len(self._server.connections) >= MAX_CONNECTIONS:
            self._server.on_reject("too_many_connections")
            self._transport.abort()
            return
        self._server.connections.add(self)
        self._restart_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        del exc
        self._server.connections.discard(self)
        if self._deadline is not None:
            self._deadline.cancel()
        if self._page is not None:
            self._page.cancel()
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Feed the machine, within the size of a request."""
        if not self._is_open():
            return
        self._received_bytes += len(data)
        if self._received_bytes > MAX_REQUEST_BYTES:
            self._refuse(413, "too_large", "request larger than 8 KiB")
            return
        self._machine.receive_data(data)
        self._advance()

    def eof_received(self) -> bool:
        """The peer sends no more: half a request is refused, whole ones are still answered."""
        if self._is_open():
            self._machine.receive_data(b"")
            self._advance()
        return self._is_due

    def pause_writing(self) -> None:
        """The peer does not read: answer no further request until it does."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """The peer read what was there: go on."""
        self._writing_paused = False
        self._advance()

    def abort(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def _advance(self) -> None:
        """Read up to the end of the next request, which is then answered in its turn."""
        while self._is_open() and not self._writing_paused and not self._is_due:
            try:
                event = self._machine.next_event()
            except h11.RemoteProtocolError as error:
                self._refuse(400, "bad_request", f"bad request: {error}")
                return
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return
            if isinstance(event, h11.Request):
                self._request = event
            elif isinstance(event, h11.EndOfMessage):
                self._is_due = True
                self._server.queue(self)
            elif isinstance(event, h11.ConnectionClosed):
                self._close()

    def answer(self) -> None:
        """Answer the request that is complete, now or when its page is ready."""
        if not self._is_open():
            return
        assert self._request is not None  # noqa: S101 - h11 sends Request before EndOfMessage
        if self._request.method not in {b"GET", b"HEAD"}:
            self._refuse(405, "method_not_allowed", "only GET and HEAD are served here")
            return
        path = self._request.target.split(b"?", 1)[0].decode("ascii", "replace")
        handler = self._server.routes.get(path)
        if handler is None:
            known = " ".join(sorted(self._server.routes))
            self._server.on_reject("not_found")
            self._finish((404, TEXT, f"no such page; there are: {known}\n".encode()))
            return
        try:
            page = handler()
        except Exception as error:  # noqa: BLE001 - a page that fails must not take the others down
            self._finish(self._failed(path, error))
            return
        if isinstance(page, Awaitable):
            self._page = self._loop.create_task(self._finish_later(path, page))
        else:
            self._finish(page)

    async def _finish_later(self, path: str, page: Awaitable[Response]) -> None:
        try:
            response = await page
        except Exception as error:  # noqa: BLE001 - as above
            response = self._failed(path, error)
        self._page = None
        self._finish(response)

    def _failed(self, path: str, error: Exception) -> Response:
        """Count and report a page that failed; what its reader gets."""
        self._server.on_reject("handler_failed")
        context = {"message": f"handler of {path} failed", "exception": error}
        self._loop.call_exception_handler(context)
        return 500, TEXT, b"this page failed; the log says why\n"

    def _finish(self, response: Response) -> None:
        """Send the answer and go on with the next request."""
        if not self._is_open():
            return
        try:
            self._send(response)
        except h11.LocalProtocolError as error:
            # Half an answer may be out: nothing that follows could be understood.
            self._failed("a page with headers that are none", error)
            self.abort()
            return
        self._is_due = False
        self._next_cycle()
        self._advance()

    def _send(self, response: Response, *extra_headers: tuple[str, str]) -> None:
        """Write one whole response, without its body when that was asked for."""
        status, content_type, body = response
        headers = [
            ("Content-Type", content_type),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            *extra_headers,
        ]
        parts = [self._machine.send(h11.Response(status_code=status, headers=headers))]
        if self._request is None or self._request.method != b"HEAD":
            parts.append(self._machine.send(h11.Data(data=body)))
        parts.append(self._machine.send(h11.EndOfMessage()))
        if self._transport is not None:
            self._transport.write(b"".join(part for part in parts if part))

    def _next_cycle(self) -> None:
        """Get ready for the next request, or close where the peer or a fault asks for it."""
        if not self._is_open():
            return
        if self._machine.our_state is h11.DONE and self._machine.their_state is h11.DONE:
            self._machine.start_next_cycle()
            self._request = None
            self._requests_answered += 1
            self._received_bytes = len(self._machine.trailing_data[0])
            self._restart_deadline()
        else:
            self._close()

    def _refuse(self, status: int, reason: str, text: str) -> None:
        """Count it, say why where h11 still lets us, and close."""
        self._server.on_reject(reason)
        if self._machine.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            headers = [("Connection", "close")]
            if status == 405:  # RFC 9110, 15.5.6: the answer names what is allowed
                headers.append(("Allow", "GET, HEAD"))
            self._send((status, TEXT, f"{text}\n".encode()), *headers)
        self._close()

    def _restart_deadline(self) -> None:
        """Start the time in which the next request must be complete."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.call_later(self._server.timeout_s, self._run_out)

    def _run_out(self) -> None:
        """The time is up: close an idle connection that was served before, refuse any other."""
        if not self._is_open() or self._writing_paused or self._is_due:
            self.abort()
        elif self._requests_answered and not self._received_bytes:
            self._close()
        else:
            self._refuse(408, "timeout", "the request took too long")
            self._restart_deadline()

    def _is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def _close(self) -> None:
        """Close once the answer is written; the deadline still drops a peer that never reads it."""
        if self._transport is not None:
            self._transport.close()
