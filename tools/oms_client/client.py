"""The sample OMS as an asyncio client: one FIX session that outlives its connections."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import simplefix

from oms_out.contract import VALIDATION
from oms_out.link import Link
from oms_out.store import FileStore
from protocols.fix.events import (
    ApplicationMessage,
    Disconnect,
    Event,
    GapDetected,
    LoggedOn,
    MessageRejected,
    RejectSent,
)
from protocols.fix.message import FixMessage, Identity
from protocols.fix.rules import SessionSettings
from protocols.fix.session import FixSession
from protocols.fix.spec import MsgType, Tag
from tools.oms_client.ledger import SignalLedger, describe

_TICK_S = 0.1
_BACKOFF_S_MIN = 0.1
_BACKOFF_S_MAX = 5.0
_LOGOUT_WAIT_S = 3.0
_OUTBOUND_CAP_BYTES = 16 * 1024 * 1024
_NEW = b"0"
_SIGNAL_TYPES = frozenset(
    {MsgType.NEW_ORDER_SINGLE, MsgType.SECURITY_STATUS, MsgType.ORDER_MASS_CANCEL_REQUEST}
)


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Whom to reach, as whom, and how patient to be."""

    host: str
    port: int
    sender: str
    target: str
    store_dir: Path
    heartbeat_s: int = 10
    reset_seq: bool = False
    connect_timeout_s: float = 10.0


class NeverConnectedError(Exception):
    """No Logon was accepted within the connect timeout; says what happened last."""


def acknowledge(order: FixMessage) -> tuple[bytes, bytes]:
    """ExecutionReport "new" for a NewOrderSingle (FIX 4.4 volume 4, ExecType 0 and OrdStatus 0).

    Filled in with simplefix, as a desk may do it: the session adds header, number and checksum.
    """
    order_id, report = order.get(Tag.CL_ORD_ID), simplefix.FixMessage()
    for tag, value in (
        (Tag.ORDER_ID, order_id),
        (Tag.EXEC_ID, order_id),
        (Tag.EXEC_TYPE, _NEW),
        (Tag.ORD_STATUS, _NEW),
        (Tag.CL_ORD_ID, order_id),
        (Tag.SYMBOL, order.get(Tag.SYMBOL)),
        (Tag.SIDE, order.get(Tag.SIDE)),
        (Tag.LEAVES_QTY, order.get(Tag.ORDER_QTY)),
        (Tag.CUM_QTY, b"0"),
        (Tag.AVG_PX, b"0"),
    ):
        report.append_pair(int(tag), value)
    return MsgType.EXECUTION_REPORT, report.encode(raw=True)


