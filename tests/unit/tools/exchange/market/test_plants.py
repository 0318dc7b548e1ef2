"""What is planted for patterns to find: a slow look at the bytes finds what the truth tells, all of
it, and nothing else.
"""

from bisect import bisect_right
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest

from protocols.kernel_cache import JIT_ENABLED
from tests.reference.exchange_checker import blocks
from tests.reference.slow_plants import (
    Event,
    Middle,
    SlowTape,
    Sweep,
    Trade,
    refills,
    sweeps,
)
from tools.exchange.checker import check_file
from tools.exchange.day import NS_PER_MS, NS_PER_S
from tools.exchange.generate import generate_day, make_market
from tools.exchange.market.day import generate_market_nb
from tools.exchange.market.profiles import load_profiles
from tools.exchange.market.scenario import Scenario

pytestmark = [
    pytest.mark.skipif(not JIT_ENABLED, reason="a day takes too long interpreted"),
    pytest.mark.usefixtures("market_kernels"),
]

SYMBOLS = 25
RELATIONS = (
    {"kind": "pair", "symbols": ["HOLT", "ESTO"]},
    {"kind": "basket", "symbols": ["ARLO", "BEXA", "CIRQ"], "weights": [3, 1]},
    {"kind": "triangle", "symbols": ["KORA", "FYNN", "BEXA"]},
)
EVENTS = (
    {"kind": "sweep", "count": 15, "levels": 6},
    {"kind": "iceberg", "count": 8, "shares": 3_050, "display": 300, "duration_s": 15},
    {"kind": "momentum", "count": 8, "percent": 0.5, "trades": 12, "duration_s": 3},
    {"kind": "arbitrage", "count": 9, "percent": 0.7, "duration_s": 30},
    {
        "kind": "lead_lag",
        "count": 2,
        "percent": 0.4,
        "lag_ms": 300,
        "every_s": 10,
        "duration_s": 200,
    },
)
DAY = {
    "symbols": SYMBOLS,
    "messages": 250_000,
    "orders_per_symbol": 100,
    "jumps_per_day": 0,
    "relation": RELATIONS,
    "event": EVENTS,
}
SIDES = {"buy": "B", "sell": "S"}
SEEDS = (1, 2, 3)


class Day(NamedTuple):
    """A day's truth, what was planted, and what its tape shows."""

    truth: dict[str, Any]
    planted: list[dict[str, Any]]
    events: list[Event]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [row for row in self.planted if row["kind"] == kind]


