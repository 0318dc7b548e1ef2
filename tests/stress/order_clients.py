"""Clients that trade at random over FIX, and a reader that keeps the whole feed meanwhile."""

import socket
import threading
import time
from itertools import islice
from random import Random
from typing import NamedTuple

from protocols.fix.message import FixMessage
from protocols.fix.spec import MsgType, Tag
from protocols.itch50.spec import BY_TYPE
from protocols.soupbintcp import spec as soup
from protocols.soupbintcp.session import Client as SoupClient
from tests.unit.tools.exchange.trader import Trader

BATCH = 20
"""Messages that are sent at once."""
AHEAD = 100
"""Messages that may wait for an answer."""
LIVE_MAX = 400
"""Orders that a client has in the books; the checker looks at each live one at every execution."""
PRICES_EVERY = 200
CHANGE, CANCEL, MARKET, IMMEDIATE = 0.3, 0.5, 0.05, 0.2
SHARES_MAX = 300
TICKS_AWAY = 15
PRICE4_MIN = 100

_STOCK = BY_TYPE["A"].by_name["stock"]
_PRICE = BY_TYPE["A"].by_name["price"]


class Asked(NamedTuple):
    """A message of a client: D, F or G, and `root`, the ClOrdID of the D that its order came by.
    `price4` is 0 for any price.
    """

    kind: bytes
    root: bytes
    symbol: str = ""
    side: int = 0
    quantity: int = 0
    price4: int = 0
    rests: bool = True


class Told(NamedTuple):
    """An answer: `kind` is ExecType (150), or b"9" of a cancel or a replace that was refused."""

    kind: bytes
    cl_ord_id: bytes
    original: bytes
    symbol: str
    side: bytes
    quantity: int
    leaves: int
    filled: int
    shares: int
    price4: int
    match: int
    text: bytes


def price4_of(text: bytes) -> int:
    """A price of a message in 1e-4; 0 without one."""
    whole, _, fraction = text.decode().partition(".")
    return int(whole or 0) * 10_000 + int(fraction.ljust(4, "0"))


class RandomClient(Trader):
    """Sends what `random` says; `asked` by ClOrdID, `told` in its order."""

    def __init__(self, name: str, seed: int) -> None:
        super().__init__(name)
        self.name = name
        self.asked: dict[bytes, Asked] = {}
        self.told: list[Told] = []
        self._random = Random(seed)

    def _take(self, message: FixMessage) -> None:
        super()._take(message)
        self.messages.clear()
        is_refusal = message.msg_type == MsgType.ORDER_CANCEL_REJECT
        self.told.append(
            Told(
                b"9" if is_refusal else message.get(Tag.EXEC_TYPE),
                message.get(Tag.CL_ORD_ID),
                message.get(Tag.ORIG_CL_ORD_ID),
                message.get(Tag.SYMBOL).decode(),
                message.get(Tag.SIDE),
                message.number(Tag.ORDER_QTY) or 0,
                message.number(Tag.LEAVES_QTY) or 0,
                message.number(Tag.CUM_QTY) or 0,
                message.number(Tag.LAST_QTY) or 0,
                price4_of(message.get(Tag.LAST_PX)),
                message.number(Tag.SECONDARY_EXEC_ID) or 0,
                message.get(Tag.TEXT),
            )
        )

    async def trade(self, feed: "Feed", orders: int) -> None:
        """Send so many orders, and cancels and replaces between them; every one is answered."""
        made, sent = 0, 0
        while made < orders:
            if sent % PRICES_EVERY == 0:
                feed.read_on()
            is_full = len(self.live) > LIVE_MAX
            if is_full or (self.live and self._random.random() < CHANGE):
                self._change(feed.prices, must_cancel=is_full)
            else:
                self._order(feed.prices)
                made += 1
            sent += 1
            if sent % BATCH == 0:
                self.flush()
                await self.wait_for(sent - AHEAD)
        self.flush()
        await self.wait_for(sent)

    def _near(self, price4: int) -> int:
        return max(price4 + 100 * self._random.randint(-TICKS_AWAY, TICKS_AWAY), PRICE4_MIN)

    def _order(self, prices: dict[str, int]) -> None:
        random = self._random
        symbol = random.choice(list(prices))
        price4 = 0 if random.random() < MARKET else self._near(prices[symbol])
        side, quantity = random.choice((1, 2)), random.randint(1, SHARES_MAX)
        rests = price4 > 0 and random.random() >= IMMEDIATE
        cl_ord_id = self.order(symbol, side, quantity, price4, 0 if rests else 3)
        self.asked[cl_ord_id] = Asked(b"D", cl_ord_id, symbol, side, quantity, price4, rests)

    def _change(self, prices: dict[str, int], *, must_cancel: bool) -> None:
        """Of one of the oldest or the newest orders, which may be on its way out already."""
        random = self._random
        keys = self.live if random.random() < 0.5 else reversed(self.live)
        key = random.choice(list(islice(keys, LIVE_MAX // 2)))
        root = self.asked[key].root
        order = self.asked[root]
        if must_cancel or random.random() < CANCEL:
            self.asked[self.cancel(key, order.symbol, order.side)] = Asked(b"F", root)
            return
        before4 = self.asked[key].price4
        price4 = before4 if random.random() < 0.5 else self._near(prices[order.symbol])
        quantity = random.randint(1, SHARES_MAX)
        cl_ord_id = self.replace(key, (order.symbol, order.side, quantity, price4))
        self.asked[cl_ord_id] = Asked(b"G", root, order.symbol, order.side, quantity, price4)


class Feed(threading.Thread):
    """Keeps the session as it comes over SoupBinTCP; `messages` is what was read of it so far,
    `prices` the latest order's price4 by symbol.
    """

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(name="feed", daemon=True)
        self.messages: list[bytes] = []
        self.prices: dict[str, int] = {}
        self.has_ended = False
        self._sock = sock
        self._sock.settimeout(0.2)
        self._stream = bytearray()
        self._at = 0

    def run(self) -> None:
        """Until the exchange closes the connection."""
        client = SoupClient(time.monotonic_ns(), hand_over=True)
        client.login("feed", "")
        with self._sock:
            while True:
                if out := client.data_to_send(time.monotonic_ns()):
                    self._sock.sendall(out)
                try:
                    data = self._sock.recv(1 << 20)
                except TimeoutError:
                    data = None
                if data == b"":
                    return
                now_ns = time.monotonic_ns()
                client.receive(data or b"", now_ns)
                self._stream += client.take_unread(now_ns)
                client.handle_timer(now_ns)

    def read_on(self) -> None:
        """Take apart what came meanwhile."""
        stream, at = self._stream, self._at
        stop = len(stream)
        while at + soup.FRAME_BYTES <= stop:
            end = at + soup.LENGTH_BYTES + int.from_bytes(stream[at : at + 2], "big")
            if end > stop:
                break
            kind, message = stream[at + 2], bytes(stream[at + soup.FRAME_BYTES : end])
            if kind == soup.SEQUENCED_DATA:
                self.messages.append(message)
                if message[0] == ord("A"):
                    self._note_price(message)
            elif kind == soup.END_OF_SESSION:
                self.has_ended = True
            at = end
        self._at = at

    def _note_price(self, message: bytes) -> None:
        symbol = message[_STOCK.offset : _STOCK.offset + _STOCK.width].decode().rstrip()
        self.prices[symbol] = int.from_bytes(message[_PRICE.offset : _PRICE.offset + 4], "big")
