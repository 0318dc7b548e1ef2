"""Events that the seed places: as many as were asked for, apart, in time, and others for each
seed.
"""

import re
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from tools.exchange.day import NS_PER_S
from tools.exchange.market.layout import RELATION, allocate_market
from tools.exchange.market.placing import placed_events
from tools.exchange.market.profiles import load_profiles
from tools.exchange.market.relations import MEMBERS, NOISE_STEP, TOTAL, WEIGHTS
from tools.exchange.market.scenario import (
    CLOSE_S,
    OPEN_S,
    Event,
    Scenario,
    clock_ns_of,
    text_of_clock,
)

PROFILES = load_profiles(20)
PAIR = {"kind": "pair", "symbols": ["HOLT", "ESTO"]}
BASKET = {"kind": "basket", "symbols": ["ARLO", "BEXA", "CIRQ"], "weights": [2, 3]}
SWEEPS = {"kind": "sweep", "count": 30, "levels": 6}
LEAD = {
    "kind": "lead_lag",
    "count": 4,
    "percent": 0.2,
    "lag_ms": 200,
    "every_s": 5,
    "duration_s": 300,
}


def scenario_of(*events: dict[str, Any], relation: tuple[dict[str, Any], ...] = ()) -> Scenario:
    values = {"symbols": 20, "event": events, "relation": relation}
    return msgspec.convert(values, Scenario)


def placed(seed: int, *events: dict[str, Any], **other: Any) -> tuple[Event, ...]:
    return placed_events(scenario_of(*events, **other), PROFILES, seed)


def test_the_seed_chooses_when_and_to_whom_and_each_chooses_otherwise():
    sets = [placed(seed, SWEEPS) for seed in (1, 2, 3)]
    assert sets[0] == placed(1, SWEEPS)
    times = [{(event.at, event.scope, event.side) for event in each} for each in sets]
    assert all(len(each) == 30 for each in times)
    assert not times[0] & times[1] | times[1] & times[2] | times[2] & times[0]
    for each in sets:
        assert {event.side for event in each} == {"buy", "sell"}
        assert len({event.scope for event in each}) > 10


