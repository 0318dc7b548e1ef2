"""One TCP connection that carries one FIX session: bytes, timers and nothing else.

Used by the acceptor and by the sample client. The socket is non-blocking and written to directly,
so that a signal's bytes leave in the call that made them; what the kernel does not take waits here,
up to a cap, and the event loop drains it. One callback reads one buffer and writes a few pieces, so
no peer can keep the loop.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from oms_out.contract import SignalTag
from protocols.fix.events import Disconnect, Event
from protocols.fix.message import decode
from protocols.fix.session import FixSession

if TYPE_CHECKING:  # a client has no outlet, and so loads no kernel
    from oms_out.outlet import Outlet, Rest

READ_BYTES = 8_192
_PIECES_PER_TURN = 4
_LINGER_NS = 1_000_000_000
_AWAITING_MAX = 65_536
KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 20),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 60_000),
)
"""A peer whose machine is gone ends the connection within a minute, whatever heartbeat it agreed
to."""


class LinkOwner(Protocol):
    """Who hears what happens on a link."""

    def on_event(self, link: "Link", event: Event) -> None:
        """A fact from the session; the owner may send in answer."""

    def on_sent(self, rx_stamps_ns: list[int]) -> None:
        """The messages that were announced with these stamps were just given to the kernel."""

    def on_closed(self, link: "Link", reason: str, *, was_clean: bool) -> None:
        """The connection is gone; called once."""


class Link:
    """Socket + session. `start` once; then everything happens in callbacks of the loop."""

    def __init__(
        self,
        sock: socket.socket,
        session: FixSession,
        owner: LinkOwner,
        *,
        outbound_cap_bytes: int,
        clock_ns: Callable[[], int],
        outlet: "Outlet | None" = None,
    ) -> None:
        """Take over a connected non-blocking socket; `clock_ns` gives ns since the epoch. `outlet`
        is where another thread may send while all is at rest here.
        """
        self.session = session
        self.is_closed = False
        self._sock = sock
        self._owner = owner
        self._cap_bytes = outbound_cap_bytes
        self._clock_ns = clock_ns
        self._outlet = outlet
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray(READ_BYTES)
        self._backlog = memoryview(b"")
        self._is_writing = False
        self._ending: Disconnect | None = None
        self._ended_ns = 0
        self._linger_until_ns = 0
        self._awaiting: deque[tuple[int, int]] = deque()

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for the kernel to take them."""
        return len(self._backlog) + self.session.outbound.queued_bytes

    @property
    def awaiting_count(self) -> int:
        """Announced messages that have not left."""
        return len(self._awaiting)

    def start(self, first_bytes: bytes = b"") -> None:
        """Begin the session on this connection with what was received already."""
        for level, option, value in ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), *KEEPALIVE):
            self._sock.setsockopt(level, option, value)
        self._loop.add_reader(self._sock.fileno(), self._on_readable)
        if self._outlet is not None:
            self._outlet.on_rest = self._adopt
        with self._store_guard():
            self.session.connected(self._clock_ns())
        self._receive(first_bytes)

    def log_out(self, text: str) -> None:
        """Begin the logout when the session is logged on."""
        if self.session.is_logged_on:
            with self._store_guard():
                self.session.logout(text, self._clock_ns())
            self.flush()

    def announce(self, seq: int, rx_stamp_ns: int) -> bool:
        """Tell the owner, with this stamp, when message `seq` has left; False when too many wait
        already.
        """
        if len(self._awaiting) >= _AWAITING_MAX:
            return False
        self._awaiting.append((seq, rx_stamp_ns))
        return True

    def flush(self) -> None:
        """Send what the session has, now; what the kernel does not take waits, and too much of it
        ends the link.
        """
        if self.is_closed or self._linger_until_ns:
            return
        if self._outlet is not None and self._outlet.is_stuck:
            self._outlet.take()
        if not self._is_writing:
            self._write()
        if self.queued_bytes > self._cap_bytes:
            text = f"slow consumer: {self.queued_bytes} bytes queued, cap {self._cap_bytes}"
            self.close(text)

    def tick(self, now_ns: int) -> None:
        """Timers of the session and of the closing; call it a few times a second."""
        if self._linger_until_ns:
            if now_ns >= self._linger_until_ns:
                self._close_ended()
            return
        if self._outlet is not None:
            outbound = self.session.outbound
            outbound.last_sent_ns = max(outbound.last_sent_ns, self._outlet.last_sent_ns)
        with self._store_guard():
            self.session.handle_timer(now_ns)
        self._deal_with_events()
        self.flush()
        if self._ending is not None and now_ns >= self._ended_ns + _LINGER_NS:
            self._close_ended()

    def close(self, reason: str, *, was_clean: bool = False) -> None:
        """End the connection at once."""
        if self.is_closed:
            return
        self.is_closed = True
        self._take_outlet()
        self._loop.remove_reader(self._sock.fileno())
        self._stop_writer()
        self._sock.close()
        self._backlog = memoryview(b"")
        self.session.disconnected(self._clock_ns())
        # The session lives on for days without a connection: with what a peer left it, too.
        self.session.framer.clear()
        self._owner.on_closed(self, reason, was_clean=was_clean)

    def _take_outlet(self) -> None:
        """Nobody else sends any more: the socket is about to be closed, and its number may soon be
        another connection's.
        """
        if self._outlet is not None:
            self._outlet.take()

    def _adopt(self, rest: "Rest") -> None:
        """Another thread's message did not go out as a whole: all was at rest here, so its end is
        what comes next.
        """
        self._backlog = memoryview(rest.wire)[-rest.unsent_bytes :]
        self.session.outbound.handed_seq = rest.seq
        rx_stamp_ns = decode(rest.wire).number(SignalTag.RX_TIME_NS)
        self.announce(rest.seq, rx_stamp_ns or 0)

    def _on_readable(self) -> None:
        try:
            size = self._sock.recv_into(self._buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lost(f"connection lost: {error.strerror}")
            return
        if size == 0:
            self._lost("peer closed the connection")
        elif self._ending is None:
            self._receive(bytes(self._buffer[:size]))

    def _lost(self, reason: str) -> None:
        if self._ending is not None:
            self._close_ended()
        else:
            self.close(reason)

    def _receive(self, data: bytes) -> None:
        self.session.receive(data, self._clock_ns())
        self._deal_with_events()
        self.flush()

    def _deal_with_events(self) -> None:
        while not self.is_closed and (event := self._next_event()) is not None:
            if isinstance(event, Disconnect):
                self._ending, self._ended_ns = event, self._clock_ns()
                self._take_outlet()
            self._owner.on_event(self, event)

    def _next_event(self) -> Event | None:
        """What the session tells next; the owner's own faults are none of its store."""
        with self._store_guard():
            return self.session.next_event()
        return None

    @contextmanager
    def _store_guard(self) -> Iterator[None]:
        """A store that cannot be read or written ends the link, never the process."""
        try:
            yield
        except OSError as error:
            self.close(f"store: {error}")

    def _next_piece(self) -> memoryview:
        """What the session wants sent now; empty when nothing, or when its store failed."""
        if not self.session.outbound.has_output:
            return memoryview(b"")
        try:
            return memoryview(self.session.data_to_send(self._clock_ns()))
        except OSError as error:
            self.close(f"store: {error}")
            return memoryview(b"")

    def _write(self) -> None:
        """Give the kernel up to a few pieces; keep a writer on the loop while there is more."""
        for _ in range(_PIECES_PER_TURN):
            if not self._backlog:
                self._backlog = self._next_piece()
                if not self._backlog:
                    break
            try:
                sent = self._sock.send(self._backlog)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                self._lost(f"connection lost: {error.strerror}")
                return
            self._backlog = self._backlog[sent:]
            if self._backlog:
                break
            if self._awaiting:
                self._report_sent()
        if self.is_closed:
            return
        if self.queued_bytes or self.session.outbound.has_output:
            self._start_writer()
        else:
            self._stop_writer()
            if self._ending is not None:
                self._finish(self._clock_ns())
            elif self._outlet is not None and self.session.is_logged_on:
                self._outlet.offer(self._sock.fileno())

    def _report_sent(self) -> None:
        handed_seq, stamps = self.session.outbound.handed_seq, []
        while self._awaiting and self._awaiting[0][0] <= handed_seq:
            stamps.append(self._awaiting.popleft()[1])
        if stamps:
            self._owner.on_sent(stamps)

    def _start_writer(self) -> None:
        if not self._is_writing:
            self._is_writing = True
            self._loop.add_writer(self._sock.fileno(), self._write)

    def _stop_writer(self) -> None:
        if self._is_writing:
            self._is_writing = False
            self._loop.remove_writer(self._sock.fileno())

    def _finish(self, now_ns: int) -> None:
        """Everything is sent: close our side, and let the peer read it before the socket goes.

        To close with unread bytes in the receive buffer would reset the connection and could take
        the Logout away.
        """
        self._stop_writer()
        self._linger_until_ns = now_ns + _LINGER_NS
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close_ended()

    def _close_ended(self) -> None:
        if self._ending is not None:
            self.close(self._ending.reason, was_clean=self._ending.was_clean)
