"""Orders over FIX while the feed runs: each is answered once, stands on the feed as it was sent,
trades there as its client is told, and client, exchange and feed count the same cash and shares.

`ORDERS=100000` in the environment makes the long run, a few minutes with what is checked
afterwards; `-s` shows its figures.
"""

import asyncio
import contextlib
import os
import socket
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.reference.exchange_checker import check
from tests.stress.exchange_process import ExchangeProcess, exchange
from tests.stress.order_clients import Feed, RandomClient
from tests.stress.order_lives import Account, ClientAccount, FeedAccount, account_by_feed
from tests.unit.tools.exchange.support import until
from tools.demo.setup import free_ports

pytestmark = [pytest.mark.compiled_only, pytest.mark.alone, pytest.mark.timeout(7_200)]

ORDERS = int(os.environ.get("ORDERS", "1000"))
RATE = 50_000
"""Messages a second of the flow."""
SYMBOLS = 20
CLIENTS = ("DESK1", "DESK2")
HALTED = b"the symbol is not traded now"
TOO_LATE = b"the order is not live any more, or has executed as much already"
LINE_A, LINE_B = free_ports(2)
TABLES: dict[str, dict[str, Any]] = {
    "session": {"end_linger_s": 1.0},
    "flow": {
        "symbols": SYMBOLS,
        "rate": RATE,
        "orders_per_symbol": 50,
        "start_delay_ms": 0,
        # Halts, in which orders are rejected, and trades that are taken back, in every run.
        "halt_interval_ms": 250,
    },
    "line_a": {"port": LINE_A},
    "line_b": {"port": LINE_B},
    "soup": {},
    "order_entry": {},
}


async def listening(port: int) -> socket.socket:
    """A connection to a port that is told before anybody listens."""
    for _ in range(500):
        with contextlib.suppress(ConnectionRefusedError):
            return socket.create_connection(("127.0.0.1", port))
        await asyncio.sleep(0.02)
    raise TimeoutError(f"nobody listens on port {port}")


async def trade(process: ExchangeProcess) -> tuple[Feed, list[RandomClient], float]:
    """Let clients trade until all orders are answered, and the session end; seconds of trading."""
    ports = process.wait_for("starting")
    feed = Feed(await listening(ports["soup_port"]))
    feed.start()
    clients = [RandomClient(name, seed) for seed, name in enumerate(CLIENTS)]
    for client in clients:
        await client.connect(ports["order_entry_port"])
    process.begin()
    await until(lambda: feed.read_on() or len(feed.prices) == SYMBOLS)
    start_s = time.monotonic()
    shares = [ORDERS // len(clients)] * len(clients)
    await asyncio.gather(
        *(client.trade(feed, count) for client, count in zip(clients, shares, strict=True))
    )
    seconds = time.monotonic() - start_s
    process.stop()
    for client in clients:
        await client.closed()
    await asyncio.to_thread(process.wait_for_end)
    await asyncio.to_thread(feed.join, 10)
    feed.read_on()
    assert feed.has_ended
    return feed, clients, seconds


async def test_client_exchange_and_feed_agree_on_every_order(tmp_path: Path):
    with exchange(tmp_path, TABLES) as process:
        feed, clients, seconds = await trade(process)
    report = process.report
    assert len(feed.messages) == report["sent"] == report["messages"]
    checker = check(feed.messages)
    assert checker.digest() == report["books_digest"]
    assert len(checker.orders) == report["orders_live"]
    told = FeedAccount(feed.messages)
    assert sum(told.lives.values()) > len(checker.orders)
    desk = report["order_entry"]
    assert desk["reports_lost"] == 0
    accounts = {client.name: ClientAccount(client, told) for client in clients}
    lives = sum((each.lives for each in accounts.values()), Counter())
    assert not lives - told.lives, "orders that stood, and did not on the feed"
    matches = Counter(match for each in accounts.values() for match, _ in each.matches)
    assert not matches.keys() & told.broken, "a client's trade was taken back"
    assert max(matches.values()) <= 2
    for client in clients:
        counted = desk["accounts"][client.name]
        mine = accounts[client.name]
        held = {symbol: shares for symbol, shares in client.shares.items() if shares}
        by_exchange = Account(counted["cash4"], counted["shares"])
        assert Account(client.cash4, held) == by_exchange
        assert account_by_feed(mine.matches, told) == by_exchange
        assert counted["executions"] == len(mine.matches)
        asked = Counter(asked.kind for asked in client.asked.values())
        refused = sum(each.kind == b"8" for each in client.told)
        texts = {each.text for each in client.told if each.kind in (b"8", b"9")}
        assert texts <= {HALTED, TOO_LATE}
        assert asked[b"D"] == ORDERS // len(clients)
        assert counted["orders"] == asked[b"D"] == client.by_status[b"0"] + refused
    show(report, clients, accounts, seconds)


def show(
    report: dict[str, Any],
    clients: list[RandomClient],
    accounts: dict[str, ClientAccount],
    seconds: float,
) -> None:
    """Figures of the run, and that all that may happen did."""
    asked = Counter(each.kind for client in clients for each in client.asked.values())
    kinds = Counter(each.kind for client in clients for each in client.told)
    names = {b"0": "new", b"F": "executions", b"4": "cancelled", b"5": "replaced"}
    names |= {b"8": "rejected", b"9": "refused"}
    passive = sum(each.passive_count for each in accounts.values())
    stood = sum(sum(each.lives.values()) for each in accounts.values())
    sys.stdout.write(
        f"\nsent: {', '.join(f'{kind.decode()} {asked[kind]:,}' for kind in sorted(asked))}\n"
        f"told: {', '.join(f'{names[kind]} {count:,}' for kind, count in kinds.items())}\n"
        f"of the executions {passive:,} of orders that stood; {stood:,} lives on the feed\n"
        f"{asked[b'D'] / seconds:,.0f} orders and {asked.total() / seconds:,.0f} messages a second"
        f" in {seconds:.1f} s, beside {report['sent']:,} messages of the feed\n"
        f"late by {report['lateness_ns_max'] / 1e6:.1f} ms at most\n"
    )
    assert all(kinds[kind] > ORDERS // 200 for kind in (b"0", b"F", b"4", b"5"))
    assert passive > ORDERS // 200
