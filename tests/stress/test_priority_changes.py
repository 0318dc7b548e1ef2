"""Rules that change while ticks come. Forbidden: a tick that saw half of a change, or that is lost,
and a change that no tick saw.
"""

import threading
import time
from functools import partial

import pytest

from feedhandler.core.counts import Count
from feedhandler.core.priority import Rule
from feedhandler.core.receive import Idle, run_inline_nb, run_receiver_nb, run_worker_nb
from feedhandler.core.shard import Control, Setting
from feedhandler.server.config import PriorityConfig
from feedhandler.server.priority import apply_priority, override_priority, stage_priority
from tests.unit.feedhandler.core.support import SECOND, Wire, add, delete, packet

# Kernels may have to be compiled first.
pytestmark = [pytest.mark.compiled_only, pytest.mark.alone, pytest.mark.timeout(900)]

CHANGES = 300
IN_FLIGHT = 16
# By either all quotes go to lane 0; low scores with the other's table would go to lane 3.
HIGH = PriorityConfig(default_score=100, deep_quote_score=0)
LOW = PriorityConfig(from_score=(15, 10, 5), default_score=20, deep_quote_score=0, age_every=7)


@pytest.mark.parametrize("topology", ["inline", "pipelined"])
def test_a_tick_sees_all_of_a_change_or_nothing(topology: str):
    wire = Wire()
    engine = wire.engine
    shard, rx = engine.shard, engine.rx
    apply_priority(shard, HIGH, {}, is_live=True)
    shard.settings[Setting.IDLE] = Idle.YIELD
    loops = [partial(run_inline_nb, shard, rx, engine.venue, *engine.stages)]
    if topology == "pipelined":
        loops = [
            partial(run_receiver_nb, shard, rx, engine.venue),
            partial(run_worker_nb, shard, rx, *engine.stages),
        ]
    threads = [threading.Thread(target=loop, daemon=True) for loop in loops]
    stop = threading.Event()
    sent = [0]

    def send() -> None:
        while not stop.is_set():
            if sent[0] - engine.count(Count.APPLIED) > IN_FLIGHT:
                time.sleep(0.0001)
                continue
            ref = sent[0] // 2 + 1
            message = delete(ref) if sent[0] % 2 else add(ref, "B", 10, 9_900)
            wire.send(0, packet(sent[0] + 1, [message]))
            sent[0] += 1

    threads.append(threading.Thread(target=send, daemon=True))
    for thread in threads:
        thread.start()
    while engine.count(Count.TICKS) == 0:
        time.sleep(0.01)
    applied = []
    for number in range(CHANGES):
        stage_priority([shard], LOW if number % 2 == 0 else HIGH, {})
        if number % 10 == 0:
            override_priority([shard], "OTHER", 3 if number % 20 else None)
        applied.append(engine.count(Count.APPLIED))
    stop.set()
    threads[-1].join(timeout=20)
    deadline_ns = time.monotonic_ns() + 20 * SECOND
    while engine.count(Count.TICKS) < sent[0]:
        assert time.monotonic_ns() < deadline_ns, engine.counts()
        time.sleep(0.001)
    shard.control[Control.STOP] = 1
    for thread in threads:
        thread.join(timeout=20)
    wire.close()
    assert engine.count(Count.LANE_TICKS) == engine.count(Count.TICKS) == sent[0] > 0
    assert shard.priority.rules[Rule.VERSION] == CHANGES + CHANGES // 10
    assert applied[-1] > applied[0]
