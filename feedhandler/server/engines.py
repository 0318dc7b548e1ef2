"""The engines of a server and their threads: one shard that receives its own feed, or a sequencer
and the shards that it hands the feed to.

    shards   topology    threads
    1        inline      inline
    1        pipelined   receiver, worker
    several  inline      receiver; shard 0, shard 1, ...
    several  pipelined   receiver; shard 0, worker 0, shard 1, worker 1, ...
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from feedhandler.core.api import Sender
from feedhandler.core.broadcast import broadcast_close_nb
from feedhandler.core.counts import Count
from feedhandler.core.follow import run_follower_nb, run_shard_nb
from feedhandler.core.receive import BEAT_STEADY, run_inline_nb, run_receiver_nb, run_worker_nb
from feedhandler.core.receiver import Receiver, allocate_receiver
from feedhandler.core.shard import Control, Setting, Shard
from feedhandler.core.states import State
from feedhandler.server.assemble import Prepared
from feedhandler.server.config import EngineConfig
from feedhandler.server.functions import own_places
from feedhandler.server.placing import agent_cpu, lock_memory, place_thread
from feedhandler.server.snapshots import write_control_nb
from feedhandler.server.watchdog import Worker

_SLOT_BYTES = 64
_READY = (State.LIVE, State.ENDED)

Duty = tuple[str, Callable[[], Any]]


class Engines:
    """`sequencer` has the channel, and of one shard all else; `shards` have the books."""

    def __init__(
        self, config: EngineConfig, prepared: Prepared, rx: Receiver, signal_fd: int | None = None
    ) -> None:
        """`rx` has the sockets of the feed; an eventfd for each purpose is opened, but for signals
        where `signal_fd` is given.
        """
        self.sequencer = prepared.sequencer
        self.shards = prepared.shards
        # Functions change in one shard after the other, each between two ticks of its own.
        self.stages = [own_places(prepared.stages) for _ in prepared.shards]
        self.signal_fd = os.eventfd(0, os.EFD_NONBLOCK) if signal_fd is None else signal_fd
        self.control_fd = os.eventfd(0, os.EFD_NONBLOCK)
        self._config = config
        self._prepared = prepared
        self._rx = rx
        self._threads: list[threading.Thread] = []
        self._started_ns = 0
        self._broken: BaseException | None = None
        self.sequencer.settings[Setting.CONTROL_FD] = self.control_fd
        for shard in self.shards:
            shard.settings[Setting.SIGNAL_FD] = self.signal_fd
            shard.settings[Setting.WORK_FD] = os.eventfd(0, os.EFD_NONBLOCK)

    @property
    def is_sharded(self) -> bool:
        """Whether there are several shards."""
        return len(self.shards) > 1

    @property
    def broken(self) -> BaseException | None:
        """What ended a thread before its time."""
        return self._broken

    def owner_of(self, instrument: int) -> Shard:
        """The shard that has this instrument's book."""
        return self.shards[instrument % len(self.shards)]

    def is_ready(self) -> bool:
        """Whether every shard has come to a state in which signals leave."""
        channels = [shard.channel[0] for shard in (self.sequencer, *self.shards)]
        return all(each["state"] in _READY and not each["suspect"] for each in channels)

    def busiest(self, symbol: str) -> int:
        """The instrument of this symbol, or that with the most messages where none has it."""
        messages = np.zeros(len(self.shards[0].instruments), np.int64)
        for shard in self.shards:
            if symbol:
                wanted = int.from_bytes(symbol.encode("latin-1").ljust(8), "little")
                found = np.flatnonzero(shard.instruments["symbol"] == wanted)
                if len(found):
                    return int(found[0])
            messages += shard.instruments["messages"] * shard.split.owned[: len(messages)]
        return int(np.argmax(messages))

    # -- threads ----------------------------------------------------------------------------------

    def start(self, sender: Sender) -> None:
        """A thread for each duty; `sender` is for the one that makes signals, where one does."""
        duties = self._duties_of_shards() if self.is_sharded else self._duties_of_one(sender)
        if self._config.lock_memory:
            lock_memory()
        self._started_ns = time.monotonic_ns()
        for name, duty in duties:
            cpu = agent_cpu(self._config, name)
            thread = threading.Thread(target=self._guard, args=(duty, cpu), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def _duties_of_one(self, sender: Sender) -> list[Duty]:
        shard, rx, venue = self.sequencer, self._rx, self._prepared.venue
        stages = self.stages[0]._replace(sender=sender)
        if self._config.topology == "inline":
            return [("inline", lambda: run_inline_nb(shard, rx, venue, *stages))]
        return [
            ("receiver", lambda: run_receiver_nb(shard, rx, venue)),
            ("worker", lambda: run_worker_nb(shard, rx, *stages)),
        ]

    def _duties_of_shards(self) -> list[Duty]:
        sequencer, venue = self.sequencer, self._prepared.venue
        duties: list[Duty] = [
            ("receiver", lambda: run_receiver_nb(sequencer, self._rx, venue)),
        ]
        for number, shard in enumerate(self.shards):
            rx = allocate_receiver((-1, -1, -1), bytes(len(self._rx.session)), _SLOT_BYTES)
            wake_fd = os.eventfd(0, os.EFD_NONBLOCK)
            rx.pollfds[0]["fd"] = sequencer.broadcast.fds[number] = wake_fd
            duties += self._duties_of(number, shard, rx, venue)
        return duties

    def _duties_of(self, number: int, shard: Shard, rx: Receiver, venue: Any) -> list[Duty]:
        """Those of one shard of several."""
        stages = self.stages[number]
        if self._config.topology == "inline":
            return [(f"shard {number}", lambda: run_shard_nb(shard, rx, venue, *stages))]
        return [
            (f"shard {number}", lambda: run_follower_nb(shard, rx, venue)),
            (f"worker {number}", lambda: run_worker_nb(shard, rx, *stages)),
        ]

    def _guard(self, duty: Callable[[], Any], cpu: int) -> None:
        """A duty that ends by an exception ends the process: better no server than half of one."""
        try:
            place_thread(cpu, self._config.realtime_priority)
            duty()
        except BaseException as error:  # noqa: BLE001 - reported by the main thread, which then stops
            self._broken = error
            os.kill(os.getpid(), signal.SIGTERM)

    def ages_ns(self) -> dict[str, int]:
        """Age of each agent's last round, or of its start until the first one."""
        now_ns = time.monotonic_ns()
        rows = {"receiver": (self.sequencer, Count.RX_HEARTBEAT_NS)}
        if self.is_sharded:
            for number, shard in enumerate(self.shards):
                rows[f"shard {number}"] = (shard, Count.RX_HEARTBEAT_NS)
                rows[f"worker {number}"] = (shard, Count.WORKER_HEARTBEAT_NS)
        else:
            rows["worker"] = (self.sequencer, Count.WORKER_HEARTBEAT_NS)
        beats = {name: int(shard.counts[row, BEAT_STEADY]) for name, (shard, row) in rows.items()}
        return {name: now_ns - max(beat, self._started_ns) for name, beat in beats.items()}

    def stop(self) -> None:
        """Have the feed read no more. What is behind the sequencer goes on until all of it is
        done, unless a thread broke: then nobody may wait for what it leaves undone.
        """
        write_control_nb(self.sequencer.control, Control.STOP, 1)
        if self._broken is not None:
            broadcast_close_nb(self.sequencer.broadcast)
            for shard in self.shards:
                write_control_nb(shard.control, Control.STOP, 1)
                write_control_nb(shard.control, Control.RX_STOPPED, 1)

    def join(self, most_s: float | None = None) -> None:
        """Wait until every thread has ended, or for `most_s` together."""
        until_s = None if most_s is None else time.monotonic() + most_s
        for thread in self._threads:
            thread.join(None if until_s is None else max(until_s - time.monotonic(), 0.0))

    def workers(self, feed: str) -> list[Worker]:
        """The threads that call functions, once they have started."""
        threads = {thread.name: thread for thread in self._threads}
        own = "inline" if self._config.topology == "inline" else "worker"
        names = [own]
        if self.is_sharded:
            kind = "shard" if self._config.topology == "inline" else "worker"
            names = [f"{kind} {number}" for number in range(len(self.shards))]
        return [
            Worker(f"{feed} {name}", shard, partial(_cpu_ns, threads[name]))
            for name, shard in zip(names, self.shards, strict=True)
        ]


def _cpu_ns(thread: threading.Thread) -> int:
    """The processor's time that a thread has had; 0 once it has ended."""
    if thread.ident is None or not thread.is_alive():
        return 0
    return time.clock_gettime_ns(time.pthread_getcpuclockid(thread.ident))
