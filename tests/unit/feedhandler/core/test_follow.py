"""The loops of a shard of several: work, sleep, and the end."""

import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from feedhandler.core.api import compile_stage
from feedhandler.core.broadcast import broadcast_close_nb
from feedhandler.core.counts import Count
from feedhandler.core.follow import run_follower_nb, run_shard_nb
from feedhandler.core.functions import Use
from feedhandler.core.handover import hand_state_nb, wake_takers_nb
from feedhandler.core.market import Look
from feedhandler.core.receive import BEAT_STEADY, Idle, run_receiver_nb, run_worker_nb
from feedhandler.core.shard import Control, Setting
from feedhandler.core.snapshot import load_snapshot_nb
from tests.unit.feedhandler.core.support import (
    CAPACITY,
    SECOND,
    Engine,
    add,
    packet,
    system_event,
)
from tests.unit.feedhandler.core.team import Team

SHARDS = 2
SYMBOLS = [int.from_bytes(f"S{i}".encode().ljust(8), "little") for i in range(8)]


def buy(ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any) -> int:
    """Pattern: buys whatever it sees."""
    out[0] = ticks[slot]["seq"] + params[0] + state[0]
    return 1


def spread(ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any) -> int:
    """Pattern over two instruments: buys once both have a bid; values: these, and its calls."""
    state[0] += 1
    first, second = market[legs[0]], market[legs[1]]
    out[2], out[3], out[4] = first["bid_qty"], second["bid_qty"], state[0]
    return int(first["bid_qty"] > 0 and second["bid_qty"] > 0)


def make_team(idle: Idle = Idle.BACKOFF, pattern: Any = buy, **options: Any) -> Team:
    team = Team(SHARDS, patterns=[compile_stage(pattern)], **options)
    broadcast = team.front.shard.broadcast
    for number, engine in enumerate(team.shards):
        fd = os.eventfd(0, os.EFD_NONBLOCK)
        broadcast.fds[number] = engine.rx.pollfds[0]["fd"] = fd
        engine.shard.settings[Setting.IDLE] = idle
        engine.shard.settings[Setting.SIGNAL_FD] = os.eventfd(0, os.EFD_NONBLOCK)
        engine.shard.settings[Setting.WORK_FD] = os.eventfd(0, os.EFD_NONBLOCK)
    return team


def close(team: Team) -> None:
    for engine in team.shards:
        os.close(int(engine.rx.pollfds[0]["fd"]))
        os.close(int(engine.shard.settings[Setting.SIGNAL_FD]))
        os.close(int(engine.shard.settings[Setting.WORK_FD]))


def inline(engine: Engine) -> list[Callable[[], int]]:
    return [partial(run_shard_nb, engine.shard, engine.rx, engine.venue, *engine.stages)]


def pipelined(engine: Engine) -> list[Callable[[], int]]:
    return [
        partial(run_follower_nb, engine.shard, engine.rx, engine.venue),
        partial(run_worker_nb, engine.shard, engine.rx, *engine.stages),
    ]


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic_ns() + 10 * SECOND
    while not condition():
        assert time.monotonic_ns() < until
        time.sleep(0.001)


@pytest.mark.parametrize("loops", [inline, pipelined])
@pytest.mark.parametrize("idle", list(Idle))
def test_a_shard_works_until_the_sequencer_has_stopped_and_all_is_taken(
    loops: Callable[[Engine], list[Callable[[], int]]], idle: Idle
):
    team = make_team(idle)
    threads = [
        threading.Thread(target=loop, daemon=True)
        for engine in team.shards
        for loop in loops(engine)
    ]
    for thread in threads:
        thread.start()
    front = team.front
    for seq in range(1, 41):
        front.take(packet(seq, [system_event(seq)]))
        wake_takers_nb(front.shard.broadcast, front.rx.wakeup)
        if seq == 20:
            wait_until(lambda: team.total(Count.TICKS) == 20)
            time.sleep(0.01)  # long enough to fall asleep
    broadcast_close_nb(front.shard.broadcast)
    for thread in threads:
        thread.join(timeout=10)
    assert not any(thread.is_alive() for thread in threads)
    # Messages without an instrument are all the first shard's.
    assert [each.count(Count.TICKS) for each in team.shards] == [40, 0]
    assert [int(signal["seq"]) for signal in team.shards[0].signals()] == list(range(1, 41))
    assert team.behind() == [False] * SHARDS
    assert os.eventfd_read(int(team.shards[0].shard.settings[Setting.SIGNAL_FD])) >= 1
    for engine in team.shards:
        for row in (Count.RX_HEARTBEAT_NS, Count.WORKER_HEARTBEAT_NS):
            assert engine.shard.counts[row, BEAT_STEADY] > 0
    close(team)


