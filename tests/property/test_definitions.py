"""Patterns that are defined: what is written out says what the definition means."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedhandler.core import guards
from feedhandler.core.events import TICK
from feedhandler.server.definitions import Definition, write_source
from feedhandler.server.expressions import MARKET_FIELDS
from tests.reference.slow_definitions import LIMIT, SlowDefinition, cut
from tests.unit.feedhandler.core.patterns.desk import Desk
from tests.unit.feedhandler.core.patterns.made_up import MadeUp

LEGS = (3, 4)
SMALL = (0, 1, 2, 100, 300, 5_000)
FIELDS = ("bid_qty", "ask_qty", "mid_e9", "bid_price_e9", "volatility_e9", "seq")
TICK_ONLY = ("kind", "side", "qty", "price_e9", "order_ref", "flags")

names = st.one_of(
    st.sampled_from(FIELDS),
    st.sampled_from([f"{leg}.{name}" for leg in "ab" for name in FIELDS]),
    st.sampled_from([f"tick.{name}" for name in TICK_ONLY]),
    st.sampled_from(["EXECUTE", "ADD", "BUY", "SELL", "least"]),
    st.sampled_from(SMALL).map(str),
    st.integers(0, LIMIT).map(str),
)


def deeper(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(["+", "-", "*", "//", "%", "&"])
    return st.one_of(
        st.tuples(inner, operators, inner).map(lambda parts: f"({' '.join(parts)})"),
        st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(
            lambda parts: f"{parts[0]}({parts[1]}, {parts[2]})"
        ),
        inner.map(lambda one: f"abs({one})"),
        inner.map(lambda one: f"-{one}"),
    )


numbers = st.recursive(names, deeper, max_leaves=4)
comparisons = st.one_of(
    st.tuples(numbers, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), numbers).map(" ".join),
    st.sampled_from(
        [
            "tick.kind == EXECUTE",
            "tick.side == BUY",
            "bid_qty > 2 * a.ask_qty",
            "b.bid_qty < b.ask_qty",
            "100 <= tick.qty < 300",
            "on(b)",
            "on(a)",
        ]
    ),
)
conditions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" and ", " or "]), inner).map(
            lambda parts: f"({''.join(parts)})"
        ),
        inner.map(lambda one: f"not ({one})"),
    ),
    max_leaves=3,
)
orders = {
    "legs": st.just(("a", "b")),
    "params": st.fixed_dictionaries({"least": st.sampled_from(SMALL)}),
    "side": st.one_of(st.sampled_from(["buy", "sell", "tick.side"]), numbers),
    "price": st.one_of(st.just(""), numbers),
    "qty": st.one_of(st.integers(0, 100), numbers),
    "values": st.lists(numbers, max_size=3).map(tuple),
    "confidence_bps": st.one_of(st.integers(0, 10_000), numbers),
}
guard_definitions = st.builds(
    Definition,
    name=st.just("guard"),
    when=conditions,
    for_ms=st.sampled_from([0, 0, 1, 500]),
    **orders,
)
steps = st.lists(conditions, min_size=2, max_size=4).map(
    lambda guards: tuple(f"{chr(65 + i)}: {guard}" for i, guard in enumerate(guards))
)
sequence_definitions = st.builds(
    Definition,
    name=st.just("sequence"),
    sequence=steps,
    unless=st.one_of(st.just(""), conditions),
    within_ms=st.sampled_from([1, 50, 1_500]),
    **orders,
)
plain_orders = {"legs": ("a", "b"), "params": {"least": 1}}


def load(definition: Definition) -> Any:
    """The function that was written out, in plain Python."""
    source = write_source(definition, "defined", "patterns[0]")
    space: dict[str, Any] = {}
    exec(compile(source, "defined.py", "exec"), space)
    return space["defined"]


def run_both(definition: Definition, seed: int, count: int) -> tuple[list[Any], list[Any]]:
    function = load(definition)
    desk = Desk(function, LEGS, code=function, **definition.params)
    twin = SlowDefinition(definition, LEGS)
    said: list[Any] = []
    told: list[Any] = []
    for event in MadeUp(seed, LEGS, (5_000, 5_000)).events(count):
        said.append(desk.see(**event))
        rows = {leg: {name: int(desk.market[leg][name]) for name in MARKET_FIELDS} for leg in LEGS}
        tick = {name: int(desk.ticks[1][name]) for name in TICK.names or ()}
        told.append(twin.see(tick, rows))
    return said, told


@given(definition=guard_definitions, seed=st.integers(0, 2**32))
def test_a_guard_is_what_its_slow_twin_says(definition: Definition, seed: int):
    said, told = run_both(definition, seed, 60)
    assert said == told


@given(definition=sequence_definitions, seed=st.integers(0, 2**32))
def test_a_sequence_is_what_its_slow_twin_says(definition: Definition, seed: int):
    said, told = run_both(definition, seed, 100)
    assert said == told


@pytest.mark.parametrize(
    "definition",
    [
        Definition(name="g", when="bid_qty > 2 * b.ask_qty", for_ms=1, **plain_orders),
        Definition(
            name="s",
            sequence=(
                "A: on(a) and tick.kind == EXECUTE",
                "B: on(b) and tick.kind == EXECUTE",
                "C: on(a) and tick.side == SELL",
            ),
            unless="tick.kind == REPLACE",
            within_ms=20_000,
            side="-tick.side",
            **plain_orders,
        ),
    ],
    ids=["guard", "sequence"],
)
def test_definitions_find_something_in_made_up_markets(definition: Definition):
    found = [run_both(definition, seed, 500) for seed in range(8)]
    assert all(said == told for said, told in found)
    assert sum(signal is not None for said, _ in found for signal in said) > 10


words = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([0, 1, -1, LIMIT, -LIMIT, 2**31, -(2**31), 2**63 - 1, -(2**63)]),
)


@given(words, words)
def test_arithmetic_is_that_of_large_integers_cut_off_at_the_ends(left: int, right: int):
    one, other = np.int64(left), np.int64(right)
    a, b = cut(left), cut(right)
    assert guards.plus_nb(one, other) == cut(a + b)
    assert guards.minus_nb(one, other) == cut(a - b)
    assert guards.times_nb(one, other) == cut(a * b)
    assert guards.over_nb(one, other) == (a // b if right else 0)
    assert guards.rest_nb(one, other) == (a % b if right else 0)
    assert guards.magnitude_nb(one) == abs(a)
    assert guards.sign_nb(one) == (left > 0) - (left < 0)
