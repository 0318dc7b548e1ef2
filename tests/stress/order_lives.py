"""What became of each order that stood in a book: as the feed tells it, and as clients were told.

Both are worked out by themselves; a life is the same on either side when symbol, side, price and
shares at its beginning are, and all that happened to it after that.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from protocols.itch50.spec import BY_TYPE
from tests.reference.exchange_checker import price4
from tests.stress.order_clients import Asked, RandomClient, Told

LOOKED_AT = frozenset(b"RAFECXDUB")
SIDES = {1: "B", 2: "S"}


class Life(NamedTuple):
    """One order between A, or U, and its end; `acts` are (E, match number, shares), (X, shares),
    (D,) and (U, price4, shares). An order that executed to its end, or is live, has no last act.
    """

    symbol: str
    side: str
    price4: int
    shares: int
    acts: tuple[tuple[str | int, ...], ...]


class Execution(NamedTuple):
    """An E or a C on the feed: `side` is that of the order that stood."""

    symbol: str
    side: str
    price4: int
    shares: int


class Account(NamedTuple):
    """Cash got less paid, in 1e-4, and shares bought less sold."""

    cash4: int
    shares: dict[str, int]


@dataclass
class Order:
    """One that stands, and what happened to it so far."""

    symbol: str
    side: str
    price4: int
    shares: int
    acts: list[tuple[str | int, ...]] = field(default_factory=list)

    def life(self) -> Life:
        """As much of it as there is."""
        return Life(self.symbol, self.side, self.price4, self.shares, tuple(self.acts))


class FeedAccount:
    """Lives, executions and broken trades of a whole feed."""

    def __init__(self, messages: Iterable[bytes]) -> None:
        self.executions: dict[int, Execution] = {}
        self.broken: set[int] = set()
        self._symbols: dict[int, str] = {}
        self._orders: dict[int, Order] = {}
        for message in messages:
            if message[0] in LOOKED_AT:
                self._apply(chr(message[0]), BY_TYPE[chr(message[0])].decode(message))
        self.lives = Counter(order.life() for order in self._orders.values())

    def _apply(self, kind: str, fields: dict) -> None:
        reference = fields.get("order_reference_number", 0)
        symbol = self._symbols.get(fields["stock_locate"], "")
        if kind == "R":
            self._symbols[fields["stock_locate"]] = fields["stock"]
        elif kind == "B":
            self.broken.add(fields["match_number"])
        elif kind in "AF":
            side, price = fields["buy_sell_indicator"], price4(fields["price"])
            self._orders[reference] = Order(symbol, side, price, fields["shares"])
        elif kind in "EC":
            order, shares = self._orders[reference], fields["executed_shares"]
            at4 = price4(fields["execution_price"]) if kind == "C" else order.price4
            match = fields["match_number"]
            self.executions[match] = Execution(symbol, order.side, at4, shares)
            order.acts.append(("E", match, shares))
        elif kind == "X":
            self._orders[reference].acts.append(("X", fields["cancelled_shares"]))
        elif kind == "D":
            self._orders[reference].acts.append(("D",))
        else:
            before = self._orders[fields["original_order_reference_number"]]
            price, shares = price4(fields["price"]), fields["shares"]
            before.acts.append(("U", price, shares))
            after = Order(symbol, before.side, price, shares)
            self._orders[fields["new_order_reference_number"]] = after


@dataclass
class _Wanted:
    """A client's order by what it was told: `left` shares of it at `price4`."""

    asked: Asked
    side: str
    price4: int
    left: int
    filled: int = 0
    standing: Order | None = None
    moved: tuple[int, int] | None = None
    """Price and shares of a replace, of which it is not known yet whether it executed at once."""


