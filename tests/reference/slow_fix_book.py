"""Slow, obvious twins of the replay of FIX market data: dicts and Decimals, nothing clever.

in_order(messages)   the messages of one session as a receiver takes them
SlowFixBooks         books of all symbols, fed with W and X; its rules are those of the kernels

An entry with an MDEntryID (278), or an MDEntryRefID (280), is an order; any other states a level.
What cannot be applied is counted in `troubles`, and leaves the book of its symbol in doubt, or all
books where nobody can say whose it is; a W or an empty book (269=J) makes a book sound again.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from protocols.fix.message import FixMessage

QTY_LIMIT = 2**32
NEW, CHANGE, DELETE, DELETE_THRU, DELETE_FROM, OVERLAY = b"012345"
DATA = (b"W", b"X")


class Placed(NamedTuple):
    """A message, its place in its stream from 1, and whether messages before it are missing."""

    ordinal: int
    message: FixMessage
    is_after_loss: bool


@dataclass
class Session:
    """What `in_order` found."""

    placed: list[Placed] = field(default_factory=list)
    duplicates: int = 0
    resent: int = 0
    gaps: int = 0
    missing: int = 0


def _stretches(messages: list[FixMessage]) -> list[tuple[int | None, list[int]]]:
    """Places of messages whose numbers belong together, and the number that begins them."""
    stretches: list[tuple[int | None, list[int]]] = [(None, [])]
    logon_time = None
    for place, message in enumerate(messages):
        msg_type = message.msg_type
        if not message.flag(43) and msg_type == b"A":
            again = message.get(52) == logon_time
            logon_time = message.get(52)
            if not again and (message.flag(141) or message.number(34) == 1):
                stretches.append((message.number(34) or 0, []))
        if not message.flag(43) and msg_type == b"4" and not message.flag(123):
            stretches.append((max(message.number(36) or 0, 1), []))
            continue
        stretches[-1][1].append(place)
    return stretches


def in_order(messages: list[FixMessage]) -> Session:
    """All messages of a session, which arrived in this order and have numbers, in their order."""
    session = Session()
    next_seq, had_data = 0, False
    for number, (begin, places) in enumerate(_stretches(messages)):
        if begin is not None and next_seq and number:
            first_type = messages[places[0]].msg_type if places else b"4"
            if first_type != b"A" and begin > next_seq:
                session.gaps += 1
                session.missing += begin - next_seq
        found: dict[int, int] = {}
        expected = begin if begin is not None else messages[places[0]].number(34) if places else 0
        assert expected is not None
        for place in places:
            seq = messages[place].number(34)
            assert seq is not None
            if seq < expected or seq in found:
                session.duplicates += 1
            else:
                found[seq] = place
        is_after_loss = had_data
        for seq in sorted(found):
            message = messages[found[seq]]
            if seq > expected:
                session.gaps += 1
                session.missing += seq - expected
                is_after_loss = True
            session.resent += message.flag(43)
            session.placed.append(Placed(found[seq] + 1, message, is_after_loss))
            is_after_loss = False
            expected = max(expected, seq + 1)
            if message.msg_type == b"4" and message.flag(123):
                expected = max(expected, message.number(36) or 0)
            had_data = had_data or message.msg_type in DATA
        next_seq = expected
    return session


@dataclass
class Order:
    """A live order."""

    side: int
    price: Decimal
    qty: int


@dataclass
class Book:
    """One symbol: its orders by MDEntryID, or its levels by side and price."""

    mode: str = ""
    orders: dict[bytes, Order] = field(default_factory=dict)
    levels: dict[tuple[int, Decimal], tuple[int, int]] = field(default_factory=dict)
    is_sound: bool = True

    def side(self, side: int) -> list[tuple[Decimal, int, int]]:
        """(price, quantity, orders), best first."""
        total: dict[Decimal, tuple[int, int]] = {}
        for (at_side, price), level in self.levels.items():
            if at_side == side:
                total[price] = level
        for order in self.orders.values():
            if order.side == side:
                qty, count = total.get(order.price, (0, 0))
                total[order.price] = (qty + order.qty, count + 1)
        return [(price, *total[price]) for price in sorted(total, reverse=side > 0)]

    def best(self) -> tuple[Decimal, int, Decimal, int]:
        """Bid price and quantity, ask price and quantity; zeros for an empty side."""
        bids, asks = self.side(1), self.side(-1)
        nothing = (Decimal(0), 0)
        return (*(bids[0][:2] if bids else nothing), *(asks[0][:2] if asks else nothing))


class BadEntryError(Exception):
    """A trouble, by its name."""


Fields = dict[int, bytes]


def _decimal(text: bytes | None, decimals: int) -> Decimal | None:
    if text is None:
        return None
    if not re.fullmatch(rb"-?([0-9]+\.?[0-9]*|\.[0-9]+)", text):
        raise BadEntryError("bad_entry")
    value = Decimal(text.decode())
    scaled = value * 10**decimals
    if scaled != int(scaled) or abs(scaled) >= 2**63:
        raise BadEntryError("bad_entry")
    return value


class SlowFixBooks:
    """Books by symbol."""

    def __init__(self) -> None:
        self.books: dict[bytes, Book] = {}
        self.troubles: Counter[str] = Counter()
        self.unknown_levels = 0
        self.new_books_are_sound = True

    def doubt(self, trouble: str, symbol: bytes) -> None:
        """Count a trouble of a symbol, or of b"": of any."""
        self.troubles[trouble] += 1
        if symbol:
            self.book(symbol).is_sound = False
        else:
            self.doubt_all()

    def doubt_all(self) -> None:
        """Nothing is known to be whole any more."""
        self.new_books_are_sound = False
        for book in self.books.values():
            book.is_sound = False

    def book(self, symbol: bytes) -> Book:
        """The book of a symbol, which is empty the first time."""
        return self.books.setdefault(symbol, Book(is_sound=self.new_books_are_sound))

    def clear(self, symbol: bytes) -> None:
        """An empty book, which is sound."""
        self.book(symbol)
        self.books[symbol] = Book()

    def apply(self, message: FixMessage) -> None:
        """One W or X."""
        delimiter = 269 if message.msg_type == b"W" else 279
        head: Fields = {}
        entries: list[Fields] = []
        for tag, value in message.fields:
            if tag == delimiter:
                entries.append({})
            (entries[-1] if entries else head).setdefault(tag, value)
        is_whole = message.number(268) == len(entries)
        if message.msg_type == b"W":
            symbol = next((value for tag, value in message.fields if tag == 55), b"")
            if symbol in (b"", b"[N/A]"):
                self.doubt("no_symbol", b"")
                return
            self.clear(symbol)
            if not is_whole:
                self.doubt("incomplete", symbol)
            for entry in entries:
                self.entry(symbol, {279: b"0", **entry}, is_snapshot=True)
            return
        if not is_whole:
            self.doubt("incomplete", b"")
        symbol = head.get(55, b"")
        for entry in entries:
            symbol = entry.get(55, symbol)
            if symbol == b"[N/A]":
                self.doubt("no_symbol", b"")
                continue
            self.entry(symbol, entry, is_snapshot=False)

    def entry(self, symbol: bytes, entry: Fields, *, is_snapshot: bool) -> None:
        """One entry."""
        if symbol:
            self.book(symbol)
        action, kind = entry[279], entry.get(269, b"")
        is_quote = kind in (b"0", b"1", b"")
        try:
            if not re.fullmatch(rb"[0-5]", action):
                self.doubt("bad_action", symbol)
                return
            price, qty = _decimal(entry.get(270), 9), _decimal(entry.get(271), 8)
            if price is not None and price < 0:
                raise BadEntryError("bad_price")
            if action in b"234":
                qty = None
            if qty is not None and not (qty == int(qty) and 0 <= qty < QTY_LIMIT):
                raise BadEntryError("bad_quantity")
            if is_quote:
                self.quote(symbol, entry, price, None if qty is None else int(qty))
            elif kind == b"J" and symbol:
                self.clear(symbol)
            elif not symbol:
                self.troubles["no_symbol"] += 1
            elif kind == b"2" and action == b"0" and not is_snapshot and None in (price, qty):
                raise BadEntryError("bad_entry")
        except BadEntryError as error:
            if is_quote:
                self.doubt(str(error), symbol)
            else:
                self.troubles[str(error)] += 1

    def quote(self, symbol: bytes, entry: Fields, price: Decimal | None, qty: int | None) -> None:
        """A bid or offer."""
        mode = "orders" if 278 in entry or 280 in entry else "levels"
        side = {b"0": 1, b"1": -1}.get(entry.get(269, b""), 0)
        if not symbol:
            if mode == "levels":
                raise BadEntryError("no_symbol")
            # The names that are looked for, the first one that finds an order decides.
            names = [entry.get(278, b"")]
            if entry[279] in b"12":
                names.insert(0, entry.get(280, b""))
            for name in names if entry[279] not in b"34" else ():
                owners = [owner for owner, book in self.books.items() if name in book.orders]
                if len(owners) == 1:
                    entry = {tag: text for tag, text in entry.items() if tag != 280 or text == name}
                    try:
                        self.order(owners[0], entry, side, price, qty)
                    except BadEntryError as error:
                        self.doubt(str(error), owners[0])
                    return
            raise BadEntryError("unknown_id" if entry[279] in b"12" else "bad_entry")
        book = self.book(symbol)
        book.mode = book.mode or mode
        if book.mode != mode:
            raise BadEntryError("mixed")
        if mode == "orders":
            self.order(symbol, entry, side, price, qty)
        else:
            self.level(symbol, entry, side, price, qty)

    def order(
        self, symbol: bytes, entry: Fields, side: int, price: Decimal | None, qty: int | None
    ) -> None:
        """A bid or offer that is an order."""
        book, action = self.book(symbol), entry[279][0]
        name = entry.get(278, b"")
        if action in (DELETE_THRU, DELETE_FROM):
            if side == 0 or price is None:
                raise BadEntryError("bad_entry")
            better = side if action == DELETE_THRU else -side
            book.orders = {
                key: order
                for key, order in book.orders.items()
                if order.side != side or (order.price - price) * better < 0
            }
        elif action in (NEW, OVERLAY) and name not in book.orders:
            if side == 0 or price is None or qty is None or not name:
                raise BadEntryError("bad_entry")
            if qty == 0:
                raise BadEntryError("bad_quantity")
            if len(name) > 48:
                raise BadEntryError("long_id")
            book.orders[name] = Order(side, price, qty)
        elif action in (NEW, OVERLAY):
            if action == NEW:
                self.doubt("duplicate_id", symbol)
            self.change(book, name, side, price, qty)
        else:
            before = entry.get(280, b"") if entry.get(280) in book.orders else name
            if before not in book.orders:
                raise BadEntryError("unknown_id")
            if action == DELETE:
                del book.orders[before]
                return
            if name and name != before:
                if name in book.orders:
                    raise BadEntryError("duplicate_id")
                if len(name) > 48:
                    raise BadEntryError("long_id")
                book.orders[name] = book.orders.pop(before)
            self.change(book, name or before, side, price, qty)

    def change(
        self, book: Book, name: bytes, side: int, price: Decimal | None, qty: int | None
    ) -> None:
        """What an entry does not say stays."""
        if qty == 0:
            del book.orders[name]
            return
        order = book.orders[name]
        order.side = side or order.side
        order.price = order.price if price is None else price
        order.qty = qty or order.qty

    def level(
        self, symbol: bytes, entry: Fields, side: int, price: Decimal | None, qty: int | None
    ) -> None:
        """A bid or offer that states a price level."""
        book, action = self.book(symbol), entry[279][0]
        place = int(entry.get(290, entry.get(1023, b"0")))
        states = action in (NEW, CHANGE, OVERLAY)
        named = price is not None or (place > 0 and not states)
        has_bad_place = (290 in entry or 1023 in entry) and not 1 <= place < 2**16
        if side == 0 or not named or has_bad_place or (states and qty is None):
            raise BadEntryError("bad_entry")
        prices = [level[0] for level in book.side(side)]
        if states:
            assert price is not None
            assert qty is not None
            if action == OVERLAY and 0 < place <= len(prices) and prices[place - 1] != price:
                del book.levels[side, prices[place - 1]]
            if qty:
                count = min(max(int(entry.get(346, b"1")), 1), 2**31 - 1)
                book.levels[side, price] = (qty, count)
            elif book.levels.pop((side, price), None) is None:
                self.unknown_levels += 1
            return
        if price is not None:
            if action == DELETE and price not in prices:
                self.unknown_levels += 1
            better = {DELETE_THRU: side, DELETE_FROM: -side}.get(action, 0)
            gone = [at for at in prices if (at - price) * better > 0 or at == price]
        else:
            first = 0 if action == DELETE_THRU else place - 1
            gone = prices[first : None if action == DELETE_FROM else place]
        for at in gone:
            del book.levels[side, at]


def best_lines(placed: Iterable[Placed], books: SlowFixBooks) -> dict[int, dict[bytes, tuple]]:
    """By ordinal of each W and X the symbols whose best prices it changed, and these prices."""
    changes: dict[int, dict[bytes, tuple]] = {}
    best: dict[bytes, tuple] = {}
    is_after_loss = False
    for ordinal, message, is_lost in placed:
        is_after_loss = is_after_loss or is_lost
        if message.msg_type not in DATA:
            continue
        if is_after_loss:
            books.doubt_all()
        is_after_loss = False
        books.apply(message)
        for symbol, book in books.books.items():
            now = book.best()
            if now != best.get(symbol, (0, 0, 0, 0)):
                best[symbol] = now
                changes.setdefault(ordinal, {})[symbol] = now
    return changes
