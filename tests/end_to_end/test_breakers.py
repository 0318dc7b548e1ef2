"""Breakers of a real server: tripped by hand, told to an OMS, and held again after a crash."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.pair import EXCHANGE, LARGE_TRADE, NAMES, Pair, server_with_hub
from tools.ctl.client import HubClient

pytestmark = [pytest.mark.compiled_only, pytest.mark.paced]

SERVER = (
    server_with_hub()
    + LARGE_TRADE
    + """\
[[breakers]]
name = "by_symbol"
function = "feedhandler.core.breakers:price_band"
params = {{ tier = 2 }}
[[breakers]]
name = "whole_market"
function = "feedhandler.core.breakers:latency"
scope = "market"
params = {{ caution_ns = 0, restrict_ns = 0, halt_ns = 0 }}
"""
)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(
        tmp_path, NAMES, (EXCHANGE, SERVER), session="FHBRK00001", rate=5_000, messages=60_000
    )
    yield made
    made.kill()


def hub_of(session: Pair) -> HubClient:
    """A client of the server's hub, once it listens."""
    log = session.folder / "server.log"
    session.until(lambda: "hub_listening" in log.read_text())
    (line,) = [line for line in log.read_text().splitlines() if "hub_listening" in line]
    return HubClient("127.0.0.1", int(json.loads(line)["port"]))


def ask(client: HubClient, cmd: str, **arguments: Any) -> Any:
    answer = client.call(cmd, 5_000, **arguments)
    assert answer["ok"], answer
    return answer["result"]


def tripped(client: HubClient) -> dict[str, int]:
    return {row["name"]: row["tripped"] for row in ask(client, "list", what="breakers")}


def test_what_an_operator_trips_is_told_at_once_and_survives_a_crash(session: Pair):
    client = hub_of(session)
    assert session.exchange.stdin is not None
    session.exchange.stdin.close()

    def symbols() -> list[str]:
        found = ask(client, "get_stats", symbols=["*"])["symbols"]
        return sorted(row["symbol"] for row in found)

    session.until(lambda: len(symbols()) == 12)
    first, second = symbols()[:2]
    watcher = hub_of(session)
    ask(watcher, "subscribe", kinds=["breaker"])
    assert ask(client, "trip", breaker="by_symbol", target=first) == {"level": "halt", "cells": 1}
    lines = watcher.watch()
    told = [next(lines) for _ in range(2)]
    assert [(line["type"], line["symbol"], line["level"]) for line in told] == [
        ("cancel", first, 3),
        ("breaker", first, 3),
    ]
    # Its level falls only if the other one's does, too.
    ask(client, "trip", breaker="whole_market", level="caution")
    assert {next(lines)["symbol"] for _ in range(11)} == set(symbols()) - {first}
    assert tripped(client) == {"by_symbol": 1, "whole_market": 1}
    wrong = client.call("trip", 1_000, breaker="whole_market", target=second)
    assert "of scope market" in wrong["error"]["text"]
    assert ask(client, "position", symbol=first, qty=-300) == {"symbol": first, "qty": -300}
    session.until((session.folder / "store" / "breakers").exists)
    session.until(lambda: (session.folder / "store" / "breakers").stat().st_size > 60)
    session.server.kill()
    session.server.wait()
    session.start_server_again()
    client.close()
    watcher.close()
    client = hub_of(session)
    session.until(lambda: tripped(client) == {"by_symbol": 1, "whole_market": 1})
    session.until(lambda: len(symbols()) == 12)
    assert ask(client, "reset", breaker="by_symbol", target=first)["cells"] == 1
    assert ask(client, "reset", breaker="whole_market")["cells"] == 1
    assert tripped(client) == {"by_symbol": 0, "whole_market": 0}
    client.close()