@pytest.fixture(scope="module", params=SEEDS)
def day(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Day:
    path = tmp_path_factory.mktemp("plants") / "day.itch"
    generate_day(msgspec.convert(DAY, Scenario), request.param, path)
    assert check_file(path)["broken"] == []
    truth = msgspec.json.decode(Path(f"{path}.truth.json").read_bytes())
    assert truth["rows_lost"] == truth["events_lost"] == 0
    planted = [row for row in truth["happened"] if row["what"] == "planted"]
    events = list(SlowTape(range(1, SYMBOLS + 1)).events(blocks(path.read_bytes())))
    return Day(truth, planted, events)


class Middles:
    """The middle price of each symbol at any time, in 1e-4."""

    def __init__(self, events: list[Event]) -> None:
        self.times: dict[int, list[int]] = {locate: [] for locate in range(1, SYMBOLS + 1)}
        self.values: dict[int, list[float]] = {locate: [] for locate in self.times}
        for event in events:
            if isinstance(event, Middle) and event.twice4:
                self.times[event.locate].append(event.ts_ns)
                self.values[event.locate].append(event.twice4 / 2)

    def at(self, locate: int, ts_ns: int) -> float:
        return self.values[locate][bisect_right(self.times[locate], ts_ns) - 1]

    def percent(self, locate: int, from_ns: int, until_ns: int) -> float:
        """By how much it moved between two times."""
        return (self.at(locate, until_ns) / self.at(locate, from_ns) - 1) * 100


def test_everything_that_was_asked_for_is_in_the_truth(day: Day):
    for event in EVENTS:
        assert len(day.of(str(event["kind"]))) == event["count"]
    for row in day.planted:
        assert row["ts_ns"] <= row["until_ns"]
        assert row["direction"] in ((0,) if row["kind"] == "lead_lag" else (1, -1))


def test_orders_that_take_six_prices_are_those_that_were_planted(day: Day):
    told = {
        Sweep(
            row["ts_ns"],
            row["locate"],
            SIDES[row["side"]],
            row["shares"],
            row["levels"],
            row["seq"],
            row["last_seq"],
        )
        for row in day.of("sweep")
    }
    assert set(sweeps(day.events, 6)) == told
    for row in day.of("sweep"):
        assert row["executions"] == row["last_seq"] - row["seq"] + 1
        assert (row["last_price4"] > row["price4"]) == (row["direction"] > 0)


def test_chains_of_refills_are_the_icebergs(day: Day):
    chains = [chain for chain in refills(day.events, 5_000) if len(chain) > 3]
    found = [[(each.ts_ns, each.reference, each.shares) for each in chain] for chain in chains]
    told = [
        [(each["ts_ns"], each["reference"], each["shares"]) for each in row["shown"]]
        for row in day.of("iceberg")
    ]
    assert sorted(found) == sorted(told)
    rows = {row["shown"][0]["reference"]: row for row in day.of("iceberg")}
    for chain in chains:
        row = rows[chain[0].reference]
        assert {each.price4 for each in chain} == {row["price4"]}
        assert {each.side for each in chain} == {SIDES[row["side"]]}
        assert {each.locate for each in chain} == {row["locate"]}


def test_an_iceberg_trades_as_much_as_is_told_and_most_are_done(day: Day):
    shares: dict[int, int] = {}
    for event in day.events:
        if isinstance(event, Trade):
            shares[event.reference] = shares.get(event.reference, 0) + event.shares
    done = 0
    for row in day.of("iceberg"):
        assert sum(shares.get(each["reference"], 0) for each in row["shown"]) == row["executed"]
        shown = [each["shares"] for each in row["shown"]]
        assert set(shown[:-1]) == {300}
        if row["executed"] == row["total"]:
            assert sum(shown) == 3_050
            done += 1
    assert done >= 7


def test_a_burst_of_momentum_is_of_one_side_and_moves_the_price_as_told(day: Day):
    middles = Middles(day.events)
    trades = [event for event in day.events if isinstance(event, Trade)]
    for row in day.of("momentum"):
        taken = [
            trade
            for trade in trades
            if trade.locate == row["locate"] and row["ts_ns"] <= trade.ts_ns < row["until_ns"]
        ]
        times = {trade.ts_ns for trade in taken if trade.taker == SIDES[row["side"]]}
        assert len(times) >= row["trades"] == 12
        middle4 = middles.at(row["locate"], row["ts_ns"] - 1)
        assert middle4 == pytest.approx(row["middle_price4"], abs=0.5)
        moved4 = middles.at(row["locate"], row["until_ns"] - 1) - middle4
        assert moved4 == row["moved_ticks"] * 100
        assert 0.25 < row["direction"] * moved4 / middle4 * 100 < 1


def test_followers_follow_leaders_after_the_lag(day: Day):
    middles = Middles(day.events)
    late_ns = 50 * NS_PER_MS
    right = moves = 0
    for row in day.of("lead_lag"):
        leader, follower = row["locates"]
        assert len(row["moves"]) >= 10
        for move in row["moves"]:
            lead_ns, follow_ns = move["lead_ns"], move["follow_ns"]
            assert follow_ns - lead_ns == row["lag_ms"] * NS_PER_MS
            assert row["ts_ns"] < lead_ns < follow_ns <= row["until_ns"]
            assert 0.4 <= abs(move["percent"]) <= 0.81
            assert (move["percent"] > 0) == (move["direction"] > 0)
            led = middles.percent(leader, lead_ns - 1, lead_ns + late_ns)
            early = middles.percent(follower, lead_ns - 1, follow_ns - 1)
            followed = middles.percent(follower, follow_ns - 1, follow_ns + late_ns)
            moves += 1
            right += (
                led == pytest.approx(move["percent"], abs=0.2)
                and followed == pytest.approx(move["percent"], abs=0.2)
                and abs(early) < 0.2
            )
    # A quote that is far away, or a move of its own, is in the way of a few.
    assert right >= 0.9 * moves


def away_percent(relation: dict[str, Any], prices: list[float]) -> float:
    """How far the first price is from its relation to the others, in percent."""
    first, *firsts = relation["first_price4"]
    price, *others = prices
    parts = [one / other for one, other in zip(others, firsts, strict=True)]
    fair = {
        "pair": lambda: parts[0],
        "triangle": lambda: parts[0] * parts[1],
        "basket": lambda: np.dot(relation["weights"], others) / np.dot(relation["weights"], firsts),
    }[relation["kind"]]()
    return (price / first / fair - 1) * 100


def test_prices_part_from_their_relation_when_the_truth_says_so_and_else_not(day: Day):
    middles = Middles(day.events)
    for relation in day.truth["relations"]:
        rows = [row for row in day.of("arbitrage") if row["symbol"] == relation["symbols"][0]]
        assert len(rows) == 3
        outside = []
        for ts_ns in range(35_000 * NS_PER_S, 57_000 * NS_PER_S, NS_PER_S):
            away = away_percent(relation, [middles.at(each, ts_ns) for each in relation["locates"]])
            row = next(
                (row for row in rows if row["ts_ns"] <= ts_ns < row["until_ns"] + NS_PER_S), None
            )
            if row is None:
                outside.append(away)
            elif row["ts_ns"] + NS_PER_S // 10 < ts_ns < row["until_ns"]:
                assert away == pytest.approx(row["percent"], abs=0.25)
        assert np.std(outside) < 0.06
        assert abs(np.mean(outside)) < 0.02
        assert np.quantile(np.abs(outside), 0.999) < 0.35


def session(scenario: Scenario, seed: int, limit: int) -> bytes:
    market = make_market(scenario, load_profiles(scenario.symbols), seed)
    buffer, data = np.zeros(1 << 20, np.uint8), b""
    while True:
        count, size = generate_market_nb(market, buffer, limit)
        if count == 0:
            return data
        data += buffer[:size].tobytes()


def test_the_same_seed_plants_the_same_in_batches_of_any_size():
    scenario = msgspec.convert(DAY | {"messages": 50_000}, Scenario)
    whole = session(scenario, 5, 1 << 20)
    assert session(scenario, 5, 11) == whole
    assert session(scenario, 6, 1 << 20) != whole


def test_three_seeds_plant_at_three_sets_of_times(tmp_path: Path):
    scenario = msgspec.convert(DAY | {"messages": 50_000}, Scenario)
    times = []
    for seed in SEEDS:
        path = tmp_path / "day.itch"
        generate_day(scenario, seed, path)
        truth = msgspec.json.decode(Path(f"{path}.truth.json").read_bytes())
        times.append({row["ts_ns"] for row in truth["happened"] if row["what"] == "planted"})
    assert all(len(each) > 30 for each in times)
    assert not times[0] & times[1] | times[1] & times[2] | times[2] & times[0]


def told_of(tmp_path: Path, *events: dict[str, Any]) -> list[dict[str, Any]]:
    path = tmp_path / "day.itch"
    day = {"symbols": 3, "messages": 60_000, "orders_per_symbol": 60, "event": events}
    generate_day(msgspec.convert(day, Scenario), 1, path)
    assert check_file(path)["broken"] == []
    truth = msgspec.json.decode(Path(f"{path}.truth.json").read_bytes())
    return [row for row in truth["happened"] if row["what"] == "planted"]


def test_what_can_not_begin_in_a_halt_waits_for_its_end_or_is_left_out(tmp_path: Path):
    sweep = {"kind": "sweep", "at": "11:00:30", "scope": "BEXA", "levels": 4, "side": "sell"}
    for duration_s, expected in ((60, 1), (900, 0)):
        news = {"kind": "news", "at": "11:00:00", "scope": "BEXA", "duration_s": duration_s}
        told = told_of(tmp_path, news, sweep)
        assert len(told) == expected
        assert all(row["ts_ns"] >= 39_720 * NS_PER_S for row in told)


def test_an_iceberg_that_nobody_takes_in_a_halt_is_withdrawn(tmp_path: Path):
    iceberg = {
        "kind": "iceberg",
        "at": "10:59:59",
        "scope": "BEXA",
        "shares": 90_000,
        "display": 500,
        "duration_s": 20,
    }
    news = {"kind": "news", "at": "11:00:00", "scope": "BEXA", "duration_s": 600, "percent": 3}
    (row,) = told_of(tmp_path, news, iceberg)
    assert row["executed"] < row["total"]
    assert 75 < (row["until_ns"] - row["ts_ns"]) / NS_PER_S < 85
