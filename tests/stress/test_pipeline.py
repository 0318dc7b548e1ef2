"""Receiver and worker on two threads. Forbidden: a tick lost, doubled or torn, a slot that is not
given back, a signal that one thread alone would not have sent.
"""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

from feedhandler.core.api import compile_stage
from feedhandler.core.book.views import books_digest
from feedhandler.core.breakers import price_band
from feedhandler.core.counts import Count
from feedhandler.core.events import SIGNAL
from feedhandler.core.market import Look
from feedhandler.core.patterns import imbalance_with_trade
from feedhandler.core.receive import Idle, run_inline_nb, run_receiver_nb, run_worker_nb
from feedhandler.core.shard import Control, Setting
from tests.unit.feedhandler.core.support import (
    CAPACITY,
    DEEP,
    NEVER,
    NORMAL,
    SECOND,
    Engine,
    Wire,
    add,
    delete,
    execute,
    free_slots,
    packet,
    set_lanes,
    state_of,
)

pytestmark = [pytest.mark.compiled_only, pytest.mark.alone]

ROUNDS = 21_000
ROUNDS_A_PACKET = 7
MESSAGES_A_ROUND = 5
MESSAGES = ROUNDS * MESSAGES_A_ROUND
IN_FLIGHT = 64
TIMESTAMP_AT, REFERENCE_AT, REFERENCE_END = 5, 11, 19
# The pool is small on purpose: every slot goes round hundreds of times. The window is not: a line
# that runs ahead of the other leaves all that is in flight there, and nothing asks for it again.
SMALL_POOL = CAPACITY._replace(
    pool=1_024, signal_ring=65_536, window_packets=2 * IN_FLIGHT, look=Look.PRICES
)


def tally(ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any) -> int:
    """Breaker that never trips: count, sum and sum of squares of the numbers it saw."""
    seq = ticks[slot]["seq"]
    state[0] += 1
    state[1] += seq
    state[2] += seq * seq + params[0] + out[0]
    # A tick that was torn would not agree with itself: each carries its number as its timestamp.
    state[3] += ticks[slot]["ts_exch_ns"] != seq * 1_000
    return 0


def templates(ask_e4: int) -> list[tuple[bytes, int]]:
    """Messages of a round, and which of the round's two orders each is about."""
    return [
        (add(0, "B", 900, 9_990), 0),
        (add(0, "S", 100, ask_e4), 1),
        (execute(0, 10), 1),
        (delete(0), 0),
        (delete(0), 1),
    ]


CALM, WILD = templates(10_000), templates(10_300)


def messages_of_round(number: int) -> Iterator[bytes]:
    seq = number * MESSAGES_A_ROUND
    for template, order in WILD if number % 64 == 63 else CALM:
        seq += 1
        ref = 2 * number + order + 1
        stamp = (1_000 * seq).to_bytes(6, "big")
        yield (template[:TIMESTAMP_AT] + stamp + ref.to_bytes(8, "big") + template[REFERENCE_END:])


@pytest.fixture(scope="module")
def datagrams() -> list[bytes]:
    made = []
    for first in range(0, ROUNDS, ROUNDS_A_PACKET):
        rounds = range(first, first + ROUNDS_A_PACKET)
        messages = [message for number in rounds for message in messages_of_round(number)]
        made.append(packet(1 + first * MESSAGES_A_ROUND, messages))
    return made


def prepare(engine: Engine, deep_lane: int) -> Engine:
    engine.shard.settings[Setting.IDLE] = Idle.YIELD
    # Where the lines take turns one may run ahead by a batch; nothing is lost by that.
    engine.channel["reorder_ns"] = NEVER
    set_lanes(engine.shard, deep=deep_lane)
    engine.shard.breakers.params[1, :3] = 100, 1 << 40, 50_000
    engine.shard.patterns.params[0, :4] = 8_000, 1 << 40, 0, 25
    return engine


STAGES = (tally, price_band), (imbalance_with_trade,)


def stages() -> tuple[list, list]:
    breakers, patterns = STAGES
    return [compile_stage(each) for each in breakers], [compile_stage(each) for each in patterns]


