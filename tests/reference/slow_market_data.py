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


class Order(NamedTuple):
    """A live order."""

    symbol: str
    side: str
    price4: int
    shares: int


def price_text(price4: int) -> str:
    """A price with exactly the decimals that it needs."""
    return f"{Decimal(price4).scaleb(-4).normalize():f}"


def _price4(fields: Mapping[str, object], name: str) -> int:
    return int(Decimal(str(fields[name])).scaleb(4))


class SlowMarketData:
    """All books of a session."""

    def __init__(self) -> None:
        self.orders: dict[int, Order] = {}
        self.symbols: dict[int, str] = {}

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
        layout = BY_TYPE.get(chr(message[0]))
        assert layout is not None
        fields = layout.decode(message)
        if layout.type == "R":
            self.symbols[int(str(fields["stock_locate"])] = str(fields["stock"]).strip()
        reference = int(str(fields.get("order_reference_number", 0))
        if layout.type == "U":
            reference = int(str(fields["original_order_reference_number"])
        order = self.orders.get(reference)
        trades = self._trades(layout.type, fields, order)
        touched: list[tuple[str, str, int]] = []
        before: dict[tuple[str, str], dict[int, tuple[int, int]]] = {}
        after = self._after(layout.type, fields, order)
        for each in (order, after):
            if each is not None and layout.type in "AFECXDU":
                place = (each.symbol, each.side, each.price4)
                before.setdefault(place[:2], self.levels(*place[:2]))
                if place not in touched:
                    touched.append(place)
        if layout.type in "ECXDU":
            del self.orders[reference]
        if after is not None and layout.type in "AFECXU":
            new = int(str(fields["new_order_reference_number"]) if layout.type == "U" else reference
            self.orders[new] = after
        return [self._entry(*place, before[place[:2]]) for place in touched], trades

    def _after(self, kind: str, fields: Mapping[str, object], order: Order | None) -> Order | None:
        """The order as the message leaves it, None when it is gone."""
        if kind in "AF":
            name = str(fields["stock"]).strip()
            side = str(fields["buy_sell_indicator"])
            return Order(name, side, _price4(fields, "price"), int(str(fields["shares"]))
        if order is None or kind == "D":
            return None
        if kind == "U":
            return order._replace(price4=_price4(fields, "price"), shares=int(str(fields["shares"]))
        taken = int(str(fields.get("executed_shares", fields.get("cancelled_shares", 0)))
        return order._replace(shares=order.shares - taken) if order.shares > taken else None

    def _trades(self, kind: str, fields: Mapping[str, object], order: Order | None) -> list[str]:
        if kind == "P":
            symbol, price4 = str(fields["stock"]).strip(), _price4(fields, "price")
            shares = int(str(fields["shares"])
        elif kind == "E" and order is not None:
            symbol, price4 = order.symbol, order.price4
            shares = int(str(fields["executed_shares"])
        elif kind == "C" and order is not None and fields["printable"] == "Y":
            symbol, price4 = order.symbol, _price4(fields, "execution_price")
            shares = int(str(fields["executed_shares"])
        else:
            return []
        return [f"279=0|269=2|55={symbol}|270={price_text(price4)}|271={shares}|"]

    def _entry(
        self, symbol: str, side: str, price4: int, before: dict[int, tuple[int, int]]
    ) -> str:
        now = self.levels(symbol, side).get(price4)
        place = f"269={_SIDES[side]}|55={symbol}|270={price_text(price4)}|"
        if now is None:
            return "279=2|" + place
        return f"279={int(price4 in before)}|{place}271={now[0]}|346={now[1]}|"
