"""A pattern that looks at two feeds of one server: two exchanges with prices of their own, which
cross from the first message on, and one exchange whose session comes by two ways, which never does.
"""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oms_out.contract import SignalTag
from protocols.fix.message import FixMessage
from tests.end_to_end.pair import (
    HUB,
    MOLD_LINES,
    OF_SESSION,
    SERVER_END,
    SERVER_HEAD,
    SMALL_ENGINE,
    Pair,
    start,
)
from tests.end_to_end.support import wait_for
from tools.ctl.client import HubClient, Line
from tools.demo.setup import free_ports
from tools.oms_client.client import ClientSettings, OmsClient

pytestmark = [pytest.mark.compiled_only, pytest.mark.alone]

SYMBOLS = {"ARLO", "BEXA", "CIRQ"}
MESSAGES = 30_000
EDGE_E9 = 10_000_000
HOLD_NS = 1_000_000_000
NAMES = ("line_a", "line_b", "rerequest", "glimpse", "soup", "oms", "metrics", "hub")
# Its own clock goes as fast as the one on the wall: a second of HOLD_NS is one of both.
EXCHANGE = """\
status_file = "{folder}/status.json"
report_file = "{folder}/exchange.json"
[session]
id = "{session}"
end_linger_s = 120
[flow]
seed = {seed}
symbols = 12
orders_per_symbol = 40
rate = 5000
simulated_rate = 5000
messages = {messages}
[line_a]
port = {line_a}
[line_b]
port = {line_b}
[soup]
port = {soup}
"""
REQUESTS = """\
[rerequest]
port = {rerequest}
[glimpse]
port = {glimpse}
"""
PATTERN = f"""\
[[patterns]]
name = "crossed"
function = "feedhandler.core.patterns:crossed"
params = {{{{ edge_e9 = {EDGE_E9}, hold_ns = {HOLD_NS}, order_qty = 100 }}}}
instruments = ["ARLO", "BEXA", "CIRQ"]
across = ["mold", "soup"]
"""


def server_of(session: str, port: str, engine: str = "") -> str:
    """A server that has another session, or the same once more, over SoupBinTCP."""
    second = f'[[feeds]]\nname = "soup"\nsession = "{session}"\nsoup = {{{{ port = {port} }}}}\n'
    own = SERVER_HEAD + OF_SESSION + MOLD_LINES
    return own + second + SMALL_ENGINE + engine + SERVER_END + HUB + PATTERN


class AwayExchange:
    """An exchange that waits; nobody listens to its lines."""

    SESSION = "FHAWAY0001"

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        lines = dict(zip(("line_a", "line_b", "soup"), free_ports(3), strict=True))
        text = EXCHANGE.format(
            folder=folder, session=self.SESSION, seed=2, messages=MESSAGES, **lines
        )
        (folder / "exchange.toml").write_text(text)
        self.process: subprocess.Popen[bytes] = start(
            folder, "exchange", "tools.exchange", "run", "--wait"
        )
        wait_for("the other exchange", (folder / "status.json").exists, 60)
        self.port = lines["soup"]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()


@pytest.fixture
def away(tmp_path: Path) -> Iterator[AwayExchange]:
    made = AwayExchange(tmp_path / "away")
    yield made
    made.end()


@pytest.fixture(params=["", 'topology = "pipelined"\nshards = 2\n'], ids=["inline", "two shards"])
def two_markets(
    tmp_path: Path, away: AwayExchange, request: pytest.FixtureRequest
) -> Iterator[Pair]:
    server = server_of(away.SESSION, str(away.port), request.param)
    words = {"session": "FHACROSS01", "seed": 1, "messages": MESSAGES}
    made = Pair(tmp_path, NAMES, (EXCHANGE + REQUESTS, server), **words)
    yield made
    made.kill()


@pytest.fixture
def two_ways(tmp_path: Path) -> Iterator[Pair]:
    server = server_of("{session}", "{soup}")
    words = {"session": "FHACROSS02", "seed": 1, "messages": MESSAGES}
    made = Pair(tmp_path, NAMES, (EXCHANGE + REQUESTS, server), **words)
    yield made
    made.kill()


def run(pair: Pair, *more: subprocess.Popen[bytes]) -> tuple[list[Line], dict[str, Any]]:
    """Start the exchanges, and see them to their end: what a watcher of orders was told, and the
    server's report.
    """
    log = pair.folder / "server.log"
    pair.until(lambda: "hub_listening" in log.read_text())
    pair.until(lambda: "feed_connected" in log.read_text())
    watcher = HubClient("127.0.0.1", pair.words["hub"])
    assert watcher.call("subscribe", 5_000, kinds=["order"])["ok"]
    for exchange in (pair.exchange, *more):
        assert exchange.stdin is not None
        exchange.stdin.close()
    pair.until(lambda: set(pair.page("readyz").get("feeds", {}).values()) == {"ENDED"})
    operator = HubClient("127.0.0.1", pair.words["hub"])
    assert operator.call("shutdown", 5_000, drain_s=1)["ok"]
    lines = list(watcher.watch())
    for client in (watcher, operator):
        client.close()
    assert pair.server.wait(15) == 0
    server, exchange_report = pair.end()
    assert exchange_report["sent"] == MESSAGES
    for feed in server["feeds"].values():
        assert feed["counts"]["applied"] == MESSAGES
    assert lines.pop()["type"] == "end"
    assert {line["type"] for line in lines} <= {"order"}
    return lines, server


async def test_markets_of_two_exchanges_cross_and_orders_name_both(
    two_markets: Pair, away: AwayExchange
):
    settings = ClientSettings(
        host="127.0.0.1",
        port=two_markets.words["oms"],
        sender="OMS1",
        target="FEEDHANDLER",
        store_dir=two_markets.folder / "client",
        connect_timeout_s=60,
    )
    received: list[FixMessage] = []
    client, stop = OmsClient(settings, None, received.append), asyncio.Event()
    running = asyncio.create_task(client.run(stop))
    try:
        orders, server = await asyncio.to_thread(run, two_markets, away.process)
    finally:
        stop.set()
        await running
        client.close()
    assert {order["symbol"] for order in orders} == SYMBOLS
    for order in orders:
        assert (order["source"], order["feed"]) == ("crossed", "mold")
        assert order["legs"] == [
            {"symbol": order["symbol"], "feed": feed} for feed in ("mold", "soup")
        ]
        edge_e9, qty, held_ns = order["values"]
        assert edge_e9 >= EDGE_E9
        assert qty >= order["qty"] > 0
        assert held_ns >= HOLD_NS
        assert order["confidence_bps"] == 10_000
    told = {message.number(SignalTag.SIGNAL_ID): message for message in received}
    assert sorted(told) == [order["signal_id"] for order in orders]
    for order in orders:
        message = told[order["signal_id"]]
        tags = range(SignalTag.CONFIDENCE_BPS, SignalTag.LEGS + 1)
        seen = (order["confidence_bps"], *order["values"], f"{order['symbol']} {order['symbol']}")
        assert [message.get(tag) for tag in tags] == [str(each).encode() for each in seen]
    # Who has the bindings looks at the other feed, and nobody looks back.
    assert server["feeds"]["mold"]["counts"]["away_quotes"] > 0
    assert server["feeds"]["soup"]["counts"]["away_quotes"] == 0


def test_one_market_that_comes_by_two_ways_never_crosses_itself(two_ways: Pair):
    orders, server = run(two_ways)
    assert orders == []
    assert server["signals_published"] == 0
    assert server["counts"]["signals_suppressed"] == 0
    assert server["counts"]["away_quotes"] > 0
    assert server["quotes"]["different"] == []
