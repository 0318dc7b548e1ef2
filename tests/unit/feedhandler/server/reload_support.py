"""Engines that a task of the test's loop works on, and what reloads their functions."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from feedhandler.core.quotes import show_feed_nb
from feedhandler.server.assemble import build_feeds
from feedhandler.server.config import EngineConfig, FeedConfig, LineConfig, ServerConfig
from feedhandler.server.functions import build_stages, load_stages, own_places
from feedhandler.server.reload import Names, Reloader
from oms_out.config import OmsConfig
from tests.unit.feedhandler.core.support import Engine, add

SMALL = EngineConfig(
    instruments=8, orders=512, overflow_orders=8, level_blocks=64, level_arena=256,
    window_packets=64, snapshot_bytes=128, signal_ring=1_024, reload_functions=2,
    reload_bindings=8,
)  # fmt: skip
CONFIG = ServerConfig(
    feed=FeedConfig(line_a=LineConfig(port=0)),
    oms=OmsConfig(store_dir="unused", allowed=("OMS1",)),
    engine=SMALL,
)
ARGUMENTS = "(ticks, slot, market, legs, params, state, out)"
OWN = f"""from feedhandler.core.api import breaker, pattern


@pattern("value", "again")
def told{ARGUMENTS}:
    state[0] += 1
    out[0], out[1], out[2], out[3], out[4] = 7, 8, params[0], params[1], state[0]
    return 1


@pattern(legs=2)
def pair{ARGUMENTS}:
    state[0] += 1
    out[0], out[1], out[2], out[3], out[4] = 7, 8, legs[0], legs[1], state[0]
    return 1


@pattern()
def wrong{ARGUMENTS}:
    return state[999]


@breaker("limit")
def quiet{ARGUMENTS}:
    state[0] = params[0]
    return 0
"""


class Rig:
    """A shard for each feed that a task of this loop works on, and the reloader of all."""

    def __init__(self, config: ServerConfig, off: Iterable[str] = ()) -> None:
        loaded = load_stages(config)
        stages = build_stages(loaded)
        shards = [shard for (shard,) in build_feeds(config, loaded)]
        self.engines = []
        for feed, shard in enumerate(shards):
            engine = Engine()
            engine.shard, engine.stages = shard, own_places(stages)
            shard.settings[0] = 0
            if config.feeds:
                show_feed_nb(shard.quotes, feed, 1)
            self.engines.append(engine)
        self.engine = self.engines[0]
        self.off = frozenset(off)
        self.reloader = Reloader(config, loaded, stages, shards, self.off)
        self.names: list[Names] = []
        self.reloader.on_names = self.names.append

    async def work(self) -> None:
        while True:
            for engine in self.engines:
                engine.work()
            await asyncio.sleep(0)

    async def reload(self, config: ServerConfig, off: Iterable[str] = ()) -> list[str]:
        result = await self.reloader.reload(lambda: (config, frozenset(off)))
        return list(result["changes"])

    def values(self) -> list[tuple[int, ...]]:
        """Of every signal of the first feed so far: who, and its three values."""
        return [
            tuple(int(row[name]) for name in ("source", "value_0", "value_1", "value_2"))
            for row in self.engine.signals()
        ]


@asynccontextmanager
async def running(config: ServerConfig, off: Iterable[str] = ()) -> AsyncIterator[Rig]:
    rig = Rig(config, off)
    task = asyncio.create_task(rig.work())
    try:
        yield rig
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def define(symbol: str, locate: int) -> bytes:
    """The first order of a symbol names it."""
    return add(1_000 + locate, "S", 1, 1_000_000 + locate, locate=locate, symbol=symbol)
