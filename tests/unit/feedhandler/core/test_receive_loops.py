"""The loops of the threads: what they do with work, without it, and when they are to stop."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest

from feedhandler.core.api import compile_stage
from feedhandler.core.counts import Count
from feedhandler.core.receive import (
    Idle,
    _idle_nb,
    _sleep_until_ticks_nb,
    run_inline_nb,
    run_receiver_nb,
    run_worker_nb,
)
from feedhandler.core.shard import Control, Setting
from feedhandler.core.states import State
from protocols.kernel_cache import JIT_ENABLED
from tests.unit.feedhandler.core.support import (
    CAPACITY,
    LINE_A,
    LINE_B,
    NEVER,
    SECOND,
    Engine,
    Wire,
    free_slots,
    packet,
    system_event,
)

MILLISECOND = 1_000_000


def one(seq: int) -> bytes:
    """A packet with one message that tells its number."""
    return packet(seq, [system_event(seq)])


def buy(ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any) -> int:
    """Pattern: buys whatever it sees."""
    out[0] = ticks[slot]["seq"] + params[0] + state[0]
    return 1


def state(engine: Engine) -> State:
    return State(engine.channel["state"])


def applied(engine: Engine) -> list[int]:
    return [int(tick["seq"]) for tick in engine.ticks()]


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire(can_request=1, request_timeout_ns=NEVER)
    yield made
    made.close()


@pytest.mark.parametrize("idle", list(Idle))
def test_stopped_inline_loop_works_off_what_is_in_the_lanes(idle: Idle):
    engine = Engine()
    engine.shard.settings[Setting.IDLE] = idle
    engine.take(one(1))
    engine.shard.control[Control.STOP] = 1
    assert run_inline_nb(engine.shard, engine.rx, engine.venue, *engine.stages) == 0
    assert (engine.count(Count.TICKS), applied(engine)) == (1, [])


@pytest.mark.parametrize("idle", list(Idle))
def test_thread_without_work_spins_at_first_and_sleeps_only_when_it_may(idle: Idle):
    engine = Engine()
    started_ns = time.monotonic_ns()
    _idle_nb(engine.rx, idle, 1)
    _idle_nb(engine.rx, idle, 1_000_000)
    slept = time.monotonic_ns() - started_ns >= MILLISECOND
    assert slept or idle not in {Idle.BACKOFF, Idle.REST}


def test_a_realtime_thread_sleeps_after_few_looks():
    engine = Engine()

    def waited_ns(idle: Idle) -> int:
        started_ns = time.monotonic_ns()
        _idle_nb(engine.rx, idle, 50)
        return time.monotonic_ns() - started_ns

    # The machine may stop for longer, but not every time.
    assert min(waited_ns(Idle.BACKOFF) for _ in range(20)) < MILLISECOND
    assert waited_ns(Idle.REST) >= MILLISECOND


@contextmanager
def running(engine: Engine, *loops: Callable[[], int]) -> Iterator[None]:
    """Loops on threads of their own; stopped and joined at the end."""
    threads = [threading.Thread(target=loop, daemon=True) for loop in loops]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        engine.shard.control[Control.STOP] = 1
        for thread in threads:
            thread.join(timeout=20)
        assert not any(thread.is_alive() for thread in threads)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline_ns = time.monotonic_ns() + 20 * SECOND
    while not condition():
        assert time.monotonic_ns() < deadline_ns
        time.sleep(0.001)


@pytest.mark.parametrize("idle", [Idle.YIELD, Idle.BACKOFF])
def test_inline_loop_receives_works_and_idles_until_it_is_stopped(wire: Wire, idle: Idle):
    engine, polled = wire.engine, []
    engine.shard.settings[Setting.IDLE] = idle
    loop = partial(run_inline_nb, engine.shard, engine.rx, engine.venue, *engine.stages)
    with running(engine, lambda: polled.append(loop())):
        for seq in range(1, 11):
            wire.send(LINE_A, one(seq))
        wait_for(lambda: engine.count(Count.TICKS) == 10)
        # Long enough for the loop to come to its end of spinning.
        time.sleep(0.4)
        wire.send(LINE_B, one(11))
        wait_for(lambda: engine.count(Count.TICKS) == 11)
    assert polled[0] > 2
    assert engine.count(Count.WORKER_HEARTBEAT_NS) == engine.count(Count.RX_HEARTBEAT_NS) > 0


@pytest.mark.parametrize("topology", ["inline", "pipelined"])
def test_signal_wakes_the_control_plane(topology: str):
    reader, writer = os.pipe()
    wire = Wire(patterns=[compile_stage(buy)])
    engine = wire.engine
    engine.shard.settings[Setting.SIGNAL_FD] = writer
    receiver = partial(run_receiver_nb, engine.shard, engine.rx, engine.venue)
    worker = partial(run_worker_nb, engine.shard, engine.rx, *engine.stages)
    inline = partial(run_inline_nb, engine.shard, engine.rx, engine.venue, *engine.stages)
    with running(engine, *([inline] if topology == "inline" else [receiver, worker])):
        wire.send(LINE_A, one(1))
        assert np.frombuffer(os.read(reader, 8), np.int64).tolist() == [1]
        assert engine.count(Count.SIGNALS) == 1
    wire.close()
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("idle", list(Idle))
def test_receiver_and_worker_share_the_work_until_they_are_stopped(wire: Wire, idle: Idle):
    engine = wire.engine
    engine.shard.settings[Setting.IDLE] = idle
    receiver = partial(run_receiver_nb, engine.shard, engine.rx, engine.venue)
    worker = partial(run_worker_nb, engine.shard, engine.rx, *engine.stages)
    with running(engine, receiver, worker):
        for seq in range(1, 11):
            wire.send(LINE_A, one(seq))
        wait_for(lambda: engine.count(Count.TICKS) == 10)
        time.sleep(0.2)
        wire.send(LINE_B, one(11))
        wait_for(lambda: engine.count(Count.TICKS) == 11)
    assert engine.count(Count.APPLIED) == 11
    assert len(free_slots(engine.shard)) == CAPACITY.pool


def test_worker_that_may_sleep_does_and_is_woken_by_the_receiver(wire: Wire):
    engine = wire.engine
    engine.shard.settings[Setting.IDLE] = Idle.BACKOFF
    work_fd = engine.shard.settings[Setting.WORK_FD] = os.eventfd(0, os.EFD_NONBLOCK)
    receiver = partial(run_receiver_nb, engine.shard, engine.rx, engine.venue)
    worker = partial(run_worker_nb, engine.shard, engine.rx, *engine.stages)
    with running(engine, receiver, worker):
        wait_for(lambda: bool(engine.shard.control[Control.WORKER_ASLEEP]))
        for seq in range(1, 200 if JIT_ENABLED else 20):
            wire.send(LINE_A, one(seq))
            wait_for(lambda done=seq: engine.count(Count.TICKS) == done)
            wait_for(lambda: bool(engine.shard.control[Control.WORKER_ASLEEP]))
    # The end of a sleep empties the descriptor, or it would never sleep again.
    engine.rx.work_pollfd[0]["fd"] = work_fd
    os.eventfd_write(int(work_fd), 1)
    _sleep_until_ticks_nb(engine.shard, engine.rx)
    engine.shard.control[Control.RX_STOPPED] = 0
    _sleep_until_ticks_nb(engine.shard, engine.rx)
    with pytest.raises(BlockingIOError):
        os.eventfd_read(int(work_fd))
    os.close(int(work_fd))


def test_worker_does_not_sleep_on_ticks():
    engine = Engine()
    engine.take(one(1))
    reader, writer = os.pipe()
    engine.shard.settings[Setting.WORK_FD] = reader
    os.write(writer, bytes(8))
    _sleep_until_ticks_nb(engine.shard, engine.rx)
    assert (engine.rx.work_pollfd[0]["fd"], engine.shard.control[Control.WORKER_ASLEEP]) == (0, 0)
    engine.work()
    _sleep_until_ticks_nb(engine.shard, engine.rx)
    assert engine.rx.work_pollfd[0]["fd"] == reader
    os.close(reader)
    os.close(writer)


def test_worker_ends_when_the_receiver_has_and_the_lanes_are_empty():
    engine = Engine()
    for seq in range(1, 200):
        engine.take(one(seq))
    engine.shard.control[Control.STOP] = 1
    assert run_receiver_nb(engine.shard, engine.rx, engine.venue) == 0
    assert engine.shard.control[Control.RX_STOPPED] == 1
    assert run_worker_nb(engine.shard, engine.rx, *engine.stages) == 199
    assert applied(engine) == []
