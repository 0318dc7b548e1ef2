"""SlowLevels: books of stated price levels and of orders in plain dicts, for messages in parts.

A level is what the feed states of it (`state`, `clear`), or the orders in it (`add`, `delete`),
never both. Best prices change at the end of a message only.
"""

from enum import IntEnum

Sides = tuple[int, int, int, int]


class Range(IntEnum):
    """Which levels `clear` takes away; the numbers are those of the engine."""

    ALL = 0
    THROUGH_PRICE = 1
    FROM_PRICE = 2
    THROUGH_PLACE = 3
    FROM_PLACE = 4
    PLACE = 5


class SlowLevels:
    """One instrument; prices are integers, sides +1 and -1."""

    def __init__(self) -> None:
        self.stated: dict[tuple[int, int], tuple[int, int]] = {}
        self.orders: dict[int, tuple[int, int, int]] = {}

    def levels(self, side: int) -> list[tuple[int, int, int]]:
        """(price, quantity, orders), best first."""
        total = {price: level for (at, price), level in self.stated.items() if at == side}
        for at, price, qty in self.orders.values():
            if at == side:
                before = total.get(price, (0, 0))
                total[price] = (before[0] + qty, before[1] + 1)
        return [(price, *total[price]) for price in sorted(total, reverse=side > 0)]

    def best(self) -> Sides:
        """Bid price and quantity, ask price and quantity; zeros for an empty side."""
        bids, asks = self.levels(1), self.levels(-1)
        return (*(bids[0][:2] if bids else (0, 0)), *(asks[0][:2] if asks else (0, 0)))

    def has_orders(self, side: int, price: int) -> bool:
        """Whether orders are at a price."""
        return any(order[:2] == (side, price) for order in self.orders.values())

    def state(self, side: int, price: int, qty: int, orders: int, place: int = 0) -> str:
        """A level is stated, in the place of another if `place` is not 0; the outcome."""
        prices = [level[0] for level in self.levels(side)]
        if 0 < place <= len(prices) and prices[place - 1] != price:
            self._drop(side, prices[place - 1])
        if not 0 <= qty < 2**32 or orders < (qty > 0):
            return "bad_qty"
        if self.has_orders(side, price):
            return "mixed"
        if qty:
            self.stated[side, price] = (qty, orders)
            return "ok"
        return "ok" if self.stated.pop((side, price), None) else "unknown_reference"

    def clear(self, sides: tuple[int, ...], which: Range, price: int, place: int) -> None:
        """Stated levels go."""
        for side in sides:
            for number, (at, _, _) in enumerate(self.levels(side), 1):
                gone = {
                    Range.ALL: True,
                    Range.THROUGH_PRICE: (at - price) * side >= 0,
                    Range.FROM_PRICE: (at - price) * side <= 0,
                    Range.THROUGH_PLACE: number <= place,
                    Range.FROM_PLACE: number >= place,
                    Range.PLACE: number == place,
                }
                if gone[which]:
                    self._drop(side, at)

    def _drop(self, side: int, price: int) -> None:
        self.stated.pop((side, price), None)

    def add(self, ref: int, side: int, price: int, qty: int) -> str:
        """An order comes."""
        if ref in self.orders:
            return "duplicate_reference"
        if (side, price) in self.stated:
            return "mixed"
        self.orders[ref] = (side, price, qty)
        return "ok"

    def delete(self, ref: int) -> str:
        """An order goes."""
        return "ok" if self.orders.pop(ref, None) else "unknown_reference"
