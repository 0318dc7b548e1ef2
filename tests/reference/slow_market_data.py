"""SlowMarketData: a book of orders in dicts, and the entries of FIX market data that each ITCH
message makes of it.

Messages come without their length, entries go as text with "|" for the separator. Source: FIX 4.4
volume 3, MarketDataIncrementalRefresh; TotalView-ITCH 5.0, sections 4.3 to 4.5.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from protocols.itch50.spec import BY_TYPE

_SIDES = {"B": "0", "S": "1"}
_KINDS = "AFECXDUP"
_REFERENCE = "order_reference_number"


class Order(NamedTuple):
    """A live order."""

    symbol: str
    side: str
    price4: int
    shares: int


def price_text(price4: int) -> str:
    """A price with exactly the decimals that it needs."""
    return f"{Decimal(price4).scaleb(-4).normalize():f}"


def _integer(fields: Mapping[str, object], name: str) -> int:
    return int(str(fields[name]))


def _price4(fields: Mapping[str, object], name: str) -> int:
    return int(Decimal(str(fields[name])).scaleb(4))


class SlowMarketData:
    """All books of a session."""

    def __init__(self) -> None:
        self.orders: dict[int, Order] = {}

    def levels(self, symbol: str, side: str) -> dict[int, tuple[int, int]]:
        """Shares and orders by price4, best first."""
        found: dict[int, tuple[int, int]] = {}
        for order in self.orders.values():
            if (order.symbol, order.side) == (symbol, side):
                shares, orders = found.get(order.price4, (0, 0))
                found[order.price4] = (shares + order.shares, orders + 1)
        return dict(sorted(found.items(), reverse=side == "B"))

    def snapshot(self, symbol: str) -> list[str]:
        """The entries of W."""
        return [
            f"269={code}|270={price_text(price4)}|271={shares}|346={orders}|"
            for side, code in _SIDES.items()
            for price4, (shares, orders) in self.levels(symbol, side).items()
        ]

    def take(self, message: bytes) -> tuple[list[str], list[str]]:
        """The entries of X that the message makes: of the book, and of the trade."""
        kind = chr(message[0])
        fields = BY_TYPE[kind].decode(message)
        if kind not in _KINDS:
            return [], []
        reference, following = 0, 0
        if kind != "P":
            old = "original_order_reference_number" if kind == "U" else _REFERENCE
            reference = _integer(fields, old)
            following = _integer(fields, "new_order_reference_number" if kind == "U" else old)
        order = self.orders.get(reference)
        trades = self._trades(kind, fields, order)
        after = self._after(kind, fields, order)
        places = [(each.symbol, each.side, each.price4) for each in (order, after) if each]
        before = [self.levels(symbol, side) for symbol, side, _ in places]
        self.orders.pop(reference, None)
        if after is not None:
            self.orders[following] = after
        entries = map(self._entry, places, before)
        return list(dict.fromkeys(entries)), trades

    def _after(self, kind: str, fields: Mapping[str, object], order: Order | None) -> Order | None:
        """The order as the message leaves it, None when it is gone."""
        if kind == "P":
            return None
        if kind in "AF":
            name = str(fields["stock"]).strip()
            side = str(fields["buy_sell_indicator"])
            return Order(name, side, _price4(fields, "price"), _integer(fields, "shares"))
        if order is None or kind == "D":
            return None
        if kind == "U":
            price4, shares = _price4(fields, "price"), _integer(fields, "shares")
            return order._replace(price4=price4, shares=shares)
        taken = _integer(fields, "cancelled_shares" if kind == "X" else "executed_shares")
        return order._replace(shares=order.shares - taken) if order.shares > taken else None

    def _trades(self, kind: str, fields: Mapping[str, object], order: Order | None) -> list[str]:
        if kind == "P":
            symbol, price4 = str(fields["stock"]).strip(), _price4(fields, "price")
            shares = _integer(fields, "shares")
        elif kind == "E" and order is not None:
            symbol, price4 = order.symbol, order.price4
            shares = _integer(fields, "executed_shares")
        elif kind == "C" and order is not None and fields["printable"] == "Y":
            symbol, price4 = order.symbol, _price4(fields, "execution_price")
            shares = _integer(fields, "executed_shares")
        else:
            return []
        return [f"279=0|269=2|55={symbol}|270={price_text(price4)}|271={shares}|"]

    def _entry(self, at: tuple[str, str, int], before: dict[int, tuple[int, int]]) -> str:
        symbol, side, price4 = at
        now = self.levels(symbol, side).get(price4)
        place = f"269={_SIDES[side]}|55={symbol}|270={price_text(price4)}|"
        if now is None:
            return "279=2|" + place
        return f"279={int(price4 in before)}|{place}271={now[0]}|346={now[1]}|"