def test_times_are_spread_over_the_session_and_symbols_have_one_thing_at_a_time():
    event = SWEEPS | {"between": ["10:00:00", "15:00:00"], "duration_s": 20}
    news = {"kind": "news", "count": 20, "percent": 1.0, "duration_s": 300}
    found = placed(4, event, news)
    sweeps = [each for each in found if each.kind == "sweep"]
    part_ns = 600 * NS_PER_S
    slots = [(each.at_ns - clock_ns_of("10:00:00")) // part_ns for each in sweeps]
    assert slots == list(range(30))
    busy = [(each.scope, each.at_ns, each.until_ns) for each in found]
    for scope in {each.scope for each in found}:
        own = sorted(row[1:] for row in busy if row[0] == scope)
        assert all(one[1] < two[0] for one, two in pairwise(own))


def test_so_many_an_hour_is_so_many_in_all():
    event = {"kind": "stuffing", "per_hour": 2.5, "between": ["10:00:00", "14:00:00"]}
    assert len(placed(1, event)) == 10


def test_another_event_changes_nothing_about_one_before_it():
    one = placed(1, SWEEPS)
    assert placed(1, SWEEPS, {"kind": "jump", "count": 3, "percent": 1.0})[:30] == one


def test_a_scope_limits_whom_it_happens_to_and_a_new_symbol_is_left_alone():
    sector = PROFILES[0].sector
    new = {"kind": "ipo", "at": "10:45:00", "scope": "ARLO"}
    found = placed(2, SWEEPS | {"scope": sector, "count": 9}, new)
    names = {each.scope for each in found if each.kind == "sweep"}
    assert names == {each.symbol for each in PROFILES if each.sector == sector} - {"ARLO"}


def test_leaders_and_followers_are_two():
    for seed in range(20):
        for event in placed(seed, LEAD):
            assert len(set(event.symbols)) == 2
            assert event.scope == event.symbols[0]


def test_partings_are_of_all_relations_and_go_both_ways_and_others_leave_those_alone():
    arbitrage = {"kind": "arbitrage", "count": 12, "percent": 0.5}
    found = placed(1, arbitrage, SWEEPS, relation=(PAIR, BASKET))
    partings = [each for each in found if each.kind == "arbitrage"]
    assert [each.scope for each in partings].count("HOLT") == 6
    assert {each.percent for each in partings} == {0.5, -0.5}
    sweeps = {each.scope for each in found if each.kind == "sweep"}
    assert not sweeps & {"HOLT", "ESTO", "ARLO", "BEXA", "CIRQ"}


def test_a_given_time_stays_and_only_the_side_is_chosen():
    event = {"kind": "sweep", "at": "10:00:00.5", "scope": "ARLO", "levels": 3}
    sides = {placed(seed, event)[0].side for seed in range(9)}
    assert sides == {"buy", "sell"}
    given = placed(1, event | {"side": "buy"})
    assert [(each.at, each.scope, each.side) for each in given] == [("10:00:00.5", "ARLO", "buy")]


def test_a_clock_as_text_is_read_again():
    for ns in (0, 1_000, 34_200 * NS_PER_S + 5_000, 86_399_999_999_000):
        assert clock_ns_of(text_of_clock(ns)) == ns


def test_a_relation_has_its_members_weights_and_first_prices():
    scenario = scenario_of(relation=(PAIR, BASKET))
    market = allocate_market(scenario, PROFILES, 1)
    prices = {each.symbol: each.price_ticks << 8 for each in PROFILES}
    names = [each.symbol for each in PROFILES]
    row = market.relations[1]
    assert row[TOTAL] == 2 * prices["BEXA"] + 3 * prices["CIRQ"]
    assert row[MEMBERS : MEMBERS + 2].tolist() == [names.index("BEXA"), names.index("CIRQ")]
    assert row[WEIGHTS : WEIGHTS + 2].tolist() == [2, 3]
    assert row[NOISE_STEP] > 0
    assert market.own[names.index("HOLT"), RELATION] == 1
    assert market.own[names.index("ARLO"), RELATION] == 2
    assert (market.own[:, RELATION] > 0).sum() == 2


@pytest.mark.parametrize(
    ("event", "relation", "wrong"),
    [
        ({"kind": "arbitrage", "count": 1, "percent": 1}, (), "no [[relation]] to part from"),
        (
            {"kind": "arbitrage", "at": "10:00:00", "percent": 1, "scope": "ESTO"},
            (PAIR,),
            "'ESTO' is not the first symbol of a relation; there are HOLT",
        ),
        (
            {"kind": "jump", "at": "10:00:00", "percent": 1, "scope": "HOLT"},
            (PAIR,),
            "jump at 10:00:00: HOLT follows others by a relation",
        ),
        (SWEEPS, (PAIR, {"kind": "pair", "symbols": ["ESTO", "HOLT"]}), "in another relation too"),
        (SWEEPS, ({"kind": "pair", "symbols": ["HOLT", "NOBODY"]},), "'NOBODY' is not one of"),
        (SWEEPS | {"scope": "NOBODY"}, (), "scope 'NOBODY' is neither"),
        (LEAD | {"symbols": ["ARLO", "market"]}, (), "scope 'market' is not a symbol"),
        (
            {"kind": "sweep", "at": "09:29:00", "scope": "ARLO", "levels": 6},
            (),
            "it is to begin and end in market hours",
        ),
        (LEAD | {"between": ["10:00:00", "10:04:00"]}, (), "there is no room for 300.0 s"),
        (
            SWEEPS | {"scope": "ARLO", "count": 500},
            (),
            "no symbols of 'ARLO' are free",
        ),
        (
            {
                "kind": "momentum",
                "at": "10:00:00",
                "scope": "QUIL",
                "ticks": 9_000,
                "trades": 5,
                "side": "sell",
            },
            (),
            "leaves nothing of a price",
        ),
    ],
)
def test_what_can_not_be_placed_is_told(
    event: dict[str, Any], relation: tuple[dict[str, Any], ...], wrong: str
):
    scenario = scenario_of(event, relation=relation)
    with pytest.raises(ValueError, match=re.escape(wrong)):
        allocate_market(scenario, PROFILES, 1)


def test_market_hours_hold_all_that_is_placed():
    found = placed(7, SWEEPS, LEAD | {"count": 10})
    assert all(each.at_ns > OPEN_S * NS_PER_S for each in found)
    assert all(each.until_ns < CLOSE_S * NS_PER_S for each in found)
