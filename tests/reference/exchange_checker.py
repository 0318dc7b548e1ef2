"""A slow, independent check of a generated session: plain dictionaries and the cold ITCH codec.

It shares no code with the engine: blocks are cut apart here, messages are decoded by the table in
`protocols.itch50.spec`, and the books are two dictionaries.
"""

import hashlib
import struct
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from protocols.itch50.spec import BY_TYPE

Fields = Mapping[str, Any]


@dataclass
class Order:
    """A live order as the messages tell it."""

    locate: int
    side: str
    price4: int
    shares: int


@dataclass
class Checker:
    """Replays messages and asserts the rules of a market after each of them."""

    orders: dict[int, Order] = field(default_factory=dict)
    # Shares at each price, by locate and side.
    levels: dict[tuple[int, str], Counter[int]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    stocks: dict[int, str] = field(default_factory=dict)
    trading_state: dict[int, str] = field(default_factory=dict)
    types: Counter[str] = field(default_factory=Counter)
    events: list[str] = field(default_factory=list)
    matches: set[int] = field(default_factory=set)
    reference_highest: int = 0
    ts_ns: int = 0

    def apply(self, message: bytes) -> None:
        """Apply one message; AssertionError names the rule that it breaks."""
        kind = message[:1].decode()
        fields = BY_TYPE[kind].decode(message)
        self.types[kind] += 1
        ts_ns = int(fields["timestamp"])
        assert ts_ns >= self.ts_ns, "time went back"
        self.ts_ns = ts_ns
        for item in BY_TYPE[kind].fields:
            if item.values:
                assert str(fields[item.name]) in item.values, f"{kind}.{item.name} is not listed"
        if kind in HANDLERS:
            HANDLERS[kind](self, int(fields["stock_locate"]), fields)

    def digest(self) -> str:
        """The digest of the live orders, as README.md of the exchange defines it."""

        def place(item: tuple[int, Order]) -> tuple[int, str, int, int]:
            reference, order = item
            price = -order.price4 if order.side == "B" else order.price4
            return order.locate, order.side, price, reference

        text = b"".join(
            struct.pack(
                "<HcIQI", order.locate, order.side.encode(), order.price4, reference, order.shares
            )
            for reference, order in sorted(self.orders.items(), key=place)
        )
        return hashlib.sha256(text).hexdigest()

    def on_system_event(self, locate: int, fields: Fields) -> None:
        assert locate == 0
        self.events.append(fields["event_code"])

    def on_directory(self, locate: int, fields: Fields) -> None:
        self.stocks[locate] = fields["stock"]

    def on_trading_action(self, locate: int, fields: Fields) -> None:
        assert self.stocks[locate] == fields["stock"]
        assert self.trading_state.get(locate) != fields["trading_state"], "state did not change"
        self.trading_state[locate] = fields["trading_state"]

    def on_add(self, locate: int, fields: Fields) -> None:
        assert self.events == ["O", "S", "Q"], "an order outside of market hours"
        assert self.stocks[locate] == fields["stock"]
        order = Order(
            locate, fields["buy_sell_indicator"], price4(fields["price"]), fields["shares"]
        )
        self._enter(fields["order_reference_number"], order)

    def on_execution(self, locate: int, fields: Fields) -> None:
        order = self._live(locate, fields["order_reference_number"])
        self._trades(locate, fields)
        best = self._best(locate, order.side)
        assert order.price4 == best, "an execution away from the best price"
        first = min(
            reference
            for reference, other in self.orders.items()
            if (other.locate, other.side, other.price4) == (locate, order.side, best)
        )
        assert fields["order_reference_number"] == first, "an execution out of time priority"
        self._take(fields["order_reference_number"], fields["executed_shares"])

    def on_cancel(self, locate: int, fields: Fields) -> None:
        order = self._live(locate, fields["order_reference_number"])
        assert fields["cancelled_shares"] < order.shares, "a partial cancel took everything"
        self._take(fields["order_reference_number"], fields["cancelled_shares"])

    def on_delete(self, locate: int, fields: Fields) -> None:
        order = self._live(locate, fields["order_reference_number"])
        self._take(fields["order_reference_number"], order.shares)

    def on_replace(self, locate: int, fields: Fields) -> None:
        reference = fields["original_order_reference_number"]
        order = self._live(locate, reference)
        self._take(reference, order.shares)
        changed = Order(locate, order.side, price4(fields["price"]), fields["shares"])
        self._enter(fields["new_order_reference_number"], changed)

    def on_trade(self, locate: int, fields: Fields) -> None:
        self._trades(locate, fields)
        assert fields["shares"] > 0

    def on_broken_trade(self, locate: int, fields: Fields) -> None:
        assert locate in self.stocks
        assert fields["match_number"] in self.matches, "a trade was broken that never was"

    def _trades(self, locate: int, fields: Fields) -> None:
        assert self.trading_state[locate] == "T", "a trade in a symbol that is halted"
        assert fields["match_number"] not in self.matches, "a match number twice"
        self.matches.add(fields["match_number"])

    def _live(self, locate: int, reference: int) -> Order:
        assert reference in self.orders, f"reference {reference} is not live"
        order = self.orders[reference]
        assert order.locate == locate, "an order of another symbol"
        return order

    def _enter(self, reference: int, order: Order) -> None:
        assert reference > self.reference_highest, "references ascend"
        assert order.shares > 0
        assert order.price4 > 0
        self.reference_highest = reference
        self.orders[reference] = order
        self.levels[order.locate, order.side][order.price4] += order.shares
        bid, ask = self._best(order.locate, "B"), self._best(order.locate, "S")
        assert bid is None or ask is None or bid < ask, "the book is crossed"

    def _take(self, reference: int, shares: int) -> None:
        order = self.orders[reference]
        assert 0 < shares <= order.shares, "more shares than the order has"
        order.shares -= shares
        level = self.levels[order.locate, order.side]
        level[order.price4] -= shares
        if level[order.price4] == 0:
            del level[order.price4]
        if order.shares == 0:
            del self.orders[reference]

    def _best(self, locate: int, side: str) -> int | None:
        prices = self.levels[locate, side]
        if not prices:
            return None
        return max(prices) if side == "B" else min(prices)


HANDLERS = {
    "S": Checker.on_system_event,
    "R": Checker.on_directory,
    "H": Checker.on_trading_action,
    "A": Checker.on_add,
    "F": Checker.on_add,
    "E": Checker.on_execution,
    "C": Checker.on_execution,
    "X": Checker.on_cancel,
    "D": Checker.on_delete,
    "U": Checker.on_replace,
    "P": Checker.on_trade,
    "B": Checker.on_broken_trade,
}


def price4(price: Decimal) -> int:
    """An exact price as the integer on the wire."""
    return int(price * 10_000)


def blocks(data: bytes) -> Iterator[bytes]:
    """Messages of a run of blocks, up to its end or a length of zero."""
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 2], "big")
        if size == 0:
            break
        assert at + 2 + size <= len(data), "a block runs past the end"
        yield data[at + 2 : at + 2 + size]
        at += 2 + size


def check(messages: Iterable[bytes]) -> Checker:
    """Replay all messages; the checker afterwards."""
    checker = Checker()
    for message in messages:
        checker.apply(message)
    return checker
