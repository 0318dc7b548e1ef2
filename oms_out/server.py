"""FIX 4.4 acceptor for OMS clients: one listener, one session for each CompID on the allow list.

Everything runs in callbacks of one event loop; a callback reads at most one buffer and sends a few
pieces, so that no client, slow or hostile, delays another or the signals. What an OMS is promised:
`contract.py`.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import structlog

from feedhandler.core.api import Sender
from feedhandler.core.ring import Ring
from oms_out.config import OmsConfig
from oms_out.contract import (
    OmsCount,
    OmsGauge,
    OmsMetrics,
    SessionStatus,
    SignalTag,
)
from oms_out.doorway import Doorway, Visitor
from oms_out.encoding import SignalEncoder
from oms_out.hours import CLOSED, Hours
from oms_out.id_set import IdSet
from oms_out.link import Link
from oms_out.outlet import Outlet, OutletStore, has_slots
from oms_out.outlets import Outlets
from oms_out.publisher import OnRows, Peer, SignalPublisher
from oms_out.recovery import find_missed, newest_id, survivor_of
from oms_out.signal_ids import SignalIds, read_boot_id
from oms_out.sources import SignalSources
from oms_out.store import FileStore, StoreError
from protocols.fix.events import (
    ApplicationMessage,
    Event,
    GapDetected,
    LoggedOn,
    MessageRejected,
    RejectSent,
    ReplayAsked,
    SequenceReset,
)
from protocols.fix.message import decode
from protocols.fix.rules import SessionSettings
from protocols.fix.session import FixSession
from protocols.fix.spec import MsgType, Tag
from protocols.fix.times import NS_PER_S

_TICK_S = 0.1
_ACCEPTS_PER_TURN = 16
_BACKLOG = 128


class _Account:
    """What the server keeps for one CompID: session, store, connection, acknowledged ids, counts
    already reported.
    """

    def __init__(
        self, session: FixSession, store: FileStore, hours: Hours, outlet: Outlet | None
    ) -> None:
        self.session = session
        self.store = store
        self.hours = hours
        self.outlet = outlet
        self.link: Link | None = None
        self.acknowledged = IdSet()
        self.execution_reports = 0
        self.reported_replayed = 0
        self.reported_garbled = 0

    @property
    def comp_id(self) -> str:
        return self.session.settings.identity.target_comp_id

    @property
    def stored_signal_id(self) -> int:
        """Of the newest signal in the store; 0 where none is, or the store was reset."""
        return decode(self.store.last_message).number(SignalTag.SIGNAL_ID) or 0

    @property
    def next_outgoing(self) -> int:
        """Number that the next message gets; only looks."""
        return self.outlet.next_outgoing if self.outlet else self.store.next_outgoing


class OmsServer:
    """The acceptor; `await start()`, then `await stop(deadline_s)`.

    `wakeup_fd` is a non-blocking eventfd that becomes readable when rows of SIGNAL were added to
    one of the rings `signals`, which is one for each thread that makes them; with several nobody
    but the event loop sends. It stays the caller's, and so do the producer's sides. `clock_ns` is
    CLOCK_REALTIME, replaceable in tests.
    """

    def __init__(
        self,
        config: OmsConfig,
        symbol_of: Callable[[int], str],
        source_names: Sequence[str],
        signals: Sequence[Ring],
        wakeup_fd: int,
        metrics: OmsMetrics,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Nothing is opened before `start`."""
        self.config = config
        self.on_rows: OnRows | None = None
        self._encoder = SignalEncoder(symbol_of, source_names)
        self._outlets = Outlets(source_names)
        self._signals = SignalSources(signals)
        self._wakeup_fd = wakeup_fd
        self._metrics = metrics
        self._clock_ns = clock_ns
        self._log = structlog.get_logger(component="oms_out")
        self._accounts: dict[str, _Account] = {}
        self._account_of: dict[FixSession, _Account] = {}
        self._doorways: dict[Doorway, int] = {}
        self._all_gone = asyncio.Event()
        self._listener: socket.socket | None = None
        self._publisher: SignalPublisher | None = None
        self._ids: SignalIds | None = None
        self._ids_refused = False
        self._ticker: asyncio.TimerHandle | None = None
        self._is_accepting = False
        self._is_stopping = False
        self._refused_quiet_until_ns = 0
        self._refused_suppressed = 0

    def name_sources(self, source_names: Sequence[str]) -> None:
        """Other patterns and breakers have these numbers from now on."""
        self._encoder.name_sources(source_names)
        self._outlets.name_sources(source_names)

    # -- life ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the stores, bind and listen; StoreError when a store cannot be used, another OSError
        when the port is taken.
        """
        self._loop = asyncio.get_running_loop()
        try:
            self._listen()
            for comp_id in self.config.allowed:
                self._open_account(comp_id)
            self._open_ids()
        except BaseException:
            self._release()
            raise
        self._share_recovered()
        peers = [Peer(account.session, account.outlet) for account in self._accounts.values()]
        self._publisher = SignalPublisher(
            self._signals,
            self._encoder,
            peers,
            self._link_of,
            self._metrics,
            self._clock_ns,
            self._note_id,
        )
        if self.on_rows is not None:
            self._publisher.on_rows = self.on_rows
        self._publisher.last_signal_id = self._signals.last_id = self._stored_signal_id()
        self._set_accepting(is_accepting=True)
        self._loop.add_reader(self._wakeup_fd, self._publisher.on_wakeup, self._wakeup_fd)
        self._ticker = self._loop.call_later(_TICK_S, self._tick)
        self._log.info("oms_listening", address=self.config.address, port=self.port)

    @property
    def port(self) -> int:
        """Port that is listened on, the real one when the configuration says 0; 0 while stopped."""
        return 0 if self._listener is None else int(self._listener.getsockname()[1])

    def sender(self) -> Sender:
        """What the thread that makes signals calls for each, once the server has started."""
        return self._outlets.sender()

    @property
    def published_count(self) -> int:
        """Signals taken from the ring and numbered for every session."""
        return 0 if self._publisher is None else self._publisher.published_count

    @property
    def sent_count(self) -> int:
        """Messages given to connections at once, over all sessions."""
        return 0 if self._publisher is None else self._publisher.sent_count

    @property
    def last_signal_id(self) -> int:
        """Highest signal id that may ever have left; a restarted producer continues behind it."""
        return 0 if self._publisher is None else self._publisher.last_signal_id

    def statuses(self) -> list[SessionStatus]:
        """Every session as it stands."""
        return [
            SessionStatus(
                target_comp_id=account.comp_id,
                state=account.session.state.name,
                next_outgoing=account.next_outgoing,
                next_incoming=account.store.next_incoming,
                queued_bytes=account.link.queued_bytes if account.link else 0,
                execution_reports=account.execution_reports,
                acknowledged=account.acknowledged.count,
            )
            for account in self._accounts.values()
        ]

    async def stop(self, deadline_s: float) -> None:
        """Publish what is in the ring, log everybody out, wait for the answers up to the deadline,
        close.
        """
        if self._publisher is None:
            return
        until = self._loop.time() + deadline_s
        self._is_stopping = True
        self._set_accepting(is_accepting=False)
        self._loop.remove_reader(self._wakeup_fd)
        for doorway in list(self._doorways):
            self._refuse(doorway, "server stops")
        has_rows = True
        while has_rows and self._loop.time() < until:
            has_rows = self._publisher.drain_batch() > 0
            await asyncio.sleep(0)
        self._log_out_all()
        self._note_if_quiet()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._all_gone.wait()
        for link in self._links():
            link.close("server stopped before the logout was answered")
        self._release()
        self._log.info("oms_stopped", published=self._publisher.published_count)

    def _listen(self) -> None:
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.setblocking(False)
        self._listener.bind((self.config.address, self.config.port))
        self._listener.listen(_BACKLOG)

    def _open_account(self, comp_id: str) -> None:
        config = self.config
        folder = Path(config.store_dir) / f"session-{quote(comp_id, safe='')}"
        try:
            store = FileStore(folder, fsync=config.fsync)
            plan = config.session_plan(comp_id)
            outlet = self._open_outlet(folder, store, plan.settings)
        except OSError as error:
            if isinstance(error, StoreError):
                raise
            raise StoreError(f"{folder}: cannot be used: {error.strerror}") from error
        kept = OutletStore(outlet) if outlet else store
        hours = Hours(plan.schedule, kept, store.last_used_ns)
        account = _Account(FixSession(plan.settings, kept), store, hours, outlet)
        self._accounts[comp_id] = account
        self._account_of[account.session] = account
        numbers = {"next_outgoing": account.next_outgoing, "next_incoming": store.next_incoming}
        self._log.info("oms_store_opened", session=comp_id, cut_bytes=store.cut_bytes, **numbers)
        if store.damaged_count:
            self._log.error("oms_store_damaged", session=comp_id, records=store.damaged_count)

    def _open_outlet(
        self, folder: Path, store: FileStore, settings: SessionSettings
    ) -> Outlet | None:
        """Where the hot thread sends to this session, if it is to; what it had sent before a crash
        counts in any case.
        """
        if not self.config.is_sent_hot and not has_slots(folder):
            return None
        comp_id = settings.identity.target_comp_id
        try:
            outlet = self._outlets.open(folder, store, settings)
        except OSError as error:
            if has_slots(folder):
                store.close()
                raise
            # No room for the slots: the signals of this session leave by the loop.
            self._log.warning("oms_outlet_refused", session=comp_id, error=str(error))
            return None
        if outlet.recovered:
            self._log.info("oms_outlet_recovered", session=comp_id, messages=len(outlet.recovered))
        return outlet

    def _share_recovered(self) -> None:
        """Give every session what the hot thread had sent to some of them before a crash."""
        hot = [(each, each.outlet) for each in self._accounts.values() if each.outlet is not None]
        survivors = [
            survivor_of(account.session.settings.identity, outlet, account.stored_signal_id)
            for account, outlet in hot
        ]
        if self.config.is_sent_hot or survivors:
            self._note_id(max(newest_id(survivors), self._stored_signal_id()))
        for (account, outlet), missed in zip(hot, find_missed(survivors), strict=True):
            outlet.note_id = self._note_id
            try:
                if missed:
                    account.session.send(missed, self._clock_ns())
            except OSError:
                self._metrics.count(OmsCount.SIGNALS_UNSTORED, len(missed))
        for _, outlet in hot:
            outlet.forget_recent()

    def _open_ids(self) -> None:
        path = Path(self.config.store_dir) / "signal-ids"
        try:
            self._ids = SignalIds(path, read_boot_id())
        except OSError as error:
            if isinstance(error, StoreError):
                raise
            raise StoreError(f"{path}: cannot be used: {error.strerror}") from error

    def _note_id(self, last_id: int) -> None:
        """Ids up to this one are about to leave. A disk that refuses to reserve more of them holds
        no signal back: a power cut now could make ids come again, and the log says so.
        """
        if self._ids is None:
            return
        try:
            self._ids.note(last_id)
            if self.config.is_sent_hot:
                self._outlets.allow_ids(self._ids.reserve_ahead())
        except OSError as error:
            if not self._ids_refused:
                self._log.error("oms_signal_ids_not_reserved", last_id=last_id, error=str(error))
            self._ids_refused = True
        else:
            self._ids_refused = False

    def _stored_signal_id(self) -> int:
        """The mark; the newest messages tell it where a store has none yet."""
        if self._ids is not None and not self._ids.is_new:
            return self._ids.last
        newest = self._ids.last if self._ids is not None else 0
        for account in self._accounts.values():
            newest = max(newest, account.stored_signal_id)
        return newest

    def _release(self) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for account in self._accounts.values():
            if account.outlet is not None:
                account.outlet.close()
            account.store.close()
        if self._ids is not None:
            with suppress(OSError):
                self._ids.close()
            self._ids = None

    # -- connections --------------------------------------------------------------------------

    def _set_accepting(self, *, is_accepting: bool) -> None:
        is_accepting = is_accepting and not self._is_stopping
        if self._listener is None or is_accepting == self._is_accepting:
            return
        self._is_accepting = is_accepting
        if is_accepting:
            self._loop.add_reader(self._listener.fileno(), self._on_acceptable)
        else:
            self._loop.remove_reader(self._listener.fileno())

    def _on_acceptable(self) -> None:
        listener = self._listener
        for _ in range(_ACCEPTS_PER_TURN):
            if listener is None:
                return
            try:
                sock, address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # Out of descriptors: the listener would stay readable and spin; the next tick tries
                # again.
                self._log.error("oms_accept_failed", error=str(error))
                self._set_accepting(is_accepting=False)
                return
            self._admit(sock, f"{address[0]}:{address[1]}")

    def _admit(self, sock: socket.socket, peer: str) -> None:
        sock.setblocking(False)
        if len(self._doorways) >= self.config.max_pending_connections:
            # The oldest: whoever means to log on has done so by now. To refuse the newcomer would
            # let a few silent connections keep every OMS out.
            oldest = next(iter(self._doorways))
            self._refuse(oldest, "too many connections wait for their Logon")
        doorway = Doorway(
            sock,
            peer,
            cap_bytes=self.config.pre_logon_cap_bytes,
            on_logon=self._on_logon,
            on_refused=self._refuse,
        )
        self._doorways[doorway] = self._clock_ns() + self.config.logon_timeout_s * NS_PER_S

    def _on_logon(self, doorway: Doorway, visitor: Visitor) -> None:
        sender = visitor.logon.get(Tag.SENDER_COMP_ID).decode("latin-1")
        account = self._accounts.get(sender)
        if account is None:
            self._refuse(doorway, "CompID not on the allow list")
        elif account.link is not None:
            self._refuse(doorway, "this CompID is logged on already")
        elif not account.hours.are_open(self._clock_ns()):
            self._refuse(doorway, CLOSED)
        elif not self._begin_hours(account):
            self._refuse(doorway, "the session's store cannot be written")
        else:
            doorway.leave()
            del self._doorways[doorway]
            account.link = Link(
                visitor.sock,
                account.session,
                self,
                outbound_cap_bytes=self.config.outbound_cap_bytes,
                clock_ns=self._clock_ns,
                outlet=account.outlet if self._is_hot(account) else None,
            )
            account.link.start(visitor.received)

    def _begin_hours(self, account: _Account) -> bool:
        """Start the numbers again where a new window of the schedule begins; False when the disk
        refuses that: with the numbers of another window nobody may log on.
        """
        try:
            if account.hours.begin(self._clock_ns()):
                self._log.info("oms_session_began", session=account.comp_id)
        except OSError as error:
            self._log.error("oms_store_failed", session=account.comp_id, error=str(error))
            return False
        return True

    def _refuse(self, doorway: Doorway, reason: str) -> None:
        doorway.leave()
        self._doorways.pop(doorway, None)
        doorway.sock.close()
        self._note_refusal(doorway.peer, reason)

    def _note_refusal(self, peer: str, reason: str) -> None:
        """Count each, write at most one line a second: a flood of connections must not become a
        flood of lines.
        """
        self._metrics.count(OmsCount.CONNECTIONS_REFUSED)
        now_ns = self._clock_ns()
        if now_ns < self._refused_quiet_until_ns:
            self._refused_suppressed += 1
            return
        suppressed, self._refused_suppressed = self._refused_suppressed, 0
        self._refused_quiet_until_ns = now_ns + NS_PER_S
        self._log.warning("oms_connection_refused", peer=peer, reason=reason, suppressed=suppressed)

    def _links(self) -> list[Link]:
        return [account.link for account in self._accounts.values() if account.link is not None]

    def _note_if_quiet(self) -> None:
        """Tell `stop` when nobody is connected any more."""
        if self._is_stopping and not self._links():
            self._all_gone.set()

    def _is_hot(self, account: _Account) -> bool:
        """Whether the hot thread may send to this session."""
        return self.config.is_sent_hot and account.outlet is not None and account.outlet.is_hot

    def _link_of(self, session: FixSession) -> Link | None:
        return self._account_of[session].link

    def _log_out_all(self) -> None:
        for link in self._links():
            link.log_out("server stops")

    def _tick(self) -> None:
        """Timers, a few times a second. It must come again whatever happens."""
        self._ticker = self._loop.call_later(_TICK_S, self._tick)
        now_ns = self._clock_ns()
        self._set_accepting(is_accepting=True)
        for doorway, deadline_ns in list(self._doorways.items()):
            if now_ns >= deadline_ns:
                self._refuse(doorway, f"no Logon within {self.config.logon_timeout_s} s")
        for account in self._accounts.values():
            if account.link is not None:
                self._tick_link(account, account.link, now_ns)
            if account.outlet is not None:
                account.outlet.touch()
            self._report_counts(account)

    def _tick_link(self, account: _Account, link: Link, now_ns: int) -> None:
        """Its timers; or its end when the session's hours are over."""
        if account.hours.are_open(now_ns):
            account.hours.note_use(now_ns)
        elif account.session.is_logged_on:
            link.log_out(CLOSED)
        if not link.is_closed:
            link.tick(now_ns)

    def _report_counts(self, account: _Account) -> None:
        """Carry over what the session counts for itself."""
        replayed = account.session.outbound.replayed_count
        garbled = account.session.framer.garbled_count
        if replayed > account.reported_replayed:
            amount = replayed - account.reported_replayed
            self._metrics.count(OmsCount.MESSAGES_REPLAYED, amount)
            account.reported_replayed = replayed
        if garbled > account.reported_garbled:
            self._metrics.count(OmsCount.GARBLED, garbled - account.reported_garbled)
            account.reported_garbled = garbled

    # -- LinkOwner ----------------------------------------------------------------------------

    def on_event(self, link: Link, event: Event) -> None:
        """A fact from a session: reports are counted, the rest is logged once each."""
        account = self._account_of[link.session]
        comp_id = account.comp_id
        if isinstance(event, ApplicationMessage):
            self._on_application(account, event)
        elif isinstance(event, LoggedOn):
            self._metrics.count(OmsCount.LOGONS)
            self._report_active()
            numbers = {"next_outgoing": event.next_outgoing, "next_incoming": event.next_incoming}
            self._log.info("oms_logged_on", session=comp_id, reset=event.was_reset, **numbers)
        elif isinstance(event, SequenceReset):
            numbers = {"old_seq": event.old_seq, "new_seq": event.new_seq}
            self._log.warning("oms_sequence_reset", session=comp_id, cause=event.cause, **numbers)
        elif isinstance(event, MessageRejected | RejectSent):
            self._metrics.count(OmsCount.REJECTS)
        elif isinstance(event, GapDetected):
            span = {"first_seq": event.first_seq, "last_seq": event.last_seq}
            self._log.warning("oms_gap_detected", session=comp_id, **span)
        elif isinstance(event, ReplayAsked):
            span = {"begin_seq": event.begin_seq, "end_seq": event.end_seq}
            self._log.info("oms_replay_asked", session=comp_id, **span)

    def on_sent(self, rx_stamps_ns: list[int]) -> None:
        """Signals left just now: their latency, by the clock right after `send`."""
        now_ns = self._clock_ns()
        for stamp_ns in rx_stamps_ns:
            self._metrics.record_signal_latency(now_ns - stamp_ns)

    def on_closed(self, link: Link, reason: str, *, was_clean: bool) -> None:
        """A connection is gone; its session keeps numbering and storing."""
        account = self._account_of[link.session]
        account.link = None
        self._note_if_quiet()
        self._report_counts(account)
        if link.awaiting_count:
            self._metrics.count(OmsCount.SIGNALS_UNMEASURED, link.awaiting_count)
        if not was_clean:
            self._metrics.count(OmsCount.CONNECTIONS_CUT)
        self._report_active()
        self._log.info(
            "oms_disconnected", session=account.comp_id, reason=reason, was_clean=was_clean
        )

    def _on_application(self, account: _Account, event: ApplicationMessage) -> None:
        if event.message.msg_type != MsgType.EXECUTION_REPORT:
            self._metrics.count(OmsCount.REJECTS)
            return
        account.execution_reports += 1
        self._metrics.count(OmsCount.EXECUTION_REPORTS)
        signal_id = event.message.number(Tag.CL_ORD_ID)
        if signal_id is not None and signal_id <= self.last_signal_id:
            account.acknowledged.add(signal_id)

    def _report_active(self) -> None:
        active = sum(account.session.is_logged_on for account in self._accounts.values())
        self._metrics.gauge(OmsGauge.SESSIONS_ACTIVE, active)
