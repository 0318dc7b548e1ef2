"""Every built-in pattern against its slow twin, tick by tick, over made-up markets."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from feedhandler.core.events import TICK
from feedhandler.core.patterns import BUILT_IN, DEFAULTS
from tests.reference.slow_patterns import TWINS
from tests.unit.feedhandler.core.patterns.desk import (
    CENT_E9,
    MS,
    SECOND,
    TOUCH,
    Desk,
)
from tests.unit.feedhandler.core.patterns.made_up import MadeUp

LEGS = {"pair_spread": 2, "lead_lag": 2, "crossed": 2, "triangle": 3, "basket": 4}
# Low thresholds, so that every pattern finds something in a few hundred ticks.
PARAMS: dict[str, dict[str, int]] = {
    "pair_spread": {
        "window_samples": 6,
        "sample_ns": MS,
        "entry_z_e2": 150,
        "edge_bps": 1,
        "hold_ns": 1_000,
    },
    "lead_lag": {
        "leader_move_ticks": 2,
        "leader_move_spreads": 1,
        "leader_move_bps": 5,
        "window_ns": SECOND,
        "follow_ns": 20 * MS,
    },
    "basket": {
        "cost_bps": 5,
        "unit_shares": 6,
        "hold_ns": 50_000,
        "weight_1": 1,
        "weight_2": 2,
        "weight_3": 3,
    },
    "triangle": {"cost_ppm": 300, "scale_e9": 2_000_000_000, "hold_ns": 50_000},
    "crossed": {"edge_e9": CENT_E9, "hold_ns": MS},
    "momentum_burst": {"move_bps": 2, "trades_min": 2, "window_ns": SECOND, "one_sided_bps": 6_000},
    "imbalance_with_trade": {
        "imbalance_bps": 8_000,
        "window_ns": SECOND,
        "cooldown_ns": MS,
        "trade_qty_min": 200,
    },
    "quote_stuffing": {"messages_min": 8, "trades_max": 3, "window_ns": 80 * MS},
    "sweep": {"levels_min": 3, "window_ns": 50 * MS, "qty_min": 300},
    "iceberg": {"refills_min": 3, "refill_ns": SECOND, "idle_ns": 2 * SECOND},
}
CENTERS = {"triangle": (10_000, 1_000, 500)}


def legs_of(name: str) -> tuple[int, ...]:
    return tuple(range(3, 3 + LEGS.get(name, 1)))


def run_both(name: str, seed: int, count: int, **params: int) -> tuple[list[Any], list[Any]]:
    """What the pattern and its twin say of the same ticks, by their number."""
    legs = legs_of(name)
    given_params = {**DEFAULTS[name], **PARAMS[name], **params}
    desk = Desk(BUILT_IN[name], legs, **given_params)
    twin: Any = TWINS[name](legs, **given_params)
    market = MadeUp(seed, legs, CENTERS.get(name, (5_000,) * len(legs)))
    said: list[Any] = []
    told: list[Any] = []
    for number, event in enumerate(market.events(count)):
        said.append((number, signal) if (signal := desk.see(**event)) else None)
        rows = {leg: row_of(desk.market[leg]) for leg in legs}
        tick = {field: int(desk.ticks[1][field]) for field in TICK.names or ()}
        told.append((number, found) if (found := twin.see(tick, rows)) else None)
    return [each for each in said if each], [each for each in told if each]


def row_of(row: Any) -> dict[str, int]:
    return {field: int(row[field]) for field in (*TOUCH, "seq", "mid_e9", "flags")}


@pytest.mark.parametrize("name", sorted(BUILT_IN))
@given(seed=st.integers(0, 2**32), count=st.integers(1, 400))
@example(seed=365, count=89)  # an execution at a price of its own, of the other side
@example(seed=372527, count=98)  # executions without a reference, after a chain
def test_pattern_says_what_its_slow_twin_says(name: str, seed: int, count: int):
    said, told = run_both(name, seed, count)
    assert said == told


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_the_made_up_markets_have_something_for_every_pattern(name: str):
    found = Counter(signal[0] for seed in range(6) for _, signal in run_both(name, seed, 800)[0])
    assert found[1] > 2
    assert found[-1] > 2


@given(seed=st.integers(0, 2**32))
def test_pair_spread_as_a_ratio_is_that_of_its_twin(seed: int):
    said, told = run_both("pair_spread", seed, 300, log_spread=0)
    assert said == told


@given(words=st.lists(st.integers(-(2**62), 2**62), min_size=40, max_size=40))
@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_no_price_time_or_quantity_makes_a_pattern_leave_its_state(name: str, words: list[int]):
    desk = Desk(BUILT_IN[name], legs_of(name), **PARAMS[name])
    fence = np.full(desk.state.size + 2, 77, np.int64)
    fence[1:-1] = 0
    desk.state = fence[1:-1]
    fields = ("ts_exch_ns", "price_e9", "qty", *TOUCH)
    market = MadeUp(words[0], legs_of(name), CENTERS.get(name, (5_000,) * len(legs_of(name))))
    with np.errstate(over="ignore"):
        for number, event in enumerate(market.events(40)):
            word = words[number % len(words)]
            desk.see(**{**event, fields[number % len(fields)]: abs(word)})
    assert (fence[0], fence[-1]) == (77, 77)
    assert len(desk.state) == BUILT_IN[name].state_words  # type: ignore[attr-defined]
