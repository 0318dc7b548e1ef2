"""A session of parts is the slow twin's, byte for byte, whoever makes it, and keeps the rules."""

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.kernel_cache import JIT_ENABLED
from tests.reference.exchange_checker import blocks, check
from tests.reference.slow_parts import slow_session
from tools.exchange.day import MIDNIGHT_NS, NS_PER_S
from tools.exchange.layout import CLOCK_NS, FlowSettings
from tools.exchange.parts import BLOCK_BYTES, PartedSession

MESSAGES = 3000 if JIT_ENABLED else 500
FLOW = FlowSettings(7, 9, 50_000, 400, 12, 5, parts=4)


def generate(
    flow: FlowSettings,
    producers: int = 1,
    block_bytes: int = BLOCK_BYTES,
    limit: int = 1 << 20,
    room: int = 1 << 16,
) -> tuple[bytes, dict[str, Any]]:
    out = np.zeros(room, np.uint8)
    data = b""
    with PartedSession(flow, producers, block_bytes) as session:
        while True:
            count, size = session.generate(out, limit)
            assert count <= limit
            if count == 0:
                return data, session.truth()
            data += out[:size].tobytes()


@st.composite
def flows(draw: st.DrawFn) -> FlowSettings:
    parts = draw(st.integers(2, 9))
    return FlowSettings(
        seed=draw(st.integers(0, 2**64)),
        symbols=parts + draw(st.integers(0, 12)),
        simulated_rate=draw(st.sampled_from([500, 20_000, 1_000_000_000])),
        messages=draw(st.integers(3, MESSAGES)),
        orders_per_symbol=draw(st.integers(4, 40)),
        halt_interval_ms=draw(st.sampled_from([1, 50, 2000])),
        parts=parts,
    )


@settings(max_examples=25, deadline=None)
@given(
    flow=flows(),
    producers=st.integers(1, 4),
    block_bytes=st.integers(56, 5_000),
    limit=st.integers(1, 700),
    room=st.integers(64, 1 << 16),
)
def test_the_bytes_are_the_twins_whatever_made_them(
    flow: FlowSettings, producers: int, block_bytes: int, limit: int, room: int
):
    data, truth = generate(flow, producers, block_bytes, limit, room)
    assert data == slow_session(flow)
    checker = check(blocks(data))
    assert truth == {
        "messages": flow.messages,
        "types": dict(checker.types),
        "orders_live": len(checker.orders),
        "books_digest": checker.digest(),
    }
    assert checker.events[-3:] == ["M", "E", "C"]
    assert sorted(checker.matches) == list(range(1, len(checker.matches) + 1))


def test_a_seed_gives_the_bytes_that_it_always_gave():
    data, _ = generate(FLOW)
    digest = "c10652cdffc1f6f278b81e1b42013931cfb189fab7059b5d05f87f1962ee41bf"
    assert hashlib.sha256(data).hexdigest() == digest


@pytest.mark.parametrize("change", [{"seed": 8}, {"parts": 3}, {"symbols": 10}, {"messages": 401}])
def test_what_decides_the_bytes(change: dict[str, int]):
    assert generate(FLOW._replace(**change))[0] != generate(FLOW)[0]


@pytest.mark.skipif(not JIT_ENABLED, reason="takes too long interpreted")
def test_a_session_of_many_blocks_of_sixty_four_parts_keeps_the_rules():
    flow = FlowSettings(5, 130, messages=200_000, parts=64, orders_per_symbol=20)
    data, truth = generate(flow, 3, 4_096)
    checker = check(blocks(data))
    assert (truth["messages"], truth["books_digest"]) == (200_000, checker.digest())
    assert data == generate(flow)[0]
    # Every part has its share, as they all have the same rate.
    symbols = [int.from_bytes(each[1:3], "big") - 1 for each in blocks(data) if each[:1] in b"AD"]
    shares = np.bincount(np.array(symbols) % 64) / len(symbols)
    assert np.all(abs(shares - 1 / 64) < 0.15 / 64)


def test_a_session_that_comes_near_midnight_closes_by_itself():
    flow = FlowSettings(3, 4, 1, messages=10_000, orders_per_symbol=10, parts=2)
    out = np.zeros(1 << 20, np.uint8)
    with PartedSession(flow) as session:
        count, size = session.generate(out, 14)  # the opening
        # An hour before, so that a test need not live through the day.
        session.whole.state[CLOCK_NS] = MIDNIGHT_NS - 3_600 * NS_PER_S
        data = out[:size].tobytes()
        while count:
            count, size = session.generate(out, 1_000)
            data += out[:size].tobytes()
        truth = session.truth()
    checker = check(blocks(data))
    assert 3_000 < truth["messages"] == checker.types.total() < 4_000
    assert checker.events[-3:] == ["M", "E", "C"]
    assert MIDNIGHT_NS - 60 * NS_PER_S < checker.ts_ns < MIDNIGHT_NS
    assert truth["books_digest"] == checker.digest()


@pytest.mark.parametrize(("parts", "symbols"), [(1, 4), (5, 4), (65, 100)])
def test_more_parts_than_symbols_or_sixty_four_are_refused(parts: int, symbols: int):
    with pytest.raises(ValueError, match=f"parts is {parts}: 2 to "):
        PartedSession(FlowSettings(1, symbols, messages=100, parts=parts))
