"""The order flow: reproducible, varied, steered."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from protocols.kernel_cache import JIT_ENABLED
from tests.reference.exchange_checker import blocks, check
from tools.exchange.day import MIDNIGHT_NS, NS_PER_S, SESSION_S_MAX, fits_a_day
from tools.exchange.flow import CLOSING_EVENTS, generate_nb, halt_interval_nb
from tools.exchange.layout import (
    CLOCK_NS,
    CLOSING_COUNT,
    LIVE,
    RANDOM,
    FlowSettings,
    allocate_engine,
)
from tools.exchange.rng import random_nb

FLOW = FlowSettings(7, 3, 50_000, 400, 12, 5)
DIGEST_SCRIPT = """
import hashlib
import numpy as np
from tools.exchange.flow import generate_nb
from tools.exchange.layout import FlowSettings, allocate_engine
buffer = np.zeros(1 << 16, np.uint8)
_, size = generate_nb(allocate_engine(FlowSettings(7, 3, 50_000, 400, 12, 5)), buffer, 400)
print(hashlib.sha256(buffer[:size].tobytes()).hexdigest())
"""


def session(flow: FlowSettings) -> bytes:
    buffer = np.zeros(flow.messages * 48, np.uint8)
    count, size = generate_nb(allocate_engine(flow), buffer, flow.messages)
    assert count == flow.messages
    return buffer[:size].tobytes()


def test_as_much_time_is_left_for_the_closing_events_as_there_are():
    assert len(CLOSING_EVENTS) == CLOSING_COUNT


def test_a_seed_gives_the_bytes_that_it_always_gave():
    digest = "8d24b8fc6a40ebc6991dd40bdba6af52677117a1118ebc498c7cc605312c3c07"
    assert hashlib.sha256(session(FLOW)).hexdigest() == digest


def test_the_same_seed_gives_the_same_bytes():
    assert session(FLOW) == session(FLOW)
    assert session(FLOW) != session(FLOW._replace(seed=8))


@pytest.mark.skipif(not JIT_ENABLED, reason="compares the compiled session with the interpreted")
def test_compiled_and_interpreted_sessions_are_the_same_bytes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    interpreted = subprocess.run(
        [sys.executable, "-c", DIGEST_SCRIPT], capture_output=True, text=True, check=True
    )
    assert interpreted.stdout.strip() == hashlib.sha256(session(FLOW)).hexdigest()


@pytest.mark.skipif(not JIT_ENABLED, reason="takes too long interpreted")
def test_a_long_session_has_the_mix_of_a_real_feed_and_books_of_the_size_asked_for():
    flow = FlowSettings(2, 20, messages=200_000, orders_per_symbol=100, halt_interval_ms=200)
    engine = allocate_engine(flow)
    buffer = np.zeros(flow.messages * 48, np.uint8)
    generate_nb(engine, buffer, flow.messages)
    share = {chr(code): count / flow.messages for code, count in enumerate(engine.type_counts)}
    assert 0.40 < share["A"] + share["F"] < 0.50
    assert 0.35 < share["D"] < 0.45
    assert 0.05 < share["U"] < 0.08
    assert 0.02 < share["X"] < 0.04
    assert 0.04 < share["E"] + share["C"] < 0.07
    assert 0.005 < share["P"] < 0.02
    assert all(share[kind] > 0 for kind in "FCHBYLV")
    assert np.all(engine.symbols[:, LIVE] > 50)
    assert np.all(engine.symbols[:, LIVE] < 200)


def test_prices_move_and_halted_symbols_come_back():
    flow = FlowSettings(3, 2, 5000, 12_000, 40, 20)
    messages = list(blocks(session(flow)))
    checker = check(messages)
    assert checker.types["H"] > 4
    prices = {message[-4:] for message in messages if message[:1] == b"A"}
    assert len(prices) > 100


def test_ten_thousand_symbols_can_be_had_and_no_more():
    assert len(allocate_engine(FlowSettings(1, 10_000, messages=3, orders_per_symbol=4)).symbols)
    with pytest.raises(ValueError, match="1 to 10000"):
        allocate_engine(FlowSettings(1, 10_001))
    with pytest.raises(ValueError, match="simulated_rate"):
        allocate_engine(FlowSettings(1, 1, simulated_rate=0))


def test_a_buffer_that_is_full_ends_a_batch_and_nothing_is_lost():
    engine = allocate_engine(FLOW)
    buffer = np.zeros(100, np.uint8)
    data = b""
    while True:
        count, size = generate_nb(engine, buffer, 1000)
        if count == 0:
            break
        data += buffer[:size].tobytes()
    assert data == session(FLOW)


@pytest.mark.parametrize("interval_ms", [1, 2_000, 2_147_483, 2_147_484, 10_000_000, 86_400_000])
def test_the_time_between_halts_is_half_to_one_and_a_half_times_the_mean(interval_ms: int):
    engine = allocate_engine(FLOW._replace(halt_interval_ms=interval_ms))
    for _ in range(200):
        twin = engine.state[RANDOM : RANDOM + 1].copy()
        draw, mean_us = int(random_nb(twin, 0)), interval_ms * 1_000
        expected_ns = (mean_us // 2 + (draw * mean_us >> 32)) * 1_000
        assert halt_interval_nb(engine) == expected_ns
        assert interval_ms * 500_000 <= expected_ns <= interval_ms * 1_500_000


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_session_without_an_end_closes_properly_before_midnight(seed: int):
    engine = allocate_engine(FlowSettings(seed, 2, 1, orders_per_symbol=10))
    # An hour before, so that a test need not live through the day.
    engine.state[CLOCK_NS] = MIDNIGHT_NS - 3_600 * NS_PER_S
    buffer = np.zeros(1 << 20, np.uint8)
    count, size = generate_nb(engine, buffer, 10_000)
    assert 3_000 < count < 4_000
    assert generate_nb(engine, buffer[size:], 10_000) == (0, 0)
    checker = check(blocks(buffer[:size].tobytes()))
    assert checker.events[-3:] == ["M", "E", "C"]
    assert MIDNIGHT_NS - 60 * NS_PER_S < checker.ts_ns < MIDNIGHT_NS


@pytest.mark.skipif(not JIT_ENABLED, reason="takes too long interpreted")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_longest_session_has_all_of_its_messages_before_midnight(seed: int):
    flow = FlowSettings(seed, 2, 1, SESSION_S_MAX, 10)
    assert fits_a_day(flow.messages, flow.simulated_rate)
    assert not fits_a_day(flow.messages + 1, flow.simulated_rate)
    checker = check(blocks(session(flow)))
    assert checker.types.total() == flow.messages
    assert checker.ts_ns < MIDNIGHT_NS