def signals_by_content(engine: Engine) -> list[tuple]:
    """Signals without the stamps, which no two runs share."""
    stamps = {"ts_rx_ns", "ts_decoded_ns", "ts_signal_ns"}
    names = [name for name in SIGNAL.names if name not in stamps]
    return [tuple(row[name].tolist() for name in names) for row in engine.signals()]


@pytest.fixture(scope="module")
def by_hand(datagrams: list[bytes]) -> tuple[list[tuple], str]:
    """Signals and books of the same bytes, taken one packet at a time on this thread."""
    engine = prepare(Engine(*stages(), capacity=SMALL_POOL), NORMAL)
    for datagram in datagrams:
        engine.take(datagram)
        engine.work()
    return signals_by_content(engine), books_digest(engine.shard.book)


def run_loops(
    wire: Wire, loops: list[Callable[[], int]], datagrams: list[bytes], lines: int
) -> list[int]:
    """What each loop returned after it was fed over a socket, never more than fits its buffer."""
    engine, results = wire.engine, [0] * len(loops)

    def run(place: int) -> None:
        results[place] = loops[place]()

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(len(loops))]
    for thread in threads:
        thread.start()
    deadline_ns = time.monotonic_ns() + 60 * SECOND
    messages_a_packet = ROUNDS_A_PACKET * MESSAGES_A_ROUND
    for number, datagram in enumerate(datagrams):
        while (number - IN_FLIGHT) * messages_a_packet > engine.count(Count.APPLIED):
            assert time.monotonic_ns() < deadline_ns, engine.counts()
            time.sleep(0.0001)
        wire.send(number % lines, datagram)
    while engine.count(Count.APPLIED) < MESSAGES:
        assert time.monotonic_ns() < deadline_ns, engine.counts()
        time.sleep(0.001)
    engine.shard.control[Control.STOP] = 1
    for thread in threads:
        thread.join(timeout=20)
    assert not any(thread.is_alive() for thread in threads)
    return results


def check_every_tick_once(engine: Engine) -> None:
    instruments = range(len(engine.shard.instruments))
    state = sum(state_of(engine.shard.breakers, 0, number) for number in instruments)
    numbers = np.arange(1, MESSAGES + 1, dtype=np.int64)
    assert state[:4].tolist() == [MESSAGES, numbers.sum(), (numbers * numbers).sum(), 0]
    assert engine.count(Count.TICKS) == engine.count(Count.APPLIED) == MESSAGES
    assert sorted(free_slots(engine.shard)) == list(range(SMALL_POOL.pool))


# Over two lines ticks are in doubt while one line is ahead, so only one line sends all the signals.
@pytest.mark.parametrize(
    ("deep_lane", "lines"), [(NORMAL, 1), (DEEP, 2)], ids=["one lane and line", "two of each"]
)
def test_pipelined_threads_work_on_every_tick_exactly_once(
    datagrams: list[bytes], by_hand: tuple[list[tuple], str], deep_lane: int, lines: int
):
    wire = Wire(*stages(), capacity=SMALL_POOL)
    engine = prepare(wire.engine, deep_lane)
    receiver = partial(run_receiver_nb, engine.shard, engine.rx, engine.venue)
    worker = partial(run_worker_nb, engine.shard, engine.rx, *engine.stages)
    results = run_loops(wire, [receiver, worker], datagrams, lines)
    wire.close()
    assert results[1] == MESSAGES
    check_every_tick_once(engine)
    signals, digest = by_hand
    assert books_digest(engine.shard.book) == digest
    assert len(signals) > ROUNDS // 2
    if deep_lane == NORMAL:
        assert signals_by_content(engine) == signals


def test_inline_thread_sends_the_same_signals(
    datagrams: list[bytes], by_hand: tuple[list[tuple], str]
):
    capacity = SMALL_POOL._replace(pool=1 << 16)
    wire = Wire(*stages(), capacity=capacity)
    engine = prepare(wire.engine, NORMAL)
    loop = partial(run_inline_nb, engine.shard, engine.rx, engine.venue, *engine.stages)
    run_loops(wire, [loop], datagrams, 1)
    wire.close()
    assert engine.count(Count.TICKS) == MESSAGES
    assert (signals_by_content(engine), books_digest(engine.shard.book)) == by_hand
