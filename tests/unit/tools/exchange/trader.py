"""A client of the exchange's order entry, and the account of it that the feed tells."""

import asyncio
import itertools
import socket
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from random import Random

from oms_out.link import Link
from protocols.fix.events import ApplicationMessage, Event, LoggedOn
from protocols.fix.message import FixMessage, Identity, encode_fields
from protocols.fix.rules import SessionSettings
from protocols.fix.session import FixSession
from protocols.fix.spec import MsgType, Tag
from protocols.fix.store import MemoryStore
from protocols.fix.times import format_utc_timestamp
from protocols.itch50.spec import BY_TYPE

TYPES = frozenset({MsgType.EXECUTION_REPORT, MsgType.ORDER_CANCEL_REJECT})


def text4(price4: int) -> str:
    """A price in 1e-4 as text."""
    return f"{price4 // 10_000}.{price4 % 10_000:04d}"


class Trader:
    """Sends orders and keeps what comes back, with an account of its own."""

    def __init__(self, name: str = "DESK") -> None:
        self.session = FixSession(
            SessionSettings(
                identity=Identity(name, "EXCHANGE"),
                is_initiator=True,
                application_types=TYPES,
                reset_on_logon=True,
            ),
            MemoryStore(),
        )
        self.messages: list[FixMessage] = []
        self.kept: list[FixMessage] = []
        self.shares: Counter[str] = Counter()
        self.cash4 = 0
        self.acknowledged: set[bytes] = set()
        self.live: dict[bytes, dict[int, bytes]] = {}
        self.by_status: Counter[bytes] = Counter()
        self.arrived = asyncio.Event()
        self._logged_on = asyncio.Event()
        self._ids = itertools.count(1)
        self._link: Link | None = None

    async def connect(self, port: int) -> None:
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setblocking(False)
        self._link = Link(
            sock, self.session, self, outbound_cap_bytes=1 << 26, clock_ns=time.time_ns
        )
        self._link.start()
        await asyncio.wait_for(self._logged_on.wait(), 5)

    async def closed(self) -> None:
        """Until the other side, which ends, has logged us out."""
        assert self._link is not None
        for _ in range(300):
            if self._link.is_closed:
                return
            self._link.tick(time.time_ns())
            await asyncio.sleep(0.01)
        self._link.close("nobody answers")

    def on_event(self, _link: Link, event: Event) -> None:
        if isinstance(event, LoggedOn):
            self._logged_on.set()
        if isinstance(event, ApplicationMessage):
            self._take(event.message)
            self.arrived.set()

    def on_sent(self, rx_stamps_ns: list[int]) -> None:
        pass

    def on_closed(self, _link: Link, _reason: str, **_how: bool) -> None:
        self._logged_on.clear()

    def _take(self, message: FixMessage) -> None:
        self.messages.append(message)
        cl_ord_id = message.get(Tag.CL_ORD_ID)
        self.acknowledged.add(cl_ord_id)
        if message.msg_type == MsgType.ORDER_CANCEL_REJECT:
            return
        if message.get(Tag.EXEC_TYPE) == b"F":
            sign = 1 if message.get(Tag.SIDE) == b"1" else -1
            whole, _, fraction = message.get(Tag.LAST_PX).decode().partition(".")
            price4 = int(whole) * 10_000 + int(fraction.ljust(4, "0"))
            shares = int(message.get(Tag.LAST_QTY))
            self.shares[message.get(Tag.SYMBOL).decode()] += sign * shares
            self.cash4 -= sign * shares * price4
        status = message.get(Tag.ORD_STATUS)
        self.by_status[message.get(Tag.EXEC_TYPE)] += 1
        self.live.pop(message.get(Tag.ORIG_CL_ORD_ID), None)
        if status in (b"0", b"1"):
            self.live[cl_ord_id] = dict(message.fields)
        else:
            self.live.pop(cl_ord_id, None)

    def send(self, msg_type: bytes, *fields: tuple[int, bytes | str | int]) -> bytes:
        cl_ord_id = b"C%d" % next(self._ids)
        now_ns = time.time_ns()
        stamp = (Tag.TRANSACT_TIME, format_utc_timestamp(now_ns))
        body = encode_fields((Tag.CL_ORD_ID, cl_ord_id), *fields, stamp)
        self.session.send(((msg_type, body),), now_ns)
        return cl_ord_id

    def flush(self) -> None:
        assert self._link is not None
        self._link.flush()

    def order(
        self, symbol: str, side: int, quantity: int, price4: int = 0, force: int = 0
    ) -> bytes:
        kind = [(Tag.ORD_TYPE, 2), (Tag.PRICE, text4(price4))] if price4 else [(Tag.ORD_TYPE, 1)]
        return self.send(
            MsgType.NEW_ORDER_SINGLE,
            (Tag.SYMBOL, symbol),
            (Tag.SIDE, side),
            (Tag.ORDER_QTY, quantity),
            *kind,
            (Tag.TIME_IN_FORCE, force),
        )

    def cancel(self, cl_ord_id: bytes, symbol: str, side: int) -> bytes:
        return self.send(
            MsgType.ORDER_CANCEL_REQUEST,
            (Tag.ORIG_CL_ORD_ID, cl_ord_id),
            (Tag.SYMBOL, symbol),
            (Tag.SIDE, side),
        )

    def replace(self, cl_ord_id: bytes, order: tuple[str, int, int, int]) -> bytes:
        symbol, side, quantity, price4 = order
        return self.send(
            MsgType.ORDER_CANCEL_REPLACE_REQUEST,
            (Tag.ORIG_CL_ORD_ID, cl_ord_id),
            (Tag.SYMBOL, symbol),
            (Tag.SIDE, side),
            (Tag.ORDER_QTY, quantity),
            (Tag.ORD_TYPE, 2),
            (Tag.PRICE, text4(price4)),
        )

    async def wait_for(self, count: int, within_s: float = 20) -> None:
        """Until so many ClOrdIDs were answered."""
        until_s = time.monotonic() + within_s
        while len(self.acknowledged) < count:
            assert time.monotonic() < until_s, f"{len(self.acknowledged)} of {count} answered"
            self.arrived.clear()
            try:
                await asyncio.wait_for(self.arrived.wait(), 0.2)
            except TimeoutError:
                continue


