"""A sequencer and the shards behind it, fed by hand: what one engine is, by several."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from feedhandler.core.broadcast import broadcast_peek_nb
from feedhandler.core.engine import owns_nb
from feedhandler.core.follow import follow_nb
from feedhandler.core.handover import hand_state_nb, hear_doubt_nb
from feedhandler.core.receive import drain_window_nb
from feedhandler.core.roles import watch_legs
from feedhandler.core.shard import ShardCapacity
from tests.unit.feedhandler.core.support import CAPACITY, Engine

RECORDS = 64


class Team:
    """`front` sequences; `shards` take what it hands on, at `settle` or when they are told to."""

    def __init__(
        self,
        shards: int,
        breakers: Sequence[Any] = (),
        patterns: Sequence[Any] = (),
        *,
        capacity: ShardCapacity = CAPACITY,
        records: int = RECORDS,
        **channel: Any,
    ) -> None:
        handed = capacity._replace(broadcast_packets=records, takers=shards)
        self.front = Engine(capacity=handed, **channel)
        front = self.front.shard
        self.shards = []
        for number in range(shards):
            own = capacity._replace(shard=number, shards=shards)
            engine = Engine(breakers, patterns, capacity=own, **channel)
            engine.shard = engine.shard._replace(broadcast=front.broadcast, snapshot=front.snapshot)
            shard = engine.shard
            watch_legs(shard.split.roles, shard.breakers, shard.patterns)
            self.shards.append(engine)

    def follow(self, most: int = 1 << 30) -> int:
        """Have each shard take up to `most` records; how many all took together."""
        return sum(int(follow_nb(each.shard, each.venue, most)) for each in self.shards)

    def settle(self) -> None:
        """What `poll_once_nb` does behind the sockets, by the test's clock."""
        front = self.front
        while drain_window_nb(front.shard, front.venue, front.now_ns):
            pass
        hear_doubt_nb(front.shard)
        front.settle()
        hand_state_nb(front.shard)

    @contextmanager
    def following(self) -> Iterator[None]:
        """Meanwhile the shards take what comes, on a thread of their own."""
        done = threading.Event()

        def run() -> None:
            while not done.is_set():
                self.follow()

        thread = threading.Thread(target=run)
        thread.start()
        yield
        done.set()
        thread.join()

    def behind(self) -> list[bool]:
        """Whether each shard has records to take."""
        broadcast = self.front.shard.broadcast
        return [broadcast_peek_nb(broadcast, i) >= 0 for i in range(len(self.shards))]

    def total(self, row: int) -> int:
        """A counter's value over all engines."""
        return sum(each.count(row) for each in (self.front, *self.shards))

    def ticks(self) -> list[Any]:
        """Copies of the ticks in the lanes of all shards, of their own instruments, by sequence."""
        found = [
            tick
            for each in self.shards
            for tick in each.ticks()
            if owns_nb(each.shard, int(tick["instrument"]))
        ]
        return sorted(found, key=lambda tick: int(tick["seq"]))
