"""One listener, one FIX session: orders come back as they came.

What the session's owner does beyond the session: it keeps the ClOrdIDs of this Logon, so that an
order that is marked PossResend and was answered is not answered again (session test case 19).
"""

import asyncio
import time
from collections.abc import Callable

from oms_out.acceptor import Acceptor
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
_IDS_MAX = 65_536
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
        self._seen_ids: set[bytes] = set()
        self._acceptor = Acceptor(self._judge, self, say)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._acceptor.port

    def listen(self, address: str, port: int) -> None:
        """Bind; OSError when the port is taken."""
        self._acceptor.listen(address, port)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until the event is set, then log out and close."""
        limit_ns = self.session.settings.logon_timeout_ns
        await self._acceptor.run(stop, limit_ns, self._follow_hours)

    def _follow_hours(self, now_ns: int) -> None:
        """Log the session out when the hours are over."""
        link = self._acceptor.links.get(self.session)
        if link is None:
            return
        if self._hours.are_open(now_ns):
            self._hours.note_use(now_ns)
        elif self.session.is_logged_on:
            link.log_out(CLOSED)

    def _judge(self, _logon: FixMessage) -> FixSession | str:
        now_ns = time.time_ns()
        if not self._acceptor.links and not self._hours.are_open(now_ns):
            return CLOSED
        if not self._acceptor.links and self._hours.begin(now_ns):
            self._say("first logon of these hours: numbers start at 1")
        return self.session

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
        self._acceptor.forget(link)
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
