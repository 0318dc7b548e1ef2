"""A whole server in this process, fed by hand: its pages, its end, and what makes it refuse."""

import asyncio
import json
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from msgspec import structs

from feedhandler.core.counters import CounterFile
from feedhandler.core.counts import Count
from feedhandler.core.receive import BEAT_STEADY
from feedhandler.core.shard import Control
from feedhandler.server import engines
from feedhandler.server.app import Server, check_configuration
from feedhandler.server.config import (
    EngineConfig,
    FeedConfig,
    LineConfig,
    MetricsConfig,
    ServerConfig,
)
from feedhandler.server.errors import ConfigError, ExitCode, OsLimitError, UserError
from feedhandler.server.snapshots import write_control_nb
from oms_out.config import OmsConfig
from oms_out.store import FileStore
from tests.unit.feedhandler.core.support import (
    SESSION,
    add,
    delete,
    directory,
    packet,
    system_event,
)

pytestmark = pytest.mark.compiled_only

SMALL = EngineConfig(
    instruments=16,
    orders=4_096,
    overflow_orders=64,
    level_blocks=256,
    level_arena=4_096,
    window_packets=64,
    snapshot_bytes=65_536,
    signal_ring=64,
)


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def make_config(folder: Path, **changes: Any) -> ServerConfig:
    settings: dict[str, Any] = {
        "feed": FeedConfig(line_a=LineConfig(port=free_udp_port()), session=SESSION),
        "oms": OmsConfig(store_dir=str(folder / "store"), allowed=("OMS1",)),
        "engine": SMALL,
        "metrics": MetricsConfig(port=0),
        "counters_file": str(folder / "counters"),
        "report_file": str(folder / "report.json"),
    }
    return ServerConfig(**(settings | changes))


class Running:
    """A server that serves, and its pages."""

    def __init__(self, server: Server, config: ServerConfig) -> None:
        self.server = server
        self.config = config

    def send(self, *datagrams: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for datagram in datagrams:
                sock.sendto(datagram, ("127.0.0.1", self.config.feed.line_a.port))

    async def get(self, path: str) -> tuple[int, str]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server._http.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = (await asyncio.wait_for(reader.read(), 5)).decode()
        writer.close()
        head, _, body = answer.partition("\r\n\r\n")
        return int(head.split()[1]), body

    async def wait_for(self, path: str, key: str, value: object) -> None:
        """Until the JSON page says so; fails after five seconds."""
        for _ in range(500):
            if json.loads((await self.get(path))[1])[key] == value:
                return
            await asyncio.sleep(0.01)
        pytest.fail(f"{path} never said that {key} is {value}")


@asynccontextmanager
async def running(config: ServerConfig) -> AsyncIterator[Running]:
    """Serves until the block ends, then drains; the exit code must be 0."""
    server = Server(config)
    task = asyncio.create_task(server.run())
    while not server._engines._threads:
        await asyncio.sleep(0.005)
        if task.done():
            task.result()
    try:
        yield Running(server, config)
    finally:
        signal.raise_signal(signal.SIGTERM)
        assert await asyncio.wait_for(task, 10) == ExitCode.OK


def close(server: Server) -> None:
    """Let go of what a server that did not start has opened."""
    for feed in server._feeds:
        feed.close()


async def test_a_server_without_a_feed_lives_but_is_not_ready(tmp_path: Path):
    async with running(make_config(tmp_path)) as run:
        assert (await run.get("/livez"))[0] == 200
        status, text = await run.get("/readyz")
        assert status == 503
        assert json.loads(text) == {
            "ready": False,
            "feed": "DOWN",
            "books_suspect": False,
            "oms_sessions": {"OMS1": "DISCONNECTED"},
        }
        status, text = await run.get("/book")
        assert status == 200
        book = json.loads(text)
        assert (book["bids"], book["asks"], book["state"]) == ([], [], "DOWN")
        status, text = await run.get("/metrics")
        assert status == 200
        assert 'feedhandler_messages_applied_total{channel="itch"} 0.0' in text
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["counts"]["applied"], report["signals_published"]) == (0, 0)


