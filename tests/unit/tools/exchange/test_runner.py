"""A whole run on loopback: both lines, re-requests, snapshots, faults, stops and taken ports."""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from feedhandler.server.errors import UserError
from protocols.glimpse.spec import decode_end_of_snapshot
from protocols.kernel_cache import JIT_ENABLED
from protocols.moldudp64.codec import Request, decode_packet, encode_request
from protocols.soupbintcp import session as soup
from tests.reference.exchange_checker import Checker, check
from tests.unit.tools.exchange.support import Receiver, reached, run_with, until
from tools.exchange import __main__ as command
from tools.exchange import sender as sending
from tools.exchange.config import (
    Cut,
    ExchangeConfig,
    Flow,
    Glimpse,
    Line,
    Rerequest,
    Session,
)
from tools.exchange.runner import Exchange, open_sockets, run_exchange

OPENING_MAX = 100
"""More than the messages of the opening, with a few symbols."""

pytestmark = pytest.mark.skipif(not JIT_ENABLED, reason="the interpreter cannot keep the pace")


async def fetch_snapshot(exchange: Exchange):
    """Log in to GLIMPSE; (messages, number of the next live message)."""
    await reached(exchange, sending.RUNNING)
    # In the opening a snapshot has states that the messages behind it tell again.
    await until(lambda: int(exchange.sender.progress[sending.SENT]) > OPENING_MAX)
    reader, writer = await asyncio.open_connection("127.0.0.1", exchange.ports["glimpse"])
    client = soup.Client(time.monotonic_ns())
    client.login("user", "pw")
    writer.write(client.data_to_send(0))
    messages = []
    while True:
        client.receive(await reader.read(65_536), time.monotonic_ns())
        while (event := client.next_event()) is not None:
            if isinstance(event, soup.SequencedData):
                messages.append(event.payload)
        if messages and messages[-1][:1] == b"G":
            break
    client.logout()
    writer.write(client.data_to_send(0))
    writer.close()
    await writer.wait_closed()
    return messages[:-1], decode_end_of_snapshot(messages[-1])


@pytest.mark.alone
async def test_both_lines_carry_the_whole_session_and_the_report_tells_the_truth(tmp_path: Path):
    flow = Flow(symbols=5, rate=20_000, messages=8000, orders_per_symbol=30, start_delay_ms=50)
    session = Session(id="RUN1", heartbeat_ms=20, end_linger_s=0.1)
    status = tmp_path / "status.json"
    with Receiver() as receiver:
        config = receiver.config(
            flow, session, status_file=str(status), report_file=str(tmp_path / "report.json")
        )
        report, _ = await run_with(config, receiver)
        for line in (0, 1):
            messages = receiver.messages(line)
            assert sorted(messages) == list(range(1, 8001))
            checker = check(messages[sequence] for sequence in range(1, 8001))
            assert checker.digest() == report["books_digest"]
            packets = receiver.packets[line]
            assert not packets[0].messages, "a heartbeat before the first message"
            assert packets[0].sequence == 1
            ends = [packet for packet in packets if packet.ended]
            assert len(ends) >= 4
            assert {packet.sequence for packet in ends} == {8001}
    assert report["sent"] == report["messages"] == sum(report["types"].values()) == 8000
    assert report["state"] == "ended"
    assert abs(report["rate"] / 20_000 - 1) < 0.05
    assert json.loads((tmp_path / "report.json").read_text()) == report
    assert json.loads(status.read_text())["books_digest"] == report["books_digest"]


async def test_one_that_waits_sends_heartbeats_alone_until_it_may_begin():
    flow = Flow(symbols=3, rate=20_000, messages=2000, orders_per_symbol=20, start_delay_ms=0)

    async def visit(exchange: Exchange) -> float:
        await asyncio.sleep(0.3)
        assert exchange.status()["state"] == "starting"
        assert exchange.status()["sent"] == 0
        exchange.begin()
        return time.monotonic()

    with Receiver() as receiver:
        config = receiver.config(flow, Session(heartbeat_ms=20, end_linger_s=0.05))
        report, _ = await run_with(config, receiver, visit, is_waiting=True)
        first = next(i for i, packet in enumerate(receiver.packets[0]) if packet.messages)
        assert first >= 5
        assert sorted(receiver.messages(0)) == list(range(1, 2001))
    assert report["rate"] == pytest.approx(20_000, rel=0.1)


