"""Breakers over whole days: in the flash crash they trip with the trade that is outside and recover
by themselves, on the normal day they stay quiet.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from feedhandler.core.breaker_machine import BreakerState
from feedhandler.core.breakers import DEFAULTS
from feedhandler.core.events import Kind
from tests.reference.slow_detectors import CLOSE, OPEN, SlowBand
from tests.stress.breaker_days import INSTRUMENTS, NAMES, Rig, S, run_day
from tools.exchange.generate import generate_day
from tools.exchange.market.scenario import load_scenario
from tools.exchange.warmup import warm_up_market

pytestmark = [pytest.mark.compiled_only, pytest.mark.timeout(900)]

MESSAGES = 1_000_000
CRASH_NS = 52_320 * S
"""14:32."""


def day(name: str, symbols: int, seed: int, folder: Path) -> tuple[Rig, list[Mapping[str, Any]]]:
    """What the breakers made of a day, and what happened on it."""
    warm_up_market()
    path = folder / f"{name}-{seed}.itch"
    scenario = msgspec.structs.replace(load_scenario(name), symbols=symbols, messages=MESSAGES)
    generate_day(scenario, seed, path)
    truth = msgspec.json.decode(Path(f"{path}.truth.json").read_bytes())
    return run_day(path, symbols), truth["happened"]


def changes(rig: Rig, name: str) -> NDArray[Any]:
    """Changes of the cells of a breaker."""
    found = rig.changes[: rig.sizes[0]]
    return found[found["breaker"] == NAMES.index(name)]


def trips(rig: Rig, name: str) -> NDArray[Any]:
    found = changes(rig, name)
    return found[found["state"] == BreakerState.TRIPPED]


def first_outside(rig: Rig, instrument: int) -> int:
    """Number of the first trade that the slow twin finds outside, -1 when there is none."""
    slow = SlowBand(DEFAULTS["price_band"])
    for row in rig.prints[: rig.sizes[1]]:
        if row["instrument"] != instrument or not OPEN <= row["ts_ns"] < CLOSE:
            continue
        is_auction = bool(row["kind"] == Kind.CROSS_TRADE)
        price_e4 = int(row["price_e4"])
        if slow.see(int(row["ts_ns"]), int(row["seq"]), price_e4, is_auction=is_auction):
            return int(row["seq"])
    return -1


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_in_the_flash_crash_breakers_trip_with_the_trade_outside_and_recover(
    seed: int, tmp_path: Path
):
    symbols = 20
    rig, happened = day("flash-crash", symbols, seed, tmp_path)
    band = trips(rig, "price_band")
    assert band["ts_ns"].min() > CRASH_NS
    for instrument in range(1, symbols + 1):
        mine = band[band["cell"] == instrument]
        assert first_outside(rig, instrument) == (mine["seq"][0] if len(mine) else -1)
    # Where the venue pauses an instrument, or the market, it does so later than we do.
    paused = {each["locate"]: each["ts_ns"] for each in happened if each["what"] == "pause"}
    for instrument, pause_ns in paused.items():
        assert band["ts_ns"][band["cell"] == instrument][0] <= pause_ns
    breaches = [each["ts_ns"] for each in happened if each["what"] == "breach"]
    decline = trips(rig, "market_decline")
    for breach_ns in breaches:
        assert decline["ts_ns"][0] <= breach_ns
    assert bool(breaches) == (decline["level"].max() == 3)
    cells = rig.cells.reshape(len(NAMES), INSTRUMENTS)
    for name in ("price_band", "market_decline"):
        assert not np.any(cells[NAMES.index(name)]["state"])
        assert changes(rig, name)["ts_ns"].max() < CLOSE


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_on_the_normal_day_breakers_stay_quiet(seed: int, tmp_path: Path):
    rig, _ = day("normal-day", 100, seed, tmp_path)
    hours = 6.5 * 100
    # The market has jumps: trades 3 to 6 % away do occur. The volatility here is that of the tick,
    # which is rougher than that of the market row.
    most = {"price_band": hours / 200, "volatility": hours / 4, "spread": hours / 10}
    for name in NAMES:
        assert len(trips(rig, name)) <= most.get(name, 0), name
