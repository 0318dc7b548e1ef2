"""Orders of clients over FIX, on a running exchange: what they are told, and what the feed says."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from protocols.fix.message import FixMessage
from protocols.fix.spec import MsgType, Tag
from protocols.kernel_cache import JIT_ENABLED
from tests.reference.exchange_checker import check
from tests.unit.tools.exchange.support import Receiver, reached, run_with, until
from tests.unit.tools.exchange.trader import (
    Trader,
    executions_of,
    executions_on_feed,
    trade_at_random,
)
from tools.exchange import sender as sending
from tools.exchange.config import Flow, OrderEntry, Session
from tools.exchange.history import History, packet_slice_nb
from tools.exchange.itch_writer import LENGTH_BYTES
from tools.exchange.layout import BASE_TICK, FAIR, FAIR_SHIFT, TICK_PRICE4, TICKER
from tools.exchange.runner import Exchange

pytestmark = pytest.mark.skipif(not JIT_ENABLED, reason="the interpreter cannot keep the pace")

FLOW = Flow(symbols=4, rate=20_000, orders_per_symbol=30, start_delay_ms=0)
SESSION = Session(heartbeat_ms=50, end_linger_s=0.2)


def prices(exchange: Exchange) -> dict[str, int]:
    """What each symbol is worth now, price4 by its name."""
    found = {}
    for row in exchange.sender.engine.symbols:
        name = int(row[TICKER]).to_bytes(8, "big").decode().rstrip()
        found[name] = int(row[BASE_TICK] + (row[FAIR] >> FAIR_SHIFT)) * TICK_PRICE4
    return found


def message_of(history: History, seq: int) -> bytes:
    """Message number `seq` as it was sent."""
    _, at, size = packet_slice_nb(history, seq, seq, 100)
    return history.data[at + LENGTH_BYTES : at + size].tobytes()


async def test_accounts_of_client_exchange_and_feed_agree():
    trader = Trader()
    kept: list[Exchange] = []

    async def visit(exchange: Exchange) -> None:
        kept.append(exchange)
        await reached(exchange, sending.RUNNING)
        await trader.connect(exchange.ports["order_entry"])
        await asyncio.sleep(0.2)
        await trade_at_random(trader, prices(exchange), 1_500, seed=5)
        exchange.stop()
        await trader.closed()

    with Receiver() as receiver:
        config = receiver.config(FLOW, SESSION, order_entry=OrderEntry(orders_max=4_096))
        report, _ = await run_with(config, receiver, visit)
        found = receiver.messages(0) | receiver.messages(1)
    # What neither line brought, as this process had other things to do, is asked for again.
    history = kept[0].sender.history
    messages = [
        found[seq] if seq in found else message_of(history, seq)
        for seq in range(1, report["sent"] + 1)
    ]
    assert len(found) > report["sent"] // 2
    assert check(messages).digest() == report["books_digest"]
    account = report["order_entry"]["accounts"]["DESK"]
    assert account["cash4"] == trader.cash4
    assert account["shares"] == {name: held for name, held in trader.shares.items() if held}
    feed = executions_on_feed(messages)
    told = executions_of(trader)
    assert len(told) > 100
    for match, sides in told.items():
        assert all(side == feed[match] for side in sides)
    # New, traded, cancelled, replaced: each happened, and nothing was forgotten.
    assert all(trader.by_status[status] > 20 for status in (b"0", b"F", b"4", b"5"))
    assert report["order_entry"]["reports_lost"] == 0


class Bench:
    """A session with one order at a time, for what each kind of message leads to."""

    def __init__(self, exchange: Exchange, trader: Trader) -> None:
        self.exchange, self.trader = exchange, trader
        self.symbol, fair4 = max(prices(exchange).items(), key=lambda item: item[1])
        self.fair4 = 100 * (fair4 // 100)

    async def answers(self, count: int) -> list[FixMessage]:
        """The next `count` messages, and no more."""
        self.trader.flush()
        for _ in range(200):
            if len(self.trader.messages) >= count:
                break
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.02)
        found = list(self.trader.messages)
        self.trader.messages.clear()
        assert len(found) == count, [message.fields for message in found]
        return found


async def with_bench(steps: Callable[["Bench"], Awaitable[None]]) -> None:
    """Run `steps(bench)` on an exchange that stands still behind its first messages."""

    async def visit(exchange: Exchange) -> None:
        # No order is taken before the opening is over.
        await until(lambda: int(exchange.sender.progress[sending.SENT]) > 12)
        trader = Trader()
        await trader.connect(exchange.ports["order_entry"])
        try:
            await steps(Bench(exchange, trader))
        finally:
            exchange.stop()
            await trader.closed()

    with Receiver() as receiver:
        flow = Flow(symbols=2, rate=40, orders_per_symbol=30, start_delay_ms=0)
        config = receiver.config(flow, SESSION, order_entry=OrderEntry(orders_max=2))
        await run_with(config, receiver, visit)


def status_of(message: FixMessage) -> tuple[bytes, bytes]:
    return message.get(Tag.EXEC_TYPE), message.get(Tag.ORD_STATUS)


async def test_an_order_stands_is_changed_and_cancelled():
    async def steps(bench: Bench) -> None:
        trader = bench.trader
        first = trader.order(bench.symbol, 1, 100, bench.fair4 - 10_000)
        (new,) = await bench.answers(1)
        assert status_of(new) == (b"0", b"0")
        assert new.get(Tag.LEAVES_QTY) == b"100"
        price4 = bench.fair4 - 10_000
        less = trader.replace(first, (bench.symbol, 1, 60, price4))
        (replaced,) = await bench.answers(1)
        assert status_of(replaced) == (b"5", b"0")
        assert replaced.get(Tag.ORIG_CL_ORD_ID) == first
        assert replaced.get(Tag.LEAVES_QTY) == b"60"
        trader.cancel(first, bench.symbol, 1)
        (refused,) = await bench.answers(1)
        assert refused.msg_type == MsgType.ORDER_CANCEL_REJECT
        assert refused.get(Tag.CXL_REJ_REASON) == b"0"
        last = trader.cancel(less, bench.symbol, 1)
        (cancelled,) = await bench.answers(1)
        assert status_of(cancelled) == (b"4", b"4")
        assert (cancelled.get(Tag.CL_ORD_ID), cancelled.get(Tag.LEAVES_QTY)) == (last, b"0")

    await with_bench(steps)


async def test_what_cannot_be_is_refused_with_its_reason():
    async def steps(bench: Bench) -> None:
        trader, good4 = bench.trader, bench.fair4 - 10_000
        trader.order("NOSUCH", 1, 100, good4)
        trader.order(bench.symbol, 1, 100, good4 + 1)
        trader.order(bench.symbol, 3, 100, good4)
        trader.order(bench.symbol, 1, 100, 4_000_000_000)
        trader.cancel(b"C99", bench.symbol, 1)
        texts = [message.get(Tag.TEXT).decode() for message in await bench.answers(5)]
        assert sorted(texts) == sorted(
            [
                "unknown symbol",
                "the price is no whole number of cents, or too far from the market",
                "Side (54) is 1, 2 or 5",
                "the price is no whole number of cents, or too far from the market",
                "OrigClOrdID (41) names no order",
            ]
        )
        for _ in range(3):
            trader.order(bench.symbol, 1, 100, good4)
        kinds = sorted(status_of(message)[0] for message in await bench.answers(3))
        assert kinds == [b"0", b"0", b"8"]

    await with_bench(steps)


async def test_an_order_that_takes_at_once_leaves_nothing():
    async def steps(bench: Bench) -> None:
        trader = bench.trader
        # Nobody stands on the other side of an order of the client's own.
        trader.order(bench.symbol, 2, 50, bench.fair4 + 15_000)
        await bench.answers(1)
        trader.order(bench.symbol, 1, 1_000_000, 0, 3)
        found = [status_of(message) for message in await answers_until_cancel(bench)]
        assert found[0] == (b"0", b"0")
        assert found[-1] == (b"4", b"4")
        assert found.count((b"F", b"2")) == 1, "the client's own order is filled"
        assert trader.shares[bench.symbol] == sum(
            int(message.get(Tag.LAST_QTY)) * (1 if message.get(Tag.SIDE) == b"1" else -1)
            for message in trader.kept
            if message.get(Tag.EXEC_TYPE) == b"F"
        )

    await with_bench(steps)


async def answers_until_cancel(bench: Bench) -> list[FixMessage]:
    """All messages up to the one that tells of a cancel."""
    bench.trader.flush()
    for _ in range(200):
        if any(status_of(message)[0] == b"4" for message in bench.trader.messages):
            break
        await asyncio.sleep(0.01)
    found = list(bench.trader.messages)
    bench.trader.kept = found
    return found


async def test_garbage_is_not_let_in():
    async def visit(exchange: Exchange) -> int:
        await reached(exchange, sending.RUNNING)
        reader, writer = await asyncio.open_connection("127.0.0.1", exchange.ports["order_entry"])
        writer.write(b"8=FIX.4.4\x019=5\x0135=A\x01garbage")
        writer.write_eof()
        await reader.read()
        writer.close()
        exchange.stop()
        return 1

    with Receiver() as receiver:
        config = receiver.config(FLOW, SESSION, order_entry=OrderEntry())
        report, _ = await run_with(config, receiver, visit)
    assert report["order_entry"]["clients_refused"] == 1
