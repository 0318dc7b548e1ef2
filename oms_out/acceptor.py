"""A listener for FIX sessions whose owner decides who may have one: connections before their Logon,
links behind it, and the timers of both.
"""

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from oms_out.doorway import Doorway, Visitor
from oms_out.link import Link, LinkOwner
from protocols.fix.message import FixMessage
from protocols.fix.session import FixSession

_TICK_S = 0.1
_BACKLOG = 16
_DOORWAYS_MAX = 16
_PRE_LOGON_CAP_BYTES = 4_096
_OUTBOUND_CAP_BYTES = 16 * 1024 * 1024
_STOP_S = 2.0

Judge = Callable[[FixMessage], FixSession | str]
"""The session that a Logon is for, or why it has none."""


class Acceptor:
    """`listen`, then `run` until its event is set. A session that is on a connection already gets
    no second one.
    """

    def __init__(self, judge: Judge, owner: LinkOwner, say: Callable[[str], None]) -> None:
        """Nothing is opened yet; `say` gets a line for a peer that is refused."""
        self.links: dict[FixSession, Link] = {}
        self._judge = judge
        self._owner = owner
        self._say = say
        self._doorways: dict[Doorway, int] = {}
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._listener.getsockname()[1])

    def listen(self, address: str, port: int) -> None:
        """Bind; OSError when the port is taken."""
        try:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.setblocking(False)
            self._listener.bind((address, port))
            self._listener.listen(_BACKLOG)
        except OSError:
            self._listener.close()
            raise

    def forget(self, link: Link) -> None:
        """A link is closed: its session may have another connection."""
        self.links = {session: each for session, each in self.links.items() if each is not link}

    async def run(
        self,
        stop: asyncio.Event,
        logon_timeout_ns: int,
        on_tick: Callable[[int], None] | None = None,
    ) -> None:
        """Serve until the event is set, then log out and close. `on_tick` gets the time, ns since
        the epoch, before the links' timers are moved.
        """
        loop = asyncio.get_running_loop()
        loop.add_reader(self._listener.fileno(), self._on_acceptable, logon_timeout_ns)
        try:
            while not stop.is_set():
                await self._wait_a_tick(stop, on_tick)
        finally:
            loop.remove_reader(self._listener.fileno())
            for doorway in list(self._doorways):
                self._refuse(doorway, "server stops")
            for link in list(self.links.values()):
                link.log_out("server stops")
            until_s = loop.time() + _STOP_S
            while self.links and loop.time() < until_s:
                await self._wait_a_tick(asyncio.Event(), None)
            for link in list(self.links.values()):
                link.close("server stopped")
            self._listener.close()

    async def _wait_a_tick(
        self, stop: asyncio.Event, on_tick: Callable[[int], None] | None
    ) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _TICK_S)
        now_ns = time.time_ns()
        for doorway, deadline_ns in list(self._doorways.items()):
            if now_ns >= deadline_ns:
                self._refuse(doorway, "no Logon in time")
        if on_tick is not None:
            on_tick(now_ns)
        for link in list(self.links.values()):
            if not link.is_closed:
                link.tick(now_ns)

    def _on_acceptable(self, logon_timeout_ns: int) -> None:
        try:
            sock, address = self._listener.accept()
        except OSError:
            return
        sock.setblocking(False)
        if len(self._doorways) >= _DOORWAYS_MAX:
            self._say(f"{address[0]}:{address[1]} refused: too many connections wait")
            sock.close()
            return
        doorway = Doorway(
            sock,
            f"{address[0]}:{address[1]}",
            cap_bytes=_PRE_LOGON_CAP_BYTES,
            on_logon=self._on_logon,
            on_refused=self._refuse,
        )
        self._doorways[doorway] = time.time_ns() + logon_timeout_ns

    def _on_logon(self, doorway: Doorway, visitor: Visitor) -> None:
        session = self._judge(visitor.logon)
        if not isinstance(session, str) and session in self.links:
            session = "logged on already"
        if isinstance(session, str):
            self._refuse(doorway, session)
            return
        doorway.leave()
        del self._doorways[doorway]
        link = Link(
            visitor.sock,
            session,
            self._owner,
            outbound_cap_bytes=_OUTBOUND_CAP_BYTES,
            clock_ns=time.time_ns,
        )
        self.links[session] = link
        link.start(visitor.received)

    def _refuse(self, doorway: Doorway, reason: str) -> None:
        self._say(f"{doorway.peer} refused: {reason}")
        doorway.leave()
        self._doorways.pop(doorway, None)
        doorway.sock.close()