@pytest.mark.parametrize("topology", ["inline", "pipelined"])
@pytest.mark.parametrize("shards", [1, 2])
async def test_a_server_shows_the_book_that_it_was_sent_and_reports_it(
    tmp_path: Path, topology: str, shards: int
):
    engine = structs.replace(SMALL, topology=topology, shards=shards)
    config = make_config(tmp_path, engine=engine, watch_symbol="SYM3")
    async with running(config) as run:
        run.send(
            packet(1, [system_event(1), directory(3, "SYM3")]),
            packet(3, [add(7, "B", 100, 10_000, locate=3), add(8, "S", 50, 10_100, locate=3)]),
        )
        await run.wait_for("/readyz", "feed", "LIVE")
        await run.wait_for("/book", "next_seq", 5)
        # Each shard hears of it from the sequencer.
        await run.wait_for("/readyz", "ready", True)
        assert (await run.get("/readyz"))[0] == 200
        book = json.loads((await run.get("/book"))[1])
    assert book["symbol"] == "SYM3"
    assert book["bids"] == [{"price_e4": 10_000, "qty": 100, "orders": 1}]
    assert book["asks"] == [{"price_e4": 10_100, "qty": 50, "orders": 1}]
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["counts"]["applied"] == report["counts"]["ticks"] == 4
    assert report["types"] == {"S": 1, "R": 1, "A": 2}
    assert report["orders_live"] == 2
    assert report["latency_ns"]["count"] == 4
    assert report["shard_messages"] == ([4] if shards == 1 else [1, 3])
    counters = CounterFile.open(tmp_path / "counters")
    assert counters.value("messages_applied", channel="itch") == 4


async def test_a_server_that_was_not_started_from_a_file_refuses_to_reload_and_goes_on(
    tmp_path: Path,
):
    with structlog.testing.capture_logs() as logged:
        async with running(make_config(tmp_path)) as run:
            signal.raise_signal(signal.SIGHUP)
            for _ in range(500):
                if any(entry["event"] == "reload_refused" for entry in logged):
                    break
                await asyncio.sleep(0.01)
            assert (await run.get("/livez"))[0] == 200
            page = (await run.get("/metrics"))[1]
    refused = [entry for entry in logged if entry["event"] == "reload_refused"]
    assert [(entry["log_level"], "restart" in entry["reason"]) for entry in refused] == [
        ("error", True)
    ]
    assert 'feedhandler_config_reloads_total{result="refused"} 1.0' in page


async def test_an_engine_that_does_not_answer_makes_the_book_page_say_so(tmp_path: Path):
    async with running(make_config(tmp_path)) as run:
        write_control_nb(run.server._engines.sequencer.control, Control.STOP, 1)
        await asyncio.to_thread(run.server._engines.join)
        status, text = await run.get("/book")
        assert status == 503
        assert "did not answer in time" in text


async def test_an_engine_that_does_not_answer_keeps_nobody_else_waiting(tmp_path: Path):
    async with running(make_config(tmp_path)) as run:
        write_control_nb(run.server._engines.sequencer.control, Control.STOP, 1)
        await asyncio.to_thread(run.server._engines.join)
        books = [asyncio.create_task(run.get("/book")) for _ in range(3)]
        assert (await run.get("/readyz"))[0] == 503
        assert not any(book.done() for book in books)
        assert [status for status, _ in await asyncio.gather(*books)] == [503] * 3


async def test_an_agent_that_hangs_is_told_by_a_clock_that_nobody_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with running(make_config(tmp_path)) as run:
        day_ns = time.time_ns() - 86_400_000_000_000
        monkeypatch.setattr(time, "time_ns", lambda: day_ns)
        assert (await run.get("/livez"))[0] == 200
        write_control_nb(run.server._engines.sequencer.control, Control.STOP, 1)
        await asyncio.to_thread(run.server._engines.join)
        run.server._engines._started_ns -= 3_000_000_000
        rows = (Count.RX_HEARTBEAT_NS, Count.WORKER_HEARTBEAT_NS)
        run.server._engines.sequencer.counts[rows, BEAT_STEADY] -= 3_000_000_000
        status, text = await run.get("/livez")
        assert status == 503
        assert min(json.loads(text)["agent_age_ns"].values()) > 3_000_000_000
        monkeypatch.undo()


async def test_an_engine_that_breaks_ends_the_server_with_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def break_down(*_parts: object) -> int:
        raise RuntimeError("a fault in a kernel")

    monkeypatch.setattr(engines, "run_inline_nb", break_down)
    with pytest.raises(RuntimeError, match="a fault in a kernel"):
        await asyncio.wait_for(Server(make_config(tmp_path)).run(), 10)
    assert (tmp_path / "report.json").exists()


