"""Where the engine's threads run, with what priority, and that their memory stays where it is."""

import ctypes
import os
import threading

from feedhandler.server.config import EngineConfig
from feedhandler.server.errors import ConfigError, OsLimitError

_MCL_CURRENT = 1
_ANY_CPU = -1


def agent_cpu(engine: EngineConfig, agent: str) -> int:
    """CPU of an agent's thread as configured, -1 for any. Those of several shards come one behind
    the other, from that of the worker on.
    """
    if engine.shards == 1:
        return engine.worker_cpu if agent == "worker" else engine.receiver_cpu
    kind, _, number = agent.partition(" ")
    if kind == "receiver":
        return engine.receiver_cpu
    if engine.worker_cpu == _ANY_CPU:
        return _ANY_CPU
    threads = 1 if engine.topology == "inline" else 2
    return engine.worker_cpu + threads * int(number) + (kind == "worker")


def check_placing(engine: EngineConfig) -> None:
    """Try on a thread that ends at once what the agents' threads are to do.

    Raises:
        ConfigError: a CPU that this process may not run on.
        OsLimitError: a real-time priority that this process may not have.
    """
    allowed = sorted(os.sched_getaffinity(0))
    last = f"{'shard' if engine.topology == 'inline' else 'worker'} {engine.shards - 1}"
    agents = {"receiver_cpu": ["receiver"], "worker_cpu": ["worker"]}
    if engine.shards > 1:
        agents["worker_cpu"] = ["shard 0", last]
    for key, agent in ((key, agent) for key, names in agents.items() for agent in names):
        cpu = agent_cpu(engine, agent)
        if cpu != _ANY_CPU and cpu not in allowed:
            names = ", ".join(map(str, allowed))
            raise ConfigError(f"engine: {key} = {cpu}: this process may run on CPU {names}")
    refused: list[OSError] = []

    def try_it() -> None:
        try:
            place_thread(_ANY_CPU, engine.realtime_priority)
        except OSError as error:
            refused.append(error)

    thread = threading.Thread(target=try_it)
    thread.start()
    thread.join()
    if refused:
        raise OsLimitError(
            f"engine: realtime_priority = {engine.realtime_priority}: {refused[0].strerror};"
            " it takes CAP_SYS_NICE or LimitRTPRIO, or say 0"
        )


def place_thread(cpu: int, realtime_priority: int) -> None:
    """Bind the calling thread to a CPU (-1: any), and give it a place in SCHED_FIFO (0: none)."""
    if cpu != _ANY_CPU:
        os.sched_setaffinity(0, {cpu})
    if realtime_priority:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(realtime_priority))


def lock_memory() -> None:
    """Keep all that this process has mapped so far in memory; OsLimitError when it may not."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise OsLimitError(
            f"engine: lock_memory = true: {reason}; it takes CAP_IPC_LOCK or a higher"
            " LimitMEMLOCK (ulimit -l), or say false"
        )
