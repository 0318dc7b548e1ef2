"""Takes signals on to the exchange: each order that the server proposes becomes an order there, to
be executed at once or not at all.
"""

import time
from dataclasses import dataclass, field

from oms_out.contract import SignalTag
from oms_out.link import Link
from protocols.fix.events import ApplicationMessage, Event
from protocols.fix.message import FixMessage, encode_fields
from protocols.fix.spec import MsgType, Tag
from tools.oms_client.client import ClientSettings, FixClient

_LIMIT, _IMMEDIATE = b"2", b"3"
_TRADE, _REJECTED = b"F", b"8"
_BUY = b"1"
_PRICE_E4 = 10_000


@dataclass(slots=True)
class Fills:
    """What became of the orders: `cash_e4` is what was got less what was paid, in 1e-4."""

    sent: int = 0
    not_sent: int = 0
    executions: int = 0
    rejected: int = 0
    cash_e4: int = 0
    shares: dict[str, int] = field(default_factory=dict)


class OrderRouter(FixClient):
    """A session to the exchange's order entry; `route` sends an order on."""

    def __init__(self, settings: ClientSettings) -> None:
        types = frozenset({MsgType.EXECUTION_REPORT, MsgType.ORDER_CANCEL_REJECT})
        super().__init__(settings, types)
        self.fills = Fills()

    def route(self, signal: FixMessage) -> None:
        """Send the order of a signal; one that finds nobody logged on is counted, and gone."""
        link = self.link
        if link is None or not self.session.is_logged_on:
            self.fills.not_sent += 1
            return
        body = encode_fields(
            *((tag, signal.get(tag)) for tag in (Tag.CL_ORD_ID, Tag.SYMBOL, Tag.SIDE)),
            (Tag.TRANSACT_TIME, signal.get(Tag.TRANSACT_TIME)),
            (Tag.ORDER_QTY, signal.get(Tag.ORDER_QTY)),
            (Tag.ORD_TYPE, _LIMIT),
            (Tag.PRICE, signal.get(Tag.PRICE)),
            (Tag.TIME_IN_FORCE, _IMMEDIATE),
            (SignalTag.FEED_SEQ, signal.get(SignalTag.FEED_SEQ)),
        )
        self.session.send(((MsgType.NEW_ORDER_SINGLE, body),), time.time_ns())
        self.fills.sent += 1
        link.flush()

    def on_event(self, link: Link, event: Event) -> None:
        """Keep an account of what executed."""
        if not isinstance(event, ApplicationMessage):
            super().on_event(link, event)
            return
        message, fills = event.message, self.fills
        if message.get(Tag.EXEC_TYPE) == _REJECTED:
            fills.rejected += 1
        if message.get(Tag.EXEC_TYPE) != _TRADE:
            return
        shares = int(message.get(Tag.LAST_QTY))
        sign = 1 if message.get(Tag.SIDE) == _BUY else -1
        symbol = message.get(Tag.SYMBOL).decode("latin-1")
        fills.executions += 1
        fills.shares[symbol] = fills.shares.get(symbol, 0) + sign * shares
        fills.cash_e4 -= sign * shares * _price_e4(message.get(Tag.LAST_PX))


def _price_e4(text: bytes) -> int:
    """A price with up to four decimals in 1e-4."""
    whole, _, fraction = text.partition(b".")
    return int(whole) * _PRICE_E4 + int(fraction.ljust(4, b"0"))
