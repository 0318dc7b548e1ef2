"""A day that is made while it is sent: the same messages, when the market's clock says so."""

import asyncio
import socket
import time
from collections.abc import Iterable
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from protocols.kernel_cache import JIT_ENABLED
from protocols.moldudp64.codec import Packet, Request, decode_packet, encode_request
from tests.unit.tools.exchange.support import Receiver, reached, run_with, until
from tools.exchange import sender as sending
from tools.exchange.checker import check_file
from tools.exchange.config import Day, ExchangeConfig, Flow, Session
from tools.exchange.generate import generate_day
from tools.exchange.layout import CLOCK_NS
from tools.exchange.market.scenario import Trouble, clock_ns_of, load_scenario
from tools.exchange.runner import Exchange
from tools.exchange.warmup import warm_up_live_market

pytestmark = pytest.mark.skipif(not JIT_ENABLED, reason="the interpreter cannot keep the pace")

SCENARIO = msgspec.structs.replace(
    load_scenario("flash-crash"),
    messages=20_000,
    symbols=10,
    orders_per_symbol=20,
    trouble=(
        Trouble("clock_step", "09:29:59", 1_800, step_ms=700),
        Trouble("clock_step", "14:00:00", 3_600, step_ms=-90_000),
    ),
)
_TROUBLE = msgspec.structs.replace(
    load_scenario("feed-trouble"), event=(), messages=150_000, symbols=10, orders_per_symbol=20
)
# One session, so that a packet's number says which message it is.
TROUBLE = msgspec.structs.replace(
    _TROUBLE, trouble=tuple(each for each in _TROUBLE.trouble if each.kind != "session_roll")
)
SESSION = Session(heartbeat_ms=50, end_linger_s=0.1)


@pytest.fixture(scope="module", autouse=True)
def live_kernels(market_kernels: None) -> None:
    warm_up_live_market()


def config_of(receiver: Receiver, **day: object) -> ExchangeConfig:
    flow = Flow(seed=3, rate=50_000, start_delay_ms=0)
    return receiver.config(flow, SESSION, scenario=Day(name="flash-crash", **day))


def blocks_of(receiver: Receiver, count: int) -> bytes:
    """The first `count` messages as blocks; from either line."""
    found = receiver.messages(1) | receiver.messages(0)
    return b"".join(len(found[seq]).to_bytes(2, "big") + found[seq] for seq in range(1, count + 1))


@pytest.mark.alone
async def test_a_day_live_is_the_day_of_the_file(tmp_path: Path):
    truth = generate_day(SCENARIO, 3, tmp_path / "day.bin")
    with Receiver() as receiver:
        config = config_of(receiver, speed=0)
        report, _ = await run_with(config, receiver, scenario=SCENARIO)
        sent = blocks_of(receiver, report["sent"])
    assert sent + bytes(2) == (tmp_path / "day.bin").read_bytes()
    assert report["state"] == "ended"
    assert {name: report[name] for name in truth} == truth
    assert {each["what"] for each in report["happened"]} >= {"shock", "cross"}


@pytest.mark.alone
async def test_the_markets_clock_decides_when_and_a_stop_closes_the_day(tmp_path: Path):
    stamps: list[tuple[float, int]] = []

    async def visit(exchange: Exchange) -> None:
        await reached(exchange, sending.RUNNING)
        for _ in range(2):
            await asyncio.sleep(0.4)
            stamps.append((time.monotonic(), int(exchange.sender.engine.state[1])))
        exchange.stop()

    with Receiver() as receiver:
        config = config_of(receiver, speed=1_000, start="09:30:00")
        report, _ = await run_with(config, receiver, visit, scenario=SCENARIO)
        sent = blocks_of(receiver, report["sent"])
    (first_s, first_ns), (last_s, last_ns) = stamps
    assert (last_ns - first_ns) / 1e9 == pytest.approx(1_000 * (last_s - first_s), rel=0.2)
    assert report["state"] == "stopped"
    path = tmp_path / "cut.bin"
    path.write_bytes(sent + bytes(2))
    assert check_file(path)["broken"] == []
    assert [sent[-12 - 14 * back + 11 :][:1] for back in (2, 1, 0)] == [b"M", b"E", b"C"]


