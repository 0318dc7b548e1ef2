"""One listener, one FIX session: orders come back as they came.

What the session's owner does beyond the session: it keeps the ClOrdIDs of this Logon, so that an
order that is marked PossResend and was answered is not answered again (session test case 19).
"""

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from oms_out.doorway import Doorway, Visitor
from oms_out.hours import CLOSED, Hours
from oms_out.link import Link
from protocols.fix.events import ApplicationMessage, Event, LoggedOn
from protocols.fix.message import FixMessage, join_fields, reverse_route
from protocols.fix.rules import SessionSettings
from protocols.fix.schedule import Schedule
from protocols.fix.session import FixSession
from protocols.fix.spec import MsgType, Tag
from protocols.fix.store import MemoryStore

ECHOED_TYPES = frozenset({MsgType.NEW_ORDER_SINGLE, MsgType.SECURITY_DEFINITION})
_KEPT_TAGS = (Tag.POSS_RESEND, Tag.APPL_VER_ID)
_TICK_S = 0.1
_BACKLOG = 16
_DOORWAYS_MAX = 16
_IDS_MAX = 65_536
_PRE_LOGON_CAP_BYTES = 4_096
_OUTBOUND_CAP_BYTES = 16 * 1024 * 1024
_STOP_S = 2.0
_ALWAYS = Schedule()


def echo_of(message: FixMessage, settings: SessionSettings) -> bytes:
    """Body of the answer: the fields of the message as they came, behind the way back and what of
    the header belongs to the content.
    """
    session = settings.books[0]
    around = {member.tag for member in (*session.header, *session.trailer)}
    content = [item for item in message.fields if item[0] not in around]
    head = [(tag, value) for tag in _KEPT_TAGS if (value := message.get(tag))]
    return join_fields([*reverse_route(message, settings.identity), *head, *content])


class EchoServer:
    """`listen`, then `run` until its event is set. A second connection is refused while the session
    is on the first.
    """

    def __init__(
        self,
        settings: SessionSettings,
        say: Callable[[str], None],
        schedule: Schedule = _ALWAYS,
    ) -> None:
        """Nothing is opened yet; `say` gets a line when a peer comes, goes or is refused."""
        self._say = say
        self.session = FixSession(settings, MemoryStore())
        self._hours = Hours(schedule, self.session.store, 0)
        self.echoed_count = 0
        self._link: Link | None = None
        self._doorways: dict[Doorway, int] = {}
        self._seen_ids: set[bytes] = set()
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

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until the event is set, then log out and close."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._listener.fileno(), self._on_acceptable)
        while not stop.is_set():
            await self._wait_a_tick(stop)
        loop.remove_reader(self._listener.fileno())
        for doorway in list(self._doorways):
            self._refuse(doorway, "server stops")
        if self._link is not None:
            self._link.log_out("server stops")
        until_s = loop.time() + _STOP_S
        while self._link is not None and loop.time() < until_s:
            await self._wait_a_tick(asyncio.Event())
        if self._link is not None:
            self._link.close("server stopped")
        self._listener.close()

    async def _wait_a_tick(self, stop: asyncio.Event) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _TICK_S)
        now_ns = time.time_ns()
        for doorway, deadline_ns in list(self._doorways.items()):
            if now_ns >= deadline_ns:
                self._refuse(doorway, "no Logon in time")
        if self._link is not None:
            self._tick_link(self._link, now_ns)

    def _tick_link(self, link: Link, now_ns: int) -> None:
        """Move its timers, or log it out when the hours are over."""
        if self._hours.are_open(now_ns):
            self._hours.note_use(now_ns)
        elif self.session.is_logged_on:
            link.log_out(CLOSED)
        if not link.is_closed:
            link.tick(now_ns)

    def _on_acceptable(self) -> None:
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
        deadline_ns = time.time_ns() + self.session.settings.logon_timeout_ns
        self._doorways[doorway] = deadline_ns

    def _on_logon(self, doorway: Doorway, visitor: Visitor) -> None:
        if self._link is not None:
            self._refuse(doorway, "logged on already")
            return
        now_ns = time.time_ns()
        if not self._hours.are_open(now_ns):
            self._refuse(doorway, CLOSED)
            return
        if self._hours.begin(now_ns):
            self._say("first logon of these hours: numbers start at 1")
        doorway.leave()
        del self._doorways[doorway]
        self._link = Link(
            visitor.sock,
            self.session,
            self,
            outbound_cap_bytes=_OUTBOUND_CAP_BYTES,
            clock_ns=time.time_ns,
        )
        self._link.start(visitor.received)

    def _refuse(self, doorway: Doorway, reason: str) -> None:
        self._say(f"{doorway.peer} refused: {reason}")
        doorway.leave()
        self._doorways.pop(doorway, None)
        doorway.sock.close()

    # -- LinkOwner ----------------------------------------------------------------------------

    def on_event(self, link: Link, event: Event) -> None:
        """Send an order back, unless it is one that was answered."""
        if isinstance(event, LoggedOn):
            self._say(f"logged on, heartbeat {event.heartbeat_s} s")
            self._seen_ids.clear()
        elif isinstance(event, ApplicationMessage) and self._is_new(event):
            message = event.message
            body = echo_of(message, link.session.settings)
            link.session.send(((message.msg_type, body),), time.time_ns())
            self.echoed_count += 1

    def on_sent(self, rx_stamps_ns: list[int]) -> None:
        """Nothing is announced, so nothing is reported."""

    def on_closed(self, link: Link, reason: str, *, was_clean: bool) -> None:
        """The session waits for its next connection."""
        if link is self._link:
            self._link = None
        self._say(f"{'ended' if was_clean else 'cut'}: {reason}")

    def _is_new(self, event: ApplicationMessage) -> bool:
        """False for an order that may be a repeat and whose ClOrdID was seen since the Logon."""
        order_id = event.message.get(Tag.CL_ORD_ID)
        if event.message.msg_type != MsgType.NEW_ORDER_SINGLE:
            return True
        if event.poss_resend and order_id in self._seen_ids:
            return False
        if len(self._seen_ids) < _IDS_MAX:
            self._seen_ids.add(order_id)
        return True
