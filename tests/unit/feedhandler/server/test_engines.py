"""The engines of a server without their threads: who has what, and when all are ready."""

import os

import pytest
from msgspec import structs

from feedhandler.core.broadcast import is_closed_nb
from feedhandler.core.receiver import allocate_receiver
from feedhandler.core.shard import Control, Setting
from feedhandler.core.states import State
from feedhandler.server.assemble import prepare
from feedhandler.server.engines import Engines
from tests.unit.feedhandler.server.test_assemble import SMALL, server_config


def make(shards: int, topology: str = "inline") -> Engines:
    config = server_config(structs.replace(SMALL, shards=shards, topology=topology))
    rx = allocate_receiver((-1, -1, -1), bytes(10), 64)
    return Engines(config.engine, prepare(config)[0], rx)


@pytest.fixture(params=[1, 3])
def engines(request: pytest.FixtureRequest) -> Engines:
    return make(request.param)


def test_an_instrument_is_that_of_one_shard(engines: Engines):
    count = len(engines.shards)
    assert engines.is_sharded == (count > 1)
    for instrument in range(4):
        assert engines.owner_of(instrument) is engines.shards[instrument % count]
        if count > 1:
            assert engines.owner_of(instrument).split.owned[instrument] == 1


def test_it_is_ready_when_the_channel_and_every_shard_is(engines: Engines):
    everyone = (engines.sequencer, *engines.shards) if engines.is_sharded else engines.shards
    assert not engines.is_ready()
    for shard in everyone:
        assert not engines.is_ready()
        shard.channel[0]["state"] = State.LIVE
    assert engines.is_ready()
    for shard in everyone:
        shard.channel[0]["suspect"] = 1
        assert not engines.is_ready()
        shard.channel[0]["suspect"] = 0
    engines.shards[-1].channel[0]["state"] = State.ENDED
    assert engines.is_ready()
    engines.shards[-1].channel[0]["state"] = State.GAP
    assert not engines.is_ready()


def test_the_busiest_instrument_is_that_of_all_shards(engines: Engines):
    for instrument, messages in enumerate((4, 9, 2, 7)):
        engines.owner_of(instrument).instruments[instrument]["messages"] = messages
    symbol = int.from_bytes(b"SYM3    ", "little")
    engines.owner_of(3).instruments[3]["symbol"] = symbol
    assert engines.busiest("") == 1
    assert engines.busiest("SYM3") == 3
    assert engines.busiest("OTHER") == 1


def test_every_shard_wakes_the_same_event_loop_and_a_worker_of_its_own(engines: Engines):
    fds = [int(shard.settings[Setting.WORK_FD]) for shard in engines.shards]
    assert len(set(fds)) == len(engines.shards)
    assert {int(shard.settings[Setting.SIGNAL_FD]) for shard in engines.shards} == {
        engines.signal_fd
    }
    assert engines.sequencer.settings[Setting.CONTROL_FD] == engines.control_fd


@pytest.mark.parametrize(
    ("shards", "topology", "names"),
    [
        (1, "inline", ["inline"]),
        (1, "pipelined", ["receiver", "worker"]),
        (2, "inline", ["receiver", "shard 0", "shard 1"]),
        (2, "pipelined", ["receiver", "shard 0", "worker 0", "shard 1", "worker 1"]),
    ],
)
def test_each_duty_has_a_thread(shards: int, topology: str, names: list[str]):
    engines = make(shards, topology)
    engines.stop()
    engines.start(engines._prepared.stages.sender)
    if topology == "pipelined" and shards == 1:
        os.eventfd_write(int(engines.sequencer.settings[Setting.WORK_FD]), 1)
    engines.join()
    assert [thread.name for thread in engines._threads] == names
    assert engines.broken is None
    ages = engines.ages_ns()
    assert len(ages) == (2 if shards == 1 else 1 + 2 * shards)
    assert all(0 <= age < 10_000_000_000 for age in ages.values())


def test_when_a_thread_broke_nobody_waits_for_what_it_leaves_undone():
    engines = make(2)
    engines._broken = RuntimeError("a fault")
    engines.stop()
    assert is_closed_nb(engines.sequencer.broadcast)
    for shard in engines.shards:
        assert shard.control[Control.STOP] == shard.control[Control.RX_STOPPED] == 1