async def test_a_main_thread_that_keeps_the_interpreter_does_not_stop_the_feed():
    flow = Flow(symbols=3, rate=20_000, orders_per_symbol=20, start_delay_ms=0)

    async def visit(exchange: Exchange) -> float:
        await reached(exchange, sending.RUNNING)
        sent, start_s = int(exchange.sender.progress[sending.SENT]), time.monotonic()
        # One call, in which no other thread gets the interpreter, as a garbage collection is.
        assert sum(range(50_000_000)) > 0
        due = flow.rate * (time.monotonic() - start_s)
        share = (int(exchange.sender.progress[sending.SENT]) - sent) / due
        exchange.stop()
        return share

    with Receiver() as receiver:
        config = receiver.config(flow, Session(heartbeat_ms=20, end_linger_s=0.0))
        _, share = await run_with(config, receiver, visit)
    assert share > 0.6


async def test_one_that_is_stopped_while_it_waits_closes_a_session_that_took_no_time():
    flow = Flow(symbols=3, rate=5000, orders_per_symbol=20)

    async def visit(exchange: Exchange) -> None:
        await asyncio.sleep(0.1)
        exchange.stop()

    with Receiver() as receiver:
        config = receiver.config(flow, Session(end_linger_s=60))
        report, _ = await run_with(config, receiver, visit, is_waiting=True)
        messages = receiver.messages(0)
        checker = check(messages[sequence] for sequence in range(1, report["sent"] + 1))
    assert checker.digest() == report["books_digest"]
    assert (report["state"], report["rate"], report["seconds"]) == ("stopped", 0, 0)


@pytest.mark.parametrize("words", [b"\n", b""], ids=["a line", "the end"])
async def test_standard_input_ends_the_wait(words: bytes, monkeypatch: pytest.MonkeyPatch):
    flow = Flow(symbols=3, rate=20_000, messages=1000, orders_per_symbol=20, start_delay_ms=0)
    reading, writing = os.pipe()
    real_read = os.read
    monkeypatch.setattr(os, "read", lambda fd, size: real_read(fd or reading, size))
    with Receiver() as receiver:
        config = receiver.config(flow, Session(end_linger_s=0.0))
        task = asyncio.create_task(run_exchange(config, is_waiting=True))
        await asyncio.sleep(0.2)
        receiver.drain()
        assert not receiver.messages(0)
        os.write(writing, words)
        os.close(writing)
        report, faults = await task
    os.close(reading)
    assert (report["state"], report["sent"], faults) == ("ended", 1000, [])


async def test_a_snapshot_and_the_live_feed_from_its_number_on_make_the_same_books():
    flow = Flow(symbols=6, rate=20_000, messages=10_000, orders_per_symbol=30, start_delay_ms=10)

    async def visit(exchange: Exchange) -> Any:
        await asyncio.sleep(0.1)
        return await asyncio.gather(*(fetch_snapshot(exchange) for _ in range(3)))

    with Receiver() as receiver:
        config = receiver.config(flow, Session(end_linger_s=0.05))
        report, snapshots = await run_with(config, receiver, visit)
        live = receiver.messages(0)
        for snapshot, next_sequence in snapshots:
            assert 1 < next_sequence < 10_000
            # The references of a snapshot come by price, so they do not ascend.
            checker = replay_snapshot(snapshot)
            for sequence in range(next_sequence, 10_001):
                checker.apply(live[sequence])
            assert checker.digest() == report["books_digest"]
    assert report["glimpse"]["snapshots_served"] == 3


def replay_snapshot(snapshot: list[bytes]):
    checker = Checker()
    highest = 0
    for message in snapshot:
        checker.reference_highest = 0
        checker.apply(message)
        highest = max(highest, checker.reference_highest)
    checker.reference_highest = highest
    return checker