@pytest.mark.parametrize("loops", [inline, pipelined])
def test_what_was_handed_on_before_the_end_is_worked_off(
    loops: Callable[[Engine], list[Callable[[], int]]],
):
    team = make_team()
    for seq in range(1, 31):
        team.front.take(packet(seq, [system_event(seq)]))
    broadcast_close_nb(team.front.shard.broadcast)
    for engine in team.shards:
        for loop in loops(engine):
            assert loop() >= 0
    assert team.total(Count.TICKS) == 30
    close(team)


def test_the_end_of_the_sequencer_is_that_of_its_shards():
    team = make_team()
    front = team.front
    front.take(packet(1, [system_event(1)]))
    front.shard.control[Control.STOP] = 1
    assert run_receiver_nb(front.shard, front.rx, front.venue) == 0
    assert inline(team.shards[0])[0]() == 2
    close(team)


@pytest.mark.parametrize("loops", [inline, pipelined])
def test_a_binding_sees_instruments_of_two_shards_live(
    loops: Callable[[Engine], list[Callable[[], int]]],
):
    bindings = ((SYMBOLS[1], SYMBOLS[2]), (SYMBOLS[4], SYMBOLS[3]), (SYMBOLS[1], SYMBOLS[5]))
    capacity = CAPACITY._replace(patterns=(Use(bindings=bindings),), look=Look.ANALYTICS)
    team = make_team(pattern=spread, capacity=capacity)
    messages = [add(i, "B", 10 * i, 1_000, locate=i, symbol=f"S{i}") for i in range(1, 7)]
    for seq, message in enumerate([system_event(1), *messages], 1):
        team.front.take(packet(seq, [message]))
        team.front.settle()
        hand_state_nb(team.front.shard)
    broadcast_close_nb(team.front.shard.broadcast)
    for engine in team.shards:
        for loop in loops(engine):
            assert loop() >= 0
    shown = ("seq", "instrument", "value_0", "value_1", "value_2")
    found = [
        [tuple(int(row[name]) for name in shown) for row in each.signals()] for each in team.shards
    ]
    # Each binding at its first leg's shard, as soon as both legs are known, and nowhere else.
    assert found == [[(5, 4, 40, 30, 1)], [(3, 1, 10, 20, 1), (6, 1, 10, 50, 1)]]
    assert team.total(Count.TICKS) == team.total(Count.APPLIED) == 7
    assert [each.count(Count.TICKS) for each in team.shards] == [4, 3]
    assert [each.count(Count.ORDERS_LIVE) for each in team.shards] == [3, 3]
    close(team)


def test_a_snapshot_holds_back_what_looks_at_books_from_before_it():
    bindings = ((SYMBOLS[1], SYMBOLS[2]),)
    capacity = CAPACITY._replace(patterns=(Use(bindings=bindings),), look=Look.ANALYTICS)
    team = make_team(pattern=spread, capacity=capacity)
    orders = [add(i, "B", 10 * i, 1_000, locate=i, symbol=f"S{i}") for i in (1, 2)]
    for seq, message in enumerate(orders, 1):
        team.front.take(packet(seq, [message]))
    home = team.shards[1]
    team.follow()
    home.work()
    assert len(home.signals()) == 1
    blocks = b"".join(len(each).to_bytes(2, "big") + each for each in orders)
    team.front.shard.snapshot[: len(blocks)] = np.frombuffer(blocks, np.uint8)
    with team.following():
        load_snapshot_nb(team.front.shard, team.front.venue, 2, 3)
    signals = []
    for seq, locate in ((3, 1), (4, 2)):
        order = add(seq, "B", 1, 1_000, locate=locate, symbol=f"S{locate}")
        team.front.take(packet(seq, [order]))
        team.follow()
        home.work()
        signals.append(len(home.signals()))
    # What was last seen of S2 is from before, until it is seen anew.
    assert signals == [0, 1]
    assert home.count(Count.SIGNALS_SUPPRESSED) == 1
    close(team)