class FixClient:
    """An initiator that dials again; runs until `stop` is set."""

    def __init__(self, settings: ClientSettings, application_types: frozenset[bytes]) -> None:
        """Open the session's store."""
        self.problems: list[str] = []
        self.logons = 0
        self.gaps = 0
        self.rejects = 0
        self.link: Link | None = None
        self._settings = settings
        self._store = FileStore(settings.store_dir)
        self.session = FixSession(
            SessionSettings(
                identity=Identity(settings.sender, settings.target),
                is_initiator=True,
                application_types=application_types,
                validation=VALIDATION,
                heartbeat_s=settings.heartbeat_s,
                reset_on_logon=settings.reset_seq,
            ),
            self._store,
        )
        self._closed = asyncio.Event()
        self._last_problem = "no attempt was made"

    async def run(self, stop: asyncio.Event) -> None:
        """Stay logged on until `stop`, then log out; NeverConnectedError when no Logon ever
        succeeded in time.
        """
        started_s = time.monotonic()
        backoff_s = _BACKOFF_S_MIN
        while not stop.is_set():
            logons = self.logons
            await self._connect_once(stop)
            backoff_s = _BACKOFF_S_MIN if self.logons > logons else backoff_s
            waited_s = time.monotonic() - started_s
            is_late = waited_s >= self._settings.connect_timeout_s
            if self.logons == 0 and is_late and not stop.is_set():
                raise NeverConnectedError(self._last_problem)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), backoff_s)
            backoff_s = min(2 * backoff_s, _BACKOFF_S_MAX, self._settings.connect_timeout_s)

    def close(self) -> None:
        """Release the store."""
        self._store.close()

    async def _connect_once(self, stop: asyncio.Event) -> None:
        """One connection from dialling to its end."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        if not await self._dial(sock, stop):
            sock.close()
            return
        self._closed.clear()
        link = Link(
            sock,
            self.session,
            self,
            outbound_cap_bytes=_OUTBOUND_CAP_BYTES,
            clock_ns=time.time_ns,
        )
        self.link = link
        link.start()
        logout_by_s = 0.0
        while not self._closed.is_set():
            if stop.is_set() and logout_by_s == 0.0:
                logout_by_s = time.monotonic() + _LOGOUT_WAIT_S
                self._log_out()
            if logout_by_s and time.monotonic() >= logout_by_s:
                link.close("logout was not answered")
                return
            await self._wait_a_tick(stop)
            if not link.is_closed:
                link.tick(time.time_ns())

    async def _dial(self, sock: socket.socket, stop: asyncio.Event) -> bool:
        """Connect within the connect timeout; False when that failed, or `stop` came before."""
        place = (self._settings.host, self._settings.port)
        dial = asyncio.ensure_future(asyncio.get_running_loop().sock_connect(sock, place))
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait(
            (dial, stopping),
            timeout=self._settings.connect_timeout_s,
            return_when=asyncio.FIRST_COMPLETED,
        )
        is_over = dial.done()
        for task in (dial, stopping):
            task.cancel()
        # Nothing waits for the socket any more when this returns.
        result, _ = await asyncio.gather(dial, stopping, return_exceptions=True)
        if not is_over:
            reason = "" if stop.is_set() else "no answer"
        elif isinstance(result, OSError):
            reason = str(result) or "no answer"
        else:
            return True
        if reason:
            self._note(f"cannot reach {place[0]}:{place[1]}: {reason}")
        return False

    async def _wait_a_tick(self, stop: asyncio.Event) -> None:
        """Until the next tick, or sooner when the connection ends or the stop comes."""
        waits = [asyncio.ensure_future(self._closed.wait())]
        if not stop.is_set():
            waits.append(asyncio.ensure_future(stop.wait()))
        await asyncio.wait(waits, timeout=_TICK_S, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    def _log_out(self) -> None:
        link = self.link
        if link is None:
            return
        if self.session.is_logged_on:
            link.log_out("client stops")
        else:
            link.close("stopped before the Logon was answered")

    def _note(self, problem: str) -> None:
        self._last_problem = problem
        if not self.problems or self.problems[-1] != problem:
            self.problems.append(problem)

    # -- LinkOwner ----------------------------------------------------------------------------

    def on_event(self, link: Link, event: Event) -> None:  # noqa: ARG002 - as a link's owner has it
        """Count; the session asks for gaps by itself."""
        if isinstance(event, LoggedOn):
            self.logons += 1
        elif isinstance(event, GapDetected):
            self.gaps += 1
        elif isinstance(event, MessageRejected | RejectSent):
            self.rejects += 1
            self._note(f"reject: {event.text}")
        elif isinstance(event, Disconnect) and not event.was_clean:
            self._note(event.reason)

    def on_sent(self, rx_stamps_ns: list[int]) -> None:
        """The client announces nothing; the server's side measures."""

    def on_closed(self, link: Link, reason: str, *, was_clean: bool) -> None:
        """The connection is gone; `run` dials again."""
        if link is self.link:
            self.link = None
        if not was_clean:
            self._note(reason)
        self._closed.set()


class OmsClient(FixClient):
    """Takes the server's signals; `ledger` and `report` tell what came. Orders go on by `route`,
    where there is one.
    """

    def __init__(
        self,
        settings: ClientSettings,
        say: Callable[[str], None] | None,
        route: Callable[[FixMessage], None] | None = None,
    ) -> None:
        """`say` gets a line for each signal, None keeps quiet."""
        super().__init__(settings, _SIGNAL_TYPES)
        self.ledger = SignalLedger()
        self._say = say
        self._route = route

    def report(self) -> dict[str, int | bool]:
        """What was received, and how the session fared."""
        return self.ledger.report() | {
            "logons": self.logons,
            "gaps": self.gaps,
            "rejects": self.rejects,
            "poss_dup_suppressed": self.session.poss_dup_suppressed_count,
            "garbled": self.session.framer.garbled_count,
            "next_incoming": self._store.next_incoming,
            "next_outgoing": self._store.next_outgoing,
        }

    def on_event(self, link: Link, event: Event) -> None:
        """Count, show and acknowledge."""
        if not isinstance(event, ApplicationMessage):
            super().on_event(link, event)
            return
        if event.message.msg_type == MsgType.NEW_ORDER_SINGLE and self._route is not None:
            self._route(event.message)
        self.ledger.record(event.message)
        if event.message.msg_type == MsgType.NEW_ORDER_SINGLE:
            try:
                link.session.send((acknowledge(event.message),), time.time_ns())
            except OSError as error:
                link.close(f"store: {error}")
                return
            self.ledger.acknowledged += 1
        if self._say is not None:
            self._say(describe(event.message))
