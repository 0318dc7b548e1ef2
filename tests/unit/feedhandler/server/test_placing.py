"""CPUs, real-time priority, locked memory: had or refused in one line, before anything starts."""

import ctypes
import errno
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from feedhandler.server import placing
from feedhandler.server.config import EngineConfig
from feedhandler.server.errors import ConfigError, OsLimitError
from feedhandler.server.placing import agent_cpu, check_placing, lock_memory, place_thread


def in_a_thread(call: Callable[[], Any]) -> Any:
    """What `call` gives on a thread that ends with it."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join()
    return found[0]


def may_be_realtime() -> bool:
    def try_it() -> bool:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        except OSError:
            return False
        return True

    return bool(in_a_thread(try_it))


def test_each_agent_has_its_own_cpu():
    engine = EngineConfig(receiver_cpu=2, worker_cpu=3)
    agents = ("inline", "receiver", "worker")
    assert [agent_cpu(engine, agent) for agent in agents] == [2, 2, 3]


@pytest.mark.parametrize(
    ("topology", "places"),
    [
        ("inline", {"receiver": 1, "shard 0": 4, "shard 2": 6}),
        ("pipelined", {"receiver": 1, "shard 0": 4, "worker 0": 5, "shard 2": 8, "worker 2": 9}),
    ],
)
def test_threads_of_several_shards_have_cpus_side_by_side(topology: str, places: dict[str, int]):
    engine = EngineConfig(shards=3, topology=topology, receiver_cpu=1, worker_cpu=4)  # type: ignore[arg-type]
    assert {agent: agent_cpu(engine, agent) for agent in places} == places
    anywhere = EngineConfig(shards=3, topology=topology, receiver_cpu=1)  # type: ignore[arg-type]
    assert [agent_cpu(anywhere, agent) for agent in places] == [1] + [-1] * (len(places) - 1)


@pytest.mark.parametrize("topology", ["inline", "pipelined"])
def test_a_cpu_of_the_last_shard_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, topology: str
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2})
    engine = EngineConfig(shards=4, topology=topology, worker_cpu=0)  # type: ignore[arg-type]
    last = 3 if topology == "inline" else 7
    with pytest.raises(ConfigError, match=rf"^engine: worker_cpu = {last}: .* CPU 0, 1, 2$"):
        check_placing(engine)
    check_placing(EngineConfig(shards=3, receiver_cpu=0, worker_cpu=0))


def test_without_keys_nothing_is_asked_of_the_system(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_arguments: object) -> None:
        raise AssertionError

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    check_placing(EngineConfig())
    place_thread(-1, 0)


def test_a_thread_runs_where_it_was_placed_and_no_other_does():
    cpu = max(os.sched_getaffinity(0))
    before = os.sched_getaffinity(0)

    def place() -> set[int]:
        place_thread(cpu, 0)
        return os.sched_getaffinity(0)

    check_placing(EngineConfig(receiver_cpu=cpu, worker_cpu=cpu))
    assert in_a_thread(place) == {cpu}
    assert os.sched_getaffinity(0) == before


@pytest.mark.parametrize("key", ["receiver_cpu", "worker_cpu"])
def test_a_cpu_that_is_not_there_is_named_with_those_that_are(key: str):
    with pytest.raises(ConfigError) as caught:
        check_placing(EngineConfig(**{key: 4_000}))
    names = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
    assert str(caught.value) == f"engine: {key} = 4000: this process may run on CPU {names}"


def test_a_priority_is_had_where_it_may_be():
    if not may_be_realtime():
        pytest.skip("this user may have no real-time priority")

    def place() -> tuple[int, int]:
        place_thread(-1, 7)
        return os.sched_getscheduler(0), os.sched_getparam(0).sched_priority

    check_placing(EngineConfig(realtime_priority=7, idle="backoff"))
    assert in_a_thread(place) == (os.SCHED_FIFO, 7)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_priority_that_may_not_be_had_is_refused_with_what_it_takes(
    monkeypatch: pytest.MonkeyPatch,
):
    def refuse(*_arguments: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with pytest.raises(OsLimitError) as caught:
        check_placing(EngineConfig(realtime_priority=7))
    assert str(caught.value) == (
        "engine: realtime_priority = 7: Operation not permitted;"
        " it takes CAP_SYS_NICE or LimitRTPRIO, or say 0"
    )


@pytest.mark.parametrize("idle", ["spin", "yield"])
def test_a_realtime_thread_that_never_sleeps_is_refused(idle: Any):
    with pytest.raises(ValueError, match="say idle = 'backoff'"):
        EngineConfig(realtime_priority=1, idle=idle)


class FakeLibc:
    """A C library whose mlockall gives `result`."""

    def __init__(self, result: int) -> None:
        self.result = result
        self.asked: list[int] = []

    def mlockall(self, flags: int) -> int:
        self.asked.append(flags)
        ctypes.set_errno(errno.ENOMEM if self.result else 0)
        return self.result


@pytest.mark.parametrize("result", [0, -1])
def test_memory_is_locked_or_refused_with_what_it_takes(
    monkeypatch: pytest.MonkeyPatch, result: int
):
    libc = FakeLibc(result)
    monkeypatch.setattr(placing.ctypes, "CDLL", lambda *_arguments, **_more: libc)
    if result == 0:
        lock_memory()
    else:
        with pytest.raises(OsLimitError, match=r"^engine: lock_memory = true: Cannot allocate mem"):
            lock_memory()
    assert libc.asked == [1]
