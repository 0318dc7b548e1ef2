"""Exchanges on loopback for feeds over TCP, in the loop of the test."""

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from protocols.fix.framing import Framer
from protocols.fix.message import FixMessage, Identity, decode, encode, encode_fields
from protocols.fix.times import format_utc_timestamp
from protocols.soupbintcp.feed import FeedServer, SequencedFeed
from protocols.soupbintcp.session import State

_READ_BYTES = 65_536
EXCHANGE = Identity("EXCH", "ME")


async def until(condition: Callable[[], bool]) -> None:
    """Until something is so; fails after five seconds."""
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never became so")


class _Listener(ABC):
    """A server whose connections end with the test."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Any:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self.serve(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    @abstractmethod
    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its first byte to its last."""


class SoupExchange(_Listener):
    """Serves a feed; connection i is cut after cuts[i] bytes, those behind them are whole."""

    def __init__(self, feed: SequencedFeed, cuts: Sequence[int] = ()) -> None:
        super().__init__()
        self.feed = feed
        self.cuts = list(cuts)
        self.is_open = True
        """Whether logins are accepted."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = self.cuts.pop(0) if self.cuts else 1 << 62
        server = FeedServer(
            time.monotonic_ns(), self.feed, lambda _name, _word: self.is_open, send_window_bytes=512
        )
        while True:
            if server.state in (State.CONNECTED, State.LOGGING_IN):
                server.receive(await reader.read(_READ_BYTES), time.monotonic_ns())
            data = server.data_to_send(time.monotonic_ns())[:left]
            left -= len(data)
            writer.write(data)
            await writer.drain()
            if left == 0 or server.state is State.CLOSED:
                return
            if not data:
                with contextlib.suppress(TimeoutError):
                    if not await asyncio.wait_for(reader.read(_READ_BYTES), 0.02):
                        return
                server.handle_timer(time.monotonic_ns())


Level = tuple[int, str, int]
"""Side, price, quantity."""


class FixExchange(_Listener):
    """A market data session at a time: books as dicts, a snapshot of each at every subscription."""

    def __init__(self, books: dict[str, list[Level]]) -> None:
        super().__init__()
        self.books = books
        self.heard: list[FixMessage] = []
        self.refuses = False
        self.is_silent = False
        """Nothing is answered, until the next connection."""
        self.seq = 1
        self._request = b""
        self._writer: asyncio.StreamWriter | None = None

    def types(self) -> str:
        """Types of all messages that the client sent."""
        return b"".join(message.msg_type for message in self.heard).decode()

    def send(self, msg_type: str, *fields: tuple[int, str | int | bytes]) -> None:
        assert self._writer is not None
        body = encode_fields(*fields) if fields else b""
        now = format_utc_timestamp(time.time_ns())
        self._writer.write(encode(EXCHANGE, msg_type.encode(), self.seq, now, body))
        self.seq += 1

    def update(self, symbol: str, side: int, price: str, qty: int) -> None:
        """State a level in an X, and in the book; quantity 0 takes it away."""
        levels = [level for level in self.books[symbol] if level[:2] != (side, price)]
        self.books[symbol] = levels + ([(side, price, qty)] if qty else [])
        self.send(
            "X", (262, self._request), (268, 1), (279, 1 if qty else 2), (269, side), (55, symbol),
            (270, price), *([(271, qty), (346, 1)] if qty else []),
        )  # fmt: skip

    def cut(self) -> None:
        assert self._writer is not None
        self._writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer, self.seq, self.is_silent = writer, 1, False
        framer = Framer()
        while data := await reader.read(_READ_BYTES):
            framer.feed(data)
            while (frame := framer.next_frame()) is not None:
                message = decode(frame)
                self.heard.append(message)
                self._answer(message)
            await writer.drain()

    def _answer(self, message: FixMessage) -> None:
        if message.msg_type == b"A":
            self.send("A", (98, 0), (108, message.get(108)), (141, "Y"))
        elif self.is_silent:
            return
        elif message.msg_type == b"1":
            self.send("0", (112, message.get(112)))
        elif message.msg_type == b"5":
            self.send("5")
        elif message.msg_type == b"V" and message.get(263) == b"1":
            self._request = message.get(262)
            if self.refuses:
                self.send("Y", (262, self._request), (281, "0"), (58, "unknown symbol"))
                return
            for symbol in self.books:
                self._send_book(symbol)

    def _send_book(self, symbol: str) -> None:
        levels = self.books[symbol]
        entries = [((269, s), (270, p), (271, q), (346, 1)) for s, p, q in levels]
        fields = [field for entry in entries for field in entry]
        self.send("W", (262, self._request), (55, symbol), (268, len(levels)), *fields)
