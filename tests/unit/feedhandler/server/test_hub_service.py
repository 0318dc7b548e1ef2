"""The hub of a whole server in this process, fed by hand."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from feedhandler.server.app import Server
from feedhandler.server.config import (
    AnalyticsConfig,
    FeedConfig,
    HubConfig,
    LineConfig,
    PatternConfig,
)
from feedhandler.server.errors import ExitCode, OsLimitError
from feedhandler.server.hub_messages import (
    BarMessage,
    End,
    FeedState,
    GetBars,
    GetStats,
    List,
    Order,
    Quote,
    ResetStats,
    Shutdown,
    Subscribe,
)
from feedhandler.server.hub_watchers import Delivery
from protocols.itch50.codec import encode
from tests.unit.feedhandler.core.support import SESSION, add, header, packet, system_event
from tests.unit.feedhandler.server.hub_support import until
from tests.unit.feedhandler.server.test_app import (
    SMALL,
    close,
    directory,
    free_udp_port,
    make_config,
    running,
)
from tools.demo.setup import free_ports

pytestmark = pytest.mark.compiled_only

LARGE = PatternConfig(
    name="large_trade",
    function="examples.my_pattern:follow_large_trade",
    params={"large_qty": 50, "order_qty": 10},
)
EXECUTED = {"order_reference_number": 8, "executed_shares": 60, "match_number": 77}
BOOK = (
    packet(1, [system_event(1), directory(3, "SYM3")]),
    packet(3, [add(7, "B", 300, 10_000, locate=3), add(8, "S", 200, 10_100, locate=3)]),
)


async def next_of(client: Any, kind: type) -> Any:
    """The next message of a kind; what comes before it is dropped."""
    for _ in range(2_000):
        for item in client.take(1):
            message = item.event.message if isinstance(item, Delivery) else item
            if isinstance(message, kind):
                return message
        await asyncio.sleep(0.01)
    raise AssertionError(f"no {kind.__name__} came")


@pytest.mark.parametrize("shards", [1, 2])
async def test_signals_feeds_and_best_prices_come_from_the_engine(tmp_path: Path, shards: int):
    engine = structs.replace(SMALL, shards=shards)
    config = make_config(tmp_path, engine=engine, patterns=(LARGE,), hub=HubConfig(quote_ms=10))
    async with running(config) as run:
        hub = run.server._hub.hub
        client, prices = hub.connect("me"), hub.connect("prices")
        assert (await client.call(Subscribe(id=1))).ok
        command = Subscribe(id=1, symbols=("SYM*",), kinds=("quote",))
        assert (await prices.call(command)).ok
        run.send(*BOOK)
        await run.wait_for("/readyz", "feed", "LIVE")
        state: FeedState = await next_of(client, FeedState)
        while state.state != "LIVE":
            state = await next_of(client, FeedState)
        quote: Quote = await next_of(prices, Quote)
        while not quote.ask_qty:
            quote = await next_of(prices, Quote)
        assert (quote.symbol, quote.bid_price_e9, quote.bid_qty) == ("SYM3", 1_000_000_000, 300)
        assert (quote.ask_price_e9, quote.ask_qty, quote.in_doubt) == (1_010_000_000, 200, False)
        run.send(packet(5, [encode("E", header(3, 0) | EXECUTED)]))
        order: Order = await next_of(client, Order)
        assert (order.symbol, order.feed, order.source) == ("SYM3", "itch", "large_trade")
        assert (order.signal_id, order.seq) == (1, 5)
        quote = await next_of(prices, Quote)
        assert quote.ask_qty == 140
        stats = (await client.call(GetStats(id=2, symbols=("SYM3",), counters=("hub_*",)))).result
        assert [(row.symbol, row.messages, row.volume) for row in stats.symbols] == [
            ("SYM3", 4, 60)
        ]
        await until(lambda: run.server.counters.value("hub_clients") == 2)
        row = (await client.call(List(id=3, what="patterns"))).result[0]
        assert (row.name, row.signals) == ("large_trade", 1)
        assert (await client.call(List(id=3, what="breakers"))).result == []
        assert "hub_messages_sent" in (await run.get("/metrics"))[1]
    assert isinstance(await next_of(client, End), End)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["control"]["hub_commands_ok"] == 5


@pytest.mark.parametrize("shards", [1, 2])
async def test_bars_statistics_and_best_prices_of_one_feed_come_from_what_it_keeps(
    tmp_path: Path, shards: int
):
    config = make_config(
        tmp_path,
        engine=structs.replace(SMALL, shards=shards),
        hub=HubConfig(port=free_ports(1)[0], quote_ms=10),
        analytics=AnalyticsConfig(bar_ms=1_000, bar_shares=50, price_stats=True),
    )
    async with running(config) as run:
        client = run.server._hub.hub.connect("me")
        command = Subscribe(id=1, symbols=("SYM3",), kinds=("quote", "bar"))
        assert (await client.call(command)).ok
        run.send(*BOOK)
        quote: Quote = await next_of(client, Quote)
        while not quote.ask_qty:
            quote = await next_of(client, Quote)
        assert (quote.ask_price_e9, quote.bid_feeds) == (1_010_000_000, ("itch",))
        run.send(packet(5, [encode("E", header(3, 0) | EXECUTED)]))
        bar: BarMessage = await next_of(client, BarMessage)
        assert (bar.symbol, bar.by, bar.volume) == ("SYM3", "volume", 50)
        rows = (await client.call(GetBars(id=2, symbols=("SYM3",)))).result
        assert [(row.by, row.is_complete, row.volume) for row in rows] == [
            ("time", False, 60),
            ("volume", True, 50),
            ("volume", False, 10),
        ]
        stats = (await client.call(GetStats(id=3, symbols=("SYM3",)))).result
        assert [(row.trades, row.average_e9) for row in stats.symbols] == [(1, 1_010_000_000)]
        assert (await client.call(ResetStats(id=4, symbols=("SYM3",)))).result == {"symbols": 1}
        stats = (await client.call(GetStats(id=5, symbols=("SYM3",)))).result
        assert [row.trades for row in stats.symbols] == [None]


async def test_best_prices_of_several_feeds_come_from_their_table(tmp_path: Path):
    feeds = [FeedConfig(line_a=LineConfig(port=free_udp_port()), session=SESSION) for _ in "ab"]
    config = make_config(
        tmp_path,
        feed=structs.replace(feeds[0], name="one"),
        feeds=(structs.replace(feeds[1], name="two"),),
        hub=HubConfig(quote_ms=10),
    )
    async with running(config) as run:
        prices = run.server._hub.hub.connect("prices")
        command = Subscribe(id=1, symbols=("SYM3",), kinds=("quote",))
        assert (await prices.call(command)).ok
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for feed in feeds:
                for datagram in BOOK:
                    assert feed.line_a is not None
                    sock.sendto(datagram, ("127.0.0.1", feed.line_a.port))
        quote: Quote = await next_of(prices, Quote)
        while quote.bid_feeds != ("one", "two"):
            quote = await next_of(prices, Quote)
        assert (quote.bid_price_e9, quote.bid_qty) == (1_000_000_000, 600)


async def test_shutdown_command_ends_the_server_as_sigterm_does(tmp_path: Path):
    server = Server(make_config(tmp_path, hub=HubConfig(port=free_ports(1)[0])))
    task = asyncio.create_task(server.run())
    await until(lambda: server._engines._threads)
    reader, writer = await asyncio.open_connection("127.0.0.1", server._hub.port)
    writer.write(b'{"cmd":"subscribe","id":1}\n{"cmd":"shutdown","id":2,"drain_s":1}\n')
    lines = [json.loads(line) for line in (await asyncio.wait_for(reader.read(), 10)).splitlines()]
    writer.close()
    assert await asyncio.wait_for(task, 10) == ExitCode.OK
    answers = {line["id"]: line for line in lines if line["type"] == "answer"}
    assert answers[2]["result"] == {"state": "draining", "drain_s": 1}
    assert lines[-1]["type"] == "end"
    assert json.loads((tmp_path / "report.json").read_text())["control"]["hub_ends_shutdown"] == 1


async def test_nothing_changes_any_more_while_the_server_ends(tmp_path: Path):
    async with running(make_config(tmp_path)) as run:
        client = run.server._hub.hub.connect("me")
        run.server._hub.drain()
        answer = await client.call(Shutdown(id=1))
        assert answer.error is not None
        assert answer.error.code == "draining"


async def test_taken_hub_port_is_refused_by_name(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = Server(make_config(tmp_path, hub=HubConfig(port=port)))
        with pytest.raises(OsLimitError, match=rf"^hub: cannot listen on 127\.0\.0\.1:{port}: "):
            await server.run()
        await server._http.stop()
        await server._oms.stop(0.1)
        close(server)
