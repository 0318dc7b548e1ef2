"""The hub of a real server: watchers beside OMS sessions while the exchange sends, and the end."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.pair import EXCHANGE, LARGE_TRADE, NAMES, Pair, server_with_hub
from tools.ctl.client import HubClient, Line

pytestmark = [pytest.mark.compiled_only, pytest.mark.paced]

SESSION = "FHHUB00001"
MESSAGES = 60_000
SERVER = (
    server_with_hub()
    + LARGE_TRADE
    + """\
[[breakers]]
name = "price_band"
function = "feedhandler.core.breakers:price_band"
params = {{ band_bps = 5, open_ns = 0, close_ns = 86_400_000_000_000 }}
calm_ms = 1
cooling_ms = 1
cooling_max_ms = 1
probe_ms = 1
"""
)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(
        tmp_path, NAMES, (EXCHANGE, SERVER), session=SESSION, rate=15_000, messages=MESSAGES
    )
    yield made
    made.kill()


@pytest.fixture
def port(session: Pair) -> int:
    log = session.folder / "server.log"
    session.until(lambda: "hub_listening" in log.read_text())
    (line,) = [line for line in log.read_text().splitlines() if "hub_listening" in line]
    return int(json.loads(line)["port"])


class Watcher:
    """A client with one subscription, and what it has heard since."""

    def __init__(self, port: int, **arguments: Any) -> None:
        self.client = HubClient("127.0.0.1", port)
        self.subscribed = ask(self.client, "subscribe", **arguments)
        self.lines: list[Line] = []

    def read(self, *until: str) -> None:
        """Up to a line of such a type."""
        for line in self.client.watch():
            self.lines.append(line)
            if line["type"] in until:
                return

    def of(self, *kinds: str) -> list[Line]:
        return [line for line in self.lines if line["type"] in kinds]


def ask(client: HubClient, cmd: str, **arguments: Any) -> Any:
    answer = client.call(cmd, 5_000, **arguments)
    assert answer["ok"], answer
    return answer["result"]


def feed_states(line: Line) -> tuple[str, bool]:
    return line["state"], line["in_doubt"]


def test_watchers_get_every_signal_while_others_misbehave_and_the_end_leaves_nothing_behind(
    session: Pair, port: int
):
    everything = Watcher(port, kinds=["order", "breaker", "feed"])
    sharers = [Watcher(port, kinds=["order"], share="desk") for _ in range(3)]
    prices = Watcher(port, kinds=["quote"], symbols=["*"])
    stuck = Watcher(port, kinds=["order", "breaker"], queue=20)
    garbage = socket.create_connection(("127.0.0.1", port))
    garbage.sendall(b"garbage\n{}\n" + b"x" * 100_000 + b"\n")
    web = socket.create_connection(("127.0.0.1", port))
    web.sendall(b'POST / HTTP/1.1\r\nHost: x\r\n\r\n{"cmd":"shutdown","id":1}\n')
    operator = HubClient("127.0.0.1", port)
    assert session.exchange.stdin is not None
    session.exchange.stdin.close()
    prices.read("quote")
    refused = operator.call("trip", 1_000, breaker="price_band", target="NOBODY")
    assert refused["error"]["code"] == "not_found"
    told = ask(operator, "set_priority", symbol="AAPL", lane=0, for_ms=60_000)
    assert told["overrides"] == {"AAPL": 0}
    refused = operator.call("set_priority", 1_000, symbol="AAPL", lane=15)
    assert refused["error"]["code"] == "bad_argument"
    session.until(lambda: ask(operator, "list", what="feeds")[0]["state"] == "ENDED")
    stats = ask(operator, "get_stats", symbols=["*"], counters=["hub_*", "messages_applied"])
    assert len(stats["symbols"]) == 12
    assert sum(row["messages"] for row in stats["symbols"]) > MESSAGES // 2
    assert stats["counters"]["messages_applied{channel=mold}"] == MESSAGES
    listed = {row["name"]: row for row in ask(operator, "list", what="patterns")}
    # Whoever reads no answer to what it never was is gone; the server is not.
    assert b"not_the_protocol" in web.recv(65_536)
    assert b"malformed" in garbage.recv(65_536)
    began_s = time.monotonic()
    assert ask(operator, "shutdown", drain_s=1) == {"state": "draining", "drain_s": 1}
    for watcher in (everything, *sharers, prices, stuck):
        watcher.read("end")
        assert watcher.lines[-1]["reason"] == "shutdown"
    assert session.server.wait(15) == 0
    assert time.monotonic() - began_s < 10
    server, exchange = session.end()
    assert exchange["sent"] == MESSAGES
    assert server["counts"]["applied"] == MESSAGES
    signals = everything.of("order", "breaker", "cancel")
    assert [line["signal_id"] for line in signals] == list(range(1, len(signals) + 1))
    assert len(signals) == server["signals_published"] > 100
    assert {line["source"] for line in signals} == {"large_trade", "price_band"}
    orders = everything.of("order")
    assert listed["large_trade"]["signals"] == len(orders)
    shared = [line["signal_id"] for watcher in sharers for line in watcher.of("order")]
    assert sorted(shared) == [line["signal_id"] for line in orders]
    assert all(watcher.of("order") for watcher in sharers)
    states = [feed_states(line) for line in everything.of("feed")]
    assert states[-1] == ("ENDED", False)
    assert ("LIVE", False) in states
    quotes = prices.of("quote")
    assert len({line["symbol"] for line in quotes}) == 12
    assert all(line["ask_price_e9"] > line["bid_price_e9"] > 0 for line in quotes[-12:])
    told = stuck.of("behind")
    kept = stuck.of("order", "breaker", "cancel")
    lost = sum(line["conflated"] + line["dropped"] for line in told)
    assert len(kept) + lost == len(signals)
    control = server["control"]
    assert control["hub_ends_shutdown"] >= 6
    assert control["hub_clients"] == control["hub_subscriptions"] == 0
    for sock in (garbage, web):
        sock.close()
    for client in (operator, *(w.client for w in (everything, *sharers, prices, stuck))):
        client.close()
