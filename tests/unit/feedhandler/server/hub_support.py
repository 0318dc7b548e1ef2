"""A hub without an engine: what it sees, and what it does, is what the test says."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from feedhandler.core.events import SIGNAL, SignalKind
from feedhandler.server.config import HubConfig
from feedhandler.server.hub import Hub
from feedhandler.server.hub_actions import SignalRow
from feedhandler.server.hub_messages import (
    BarRow,
    Breaker,
    CorrelationRow,
    FeedState,
    FunctionRow,
    Leg,
    Message,
    Order,
    Reset,
    Shutdown,
    SymbolRow,
    Trip,
)
from feedhandler.server.hub_server import HubServer
from feedhandler.server.hub_watchers import Matcher

SYMBOLS = tuple(f"SYM{i}" for i in range(20))
SOURCES = ("imbalance", "sweep", "price_band")
COLUMN = {name: at for at, name in enumerate(SIGNAL.names or ())}


def signal_row(signal_id: int, **changes: int) -> SignalRow:
    """A row of SIGNAL: an order of `imbalance` to buy SYM7, unless changed."""
    row = dict.fromkeys(SIGNAL.names or (), 0)
    row |= {"signal_id": signal_id, "kind": SignalKind.ORDER, "side": 1, "instrument": 7}
    row |= {"seq": 1_000 + signal_id, "price_e9": 101_250_000_000, "qty": 300}
    row |= {"leg_count": 1, "legs": (7, 0, 0, 0, 0, 0, 0, 0)}
    return tuple((row | changes).values())


def order(symbol: str, number: int) -> Order:
    times = dict.fromkeys(("seq", "ts_exch_ns", "ts_rx_ns", "ts_signal_ns"), number)
    prices = ("price_e9", "qty", "bid_price_e9", "bid_qty", "ask_price_e9", "ask_qty")
    common = times | dict.fromkeys(prices, number)
    values = (0, 0, 0)
    leg = Leg(symbol, "itch")
    return Order(
        symbol=symbol, feed="itch", source=SOURCES[0], signal_id=number, side="buy",
        values=values, confidence_bps=10_000, legs=(leg,), **common,
    )  # fmt: skip


class FakeView:
    """`View` of a feed that is live and has SYMBOLS."""

    def __init__(self) -> None:
        self.sources: Sequence[str] = SOURCES
        self.state = "LIVE"
        self.known = list(SYMBOLS)
        self.coming: list[str] = []
        self.cleared: list[str] = []

    def patterns(self) -> list[FunctionRow]:
        return [FunctionRow(name=name, function="f", signals=3) for name in SOURCES[:2]]

    def breakers(self) -> list[FunctionRow]:
        return [FunctionRow(name=SOURCES[2], function="f", trips=1, tripped=0)]

    def feeds(self) -> list[FeedState]:
        return [FeedState(feed="itch", state=self.state, in_doubt=False, next_seq=5, ts_ns=1)]

    def counters(self, names: Matcher) -> dict[str, int]:
        rows = {"packets_received": 7, "signals": 3}
        return {name: value for name, value in rows.items() if names(name)}

    def symbols(self, names: Matcher, limit: int) -> list[SymbolRow]:
        figures = {"messages": 1, "mid_e9": 2, "vwap_e9": 3, "volume": 4, "volatility_e9": 5}
        return [
            SymbolRow(symbol=name, feed="itch", halted=False, **figures)
            for name in self.names(names)[:limit]
        ]

    def check_bars(self) -> None:
        """They are kept."""

    def bars(self, names: Matcher, limit: int) -> list[BarRow]:
        words = dict.fromkeys(BarRow.__struct_fields__, 5)
        fixed = {"feed": "itch", "by": "time", "is_complete": True}
        wanted = self.names(names)[:limit]
        return [BarRow(**(words | fixed | {"symbol": name})) for name in wanted]

    def correlations(self, names: Matcher, symbols: Matcher) -> list[CorrelationRow]:
        words = dict.fromkeys(CorrelationRow.__struct_fields__, 5)
        rows = [("tech", "SYM1", "SYM2"), ("tech", "SYM3", "SYM4")]
        return [
            CorrelationRow(**(words | {"name": name, "feed": "itch", "symbol_a": a, "symbol_b": b}))
            for name, a, b in rows
            if names(name) and (symbols(a) or symbols(b))
        ]

    async def clear_stats(self, names: Matcher) -> list[str]:
        self.cleared = self.names(names)
        return self.cleared

    def learn(self, limit: int) -> list[str]:
        found, self.coming = self.coming[:limit], self.coming[limit:]
        self.known += found
        return found

    def names(self, names: Matcher) -> list[str]:
        return sorted(filter(names, self.known))

    def message_of(self, row: SignalRow) -> Message | None:
        at = {name: row[COLUMN[name]] for name in ("kind", "source", "signal_id", "instrument")}
        common = {"symbol": SYMBOLS[at["instrument"]], "feed": "itch"}
        common |= {"source": SOURCES[at["source"]], "signal_id": at["signal_id"]}
        times = dict.fromkeys(("price_e9", "seq", "ts_exch_ns", "ts_rx_ns", "ts_signal_ns"), 0)
        if at["kind"] == SignalKind.BREAKER:
            level = row[COLUMN["level"]]
            return Breaker(**common, **times, level=level, level_name="?")
        if at["kind"] != SignalKind.ORDER:
            return None
        times["seq"] = row[COLUMN["seq"]]
        prices = dict.fromkeys(("qty", "bid_price_e9", "bid_qty", "ask_price_e9", "ask_qty"), 0)
        return Order(
            **common, **times, **prices, side="buy", values=(0, 0, 0), confidence_bps=9, legs=()
        )


class FakeActions:
    """`Actions` that note what they were asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def trip(self, command: Trip) -> Any:
        self.asked.append(command)
        return {"level": command.level}

    async def reset(self, command: Reset) -> Any:
        del command
        raise RuntimeError("a fault in an action")

    async def set_priority(self, command: Any) -> Any:
        self.asked.append(command)
        await asyncio.sleep(30)

    async def reload(self, command: Any) -> Any:
        """Takes no notice of its deadline."""
        self.asked.append(command)
        until_s = time.monotonic() + 0.3
        while time.monotonic() < until_s:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.05)

    async def enable(self, command: Any) -> Any:
        self.asked.append(command)

    async def shutdown(self, command: Shutdown) -> Any:
        self.asked.append(command)
        return {"state": "draining"}