async def test_what_a_line_loses_can_be_asked_for_again_until_the_linger_ends():
    flow = Flow(symbols=3, rate=20_000, messages=3000, orders_per_symbol=20, start_delay_ms=10)

    async def visit(exchange: Exchange) -> Any:
        await reached(exchange, sending.ENDED)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as requester:
            requester.settimeout(2)
            requester.connect(("127.0.0.1", exchange.ports["rerequest"]))
            found, sequence = [], 1
            while sequence <= 3000:
                requester.send(encode_request(Request("FH00000001", sequence, 3000)))
                packet = decode_packet(await asyncio.to_thread(requester.recv, 2048))
                assert packet.sequence == sequence
                found += packet.messages
                sequence += len(packet.messages)
            return found

    with Receiver() as receiver:
        faults = {"loss": 0.2, "duplicate": 0.1, "reorder": 0.1, "cuts": (Cut(0.05, 0.02),)}
        config = receiver.config(flow, Session(end_linger_s=1.0), line_a=faults)
        report, resent = await run_with(config, receiver, visit)
        lost, whole = receiver.messages(0), receiver.messages(1)
    counters = report["line_a"]
    assert [whole[sequence] for sequence in range(1, 3001)] == resent
    assert 0 < len(whole) - len(lost) <= counters["messages_dropped"] + counters["messages_cut"]
    assert counters["packets_duplicated"] > 0
    assert counters["packets_reordered"] > 0
    assert counters["packets_cut"] > 0
    assert report["rerequest"]["messages_resent"] == 3000


async def test_a_stop_closes_the_session_at_once_and_properly():
    flow = Flow(symbols=3, rate=5000, orders_per_symbol=20, start_delay_ms=10)

    async def visit(exchange: Exchange) -> Any:
        await reached(exchange, sending.RUNNING)
        await asyncio.sleep(0.15)
        exchange.stop()
        return time.monotonic()

    with Receiver() as receiver:
        config = receiver.config(flow, Session(end_linger_s=60))
        report, stopped_at = await run_with(config, receiver, visit)
        assert time.monotonic() - stopped_at < 3
        messages = receiver.messages(1)
        checker = check(messages[sequence] for sequence in range(1, report["sent"] + 1))
    assert report["state"] == "stopped"
    assert checker.events == ["O", "S", "Q", "M", "E", "C"]
    assert checker.digest() == report["books_digest"]


