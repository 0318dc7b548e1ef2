"""Whole servers whose feed comes over TCP, from exchanges on loopback."""

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from structlog.testing import capture_logs

from feedhandler.core.book.views import books_digest
from feedhandler.server import streams
from feedhandler.server.config import FeedConfig, FixConfig, SoupConfig
from protocols.soupbintcp.feed import SequencedFeed
from tests.unit.feedhandler.core.support import Engine, add, delete, execute, system_event
from tests.unit.feedhandler.server.peers import FixExchange, SoupExchange, until
from tests.unit.feedhandler.server.test_app import SMALL, Running, make_config, running

pytestmark = pytest.mark.compiled_only
MESSAGES = 400


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "BACK_OFF_S", 0.002)
    monkeypatch.setattr(streams, "BACK_OFF_MAX_S", 0.01)


def itch() -> list[bytes]:
    """A session that ends with orders in the books."""
    draw = random.Random(7)
    messages = [system_event(1)]
    for ref in range(1, MESSAGES):
        locate = ref % 4
        messages.append(
            add(ref, draw.choice("BS"), 100, 100 * draw.randint(90, 110), locate=locate)
        )
        if locate == 1:
            messages.append(execute(ref, 10))
        if ref % 5 == 0:
            messages.append(delete(ref - 1, locate=(ref - 1) % 4))
    return messages


def feed_of(messages: list[bytes]) -> SequencedFeed:
    feed = SequencedFeed("S1", 10_000)
    for message in messages:
        feed.append(message)
    return feed


def report_of(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


@pytest.mark.parametrize(("topology", "shards"), [("inline", 1), ("pipelined", 1), ("inline", 2)])
async def test_books_are_those_of_the_session_however_often_the_connection_is_cut(
    tmp_path: Path, topology: str, shards: int
):
    messages = itch()
    engine = Engine()
    engine.feed(messages)
    feed = feed_of(messages)
    feed.end()
    draw = random.Random(topology)
    cuts = [1, 30, 33, 34, 35, 36, 40, *(draw.randint(33, 3_000) for _ in range(10))]
    config = structs.replace(SMALL, topology=topology, shards=shards)
    async with SoupExchange(feed, cuts) as exchange:
        soup = FeedConfig(soup=SoupConfig(port=exchange.port, username="me", password="secret"))
        async with running(make_config(tmp_path, feed=soup, engine=config)) as run:
            await run.wait_for("/readyz", "feed", "ENDED")
            await run.wait_for("/readyz", "ready", value=True)
    report = report_of(tmp_path)
    assert report["books_digest"] == books_digest(engine.shard.book)
    assert report["counts"]["applied"] == len(messages)
    assert report["counts"]["gaps"] == report["counts"]["unrecovered"] == 0
    assert report["control"]["feed_connects"] > len(cuts) - 4
    assert report["control"]["feed_losses"] == report["control"]["feed_connects"] - 1


async def test_a_refused_login_is_tried_again_until_it_is_accepted(tmp_path: Path):
    async with SoupExchange(feed_of(itch())) as exchange:
        exchange.is_open = False
        soup = FeedConfig(soup=SoupConfig(port=exchange.port))
        with capture_logs() as logs:
            async with running(make_config(tmp_path, feed=soup)) as run:
                await until(lambda: exchange.connections >= 3)
                assert (await run.get("/readyz"))[0] == 503
                exchange.is_open = True
                await run.wait_for("/readyz", "ready", value=True)
    failed = [line for line in logs if line["event"] == "feed_connect_failed"]
    assert failed[0]["reason"].startswith("login rejected, reason A: not authorised")
    assert [line["session"] for line in logs if line["event"] == "feed_connected"] == ["S1"]
    assert [line["event"] for line in logs if line["event"] == "feed_closed"] == ["feed_closed"]


async def test_an_exchange_that_is_not_there_is_no_fault_of_the_server(tmp_path: Path):
    async with SoupExchange(feed_of([])) as exchange:
        port = exchange.port
    with capture_logs() as logs:
        config = make_config(tmp_path, feed=FeedConfig(soup=SoupConfig(port=port)))
        async with running(config) as run:
            await until(lambda: [line["event"] for line in logs].count("feed_connect_failed") > 2)
            assert (await run.get("/livez"))[0] == 200
    failed = next(line for line in logs if line["event"] == "feed_connect_failed")
    assert "Connect call failed" in failed["reason"]


# -- FIX -------------------------------------------------------------------------------------------


def fix_config(folder: Path, exchange: FixExchange, *symbols: str) -> Any:
    fix = FixConfig(
        port=exchange.port,
        sender_comp_id="ME",
        target_comp_id="EXCH",
        symbols=symbols or ("*",),
    )
    feed = FeedConfig(adapter="fix_md", fix=fix, name="fix")
    return make_config(folder, feed=feed, watch_symbol="AAA")


def books() -> dict[str, list[tuple[int, str, int]]]:
    return {"AAA": [(0, "10.5", 100), (1, "10.6", 50)], "BBB": [(0, "7", 3)]}


async def shown(run: Running) -> tuple[list[Any], list[Any]]:
    """(price, quantity) of AAA's levels: bids, asks."""
    page = json.loads((await run.get("/book"))[1])
    bids, asks = (
        [(level["price_e4"], level["qty"]) for level in page[side]] for side in ("bids", "asks")
    )
    return bids, asks


async def until_shown(run: Running, bids: list[Any]) -> None:
    for _ in range(500):
        if (await shown(run))[0] == bids:
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"{bids} never were the bids, but {await shown(run)}")