class Rig:
    """A hub, and what it is made of."""

    def __init__(self, **config: Any) -> None:
        self.config = HubConfig(**config)
        self.view = FakeView()
        self.actions = FakeActions()
        self.hub = Hub(self.config, self.view, self.actions, time.monotonic)

    def signals(self, *rows: SignalRow) -> None:
        """Signals that the publisher has just sent, dealt out at once."""
        self.hub.take_signals(rows)
        self.hub.deal_all()


class Peer:
    """The other end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, *lines: bytes) -> None:
        self.writer.write(b"".join(line + b"\n" for line in lines))

    def say(self, cmd: str, number: int | str = 1, **more: Any) -> None:
        self.send(json.dumps({"cmd": cmd, "id": number, **more}).encode())

    async def next(self) -> dict[str, Any]:
        """The next line; {} at the end."""
        line = await asyncio.wait_for(self.reader.readline(), 5)
        return json.loads(line) if line else {}

    async def ask(self, cmd: str, number: int | str = 1, **more: Any) -> dict[str, Any]:
        """The answer to a command; what else comes before it is dropped."""
        self.say(cmd, number, **more)
        while (line := await self.next()) and line["type"] != "answer":
            pass
        return line

    async def rest(self) -> list[dict[str, Any]]:
        """Everything up to the end."""
        found = []
        while line := await self.next():
            found.append(line)
        return found


class ServedRig(Rig):
    """A hub that listens."""

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self.server = HubServer(self.config, self.hub)
        self.peers: list[Peer] = []

    async def connect(self, limit: int = 1 << 20) -> Peer:
        port = self.server.port
        peer = Peer(*await asyncio.open_connection("127.0.0.1", port, limit=limit))
        self.peers.append(peer)
        return peer


@contextlib.asynccontextmanager
async def serving(**config: Any) -> AsyncIterator[ServedRig]:
    rig = ServedRig(**config)
    await rig.server.start()
    try:
        yield rig
    finally:
        rig.hub.end_all("shutdown", "over")
        for peer in rig.peers:
            peer.writer.transport.abort()
        await rig.server.stop(0.2)
        await asyncio.sleep(0)


async def until(condition: Any) -> None:
    """Until something is so; fails after five seconds."""
    for _ in range(1_000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never became so")
