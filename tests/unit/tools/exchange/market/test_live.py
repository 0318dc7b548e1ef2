"""A day that is made while it is sent: the same messages, when the market's clock says so."""

import asyncio
import time
from pathlib import Path

import msgspec
import pytest

from protocols.kernel_cache import JIT_ENABLED
from tests.unit.tools.exchange.support import Receiver, reached, run_with
from tools.exchange import sender as sending
from tools.exchange.checker import check_file
from tools.exchange.config import Day, ExchangeConfig, Flow, Session
from tools.exchange.generate import generate_day
from tools.exchange.market.scenario import load_scenario
from tools.exchange.runner import Exchange
from tools.exchange.warmup import warm_up_live_market

pytestmark = pytest.mark.skipif(not JIT_ENABLED, reason="the interpreter cannot keep the pace")

SCENARIO = msgspec.structs.replace(
    load_scenario("flash-crash"), messages=20_000, symbols=10, orders_per_symbol=20
)
SESSION = Session(heartbeat_ms=50, end_linger_s=0.1)


@pytest.fixture(scope="module", autouse=True)
def live_kernels(market_kernels: None) -> None:  # noqa: ARG001 - compiled before
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
