"""Whole days: the same every time, by the rules, with what was planted."""

import hashlib
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import numpy as np
import pytest

from protocols.itch50.spec import BY_TYPE
from protocols.kernel_cache import JIT_ENABLED
from tests.reference.exchange_checker import blocks
from tests.reference.slow_clock import slow_stamp
from tests.unit.tools.exchange.support import recount_levels
from tools.exchange.checker import check_file
from tools.exchange.day import NS_PER_S
from tools.exchange.generate import generate_day
from tools.exchange.layout import LEVEL_QUANTITY
from tools.exchange.market.day import generate_market_nb
from tools.exchange.market.layout import Market, allocate_market
from tools.exchange.market.placing import placed_events
from tools.exchange.market.profiles import load_profiles
from tools.exchange.market.rules import first_due_nb
from tools.exchange.market.scenario import PLANT_KEYS, Scenario, load_scenario, scenario_names
from tools.exchange.market.trouble import clock_steps_of
from tools.exchange.market.truth import utc_of

pytestmark = [
    pytest.mark.skipif(not JIT_ENABLED, reason="a day takes too long interpreted"),
    pytest.mark.usefixtures("market_kernels"),
]

SMALL = Scenario(symbols=5, messages=20_000, orders_per_symbol=20)


def begun(scenario: Scenario, seed: int) -> Market:
    market = allocate_market(scenario, load_profiles(scenario.symbols), seed)
    first_due_nb(market)
    return market


def session(scenario: Scenario, seed: int = 1, limit: int = 1 << 20, room: int = 1 << 20) -> bytes:
    market, data = begun(scenario, seed), b""
    buffer = np.zeros(room, np.uint8)
    while True:
        count, size = generate_market_nb(market, buffer, limit)
        if count == 0:
            return data
        data += buffer[:size].tobytes()


def test_the_same_seed_gives_the_same_bytes_in_batches_of_any_size():
    whole = session(SMALL)
    assert session(SMALL, limit=7) == whole
    assert session(SMALL, room=60) == whole
    assert session(SMALL, seed=2) != whole


def test_levels_hold_the_shares_and_orders_that_a_recount_finds():
    market = begun(SMALL, 3)
    buffer = np.zeros(1 << 18, np.uint8)
    while generate_market_nb(market, buffer, 1_000)[0]:
        levels = market.engine.levels[:, LEVEL_QUANTITY:]
        np.testing.assert_array_equal(levels, recount_levels(market.engine))


def test_no_machine_makes_other_bytes():
    digest = hashlib.sha256(session(SMALL)).hexdigest()
    assert digest == "6833cd33d7e29b5912d285231366d315c101d598170445bafaf9e48526f42f7d"


@pytest.mark.parametrize("name", scenario_names())
def test_each_scenario_keeps_the_rules_and_tells_what_it_planted(name: str, tmp_path: Path):
    scenario = msgspec.structs.replace(load_scenario(name), messages=150_000)
    path = tmp_path / "day.bin"
    told = generate_day(scenario, 3, path)
    found = check_file(path)
    assert found["broken"] == []
    assert found["crosses_checked"] >= 190
    assert found["messages"] == told["messages"]
    assert found["types"] == told["types"]
    assert found["orders_live"] == told["orders_live"]
    assert told["rows_lost"] == told["events_lost"] == 0
    truth = msgspec.json.decode(Path(f"{path}.truth.json").read_bytes())
    planted = [row for row in truth["happened"] if row["what"] == "shock"]
    events = placed_events(scenario, load_profiles(scenario.symbols), 3)
    expected = sorted(
        (event.at_ns, event.kind, event.scope)
        for event in events
        if event.kind != "gap" and event.kind not in PLANT_KEYS
    )
    assert sorted((row["ts_ns"], row["kind"], row["scope"]) for row in planted) == expected
    sought = Counter(row["kind"] for row in truth["happened"] if row["what"] == "planted")
    assert sought == Counter(event.kind for event in events if event.kind in PLANT_KEYS)
    troubles = [row for row in truth["happened"] if row["what"] == "trouble"]
    assert [(row["ts_ns"], row["kind"], row.get("line")) for row in troubles] == [
        (trouble.at_ns, trouble.kind, trouble.line) for trouble in scenario.trouble
    ]
    times = [row["ts_ns"] for row in truth["happened"]]
    assert times == sorted(times)


