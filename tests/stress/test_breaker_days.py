"""Breakers over whole days: in the flash crash they trip with the trade that is outside and recover
by themselves, on the normal day they stay quiet.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from feedhandler.core.breakers import BUILT_IN, DEFAULTS
from feedhandler.core.events import BreakerLevel
from tests.reference.slow_detectors import CLOSE, OPEN, SlowBand
from tests.stress.breaker_days import Day, built_in, run_day
from tools.exchange.generate import generate_day
from tools.exchange.market.profiles import DEFAULT_FILE, load_profiles
from tools.exchange.market.scenario import load_scenario
from tools.exchange.warmup import warm_up_market

pytestmark = [pytest.mark.compiled_only, pytest.mark.timeout(900)]

MESSAGES = 1_000_000
CRASH_NS = 52_320 * 10**9
"""14:32."""
TOGETHER = ("stale", "market_decline")
INDEX_MOST = 60


def make_day(name: str, symbols: int, seed: int, folder: Path) -> tuple[Path, list[str]]:
    """A day of a scenario, and its symbols."""
    warm_up_market()
    path = folder / f"{name}-{seed}.itch"
    scenario = msgspec.structs.replace(load_scenario(name), symbols=symbols, messages=MESSAGES)
    generate_day(scenario, seed, path)
    return path, [each.symbol for each in load_profiles(symbols, DEFAULT_FILE)]


def happened(path: Path) -> list[Mapping[str, Any]]:
    truth = msgspec.json.decode(Path(f"{path}.truth.json").read_bytes())
    return list(truth["happened"])


def first_outside(day: Day, instrument: int) -> int:
    """Number of the first trade that the slow twin finds outside, -1 when there is none."""
    slow = SlowBand(DEFAULTS["price_band"])
    for seq, ts_ns, price_e4, is_auction in day.prints[instrument].tolist():
        inside = OPEN <= ts_ns < CLOSE
        if inside and slow.see(ts_ns, seq, price_e4, is_auction=bool(is_auction)):
            return int(seq)
    return -1


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_in_the_flash_crash_breakers_trip_with_the_trade_outside_and_recover(
    seed: int, tmp_path: Path
):
    path, symbols = make_day("flash-crash", 20, seed, tmp_path)
    day = run_day(path, [built_in("price_band")], with_prints=True)
    band = day.risen("price_band")
    assert band["ts_exch_ns"].min() > CRASH_NS
    for instrument in range(1, len(symbols) + 1):
        mine = band[band["instrument"] == instrument]
        assert first_outside(day, instrument) == (mine["seq"][0] if len(mine) else -1)
    # Where the venue pauses an instrument, or the market, it does so later than we do.
    events = happened(path)
    paused = {each["locate"]: each["ts_ns"] for each in events if each["what"] == "pause"}
    for instrument, pause_ns in paused.items():
        assert band["ts_exch_ns"][band["instrument"] == instrument][0] <= pause_ns
    assert day.active["price_band"] == 0
    assert day.told["ts_exch_ns"].max() < CLOSE


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_in_the_flash_crash_the_decline_trips_before_the_venue_and_recovers(
    seed: int, tmp_path: Path
):
    path, symbols = make_day("flash-crash", 20, seed, tmp_path)
    day = run_day(path, [built_in("market_decline", symbols)])
    decline = day.risen("market_decline")
    breaches = [each["ts_ns"] for each in happened(path) if each["what"] == "breach"]
    for breach_ns in breaches:
        assert decline["ts_exch_ns"][0] <= breach_ns
    assert bool(breaches) == (decline["level"].max(initial=0) == BreakerLevel.HALTED)
    assert day.active["market_decline"] == 0
    assert day.told["ts_exch_ns"].max(initial=0) < CLOSE


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_on_the_normal_day_breakers_stay_quiet(seed: int, tmp_path: Path):
    path, symbols = make_day("normal-day", 100, seed, tmp_path)
    index = symbols[:INDEX_MOST]
    breakers = [built_in(name, index if name in TOGETHER else ()) for name in BUILT_IN]
    day = run_day(path, breakers)
    hours = 6.5 * 100
    # The market has jumps: trades 3 to 6 % away do occur.
    most = {"price_band": hours / 200, "volatility": hours / 4, "spread": hours / 10}
    for name in BUILT_IN:
        assert day.trips[name] <= most.get(name, 0), (name, day.trips)
