"""What stands out on a tape, looked for slowly: an order that takes several prices at once, one
that is refilled at its price, runs of trades, and middle prices. It reads ITCH by offsets of its
own (TotalView-ITCH 5.0, sections 1.3 to 1.4) and knows nothing of what was planted.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Order(NamedTuple):
    locate: int
    side: str
    price4: int
    shares: int


class Trade(NamedTuple):
    """One execution of an order that stood; `taker` is the side of who took."""

    seq: int
    ts_ns: int
    locate: int
    taker: str
    price4: int
    shares: int
    reference: int
    is_all: bool


class Entry(NamedTuple):
    """A new order."""

    ts_ns: int
    locate: int
    side: str
    price4: int
    shares: int
    reference: int


class Middle(NamedTuple):
    """Twice the middle price of a symbol after a message that changed it, 0 without one."""

    ts_ns: int
    locate: int
    twice4: int


class Sweep(NamedTuple):
    ts_ns: int
    locate: int
    taker: str
    shares: int
    levels: int
    seq: int
    last_seq: int


Event = Trade | Entry | Middle


class SlowTape:
    """Live orders, and shares at each price."""

    def __init__(self, middles_of: Iterable[int] = ()) -> None:
        self.orders: dict[int, Order] = {}
        self.levels: dict[tuple[int, str], dict[int, int]] = defaultdict(lambda: defaultdict(int))
        self.middles = dict.fromkeys(middles_of, 0)

    def events(self, messages: Iterable[bytes]) -> Iterator[Event]:
        for seq, message in enumerate(messages, 1):
            kind = message[:1]
            if kind not in b"AFECXDU":
                continue
            locate, ts_ns = _number(message, 1, 2), _number(message, 5, 6)
            yield from self._apply(seq, ts_ns, locate, kind, message)
            if locate in self.middles:
                twice4 = self._twice4(locate)
                if twice4 != self.middles[locate]:
                    self.middles[locate] = twice4
                    yield Middle(ts_ns, locate, twice4)

    def _apply(
        self, seq: int, ts_ns: int, locate: int, kind: bytes, message: bytes
    ) -> Iterator[Event]:
        reference = _number(message, 11, 8)
        if kind in b"AF":
            side, shares = message[19:20].decode(), _number(message, 20, 4)
            price4 = _number(message, 32, 4)
            self._enter(reference, Order(locate, side, price4, shares))
            yield Entry(ts_ns, locate, side, price4, shares, reference)
            return
        order = self.orders[reference]
        if kind in b"EC":
            shares = _number(message, 19, 4)
            taker = "B" if order.side == "S" else "S"
            is_all = shares == order.shares
            yield Trade(seq, ts_ns, locate, taker, order.price4, shares, reference, is_all)
            self._take(reference, shares)
        elif kind == b"X":
            self._take(reference, _number(message, 19, 4))
        else:
            self._take(reference, order.shares)
        if kind == b"U":
            price4, shares = _number(message, 31, 4), _number(message, 27, 4)
            new = _number(message, 19, 8)
            self._enter(new, Order(locate, order.side, price4, shares))

    def _enter(self, reference: int, order: Order) -> None:
        self.orders[reference] = order
        self.levels[order.locate, order.side][order.price4] += order.shares

    def _take(self, reference: int, shares: int) -> None:
        order = self.orders.pop(reference)
        level = self.levels[order.locate, order.side]
        level[order.price4] -= shares
        if level[order.price4] == 0:
            del level[order.price4]
        if order.shares > shares:
            self.orders[reference] = order._replace(shares=order.shares - shares)

    def _twice4(self, locate: int) -> int:
        bids, asks = self.levels[locate, "B"], self.levels[locate, "S"]
        return max(bids) + min(asks) if bids and asks else 0


def _number(message: bytes, at: int, size: int) -> int:
    return int.from_bytes(message[at : at + size], "big")


def sweeps(events: Iterable[Event], levels: int) -> list[Sweep]:
    """Trades of one symbol and side that share a time and take at least so many prices."""
    together: dict[tuple[int, int, str], list[Trade]] = defaultdict(list)
    for event in events:
        if isinstance(event, Trade):
            together[event.ts_ns, event.locate, event.taker].append(event)
    return [
        Sweep(
            *key,
            sum(trade.shares for trade in trades),
            len({trade.price4 for trade in trades}),
            trades[0].seq,
            trades[-1].seq,
        )
        for key, trades in together.items()
        if len({trade.price4 for trade in trades}) >= levels
    ]


def refills(events: Iterable[Event], within_ns: int) -> list[list[Entry]]:
    """Chains of orders: each is all executed, and within that time after it the next one comes with
    its side, price and shares; or, once there are two, with fewer shares.
    """
    entered: dict[int, Entry] = {}
    chains: dict[int, list[Entry]] = {}
    gone: dict[tuple[int, str, int], list[tuple[int, int]]] = defaultdict(list)
    for event in events:
        if isinstance(event, Entry):
            entered[event.reference] = event
            rows = gone[event.locate, event.side, event.price4]
            late = [row for row in rows if event.ts_ns - row[0] <= within_ns]
            fitting = [
                row for row in late if _fits(entered[row[1]], event, is_chain=row[1] in chains)
            ]
            if fitting:
                best = max(fitting, key=lambda row: (row[1] in chains, row[0]))
                late.remove(best)
                chain = chains.pop(best[1], [entered[best[1]]])
                chains[event.reference] = [*chain, event]
            gone[event.locate, event.side, event.price4] = late
        elif isinstance(event, Trade) and event.is_all and event.reference in entered:
            first = entered[event.reference]
            gone[first.locate, first.side, first.price4].append((event.ts_ns, event.reference))
    return list(chains.values())


def _fits(before: Entry, after: Entry, *, is_chain: bool) -> bool:
    return after.shares == before.shares or (is_chain and after.shares < before.shares)
