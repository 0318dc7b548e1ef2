"""Any seed gives a market that keeps its own rules, as an independent replay sees them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.kernel_cache import JIT_ENABLED
from tests.reference.exchange_checker import blocks, check
from tests.unit.tools.exchange.support import recount_levels
from tools.exchange.flow import generate_nb
from tools.exchange.layout import LEVEL_QUANTITY, FlowSettings, allocate_engine
from tools.exchange.truth import summary

MESSAGES = 4000 if JIT_ENABLED else 600


def generate(flow: FlowSettings, batch: int = 1 << 20) -> tuple[bytes, dict]:
    engine = allocate_engine(flow)
    buffer = np.zeros(1 << 16, np.uint8)
    data = b""
    while True:
        count, size = generate_nb(engine, buffer, batch)
        if count == 0:
            return data, summary(engine)
        data += buffer[:size].tobytes()


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**64),
    symbols=st.integers(1, 12),
    orders_per_symbol=st.integers(4, 60),
    simulated_rate=st.sampled_from([500, 20_000, 1_000_000_000]),
    halt_interval_ms=st.sampled_from([1, 50, 2000]),
)
def test_every_session_keeps_the_rules_of_a_market(
    seed: int, symbols: int, orders_per_symbol: int, simulated_rate: int, halt_interval_ms: int
):
    flow = FlowSettings(
        seed, symbols, simulated_rate, MESSAGES, orders_per_symbol, halt_interval_ms
    )
    data, truth = generate(flow)
    checker = check(blocks(data))
    assert truth == {
        "messages": MESSAGES,
        "types": dict(checker.types),
        "orders_live": len(checker.orders),
        "books_digest": checker.digest(),
    }
    assert checker.events == ["O", "S", "Q", "M", "E", "C"]


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 1000), batch=st.integers(1, 700))
def test_a_session_does_not_depend_on_the_batches_it_was_made_in(seed: int, batch: int):
    flow = FlowSettings(seed, 4, messages=MESSAGES // 2, orders_per_symbol=20)
    assert generate(flow, batch) == generate(flow)


@settings(max_examples=10, deadline=None)
@given(messages=st.integers(3, 40), symbols=st.integers(1, 30))
def test_the_shortest_sessions_have_exactly_their_messages_and_a_proper_end(
    messages: int, symbols: int
):
    data, truth = generate(FlowSettings(1, symbols, messages=messages))
    checker = check(blocks(data))
    assert truth["messages"] == checker.types.total() == messages
    assert checker.events[-3:] == ["M", "E", "C"]


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 1000),
    symbols=st.integers(1, 6),
    orders_per_symbol=st.integers(4, 40),
    messages=st.integers(20, MESSAGES),
)
def test_levels_hold_the_shares_and_orders_that_a_recount_finds(
    seed: int, symbols: int, orders_per_symbol: int, messages: int
):
    engine = allocate_engine(FlowSettings(seed, symbols, orders_per_symbol=orders_per_symbol))
    generate_nb(engine, np.zeros(1 << 18, np.uint8), messages)
    np.testing.assert_array_equal(engine.levels[:, LEVEL_QUANTITY:], recount_levels(engine))