async def test_fix_books_are_those_of_snapshots_and_updates(tmp_path: Path):
    async with FixExchange(books()) as exchange:
        async with running(fix_config(tmp_path, exchange, "AAA", "BBB")) as run:
            await run.wait_for("/readyz", "ready", value=True)
            exchange.update("AAA", 0, "10.55", 7)
            exchange.update("AAA", 0, "10.5", 0)
            exchange.update("AAA", 1, "10.6", 51)
            await until_shown(run, [(105_500, 7)])
            assert (await shown(run))[1] == [(106_000, 51)]
            exchange.send("1", (112, "T1"))
            await until(lambda: exchange.heard[-1].get(112) == b"T1")
        assert exchange.types() == "AV05"
    assert report_of(tmp_path)["counts"]["books_suspect"] == 0


async def test_a_gap_puts_the_books_in_doubt_until_they_were_subscribed_to_again(tmp_path: Path):
    async with FixExchange(books()) as exchange, running(fix_config(tmp_path, exchange)) as run:
        await run.wait_for("/readyz", "ready", value=True)
        exchange.refuses = True
        exchange.books["AAA"] = [(0, "11", 1)]
        exchange.seq += 2
        exchange.update("BBB", 0, "7", 4)
        await run.wait_for("/readyz", "books_suspect", value=True)
        assert (await run.get("/readyz"))[0] == 503
        await until(lambda: exchange.types() == "AVVV")
        assert [each.get(263) for each in exchange.heard[1:]] == [b"1", b"2", b"1"]
        assert exchange.heard[3].get(262) != exchange.heard[1].get(262)
        exchange.refuses = False
        exchange.seq += 1
        exchange.send("0")
        await run.wait_for("/readyz", "ready", value=True)
        await until_shown(run, [(110_000, 1)])


@pytest.mark.parametrize("how", ["cut", "logout", "silence", "numbers"])
async def test_a_lost_connection_is_made_again_and_the_books_are_sound_then(
    tmp_path: Path, how: str
):
    with capture_logs() as logs:
        async with FixExchange(books()) as exchange, running(fix_config(tmp_path, exchange)) as run:
            if how == "silence":
                stream = run.server._feeds[0]._stream
                assert stream is not None
                stream._source._heartbeat_s = 0.1  # type: ignore[attr-defined]
                stream._source._liveness.heartbeat_s = 0.1  # type: ignore[attr-defined]
            await run.wait_for("/readyz", "ready", value=True)
            exchange.books["AAA"] = [(0, "12", 1)]
            if how == "cut":
                exchange.cut()
            elif how == "logout":
                exchange.send("5", (58, "good night"))
            elif how == "numbers":
                exchange.seq = 1
                exchange.send("0")
            else:
                exchange.is_silent = True
                await until(lambda: "1" in exchange.types())
            await until(lambda: exchange.connections > 1)
            await until_shown(run, [(120_000, 1)])
            await run.wait_for("/readyz", "ready", value=True)
    lost = next(line for line in logs if line["event"] == "feed_lost")
    reasons = {
        "cut": "the peer closed the connection",
        "logout": "the peer logged out: good night",
        "silence": "the peer was silent, and did not answer a TestRequest",
        "numbers": "the peer's sequence numbers went back, or a message has none",
    }
    assert lost["reason"] == reasons[how]
    assert report_of(tmp_path)["control"]["feed_losses"] >= 1


async def test_a_refused_subscription_is_an_error_in_the_log(tmp_path: Path):
    with capture_logs() as logs:
        async with FixExchange(books()) as exchange:
            exchange.refuses = True
            async with running(fix_config(tmp_path, exchange, "AAA", "ZZZ")) as run:
                await until(lambda: "V" in exchange.types())
                await until(lambda: any(line["event"] == "subscription_refused" for line in logs))
                assert (await run.get("/readyz"))[0] == 503
    (line,) = [line for line in logs if line["event"] == "subscription_refused"]
    assert (line["log_level"], line["reason"], line["text"]) == ("error", "0", "unknown symbol")