async def trade_at_random(
    trader: Trader, symbols: dict[str, int], count: int, seed: int, ahead: int = 200
) -> None:
    """Send `count` messages: orders near the price of each symbol, cancels, replaces."""
    random = Random(seed)
    names = list(symbols)
    for sent in range(count):
        choice, live = random.random(), trader.live
        if choice < 0.7 or not live:
            name = random.choice(names)
            near4 = symbols[name] + 100 * random.randint(-300, 300)
            price4 = max(near4, 100) if random.random() < 0.9 else 0
            force = 3 if random.random() < 0.2 or not price4 else 0
            trader.order(name, random.choice((1, 2)), random.randint(1, 300), price4, force)
        else:
            key = random.choice(list(live)[-50:])
            fields = live[key]
            symbol, side = fields[Tag.SYMBOL].decode(), int(fields[Tag.SIDE])
            if choice < 0.85:
                trader.cancel(key, symbol, side)
            else:
                price4 = max(symbols[symbol] + 100 * random.randint(-300, 300), 100)
                trader.replace(key, (symbol, side, random.randint(1, 400), price4))
        if sent % 20 == 19 or sent == count - 1:
            trader.flush()
            await trader.wait_for(sent + 1 - ahead)
    await trader.wait_for(count)


def executions_on_feed(messages: Iterable[bytes]) -> dict[int, tuple[int, int]]:
    """(shares, price4) of each match number that E tells, at the price of the order that stood."""
    prices: dict[int, int] = {}
    found: dict[int, tuple[int, int]] = {}
    for raw in messages:
        kind = raw[:1].decode()
        fields = BY_TYPE[kind].decode(raw)
        if kind in "AF":
            prices[int(fields["order_reference_number"])] = int(10_000 * fields["price"])
        elif kind == "U":
            prices[int(fields["new_order_reference_number"])] = int(10_000 * fields["price"])
        elif kind == "E":
            price4 = prices[int(fields["order_reference_number"])]
            found[int(fields["match_number"])] = (int(fields["executed_shares"]), price4)
    return found


def executions_of(trader: Trader) -> dict[int, list[tuple[int, int]]]:
    """The same as the client was told: twice where it traded with itself."""
    found: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for message in trader.messages:
        if message.msg_type == MsgType.EXECUTION_REPORT and message.get(Tag.EXEC_TYPE) == b"F":
            match = int(message.get(Tag.SECONDARY_EXEC_ID))
            whole, _, fraction = message.get(Tag.LAST_PX).decode().partition(".")
            price4 = int(whole) * 10_000 + int(fraction.ljust(4, "0"))
            found[match].append((int(message.get(Tag.LAST_QTY)), price4))
    return found
