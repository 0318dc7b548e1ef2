"""A sequencer and its shards on threads of their own, over sockets, with so little room that each
waits for the others all the time. Forbidden: a message lost, doubled or out of order for a shard, a
signal that one thread alone would not have sent, a thread that does not end.
"""

import threading
import time
from functools import partial

import pytest

from feedhandler.core.api import compile_stage
from feedhandler.core.book.views import books_digest
from feedhandler.core.breakers import price_band
from feedhandler.core.counts import Count
from feedhandler.core.follow import run_follower_nb, run_shard_nb
from feedhandler.core.market import Look
from feedhandler.core.patterns import imbalance_with_trade
from feedhandler.core.receive import Idle, run_receiver_nb, run_worker_nb
from feedhandler.core.shard import Control, Setting
from tests.unit.feedhandler.core.support import (
    CAPACITY,
    NEVER,
    NORMAL,
    SECOND,
    Engine,
    Wire,
    add,
    delete,
    execute,
    packet,
    set_lanes,
)
from tests.unit.feedhandler.core.team import Team

pytestmark = [pytest.mark.compiled_only, pytest.mark.alone]

ROUNDS = 12_000
ROUNDS_A_PACKET = 7
MESSAGES_A_ROUND = 5
MESSAGES = ROUNDS * MESSAGES_A_ROUND
IN_FLIGHT = 64
INSTRUMENTS = 11
SMALL = CAPACITY._replace(
    pool=1 << 14, signal_ring=65_536, window_packets=2 * IN_FLIGHT, look=Look.PRICES
)


def of(message: bytes, locate: int, seq: int) -> bytes:
    """The message for another instrument, its number times 1,000 as its timestamp."""
    return (
        message[:1]
        + locate.to_bytes(2, "big")
        + message[3:5]
        + (1_000 * seq).to_bytes(6, "big")
        + message[11:]
    )


def messages_of_round(number: int) -> list[bytes]:
    """Orders of one instrument that trade and go; its book leans to one side, then to the other."""
    locate, ref, seq = number % INSTRUMENTS, 2 * number + 1, number * MESSAGES_A_ROUND
    made = [
        add(ref, "B", 900, 9_990),
        add(ref + 1, "S", 100, 10_300 if number % 64 == 63 else 10_000),
        execute(ref + 1, 10),
        delete(ref),
        delete(ref + 1),
    ]
    return [of(message, locate, seq + 1 + i) for i, message in enumerate(made)]


@pytest.fixture(scope="module")
def datagrams() -> list[bytes]:
    made = []
    for first in range(0, ROUNDS, ROUNDS_A_PACKET):
        rounds = range(first, min(first + ROUNDS_A_PACKET, ROUNDS))
        messages = [message for number in rounds for message in messages_of_round(number)]
        made.append(packet(1 + first * MESSAGES_A_ROUND, messages))
    return made


def prepare(engine: Engine) -> Engine:
    engine.shard.settings[Setting.IDLE] = Idle.BACKOFF
    engine.channel["reorder_ns"] = NEVER
    engine.channel["stale_after_ns"] = NEVER
    set_lanes(engine.shard, deep=NORMAL)
    engine.shard.breakers.params[0, :3] = 100, 1 << 40, 50_000
    engine.shard.patterns.params[0, :4] = 8_000, 1 << 40, 0, 25
    return engine


def stages() -> tuple[list, list]:
    return [compile_stage(price_band)], [compile_stage(imbalance_with_trade)]


def signals_of(engine: Engine) -> list[tuple[int, ...]]:
    """Signals by what they say, without numbers and stamps."""
    names = ("kind", "source", "instrument", "seq", "side", "level", "price_e9", "qty", "value_0")
    return [tuple(int(row[name]) for name in names) for row in engine.signals()]


@pytest.fixture(scope="module")
def by_hand(datagrams: list[bytes]) -> tuple[list[tuple[int, ...]], str]:
    """Signals and books of the same bytes, taken one packet at a time by one engine."""
    engine = prepare(Engine(*stages(), capacity=SMALL))
    for datagram in datagrams:
        engine.take(datagram)
        engine.work()
    assert engine.count(Count.APPLIED) == MESSAGES
    return sorted(signals_of(engine)), books_digest(engine.shard.book)


@pytest.mark.parametrize("topology", ["inline", "pipelined"])
@pytest.mark.parametrize(("shards", "records"), [(2, 2), (3, 16)])
def test_books_and_signals_are_those_of_one_engine(
    datagrams: list[bytes],
    by_hand: tuple[list[tuple[int, ...]], str],
    topology: str,
    shards: int,
    records: int,
):
    wire = Wire()
    team = Team(shards, *stages(), capacity=SMALL, records=records)
    front = prepare(team.front)
    front.rx.fds[:] = wire.engine.rx.fds
    loops = [partial(run_receiver_nb, front.shard, front.rx, front.venue)]
    for engine in map(prepare, team.shards):
        shard, rx, venue = engine.shard, engine.rx, engine.venue
        if topology == "inline":
            loops.append(partial(run_shard_nb, shard, rx, venue, *engine.stages))
        else:
            loops.append(partial(run_follower_nb, shard, rx, venue))
            loops.append(partial(run_worker_nb, shard, rx, *engine.stages))
    threads = [threading.Thread(target=loop, daemon=True) for loop in loops]
    for thread in threads:
        thread.start()
    deadline_ns = time.monotonic_ns() + 60 * SECOND
    for number, datagram in enumerate(datagrams):
        while number - IN_FLIGHT > front.count(Count.WINS):
            assert time.monotonic_ns() < deadline_ns, front.counts()
            time.sleep(0.0001)
        wire.send(0, datagram)
    # Told to stop while there is no room, it would leave the packet in hand.
    while front.count(Count.NEXT_SEQ) <= MESSAGES:
        assert time.monotonic_ns() < deadline_ns, front.counts()
        time.sleep(0.001)
    front.shard.control[Control.STOP] = 1
    for thread in threads:
        thread.join(timeout=20)
    assert not any(thread.is_alive() for thread in threads)
    wire.close()
    assert team.total(Count.APPLIED) == team.total(Count.TICKS) == MESSAGES
    signals, digest = by_hand
    assert books_digest(*(each.shard.book for each in team.shards)) == digest
    assert len(signals) > ROUNDS // 4
    assert sorted(each for engine in team.shards for each in signals_of(engine)) == signals
