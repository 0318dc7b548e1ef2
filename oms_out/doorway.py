"""A connection before its Logon: at most a few bytes, at most a few seconds, and only one question:
whose is it?
"""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass

from protocols.fix.framing import Framer
from protocols.fix.message import FixMessage, decode
from protocols.fix.spec import MsgType


@dataclass(frozen=True, slots=True)
class Visitor:
    """What a connection showed before its session began."""

    sock: socket.socket
    peer: str
    logon: FixMessage
    received: bytes


class Doorway:
    """Reads the first message of one connection.

    Calls `on_logon` with a Logon, or `on_refused` with the reason for everything else; the receiver
    owns the socket then.
    """

    def __init__(
        self,
        sock: socket.socket,
        peer: str,
        *,
        cap_bytes: int,
        on_logon: Callable[["Doorway", Visitor], None],
        on_refused: Callable[["Doorway", str], None],
    ) -> None:
        """Watch an accepted non-blocking socket."""
        self.sock = sock
        self.peer = peer
        self._cap_bytes = cap_bytes
        self._on_logon = on_logon
        self._on_refused = on_refused
        self._received = b""
        self._framer = Framer(cap_bytes)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self._on_readable)

    def leave(self) -> None:
        """Stop watching the socket."""
        self._loop.remove_reader(self.sock.fileno())

    def _on_readable(self) -> None:
        try:
            data = self.sock.recv(self._cap_bytes - len(self._received) + 1)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._on_refused(self, f"connection lost: {error.strerror}")
            return
        if not data:
            self._on_refused(self, "closed before a Logon")
            return
        self._received += data
        self._framer.feed(data)
        frame = self._framer.next_frame()
        if self._framer.garbled_count:
            self._on_refused(self, "no FIX message")
        elif frame is not None:
            self._judge(decode(frame))
        elif len(self._received) > self._cap_bytes:
            self._on_refused(self, f"more than {self._cap_bytes} bytes before a Logon")

    def _judge(self, first: FixMessage) -> None:
        if first.msg_type != MsgType.LOGON:
            self._on_refused(self, "first message was no Logon")
            return
        self._on_logon(self, Visitor(self.sock, self.peer, first, self._received))
