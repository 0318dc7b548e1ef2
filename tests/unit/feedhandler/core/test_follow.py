"""The loops of a shard of several: work, sleep, and the end."""

import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from feedhandler.core.api import compile_stage
from feedhandler.core.broadcast import broadcast_close_nb
from feedhandler.core.counts import Count
from feedhandler.core.engine import Control, Setting
from feedhandler.core.follow import run_follower_nb, run_shard_nb
from feedhandler.core.handover import wake_takers_nb
from feedhandler.core.receive import BEAT_STEADY, Idle, run_receiver_nb, run_worker_nb
from tests.unit.feedhandler.core.support import SECOND, Engine, packet, system_event
from tests.unit.feedhandler.core.team import Team

SHARDS = 2


def buy(ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any) -> int:
    """Pattern: buys whatever it sees."""
    out[0] = ticks[slot]["seq"] + params[0] + state[0]
    return 1


def make_team(idle: Idle = Idle.BACKOFF, **options: Any) -> Team:
    team = Team(SHARDS, patterns=[compile_stage(buy)], **options)
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
