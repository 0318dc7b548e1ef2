"""SlowBook: order books for ITCH in plain dicts; its rules are the contract of the fast book.

A, F      enter an order at its price. Not entered, and counted as malformed, when
            bad_side              the side is neither B nor S
            bad_price             the price is above 2**31 - 1 (200,000.0000 is the most allowed)
            bad_qty               there are no shares
            duplicate_reference   the reference is live already
E, C, X   take shares from the live order, and the order from the book when none are left. More than
          there are: what is there is taken, the order goes, and the message counts as `overfill`.
          None at all: nothing happens.
D         takes the order from the book.
U         takes the old order from the book and enters the new one: same side and instrument, new
          reference, shares and price, last in time. The whole message is ignored and counted as
          malformed (bad_price, bad_qty, duplicate_reference, tested in this order) when the new
          order could not be entered; to keep the old reference is allowed.
E, C, X, D, U with a reference that is not live: counted in `unknown_references`, otherwise
          ignored, whatever else they hold. Side and instrument always come from the live order,
          never from the message.
All other messages leave the books as they are, halts too.
"""

import hashlib
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PRICE_MAX = 2**31 - 1


@dataclass
class Order:
    """A live order: `price` in 1e-4, `arrival` its place in time over all orders."""

    locate: int
    side: str
    price: int
    shares: int
    arrival: int


class SlowBook:
    """The books of all instruments, fed with messages that `slow_itch.decode` decoded."""

    def __init__(self) -> None:
        self._orders: dict[int, Order] = {}
        self._arrivals = 0
        self.unknown_references = 0
        self.malformed: Counter[str] = Counter()

    def apply(self, message_type: str, fields: Mapping[str, Any]) -> None:
        """Change the books by one message."""
        if message_type in "AF":
            self._add(fields)
        elif message_type in "ECX":
            shares = fields["cancelled_shares" if message_type == "X" else "executed_shares"]
            self._reduce(fields["order_reference_number"], shares)
        elif message_type == "D":
            if self._is_live(fields["order_reference_number"]):
                del self._orders[fields["order_reference_number"]]
        elif message_type == "U":
            self._replace(fields)

    def _is_live(self, reference: int) -> bool:
        if reference in self._orders:
            return True
        self.unknown_references += 1
        return False

    def _fault(self, fields: Mapping[str, Any], reference: int, replaced: int | None) -> str:
        if fields["price"] > PRICE_MAX:
            return "bad_price"
        if fields["shares"] == 0:
            return "bad_qty"
        if reference in self._orders and reference != replaced:
            return "duplicate_reference"
        return ""

    def _enter(self, reference: int, locate: int, side: str, fields: Mapping[str, Any]) -> None:
        self._arrivals += 1
        self._orders[reference] = Order(
            locate, side, fields["price"], fields["shares"], self._arrivals
        )

    def _add(self, fields: Mapping[str, Any]) -> None:
        reference, side = fields["order_reference_number"], fields["buy_sell_indicator"]
        fault = "bad_side" if side not in ("B", "S") else self._fault(fields, reference, None)
        if fault:
            self.malformed[fault] += 1
        else:
            self._enter(reference, fields["stock_locate"], side, fields)

    def _reduce(self, reference: int, shares: int) -> None:
        if not self._is_live(reference):
            return
        order = self._orders[reference]
        if shares > order.shares:
            self.malformed["overfill"] += 1
        order.shares -= min(shares, order.shares)
        if order.shares == 0:
            del self._orders[reference]

    def _replace(self, fields: Mapping[str, Any]) -> None:
        old, new = fields["original_order_reference_number"], fields["new_order_reference_number"]
        if not self._is_live(old):
            return
        fault = self._fault(fields, new, old)
        if fault:
            self.malformed[fault] += 1
            return
        order = self._orders.pop(old)
        self._enter(new, order.locate, order.side, fields)

    def orders(self) -> dict[int, Order]:
        """Live orders by reference."""
        return dict(self._orders)

    def levels(self, locate: int, side: str) -> list[tuple[int, int, int]]:
        """(price in 1e-4, shares, orders) of one side, "B" or "S", best price first."""
        resting = [o for o in self._orders.values() if (o.locate, o.side) == (locate, side)]
        prices = sorted({order.price for order in resting}, reverse=side == "B")
        at_price = {price: [o.shares for o in resting if o.price == price] for price in prices}
        return [(price, sum(shares), len(shares)) for price, shares in at_price.items()]

    def best(self, locate: int) -> tuple[int, int, int, int]:
        """(bid price, bid shares, ask price, ask shares), prices in 1e-4; 0 for an empty side."""
        bids, asks = self.levels(locate, "B"), self.levels(locate, "S")
        return (*(bids[0][:2] if bids else (0, 0)), *(asks[0][:2] if asks else (0, 0)))

    def queue(self, locate: int, side: str, price: int) -> list[int]:
        """References of the orders at a price, first in time first."""
        found = [
            (order.arrival, reference)
            for reference, order in self._orders.items()
            if (order.locate, order.side, order.price) == (locate, side, price)
        ]
        return [reference for _, reference in sorted(found)]

    def digest(self) -> str:
        """sha256 of the live orders: by instrument, bids first, best price first, by reference."""

        def place(item: tuple[int, Order]) -> tuple[int, str, int, int]:
            reference, order = item
            sign = -1 if order.side == "B" else 1
            return order.locate, order.side, sign * order.price, reference

        result = hashlib.sha256()
        for reference, order in sorted(self._orders.items(), key=place):
            side = order.side.encode()
            row = (order.locate, side, order.price, reference, order.shares)
            result.update(struct.pack("<HcIQI", *row))
        return result.hexdigest()
