"""Lanes of hostile ticks, and the order in which they are taken, against the slow twins."""

from collections.abc import Iterator
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from feedhandler.core.analytics import INSTRUMENT
from feedhandler.core.engine import TAIL, Ring, note_newest_nb, ring_push_nb
from feedhandler.core.events import ONE_E9, TICK, Flag, Kind, symbol_word
from feedhandler.core.priority import Priority, allocate_priority, lane_of_nb
from feedhandler.core.stages import _next_slot_nb, _plan_nb
from feedhandler.server.config import MoveStep, PriorityConfig, RegimeStep, SizeStep
from feedhandler.server.priority import apply_priority, rules_of
from tests.reference.slow_priority import SlowLanes, SlowPriority, Tick, Waiting
from tests.unit.feedhandler.core.support import CAPACITY, make_shard

E9 = 100_000
S = 10**9
SYMBOLS = ("AAA", "BBB", "CCC", "DDDDDDDD")
GROUPS = {"G": ("AAA", "CCC")}
scores = st.integers(-255, 255)
seeds = st.integers(0, 2**32)


@st.composite
def steps(draw: st.DrawFn, values: st.SearchStrategy[int], most: int = 4) -> list[int]:
    return sorted(draw(st.sets(values, max_size=most)))


@st.composite
def configs(draw: st.DrawFn) -> PriorityConfig:
    """Configurations with any of the rules."""
    bps, times, up = draw(steps(st.integers(1, 1_023))), draw(steps(st.integers(0, 15))), [0]
    up += [high * 1_000 for high in draw(steps(st.integers(2, 50)))]
    return PriorityConfig(
        from_score=tuple(reversed(draw(steps(st.integers(1, 255), 15)))) or (90,),
        kinds=draw(st.dictionaries(st.sampled_from([k.name.lower() for k in Kind if k]), scores)),
        default_score=draw(scores),
        deep_quote_score=draw(scores),
        large_trade_qty=draw(st.sampled_from([1, 1_000, 2**29 - 1, 2**29, 10**12])),
        large_trade_notional=draw(st.sampled_from([1, 50_000, 10**12])),
        large_trade_score=draw(scores),
        moves=tuple(MoveStep(bps=each, score=draw(scores)) for each in bps),
        sizes=tuple(SizeStep(times=1 << each, score=draw(scores)) for each in times),
        regimes=tuple(
            RegimeStep(up_e9=high, down_e9=low + 1, score=draw(scores))
            for low, high in pairwise(up)
        ),
        regime_stay_ms=draw(st.sampled_from([0, 1, 60_000])),
        watch=draw(st.dictionaries(st.sampled_from([*SYMBOLS, "group:G"]), scores)),
        phases=draw(
            st.dictionaries(
                st.sampled_from(["pre_open", "opening", "continuous", "closing", "after"]), scores
            )
        ),
        opening_minutes=draw(st.sampled_from([0, 5, 1_440])),
        closing_minutes=draw(st.sampled_from([0, 5, 1_440])),
    )


hostile = st.one_of(st.sampled_from([0, 1, 99, 100, 2**29, 2**62]), st.integers(0, 2**63 - 1))
ticks = st.builds(
    Tick,
    kind=st.sampled_from(list(Kind)),
    flags=st.sampled_from([0, int(Flag.BBO_CHANGED), 1, 16]),
    status=st.sampled_from([ord(code) for code in "OSQMEC"]),
    ts_exch_ns=hostile,
    price_e9=st.one_of(st.just(100 * E9), st.integers(0, (2**32 - 1) * E9)),
    qty=st.one_of(st.integers(0, 20_000), hostile),
)


def random_events(random: Random, count: int) -> Iterator[tuple[Tick, int, int]]:
    """(tick, variance, move) one after the other: stamps mostly go on, volatility wanders, and now
    and then something is wild.
    """
    now_ns, volatility_e9 = 34_100 * S, 10_000
    for _ in range(count):
        now_ns += random.choice([0, 1, 1_000_000, 30 * S, 400 * S, 3_000 * S, -S, -11 * S])
        if random.random() < 0.02:
            now_ns = random.choice([0, 34_200 * S, 34_500 * S - 1, 57_300 * S, 57_600 * S, 2**62])
        volatility_e9 = max(0, volatility_e9 + random.randint(-9_000, 9_000))
        is_trade = random.random() < 0.4
        kind = random.choice([Kind.EXECUTE, Kind.TRADE] if is_trade else list(Kind))
        qty = random.choice([0, 1, 100, 200, 1_000, random.randint(0, 3_000), 2**63 - 1])
        price_e9 = random.choice([100 * E9, (2**32 - 1) * E9])
        flags = random.choice([0, int(Flag.BBO_CHANGED)])
        status = ord(random.choice("OSQMEC"))
        tick = Tick(kind, random.randint(0, 1), flags, status, now_ns, price_e9, qty)
        yield tick, min(volatility_e9, ONE_E9) ** 2, random.choice([0, 0, random.randint(0, 1_100)])


def lane_of(priority: Priority, instruments: Any, tick: Tick, moved_bps: int) -> int:
    rows = np.zeros(1, TICK)
    for name in ("kind", "instrument", "flags", "status", "ts_exch_ns", "price_e9", "qty"):
        rows[0][name] = getattr(tick, name)
    return int(lane_of_nb(priority, instruments, rows, 0, moved_bps))


