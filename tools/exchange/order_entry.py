"""Order entry over FIX 4.4: D, F and G come in, 8 and 9 go out, and what they lead to is on the
feed.

    D NewOrderSingle             11, 55, 54 (1 buy, 2 and 5 sell), 38, 40 (1 market, 2 limit), 44,
                                 59 (0 day, 3 immediate or cancel), 60; 5003 names the feed's
                                 message that caused it, for the round trip's histogram
    F OrderCancelRequest         11, 41, 55, 54, 60
    G OrderCancelReplaceRequest  11, 41, 55, 54, 38 (of the whole order), 40, 44, 60

Every CompID is let in, each with a session of its own that outlives its connections; orders stay
when a connection ends. Source: FIX 4.4 with errata 20030618, volume 4 (orders, ExecutionReport).
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from feedhandler.core.latency import summary
from oms_out.acceptor import Acceptor
from oms_out.contract import VALIDATION, SignalTag
from oms_out.link import Link
from protocols.fix.events import ApplicationMessage, Event
from protocols.fix.message import FixMessage, Identity, encode_fields
from protocols.fix.rules import SessionSettings
from protocols.fix.session import FixSession
from protocols.fix.spec import MsgType, Tag
from protocols.fix.store import MemoryStore
from protocols.fix.times import format_utc_timestamp
from tools.exchange.config import OrderEntry
from tools.exchange.desk import (
    COMMAND,
    IMMEDIATE,
    IN_FORCE,
    MARKET,
    REPORT,
    SHARES_MAX,
    Command,
    Desk,
    Reason,
    Report,
    pop_reports_nb,
    push_command_nb,
)
from tools.exchange.layout import BUY, SELL, TICKER, Engine

_TYPES = frozenset(
    {
        MsgType.NEW_ORDER_SINGLE,
        MsgType.ORDER_CANCEL_REQUEST,
        MsgType.ORDER_CANCEL_REPLACE_REQUEST,
    }
)
_SIDES = {b"1": BUY, b"2": SELL, b"5": SELL}
_DAY, _IMMEDIATE = b"0", b"3"
_ORD_MARKET, _ORD_LIMIT = b"1", b"2"
_REPORTS = 4_096
_PRICE4_MAX = 10**10
_NEW, _PARTLY, _FILLED, _CANCELED, _REJECTED = b"0", b"1", b"2", b"4", b"8"
_EXEC_TRADE, _EXEC_REPLACED = b"F", b"5"
_OTHER = 99
_DUPLICATE, _UNKNOWN_SYMBOL, _CLOSED, _UNKNOWN_ORDER, _TOO_LATE_TO_CANCEL = 6, 1, 2, 1, 0
_REJECT_REASONS = {Reason.SYMBOL: _UNKNOWN_SYMBOL, Reason.HALTED: _CLOSED, Reason.CLOSED: _CLOSED}
_TEXTS = {
    Reason.SYMBOL: "unknown symbol",
    Reason.HALTED: "the symbol is not traded now",
    Reason.PRICE: "the price is no whole number of cents, or too far from the market",
    Reason.CLOSED: "market hours have not begun, or the session is over",
    Reason.FULL: "this price level holds no more shares",
    Reason.TOO_LATE: "the order is not live any more, or has executed as much already",
}


@dataclass(slots=True, eq=False)
class _Order:
    """One order of a client, from its D to its end."""

    session: FixSession
    token: int
    cl_ord_id: bytes
    order_id: bytes
    symbol: bytes
    side: bytes
    quantity: int
    filled: int = 0
    paid4: int = 0
    """Shares times price in 1e-4, over all of its executions."""
    status: bytes = _NEW
    is_over: bool = False


@dataclass(slots=True)
class _Request:
    """A command that is on its way: what it was, of which order, under which ClOrdID."""

    kind: Command
    order: _Order
    cl_ord_id: bytes
    quantity: int = 0


@dataclass(slots=True)
class Account:
    """What a client did: shares bought less sold by symbol, and what it got less what it paid."""

    orders: int = 0
    executions: int = 0
    cash4: int = 0
    shares: dict[str, int] = field(default_factory=dict)


class _RefusedError(Exception):
    """A message that becomes no command: why, and OrdRejReason or CxlRejReason."""

    def __init__(self, text: str, reason: int = _OTHER) -> None:
        super().__init__(text)
        self.reason = reason


class OrderDesk:
    """The main thread's side of a `Desk`: sessions, orders by ClOrdID, accounts."""

    def __init__(self, config: OrderEntry, desk: Desk, engine: Engine) -> None:
        """Nothing is opened yet."""
        self.accounts: dict[str, Account] = {}
        self.counters = {"clients_refused": 0, "logons": 0, "orders": 0, "refused": 0, "reports": 0}
        self._config = config
        self._desk = desk
        self._symbols = {
            int(word).to_bytes(8, "big").rstrip(): index
            for index, word in enumerate(engine.symbols[:, TICKER])
        }
        self._sessions: dict[str, FixSession] = {}
        self._names: dict[FixSession, str] = {}
        self._acceptor = Acceptor(self._judge, self, lambda _text: self._count_refused())
        self._free = list(range(config.orders_max - 1, -1, -1))
        self._by_token: dict[int, _Order] = {}
        self._by_id: dict[tuple[FixSession, bytes], _Order] = {}
        self._requests: dict[int, _Request] = {}
        self._request_ids = count(1)
        self._exec_ids = count(1)
        self._order_ids = count(1)
        self._row = np.zeros(1, COMMAND)
        self._reports = np.zeros(_REPORTS, REPORT)
        self._touched: set[FixSession] = set()
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._eventfd = -1

    # -- life -------------------------------------------------------------------------------------

    def start(self) -> int:
        """Listen; the port. OSError when it is taken."""
        self._acceptor.listen(self._config.address, self._config.port)
        loop = asyncio.get_running_loop()
        self._eventfd = os.eventfd(0, os.EFD_NONBLOCK)
        loop.add_reader(self._eventfd, self._on_reports)
        self._desk.wakeup[1] = self._eventfd
        self._task = loop.create_task(self._acceptor.run(self._stop, 5_000_000_000))
        return self._acceptor.port

    async def stop(self) -> None:
        """Tell what came last, log everybody out and close. The sender's thread has ended."""
        if self._task is None:
            return
        self._on_reports()
        self._stop.set()
        await self._task
        asyncio.get_running_loop().remove_reader(self._eventfd)
        self._desk.wakeup[1] = -1
        os.close(self._eventfd)

    def load_kernels(self) -> None:
        """Compile or load what is called from here; before the sender's thread starts only."""
        pop_reports_nb(self._desk, self._reports[:0])

    def report(self) -> dict[str, object]:
        """Counters, accounts, and the round trip: from the sending of a message that an order named
        to the order's matching.
        """
        return {
            **self.counters,
            "reports_lost": int(self._desk.lost[0]),
            "round_trip_ns": summary(self._desk.round_trip),
            "accounts": {
                name: {
                    "orders": account.orders,
                    "executions": account.executions,
                    "cash4": account.cash4,
                    "shares": {symbol: held for symbol, held in account.shares.items() if held},
                }
                for name, account in self.accounts.items()
            },
        }

    def _count_refused(self) -> None:
        self.counters["clients_refused"] += 1

    def _judge(self, logon: FixMessage) -> FixSession | str:
        name = logon.get(Tag.SENDER_COMP_ID).decode("latin-1")
        if logon.get(Tag.TARGET_COMP_ID).decode("latin-1") != self._config.comp_id or not name:
            return f"TargetCompID is not {self._config.comp_id}"
        session = self._sessions.get(name)
        if session is None:
            if len(self._sessions) >= self._config.clients_max:
                return "too many clients"
            settings = SessionSettings(
                identity=Identity(self._config.comp_id, name),
                is_initiator=False,
                application_types=_TYPES,
                validation=VALIDATION,
            )
            session = FixSession(settings, MemoryStore())
            self._sessions[name] = session
            self._names[session] = name
            self.accounts[name] = Account()
        self.counters["logons"] += 1
        return session

    # -- LinkOwner --------------------------------------------------------------------------------

    def on_event(self, link: Link, event: Event) -> None:
        """An order, or a change of one."""
        if not isinstance(event, ApplicationMessage):
            return
        message, session = event.message, link.session
        handle: Callable[[FixSession, FixMessage], None] = self._on_new
        if message.msg_type == MsgType.ORDER_CANCEL_REQUEST:
            handle = self._on_cancel
        elif message.msg_type == MsgType.ORDER_CANCEL_REPLACE_REQUEST:
            handle = self._on_replace
        try:
            handle(session, message)
        except _RefusedError as refusal:
            self.counters["refused"] += 1
            self._refuse(session, message, str(refusal), refusal.reason)

    def on_sent(self, rx_stamps_ns: list[int]) -> None:
        """Nothing is announced, so nothing is reported."""

    def on_closed(self, link: Link, reason: str, *, was_clean: bool) -> None:  # noqa: ARG002 - as asked for
        """The session waits for its next connection; its orders stay."""
        self._acceptor.forget(link)

    # -- messages in ------------------------------------------------------------------------------

    def _on_new(self, session: FixSession, message: FixMessage) -> None:
        cl_ord_id = self._new_id(session, message)
        kind, force = message.get(Tag.ORD_TYPE), message.get(Tag.TIME_IN_FORCE) or _DAY
        if kind not in (_ORD_MARKET, _ORD_LIMIT):
            raise _RefusedError("OrdType (40) is 1 or 2")
        if force not in (_DAY, _IMMEDIATE):
            raise _RefusedError("TimeInForce (59) is 0 or 3")
        side = _SIDES.get(message.get(Tag.SIDE))
        if side is None:
            raise _RefusedError("Side (54) is 1, 2 or 5")
        symbol = self._symbols.get(message.get(Tag.SYMBOL))
        if symbol is None:
            raise _RefusedError(_TEXTS[Reason.SYMBOL], _UNKNOWN_SYMBOL)
        price4 = MARKET if kind == _ORD_MARKET else _price4(message.get(Tag.PRICE))
        quantity = _shares(message.get(Tag.ORDER_QTY))
        if not self._free:
            raise _RefusedError(f"more than {self._config.orders_max} orders of clients are live")
        rests = IN_FORCE if force == _DAY and kind == _ORD_LIMIT else IMMEDIATE
        order = _Order(
            session,
            self._free.pop(),
            cl_ord_id,
            b"O%d" % next(self._order_ids),
            message.get(Tag.SYMBOL),
            message.get(Tag.SIDE),
            quantity,
        )
        self._by_id[session, cl_ord_id] = self._by_token[order.token] = order
        self.counters["orders"] += 1
        self.accounts[self._names[session]].orders += 1
        request = _Request(Command.NEW, order, cl_ord_id, quantity)
        terms = {"symbol": symbol, "side": side, "rests": rests}
        self._push(request, message, price4=price4, quantity=quantity, **terms)

    def _on_cancel(self, session: FixSession, message: FixMessage) -> None:
        order, cl_ord_id = self._live(session, message)
        self._push(_Request(Command.CANCEL, order, cl_ord_id), message)

    def _on_replace(self, session: FixSession, message: FixMessage) -> None:
        order, cl_ord_id = self._live(session, message)
        if message.get(Tag.ORD_TYPE) != _ORD_LIMIT:
            raise _RefusedError("OrdType (40) of a replace is 2")
        price4, quantity = _price4(message.get(Tag.PRICE)), _shares(message.get(Tag.ORDER_QTY))
        request = _Request(Command.REPLACE, order, cl_ord_id, quantity)
        self._push(request, message, price4=price4, quantity=quantity)

    def _new_id(self, session: FixSession, message: FixMessage) -> bytes:
        cl_ord_id = message.get(Tag.CL_ORD_ID)
        if (session, cl_ord_id) in self._by_id:
            raise _RefusedError("ClOrdID (11) was used before", _DUPLICATE)
        return cl_ord_id

    def _live(self, session: FixSession, message: FixMessage) -> tuple[_Order, bytes]:
        """The order that is named, and the new ClOrdID."""
        cl_ord_id = self._new_id(session, message)
        order = self._by_id.get((session, message.get(Tag.ORIG_CL_ORD_ID)))
        if order is None:
            raise _RefusedError("OrigClOrdID (41) names no order", _UNKNOWN_ORDER)
        if order.is_over or order.cl_ord_id != message.get(Tag.ORIG_CL_ORD_ID):
            raise _RefusedError(_TEXTS[Reason.TOO_LATE], _TOO_LATE_TO_CANCEL)
        return order, cl_ord_id

    def _push(self, request: _Request, message: FixMessage, **terms: int) -> None:
        number = next(self._request_ids) & 0x7FFFFFFF
        row = self._row[0]
        for name in COMMAND.names or ():
            row[name] = terms.get(name, 0)
        row["kind"], row["token"], row["request"] = request.kind, request.order.token, number
        row["feed_seq"] = message.number(SignalTag.FEED_SEQ) or 0
        if not push_command_nb(self._desk, self._row):
            if request.kind == Command.NEW:
                self._forget(request.order)
            raise _RefusedError("too many orders at once; send it again")
        self._requests[number] = request

    def _forget(self, order: _Order) -> None:
        """An order is over: its token may be used again."""
        order.is_over = True
        del self._by_token[order.token]
        self._free.append(order.token)

    # -- reports out ------------------------------------------------------------------------------

    def _on_reports(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._eventfd)
        while size := pop_reports_nb(self._desk, self._reports):
            for row in self._reports[:size].tolist():
                self._tell(dict(zip(REPORT.names or (), row, strict=True)))
        for session in self._touched:
            if (link := self._acceptor.links.get(session)) is not None and not link.is_closed:
                link.flush()
        self._touched.clear()

    def _tell(self, row: dict[str, int]) -> None:
        """One report as a message."""
        self.counters["reports"] += 1
        kind = Report(row["kind"])
        if kind is Report.FILL:
            self._tell_fill(self._by_token[row["token"]], row)
            return
        request = self._requests.pop(row["request"], None)
        if request is None:
            # What is left of an order that was told to be new already.
            order = self._by_token[row["token"]]
            request = _Request(Command.NEW, order, order.cl_ord_id)
        order = request.order
        if kind is Report.NEW:
            self._send_report(order, _NEW, _NEW)
            return
        if kind is Report.REFUSED:
            self._send_refusal(request, Reason(row["reason"]))
        elif kind is Report.REJECTED:
            reason = Reason(row["reason"])
            order.status = _REJECTED
            code = _REJECT_REASONS.get(reason, _OTHER)
            more = ((Tag.ORD_REJ_REASON, code), (Tag.TEXT, _TEXTS[reason]))
            self._send_report(order, _REJECTED, _REJECTED, *more)
            self._forget(order)
        elif kind is Report.CANCELLED:
            order.status = _CANCELED
            original = _orig(request)
            self._rename(request)
            self._send_report(order, _CANCELED, _CANCELED, *original)
            self._forget(order)
        else:
            order.quantity = request.quantity
            original = _orig(request)
            self._rename(request)
            self._send_report(order, _EXEC_REPLACED, order.status, *original)

    def _rename(self, request: _Request) -> None:
        order = request.order
        order.cl_ord_id = request.cl_ord_id
        self._by_id[order.session, request.cl_ord_id] = order

    def _tell_fill(self, order: _Order, row: dict[str, int]) -> None:
        shares, price4 = row["shares"], row["price4"]
        order.filled += shares
        order.paid4 += shares * price4
        account = self.accounts[self._names[order.session]]
        sign = 1 if order.side == b"1" else -1
        symbol = order.symbol.decode()
        account.executions += 1
        account.shares[symbol] = account.shares.get(symbol, 0) + sign * shares
        account.cash4 -= sign * shares * price4
        order.status = _FILLED if order.filled == order.quantity else _PARTLY
        more = (
            (Tag.LAST_QTY, shares),
            (Tag.LAST_PX, _text4(price4)),
            (Tag.SECONDARY_EXEC_ID, row["match"]),
        )
        self._send_report(order, _EXEC_TRADE, order.status, *more)
        if order.status == _FILLED:
            self._forget(order)

    def _send_report(
        self, order: _Order, exec_type: bytes, status: bytes, *more: tuple[int, bytes | str | int]
    ) -> None:
        leaves = 0 if status in (_CANCELED, _REJECTED) else order.quantity - order.filled
        average = _text4(order.paid4 // order.filled) if order.filled else "0"
        body = encode_fields(
            (Tag.ORDER_ID, order.order_id),
            (Tag.CL_ORD_ID, order.cl_ord_id),
            (Tag.EXEC_ID, next(self._exec_ids)),
            (Tag.EXEC_TYPE, exec_type),
            (Tag.ORD_STATUS, status),
            (Tag.SYMBOL, order.symbol),
            (Tag.SIDE, order.side),
            (Tag.ORDER_QTY, order.quantity),
            (Tag.LEAVES_QTY, leaves),
            (Tag.CUM_QTY, order.filled),
            (Tag.AVG_PX, average),
            (Tag.TRANSACT_TIME, format_utc_timestamp(time.time_ns())),
            *more,
        )
        self._send(order.session, MsgType.EXECUTION_REPORT, body)

    def _send_refusal(self, request: _Request, reason: Reason) -> None:
        code = _TOO_LATE_TO_CANCEL if reason is Reason.TOO_LATE else _OTHER
        self._send_cancel_reject(
            request.order.session,
            (request.order.order_id, request.cl_ord_id, request.order.cl_ord_id),
            request.order.status,
            request.kind is Command.REPLACE,
            (code, _TEXTS[reason]),
        )

    def _send_cancel_reject(
        self,
        session: FixSession,
        ids: tuple[bytes, bytes, bytes],
        status: bytes,
        is_replace: bool,
        why: tuple[int, str],
    ) -> None:
        """9 with (OrderID, ClOrdID, OrigClOrdID)."""
        body = encode_fields(
            (Tag.ORDER_ID, ids[0]),
            (Tag.CL_ORD_ID, ids[1]),
            (Tag.ORIG_CL_ORD_ID, ids[2]),
            (Tag.ORD_STATUS, status),
            (Tag.CXL_REJ_RESPONSE_TO, 2 if is_replace else 1),
            (Tag.CXL_REJ_REASON, why[0]),
            (Tag.TEXT, why[1]),
        )
        self._send(session, MsgType.ORDER_CANCEL_REJECT, body)

    def _refuse(self, session: FixSession, message: FixMessage, text: str, reason: int) -> None:
        """Answer a message that became no command."""
        if message.msg_type == MsgType.NEW_ORDER_SINGLE:
            body = encode_fields(
                (Tag.ORDER_ID, "NONE"),
                (Tag.CL_ORD_ID, message.get(Tag.CL_ORD_ID)),
                (Tag.EXEC_ID, next(self._exec_ids)),
                (Tag.EXEC_TYPE, _REJECTED),
                (Tag.ORD_STATUS, _REJECTED),
                (Tag.SYMBOL, message.get(Tag.SYMBOL)),
                (Tag.SIDE, message.get(Tag.SIDE)),
                (Tag.LEAVES_QTY, 0),
                (Tag.CUM_QTY, 0),
                (Tag.AVG_PX, 0),
                (Tag.ORD_REJ_REASON, reason),
                (Tag.TEXT, text),
            )
            self._send(session, MsgType.EXECUTION_REPORT, body)
        else:
            order = self._by_id.get((session, message.get(Tag.ORIG_CL_ORD_ID)))
            ids = (
                order.order_id if order else b"NONE",
                message.get(Tag.CL_ORD_ID),
                message.get(Tag.ORIG_CL_ORD_ID),
            )
            is_replace = message.msg_type == MsgType.ORDER_CANCEL_REPLACE_REQUEST
            status = order.status if order else _REJECTED
            self._send_cancel_reject(session, ids, status, is_replace, (reason, text))
        if (link := self._acceptor.links.get(session)) is not None:
            link.flush()

    def _send(self, session: FixSession, msg_type: bytes, body: bytes) -> None:
        session.send(((msg_type, body),), time.time_ns())
        self._touched.add(session)


def _orig(request: _Request) -> tuple[tuple[int, bytes], ...]:
    """The ClOrdID that a request was about; of a new order none."""
    if request.kind is Command.NEW:
        return ()
    return ((Tag.ORIG_CL_ORD_ID, request.order.cl_ord_id),)


def _price4(text: bytes) -> int:
    """A price in 1e-4; `_RefusedError` when it is none."""
    whole, _, fraction = text.partition(b".")
    digits = fraction.rstrip(b"0")
    if not (whole + digits).isdigit() or len(digits) > 4 or not whole:
        raise _RefusedError("Price (44) is a positive decimal number with four decimals at most")
    price4 = int(whole) * 10_000 + int(digits.ljust(4, b"0"))
    if not 0 < price4 < _PRICE4_MAX:
        raise _RefusedError(_TEXTS[Reason.PRICE])
    return price4


def _shares(text: bytes) -> int:
    """A number of shares; `_RefusedError` when it is none."""
    whole, _, fraction = text.partition(b".")
    if not whole.isdigit() or fraction.strip(b"0") or not 0 < int(whole) <= SHARES_MAX:
        raise _RefusedError(f"OrderQty (38) is a whole number from 1 to {SHARES_MAX}")
    return int(whole)


def _text4(price4: int) -> str:
    """A price in 1e-4 as text."""
    whole, rest = divmod(price4, 10_000)
    return f"{whole}.{rest:04d}".rstrip("0").rstrip(".")