async def test_hostile_clients_of_the_snapshot_service_are_counted_and_closed():
    flow = Flow(symbols=3, rate=5000, orders_per_symbol=20, start_delay_ms=10)

    async def talk(exchange: Exchange, data: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", exchange.ports["glimpse"])
        writer.write(data)
        with contextlib.suppress(ConnectionError):
            answer = await asyncio.wait_for(reader.read(), 2)
            writer.close()
            await writer.wait_closed()
            return answer
        return b""

    async def visit(exchange: Exchange) -> Any:
        await reached(exchange, sending.RUNNING)
        other = soup.Client(0)
        other.login("user", "pw", "OTHER")
        middle = soup.Client(0)
        middle.login("user", "pw", "", 77)
        answers = [
            await talk(exchange, b"GET / HTTP/1.1\r\n\r\n"),
            await talk(exchange, b"\0" * 5000),
            await talk(exchange, other.data_to_send(0)),
            await talk(exchange, middle.data_to_send(0)),
        ]
        snapshot, _ = await fetch_snapshot(exchange)
        exchange.stop()
        return answers, snapshot

    with Receiver() as receiver:
        config = receiver.config(flow, Session(end_linger_s=60))
        report, (answers, snapshot) = await run_with(config, receiver, visit)
    assert answers == [b"", b"", b"\x00\x02JS", b"\x00\x02JS"]
    assert report["glimpse"]["clients_broken"] == 2
    assert report["glimpse"]["logins_rejected"] == 2
    assert report["glimpse"]["snapshots_served"] == 1
    assert snapshot[0][:1] == b"S"


async def test_more_clients_than_allowed_are_refused_and_the_session_ends_for_the_others():
    flow = Flow(symbols=3, rate=5000, orders_per_symbol=20, start_delay_ms=10)

    async def visit(exchange: Exchange) -> Any:
        await reached(exchange, sending.RUNNING)
        port = exchange.ports["glimpse"]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        client = soup.Client(0)
        client.login("user", "pw")
        writer.write(client.data_to_send(0))
        await reader.readexactly(33)
        refused, refused_writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(refused.read(), 2) == b""
        refused_writer.close()
        exchange.stop()
        tail = await asyncio.wait_for(reader.read(), 4)
        writer.close()
        return tail

    with Receiver() as receiver:
        config = receiver.config(flow, Session(end_linger_s=60), glimpse=Glimpse(clients_max=1))
        report, tail = await run_with(config, receiver, visit)
    assert report["glimpse"]["clients_refused"] == 1
    assert tail.endswith(b"\x00\x01Z")


async def test_a_status_file_that_cannot_be_written_for_a_while_ends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    flow = Flow(symbols=3, rate=5000, messages=15_000, orders_per_symbol=20, start_delay_ms=10)
    status = tmp_path / "sub" / "status.json"
    status.parent.mkdir()

    async def visit(exchange: Exchange) -> None:
        await reached(exchange, sending.RUNNING)
        status.unlink()
        status.parent.rmdir()
        await until(lambda: "going on" in capsys.readouterr().err)
        status.parent.mkdir()
        await until(status.exists)
        assert exchange.status()["state"] == "running"

    with Receiver() as receiver:
        config = receiver.config(flow, Session(end_linger_s=0.0), status_file=str(status))
        report, _ = await run_with(config, receiver, visit)
        assert sorted(receiver.messages(0)) == list(range(1, 15_001))
    assert report["state"] == "ended"
    assert json.loads(status.read_text())["books_digest"] == report["books_digest"]


def test_files_that_cannot_be_written_at_the_end_are_code_73_after_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "sub"
    folder.mkdir()
    report_file = tmp_path / "report.json"
    config = tmp_path / "exchange.toml"

    def run(port: int, top: str) -> tuple[int, dict[str, Any], str]:
        config.write_text(
            f"{top}[line_a]\nport = {port}\n[line_b]\nport = {port}\n"
            "[session]\nend_linger_s = 0.0\n"
            "[flow]\nsymbols = 2\nmessages = 200\nrate = 1000\nstart_delay_ms = 200\n"
        )
        folder.mkdir(exist_ok=True)
        timer = threading.Timer(0.1, lambda: shutil.rmtree(folder))
        monkeypatch.setattr("sys.argv", ["exchange", "run", "--config", str(config), "--json"])
        timer.start()
        with pytest.raises(SystemExit) as caught:
            command.main()
        timer.join()
        said = capsys.readouterr()
        return int(str(caught.value.code)), json.loads(said.out), said.err

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", 0))
        port = sink.getsockname()[1]
        files = f'status_file = "{folder}/status"\nreport_file = "{report_file}"\n'
        code, printed, error = run(port, files)
        assert (code, printed["state"], printed["sent"]) == (73, "ended", 200)
        assert json.loads(report_file.read_text()) == printed
        line = (
            f"exchange: error: status_file: cannot write {folder}/status: No such file or directory"
        )
        assert error.splitlines()[-1] == line
        code, printed, error = run(port, f'report_file = "{folder}/report"\n')
        assert (code, printed["sent"]) == (73, 200)
        assert f"report_file: cannot write {folder}/report" in error


@pytest.mark.parametrize("name", ["line_a", "line_b"])
def test_a_line_that_cannot_be_sent_to_is_named(name: str):
    lines = {"line_a": Line(port=9), "line_b": Line(port=9)}
    lines[name] = Line(port=9, address="255.255.255.255")
    told = f"^{name}: cannot send to 255.255.255.255:9: Permission denied$"
    with pytest.raises(UserError, match=told), open_sockets(ExchangeConfig(**lines)):
        pytest.fail("a line to everybody was opened")


async def test_a_taken_port_is_one_clear_error():
    with Receiver() as receiver, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        port = udp.getsockname()[1]
        config = receiver.config(Flow(messages=3), Session(), rerequest=Rerequest(port=port))
        with pytest.raises(UserError, match=f"rerequest: cannot listen on 127.0.0.1:{port}"):
            await run_with(config, receiver)
    with Receiver() as receiver, socket.create_server(("127.0.0.1", 0)) as tcp:
        port = tcp.getsockname()[1]
        config = receiver.config(Flow(messages=3), Session(), glimpse=Glimpse(port=port))
        with pytest.raises(UserError, match=f"glimpse: cannot listen on 127.0.0.1:{port}"):
            await run_with(config, receiver)