@given(configs(), seeds)
def test_lanes_are_those_of_the_slow_twin(config: PriorityConfig, seed: int):
    random = Random(seed)
    priority, instruments = allocate_priority(4), np.zeros(4, INSTRUMENT)
    priority.rules[:] = rules_of(config, GROUPS, is_live=True)
    first = random.randint(0, 2)
    symbols = (*SYMBOLS, *SYMBOLS)[first : first + 4]
    instruments["symbol"] = [symbol_word(name) for name in symbols]
    slow = SlowPriority(config, GROUPS)
    for tick, variance_e18, moved_bps in random_events(random, 300):
        instruments[tick.instrument]["variance_e18"] = variance_e18
        expected = slow.lane(tick, symbols[tick.instrument], variance_e18, moved_bps)
        assert lane_of(priority, instruments, tick, moved_bps) == expected
        assert priority.rows["regime"][:2].tolist() == [slow.instruments[i].regime for i in (0, 1)]
        if config.sizes:
            averages = [slow.instruments[i].average_q8 for i in (0, 1)]
            assert priority.rows["qty_q8"][:2].tolist() == averages


def lane_before(tick: Tick, moved_bps: int) -> int:
    """The rules as they were when they gave lanes instead of scores, by default."""
    first = {
        *(Kind.SYSTEM_EVENT, Kind.TRADING_STATUS, Kind.OPERATIONAL_HALT, Kind.AUCTION_COLLAR),
        *(Kind.MARKET_DECLINE_LEVELS, Kind.MARKET_DECLINE_STATUS),
    }
    trades = {Kind.CROSS_TRADE, Kind.EXECUTE, Kind.EXECUTE_AT_PRICE, Kind.TRADE}
    if moved_bps >= 100:
        return 0
    if tick.kind in trades:
        qty = min(tick.qty, 2**29 - 1)
        if qty >= 10_000 or qty * (tick.price_e9 // E9) >= 10_000_000_000:
            return 0
    elif (tick.kind <= Kind.REPLACE or tick.kind == Kind.SET_LEVEL) and not (
        tick.flags & Flag.BBO_CHANGED
    ):
        return 3
    if tick.kind in first:
        return 0
    return 1 if tick.kind in trades | {Kind.BROKEN_TRADE, Kind.IMBALANCE} else 2


@given(ticks, st.integers(0, 1_100))
def test_the_defaults_give_the_lanes_that_they_always_gave(tick: Tick, moved_bps: int):
    if tick.kind == Kind.NONE or (moved_bps and not tick.flags & Flag.BBO_CHANGED):
        return
    priority = allocate_priority(4)
    priority.rules[:] = rules_of(PriorityConfig(), {}, is_live=False)
    got = lane_of(priority, np.zeros(4, INSTRUMENT), tick, moved_bps)
    assert got == lane_before(tick, moved_bps)


# -- the worker -----------------------------------------------------------------------------------

LANES = 4
Action = tuple[int, int, Kind] | None
"""A tick of (lane, instrument, kind) comes, or one is taken."""


def random_script(random: Random, count: int) -> Iterator[Action]:
    """Times with more and with fewer ticks than can be taken, and ticks of few lanes or of all."""
    share, lanes = 0.5, [0]
    for i in range(count):
        if i % 40 == 0:
            share = random.choice([0.2, 0.5, 0.7])
            lanes = random.sample(range(LANES), random.randint(1, LANES))
        kind = random.choice([Kind.ADD, Kind.DELETE, Kind.TRADE])
        come = random.random() < share
        yield (random.choice(lanes), random.randint(0, 2), kind) if come else None


def push(shard: Any, number: int, lane: int, instrument: int, kind: Kind) -> None:
    """As `_take_row_nb` does, in slot `number`."""
    tick = shard.ticks[number]
    tick["kind"], tick["instrument"], tick["priority"] = kind, instrument, lane
    note_newest_nb(shard.priority, shard.ticks, number, shard.lane_cursors[lane, TAIL])
    ring_push_nb(Ring(shard.lane_cursors[lane], shard.lane_cells[lane]), number)


@given(
    seeds,
    st.sampled_from([0, 1, 2, 5, 20]),
    st.frozensets(st.integers(0, LANES - 1)),
    st.integers(0, 4),
)
def test_ticks_are_taken_as_by_the_slow_twin_and_none_is_passed_over_twice(
    seed: int, age_every: int, conflating: frozenset[int], overload: int
):
    policies = tuple("conflate" if lane in conflating else "back-pressure" for lane in range(LANES))
    config = PriorityConfig(
        age_every=age_every,
        policies=policies,  # type: ignore[arg-type]
        overload_ticks=overload,
    )
    shard = make_shard(CAPACITY)
    shard.settings[:] = 0
    apply_priority(shard, config, {}, is_live=True)
    slow = SlowLanes(LANES, age_every, conflating, overload)
    script = list(random_script(Random(seed), 600))
    taken = []
    for number, action in enumerate([*script, *[None] * len(script)]):
        if action is not None:
            lane, instrument, kind = action
            push(shard, number, lane, instrument, kind)
            slow.push(Waiting(number, lane, instrument, kind != Kind.TRADE))
            continue
        expected = slow.take()
        slot, conflated = _next_slot_nb(shard, _plan_nb(shard))
        if expected is None:
            assert slot == -1
            continue
        tick, gives_way = expected
        assert (slot, bool(conflated)) == (tick.number, gives_way)
        assert tick.lane > 0 or tick.stood_behind <= 1
        taken.append(slot)
    pushed = [number for number, action in enumerate(script) if action is not None]
    assert sorted(taken) == pushed