class ClientAccount:
    """What one client did, by its own messages and by what it was told; AssertionError where that
    does not hold together, or is not what the feed says of an execution.
    """

    def __init__(self, client: RandomClient, feed: FeedAccount) -> None:
        self.matches: list[tuple[int, str]] = []
        """(match number, side of the client's order) of each execution."""
        self.passive_count = 0
        self.lives: Counter[Life] = Counter()
        self._asked, self._executions = client.asked, feed.executions
        self._orders: dict[bytes, _Wanted] = {}
        answers: Counter[bytes] = Counter()
        for told in client.told:
            answers[told.cl_ord_id] += self._apply(told)
        assert answers == Counter(client.asked.keys()), "one answer to each message, and no other"
        for order in self._orders.values():
            self._settle(order)
            self._stand(order)
            self._finish(order)

    def _apply(self, told: Told) -> int:
        """1 when it is the answer to a message, 0 when it tells what happened later."""
        asked = self._asked[told.cl_ord_id]
        if told.kind == b"9":
            assert asked.kind in (b"F", b"G")
            assert told.original in self._asked
            return 1
        wanted = self._asked[asked.root]
        assert (told.symbol, told.side) == (wanted.symbol, b"%d" % wanted.side)
        if told.kind == b"8":
            assert asked.kind == b"D"
            return 1
        if told.kind == b"0":
            assert asked.root not in self._orders, "an order that is new twice"
            side = SIDES[asked.side]
            self._orders[asked.root] = _Wanted(asked, side, asked.price4, asked.quantity)
            assert (asked.kind, told.quantity) == (b"D", asked.quantity)
            return 1
        order = self._orders[asked.root]
        if told.kind == b"F":
            self._fill(order, told)
        elif told.kind == b"5":
            self._replace(order, asked, told)
        else:
            assert told.kind == b"4"
            self._cancel(order, asked)
        assert (told.leaves, told.filled) == (order.left, order.filled)
        return int(told.kind == b"5" or asked.kind == b"F")

    def _fill(self, order: _Wanted, told: Told) -> None:
        found = self._executions[told.match]
        assert (found.symbol, found.price4, found.shares) == (
            order.asked.symbol,
            told.price4,
            told.shares,
        )
        self.matches.append((told.match, order.side))
        if found.side == order.side:
            self._settle(order)
            self._stand(order)
            assert order.standing is not None, "an order executed that could not stand"
            order.standing.acts.append(("E", told.match, told.shares))
            self.passive_count += 1
        else:
            if order.moved is not None:
                self._leave(order, "D")
            assert order.standing is None, "an order that stands took another one"
            worse = (
                order.price4 - found.price4 if order.side == "B" else found.price4 - order.price4
            )
            assert order.asked.price4 == 0 or worse >= 0, "executed beyond its limit"
        order.left -= told.shares
        order.filled += told.shares

    def _replace(self, order: _Wanted, asked: Asked, told: Told) -> None:
        self._settle(order)
        self._stand(order)
        assert order.standing is not None
        assert told.quantity == asked.quantity
        left = asked.quantity - order.filled
        assert left > 0
        if asked.price4 == order.price4 and left < order.left:
            order.standing.acts.append(("X", order.left - left))
        else:
            order.moved = asked.price4, left
        order.left = left
        order.price4 = asked.price4

    def _cancel(self, order: _Wanted, asked: Asked) -> None:
        self._settle(order)
        assert order.left > 0
        if asked.kind == b"F":
            self._stand(order)
            self._leave(order, "D")
        else:
            assert order.standing is None, "what does not rest stood"
            assert not order.asked.rests
        order.left = 0

    def _settle(self, order: _Wanted) -> None:
        """A replace executed nothing: it was U."""
        if order.moved is not None:
            self._leave(order, "U", *order.moved)

    def _stand(self, order: _Wanted) -> None:
        """What is left of an order stands in the book from now on, if it may."""
        if order.standing is None and order.left > 0:
            assert order.asked.rests
            order.standing = Order(order.asked.symbol, order.side, order.price4, order.left)

    def _leave(self, order: _Wanted, *act: str | int) -> None:
        assert order.standing is not None
        order.standing.acts.append(act)
        order.moved = None
        self._finish(order)

    def _finish(self, order: _Wanted) -> None:
        if order.standing is not None:
            self.lives[order.standing.life()] += 1
            order.standing = None


def account_by_feed(matches: Iterable[tuple[int, str]], feed: FeedAccount) -> Account:
    """Cash and shares of whoever had these sides of these matches, as the feed tells them."""
    cash4, shares = 0, Counter[str]()
    for match, side in matches:
        if match in feed.broken:
            continue
        found = feed.executions[match]
        sign = 1 if side == "B" else -1
        cash4 -= sign * found.shares * found.price4
        shares[found.symbol] += sign * found.shares
    return Account(cash4, {symbol: held for symbol, held in shares.items() if held})