def test_all_types_occur_where_a_day_has_them(tmp_path: Path):
    types: set[str] = set()
    for name in ("normal-day", "flash-crash"):
        scenario = msgspec.structs.replace(load_scenario(name), messages=1_000_000)
        types |= set(generate_day(scenario, 1, tmp_path / "day.bin")["types"])
    assert types == set(BY_TYPE)


CLOCK_STEPS = (
    ("03:29:59", 5, 700),
    ("09:29:58", 120, 1_500),
    ("10:59:00", 600, -3_600_000),
    ("11:59:00", 120, -90_000),
    ("15:59:59.5", 1, 3_600_000),
    ("20:04:59", 0.5, 500),
)
STAMPS = {kind: ["timestamp"] for kind in BY_TYPE} | {"O": ["timestamp", "near_execution_time"]}


def stamps_and_rest(message: bytes) -> tuple[list[int], bytes]:
    """The fields that the venue's clock fills, and the message without them."""
    stamps, rest = [], message
    table = BY_TYPE[message[:1].decode()]
    for name in STAMPS[message[:1].decode()]:
        at, size = table.offset(name), {"timestamp": 6}.get(name, 8)
        stamps.append(int.from_bytes(message[at : at + size], "big"))
        rest = rest[:at] + bytes(size) + rest[at + size :]
    return stamps, rest


def test_a_wrong_clock_changes_stamps_and_nothing_else(tmp_path: Path):
    events = [
        {"kind": "listing", "at": "11:05:00", "scope": "BEXA"},
        {"kind": "news", "at": "12:00:00", "scope": "ARLO", "percent": 5, "duration_s": 60},
    ]
    troubles = [
        {"kind": "clock_step", "at": at, "duration_s": duration_s, "step_ms": step_ms}
        for at, duration_s, step_ms in CLOCK_STEPS
    ]
    day = {"symbols": 5, "messages": 100_000, "orders_per_symbol": 20, "event": events}
    right, wrong = tmp_path / "right.bin", tmp_path / "wrong.bin"
    told = generate_day(msgspec.convert(day, Scenario), 2, right)
    scenario = msgspec.convert(day | {"trouble": troubles}, Scenario)
    assert generate_day(scenario, 2, wrong) == told
    assert check_file(wrong)["broken"] == []
    steps = [tuple(row) for row in clock_steps_of(scenario).tolist()]
    changed = set()
    for one, other in zip(blocks(right.read_bytes()), blocks(wrong.read_bytes()), strict=True):
        due, rest = stamps_and_rest(one)
        assert stamps_and_rest(other) == ([slow_stamp(steps, each) for each in due], rest)
        if one != other:
            changed.add(one[:1])
    assert changed >= {bytes([each]) for each in b"SRHYLVAEXDUQIO"}
    truths = [
        msgspec.json.decode(Path(f"{path}.truth.json").read_bytes()) for path in (right, wrong)
    ]
    happened = [row for row in truths[1].pop("happened") if row["what"] != "trouble"]
    assert happened == truths[0].pop("happened")
    assert truths[0] == truths[1]


def messages_of(data: bytes, kind: str) -> list[dict[str, Any]]:
    chosen = (message for message in blocks(data) if message[:1] == kind.encode())
    return [dict(BY_TYPE[kind].decode(message)) for message in chosen]