@pytest.mark.parametrize("loop", ["run_shard_nb", "run_follower_nb", "run_receiver_nb"])
async def test_a_shard_that_breaks_ends_the_server_with_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: str
):
    def break_down(*_parts: object) -> int:
        raise RuntimeError("a fault in a kernel")

    monkeypatch.setattr(engines, loop, break_down)
    topology = "pipelined" if loop == "run_follower_nb" else "inline"
    engine = structs.replace(SMALL, topology=topology, shards=2)
    with pytest.raises(RuntimeError, match="a fault in a kernel"):
        await asyncio.wait_for(Server(make_config(tmp_path, engine=engine)).run(), 10)
    assert (tmp_path / "report.json").exists()


async def test_a_server_of_several_shards_is_ready_when_all_of_them_are(tmp_path: Path):
    config = make_config(tmp_path, engine=structs.replace(SMALL, shards=2))
    async with running(config) as run:
        run.send(packet(1, [system_event(1), directory(3, "SYM3")]))
        await run.wait_for("/readyz", "ready", value=True)
        ages = json.loads((await run.get("/livez"))[1])["agent_age_ns"]
        assert set(ages) == {"receiver", "shard 0", "worker 0", "shard 1", "worker 1"}
        # A message about an order that is not there: the books of one shard are in doubt.
        run.send(packet(3, [delete(77, locate=3)]))
        await run.wait_for("/readyz", "books_suspect", value=True)
        assert (await run.get("/readyz"))[0] == 503


async def test_a_taken_oms_port_is_refused_by_name(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        oms = OmsConfig(store_dir=str(tmp_path / "store"), allowed=("OMS1",), port=port)
        server = Server(make_config(tmp_path, oms=oms))
        with pytest.raises(OsLimitError, match=rf"^oms: cannot listen on 127\.0\.0\.1:{port}: "):
            await server.run()
        close(server)


async def test_a_store_in_use_is_refused_by_name(tmp_path: Path):
    store = FileStore(tmp_path / "store" / "session-OMS1")
    server = Server(make_config(tmp_path))
    with pytest.raises(UserError, match=r"^oms\.store_dir: .*another process has this") as caught:
        await server.run()
    assert caught.value.exit_code == ExitCode.CANNOT_WRITE
    store.close()
    close(server)


async def test_a_store_where_none_can_be_is_refused_by_name(tmp_path: Path):
    (tmp_path / "store").write_text("a file, not a folder")
    server = Server(make_config(tmp_path))
    with pytest.raises(UserError, match=r"^oms\.store_dir: .*session-OMS1: cannot be used: "):
        await server.run()
    close(server)


def test_a_taken_line_is_refused_by_name(tmp_path: Path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        feed = FeedConfig(line_a=LineConfig(port=taken.getsockname()[1]))
        with pytest.raises(OsLimitError, match=r"^feed\.line_a: cannot listen on "):
            Server(make_config(tmp_path, feed=feed))


def test_more_memory_than_there_is_is_refused_with_the_largest_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("feedhandler.server.memory.available_bytes_now", lambda: 1)
    with pytest.raises(OsLimitError, match=r"^engine: .*the largest blocks are .*\[engine\]$"):
        Server(make_config(tmp_path))


GOOD = '[feed]\nline_a = { port = 0 }\n[oms]\nstore_dir = "s"\nallowed = ["OMS1"]\n'
PATTERN = '[[patterns]]\nname = "p"\nfunction = "feedhandler.core.patterns:%s"\n'


def test_a_good_configuration_is_called_good(tmp_path: Path):
    path = tmp_path / "server.toml"
    path.write_text(GOOD)
    assert check_configuration(path) == f"{path}: good; 0 patterns, 0 breakers"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (GOOD + PATTERN % "sweep" + "params = { speed = 1 }\n", "missing: none; unknown: speed"),
        (GOOD + PATTERN % "nothing", "patterns has no function 'nothing'"),
        (GOOD.replace("0 }", '0 }\nadapter = "x"'), "no adapter 'x' is installed"),
        (GOOD + "[engine]\npacket_bytes = 65536\n", "ticks = 131072 are too few"),
        (GOOD + "[priority.kinds]\nnothing = 1\n", "no kind of message is named 'nothing'"),
    ],
)
def test_a_check_finds_what_serve_would_refuse(tmp_path: Path, text: str, named: str):
    path = tmp_path / "server.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=named):
        check_configuration(path)


def test_a_check_finds_a_report_that_could_not_be_written(tmp_path: Path):
    path = tmp_path / "server.toml"
    path.write_text(f'report_file = "{tmp_path}/missing/report.json"\n' + GOOD)
    with pytest.raises(UserError, match=r"^report_file: cannot write") as caught:
        check_configuration(path)
    assert caught.value.exit_code == ExitCode.CANNOT_WRITE