def stamp_of(packet: Packet) -> int:
    """The time of its first message, 0 of a heartbeat."""
    return int.from_bytes(packet.messages[0][5:11], "big") if packet.messages else 0


def is_in(stamp_ns: int, windows: list[dict[str, Any]]) -> bool:
    return any(row["ts_ns"] <= stamp_ns < row["until_ns"] for row in windows)


def asked_again(exchange: Exchange, numbers: Iterable[int]) -> dict[int, bytes]:
    """Those messages from the server for requests, by runs of numbers."""
    found: dict[int, bytes] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as requester:
        requester.settimeout(2)
        requester.connect(("127.0.0.1", exchange.ports["rerequest"]))
        for _, run in groupby(enumerate(sorted(numbers)), lambda each: each[1] - each[0]):
            run_numbers = [number for _, number in run]
            sequence = run_numbers[0]
            while sequence <= run_numbers[-1]:
                count = run_numbers[-1] + 1 - sequence
                requester.send(encode_request(Request("FH00000001", sequence, count)))
                packet = decode_packet(requester.recv(2048))
                assert packet.sequence == sequence
                found |= dict(enumerate(packet.messages, sequence))
                sequence += len(packet.messages)
    return found


@pytest.mark.alone
async def test_the_lines_have_their_trouble_when_the_scenario_says_and_nothing_is_lost_for_good():
    async def visit(exchange: Exchange) -> tuple[set[int], dict[int, bytes]]:
        state = exchange.sender.engine.state
        await until(lambda: state[CLOCK_NS] > clock_ns_of("10:19:00"))
        last = int(exchange.sender.progress[sending.SENT])
        await asyncio.sleep(0.05)
        receiver.drain()
        came = receiver.messages(0).keys() | receiver.messages(1).keys()
        missing = set(range(1, last + 1)) - came
        found = await asyncio.to_thread(asked_again, exchange, missing)
        exchange.stop()
        return missing, found

    with Receiver() as receiver:
        config = config_of(receiver, speed=1_000, start="10:00:00")
        report, (missing, found) = await run_with(config, receiver, visit, scenario=TROUBLE)
    troubles = [row for row in report["happened"] if row["what"] == "trouble"]
    assert len(troubles) == len(TROUBLE.trouble)
    assert missing
    assert found.keys() == missing
    cut_of_both = [row for row in troubles if (row["kind"], row.get("line")) == ("cut", "both")]
    assert any(is_in(int.from_bytes(one[5:11], "big"), cut_of_both) for one in found.values())
    a, b = report["line_a"], report["line_b"]
    assert a["messages_dropped"] > b["messages_dropped"] > 0
    assert a["messages_cut"] > b["messages_cut"] > 0
    assert min(a["packets_duplicated"], b["packets_duplicated"]) > 0
    assert b["packets_reordered"] > a["packets_reordered"] == 0
    assert a["packets_delayed"] == b["packets_delayed"] == 0
    for index, line in enumerate("ab"):
        windows = {
            kind: [row for row in troubles if row["kind"] == kind and row["line"] in {line, "both"}]
            for kind in ("cut", "duplicate", "reorder")
        }
        packets = [packet for packet in receiver.packets[index] if packet.messages]
        assert not any(is_in(stamp_of(packet), windows["cut"]) for packet in packets)
        for one, two in pairwise(packets):
            if one.sequence == two.sequence:
                assert is_in(stamp_of(one), windows["duplicate"])
            elif one.sequence > two.sequence:
                assert is_in(stamp_of(two), windows["reorder"])