def test_the_day_has_its_phases_at_their_times():
    events = messages_of(session(SMALL), "S")
    times = [(event["event_code"], event["timestamp"] // NS_PER_S) for event in events]
    assert times == [
        ("O", 12_600),
        ("S", 14_400),
        ("Q", 34_200),
        ("M", 57_600),
        ("E", 72_000),
        ("C", 72_300),
    ]


def test_a_symbol_in_the_news_is_halted_quoted_crossed_and_trades_again_at_another_price():
    event = {"kind": "news", "at": "11:00:00", "scope": "BEXA", "percent": 5, "duration_s": 60}
    scenario = msgspec.convert(
        {"symbols": 3, "messages": 100_000, "event": [event], "volatility_of_volatility": 0},
        Scenario,
    )
    data = session(scenario)
    told = [
        (row["trading_state"], row["reason"].strip(), row["timestamp"] // NS_PER_S)
        for row in messages_of(data, "H")
        if row["stock_locate"] == 2
    ]
    assert told == [
        ("T", "", 12_600),
        ("H", "T1", 39_600),
        ("Q", "T3", 39_660),
        ("T", "", 39_720),
    ]
    crosses = [row for row in messages_of(data, "Q") if row["cross_type"] == "H"]
    assert [(row["stock_locate"], row["timestamp"] // NS_PER_S) for row in crosses] == [(2, 39_720)]
    orders = [row for row in messages_of(data, "A") if row["stock_locate"] == 2]
    before = [row["price"] for row in orders if 39_000 < row["timestamp"] // NS_PER_S < 39_600]
    after = [row["price"] for row in orders if 39_720 < row["timestamp"] // NS_PER_S < 40_300]
    assert 1.03 < median(after) / median(before) < 1.07


def test_a_fall_pauses_symbols_breaches_the_market_and_halts_all():
    event = {"kind": "drift", "at": "13:00:00", "percent": -9, "duration_s": 120}
    scenario = msgspec.convert({"symbols": 5, "messages": 200_000, "event": [event]}, Scenario)
    data = session(scenario)
    assert [row["breached_level"] for row in messages_of(data, "W")] == ["1"]
    reasons = [row["reason"].strip() for row in messages_of(data, "H")]
    assert reasons.count("MWC1") + reasons.count("LUDP") >= 5
    assert len(messages_of(data, "J")) == reasons.count("LUDP")
    assert messages_of(data, "H")[-1]["trading_state"] == "T"


def test_stuffing_brings_orders_by_the_thousand_that_are_gone_at_once():
    event = {"kind": "stuffing", "at": "10:00:00", "scope": "ARLO", "rate": 5000, "duration_s": 2}
    scenario = msgspec.convert({"symbols": 2, "messages": 20_000, "event": [event]}, Scenario)
    stuffed = [
        row
        for row in messages_of(session(scenario), "A")
        if row["stock_locate"] == 1 and 36_000 <= row["timestamp"] / NS_PER_S < 36_002
    ]
    assert len(stuffed) >= 4_900


def test_a_gap_is_there_when_the_day_begins():
    event = {"kind": "gap", "at": "04:00:00", "scope": "ARLO", "percent": 20}
    scenario = msgspec.convert({"symbols": 2, "messages": 20_000, "event": [event]}, Scenario)
    close = load_profiles(1)[0].price_ticks / 100
    opening = messages_of(session(scenario), "Q")[0]
    assert opening["stock_locate"] == 1
    assert 1.15 < float(opening["cross_price"]) / close < 1.25


@pytest.mark.parametrize(
    ("day", "utc"), [("2026-07-01", "13:30:00.000001Z"), ("2026-12-01", "14:30:00.000001Z")]
)
def test_new_york_is_four_hours_behind_in_summer_and_five_in_winter(day: str, utc: str):
    scenario = msgspec.convert({"day": day}, Scenario)
    assert utc_of(scenario, 34_200 * NS_PER_S + 1_500) == f"{day}T{utc}"
