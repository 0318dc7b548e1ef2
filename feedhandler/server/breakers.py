"""The breakers of a running server from outside: trips and resets by hand, positions, and what
survives a restart.

A command goes to the worker of each shard, which carries it out between two ticks. It is given one
at a time; one that is not taken before its deadline is taken back, so that it is done wholly or not
at all.
"""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from feedhandler.core.atomics import compare_exchange
from feedhandler.core.breaker_machine import Manual, Scope, level_of_cell_nb
from feedhandler.core.breaker_scopes import Held as HeldWord
from feedhandler.core.breaker_scopes import cell_of_nb
from feedhandler.core.counts import Count
from feedhandler.core.events import BreakerLevel
from feedhandler.core.shard import ALL_PARTS, Ask, Control, Order, Setting, Shard
from feedhandler.server.breaker_store import BreakerStore, Held
from feedhandler.server.config import ServerConfig
from feedhandler.server.feeds import Feed
from feedhandler.server.snapshots import read_control_nb, write_control_nb
from protocols.jit import outline_kernel

_NS_PER_MS = 1_000_000
_POLL_S = 0.1
_LOOK_S = 0.001
_ORDER_S = 2.0
_SYMBOL_BYTES = 8
LEVELS = {
    "caution": BreakerLevel.CAUTION,
    "restrict": BreakerLevel.RESTRICTED,
    "halt": BreakerLevel.HALTED,
}


class NoSuchTargetError(ValueError):
    """A breaker or a part of its scope that there is not; the text says what there is."""


@outline_kernel
def _take_back_nb(control: NDArray[np.int64], word: int) -> int:
    """1 when what was asked for in `word` was not taken yet, and now never will be."""
    return compare_exchange(control, word, np.int64(1), np.int64(0))


class BreakerDesk:
    """Of the event loop's thread. `today` gives the day of what is saved."""

    def __init__(
        self, config: ServerConfig, feeds: Sequence[Feed], today: Callable[[], date] = date.today
    ) -> None:
        self._config = config
        self._feeds = list(feeds)
        self._today = today
        self._names = [each.name for each in config.breakers]
        self._sectors = list(config.sectors)
        self._log = structlog.get_logger(component="breakers")
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._stores = [self._store_of(feed) for feed in feeds] if self._names else []
        self._later: list[tuple[Feed, BreakerStore, Held]] = []

    def _store_of(self, feed: Feed) -> BreakerStore:
        path = Path(self._config.breakers_file or Path(self._config.oms.store_dir) / "breakers")
        if feed.number:
            path = path.with_name(f"{path.name}.{feed.number}")
        shards = [shard.cells for shard in feed.engines.shards]
        return BreakerStore(path, shards, self._names, self._sectors, feed.told_symbol_of)

    # -- life -------------------------------------------------------------------------------------

    def load(self) -> None:
        """Bring back what is to hold again; before the engines start."""
        for feed, store in zip(self._feeds, self._stores, strict=True):
            loaded = store.load(self._today(), self._number_of)
            for warning in loaded.warnings:
                self._log.warning("breakers_passed_over", reason=warning)
            for held in (*loaded.placed, *loaded.later):
                self._log.info(
                    "breaker_held_again",
                    breaker=held.breaker,
                    target=held.key or "*",
                    level=BreakerLevel(held.level).name.lower(),
                    state=held.state.name,
                )
            self._later += [(feed, store, held) for held in loaded.later]
            for shard in feed.engines.shards:
                _restore_counts(shard)

    def start(self) -> None:
        """Begin to save what changes."""
        if self._stores:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Save the last state; after the engines' end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for store in self._stores:
            if not store.save(self._today()):
                self._log.error("breakers_not_saved", reason=store.fault)

    async def _run(self) -> None:
        faults: dict[int, str] = {}
        while True:
            for number, store in enumerate(self._stores):
                await asyncio.to_thread(store.poll, time.monotonic_ns(), self._today())
                if store.fault != faults.get(number, ""):
                    faults[number] = store.fault
                    if store.fault:
                        self._log.error("breakers_not_saved", reason=store.fault)
            for feed, store, held in list(self._later):
                await self._bring_back(feed, store, held)
            if len(self._feeds) > 1:
                await self._share_server_levels()
            await asyncio.sleep(_POLL_S)

    async def _bring_back(self, feed: Feed, store: BreakerStore, held: Held) -> None:
        """Trip by hand again what was tripped so, once a message has told its symbol."""
        number = _instrument_of(feed, held.key)
        if number is None:
            return
        for_ns = held.manual_left_ns if held.manual is Manual.FOR_A_TIME else 0
        words = {
            Order.WHAT: int(Ask.TRIP),
            Order.BREAKER: self._names.index(held.breaker),
            Order.KEY: number,
            Order.LEVEL: held.level,
            Order.FOR_NS: for_ns,
        }
        await self._order(feed, words)
        self._later.remove((feed, store, held))
        store.settle(held)

    async def _share_server_levels(self) -> None:
        """What trips a breaker of the scope SERVER in one feed's engines holds for those of all: a
        trip for a time in the others, which is renewed as long as it holds.
        """
        for number, breaker in enumerate(self._config.breakers):
            cells = [feed.engines.shards[0].cells for feed in self._feeds]
            if cells[0].scope[number] != Scope.SERVER:
                continue
            levels = [
                int(level_of_cell_nb(each.rows, int(cell_of_nb(each, number, 0)))) for each in cells
            ]
            manual = [int(each.rows[cell_of_nb(each, number, 0)]["manual"]) for each in cells]
            # One that is only tripped for a time is an echo, and has none of its own.
            own = [
                level for level, how in zip(levels, manual, strict=True) if how != Manual.FOR_A_TIME
            ]
            for feed, level in zip(self._feeds, levels, strict=True):
                if level < max(own, default=0):
                    words = {
                        Order.WHAT: int(Ask.TRIP),
                        Order.BREAKER: number,
                        Order.LEVEL: max(own),
                        Order.FOR_NS: breaker.calm_ms * _NS_PER_MS,
                    }
                    await self._order(feed, words)

    # -- commands ---------------------------------------------------------------------------------

    async def trip(self, breaker: str, target: str, level: str, for_ms: int, reason: str) -> int:
        """Trip a breaker by hand; how many cells it was about. NoSuchTargetError, TimeoutError."""
        words = {Order.WHAT: int(Ask.TRIP), Order.LEVEL: int(LEVELS[level])}
        words[Order.FOR_NS] = for_ms * _NS_PER_MS
        count = await self._order_cells(words, breaker, target)
        self._log.warning(
            "breaker_tripped_by_hand",
            breaker=breaker,
            target=target,
            level=level,
            for_ms=for_ms,
            reason=reason,
            cells=count,
        )
        return count

    async def reset(self, breaker: str, target: str, reason: str) -> int:
        """Reset it; how many cells were not NORMAL. Errors as above."""
        count = await self._order_cells({Order.WHAT: int(Ask.RESET)}, breaker, target)
        self._log.warning(
            "breaker_reset_by_hand", breaker=breaker, target=target, reason=reason, cells=count
        )
        return count

    async def tell_position(self, symbol: str, position: int) -> None:
        """What an OMS holds of a symbol, for the response to RESTRICTED. Errors as above."""
        found = 0
        for feed in self._feeds:
            number = _instrument_of(feed, symbol)
            if number is not None:
                words = {Order.WHAT: int(Ask.TELL_POSITION), Order.KEY: number}
                words[Order.POSITION] = position
                found += await self._order(feed, words)
        if not found:
            raise NoSuchTargetError(
                f"position of {symbol}: no message has named this symbol, or the response to"
                " restrict keeps no position"
            )

    async def _order_cells(self, words: dict[Order, int], breaker: str, target: str) -> int:
        if breaker not in self._names:
            known = ", ".join(self._names) or "none"
            raise NoSuchTargetError(f"no breaker is named {breaker!r}; there is {known}")
        number = self._names.index(breaker)
        scope = Scope(int(self._feeds[0].engines.shards[0].cells.scope[number]))
        keys = [(feed, self._key_of(feed, scope, target)) for feed in self._feeds]
        if all(key is None for _, key in keys):
            raise NoSuchTargetError(
                f"breaker {breaker!r} is of scope {scope.name.lower()}: {target!r} is none;"
                f" {self._targets(scope)}"
            )
        count = 0
        for feed, key in keys:
            if key is not None:
                count += await self._order(feed, {**words, Order.BREAKER: number, Order.KEY: key})
        return count

    def _key_of(self, feed: Feed, scope: Scope, target: str) -> int | None:
        """Number of a part of a scope in this feed's engines."""
        if scope in (Scope.MARKET, Scope.SERVER):
            is_meant = target == "*" or (scope is Scope.MARKET and target == feed.name)
            return 0 if is_meant else None
        if target == "*":
            return ALL_PARTS
        if scope is Scope.SECTOR:
            return self._sectors.index(target) if target in self._sectors else None
        return _instrument_of(feed, target)

    def _targets(self, scope: Scope) -> str:
        if scope is Scope.INSTRUMENT:
            return "name a symbol that the feed has named, or '*'"
        if scope is Scope.SECTOR:
            return f"name one of {', '.join(self._sectors)}, or '*'"
        if scope is Scope.MARKET:
            return f"name one of {', '.join(feed.name for feed in self._feeds)}, or '*'"
        return "name '*'"

    def _number_of(self, scope: Scope, key: str) -> int | None:
        """Number of a part of a scope before any message has told a symbol."""
        if scope is Scope.INSTRUMENT:
            return None
        if scope is Scope.SECTOR:
            return self._sectors.index(key) if key in self._sectors else -1
        return 0

    async def _order(self, feed: Feed, words: dict[Order, int]) -> int:
        """Give a command to all shards of a feed; how many cells it was about in the shard that has
        most of them.
        """
        async with self._turn:
            counts = [await self._give(shard, words) for shard in feed.engines.shards]
        return max(counts)

    async def _give(self, shard: Shard, words: dict[Order, int]) -> int:
        shard.command[:] = 0
        for word, value in words.items():
            shard.command[word] = value
        write_control_nb(shard.control, Control.COMMAND, 1)
        os.eventfd_write(int(shard.settings[Setting.WORK_FD]), 1)
        until_s = time.monotonic() + _ORDER_S
        try:
            while read_control_nb(shard.control, Control.COMMAND):
                if time.monotonic() > until_s:
                    raise TimeoutError
                await asyncio.sleep(_LOOK_S)
        except BaseException:
            if _take_back_nb(shard.control, Control.COMMAND):
                raise
        return int(shard.command[Order.RESULT])


def _instrument_of(feed: Feed, symbol: str) -> int | None:
    """Number that a feed has given a symbol, None where no message has named it."""
    wanted = int.from_bytes(symbol.encode("latin-1", "replace").ljust(_SYMBOL_BYTES), "little")
    for number, shard in enumerate(feed.engines.shards):
        found = np.flatnonzero(shard.instruments["symbol"] == wanted)
        own = found[found % len(feed.engines.shards) == number]
        if len(own):
            return int(own[0])
    return None


def _restore_counts(shard: Shard) -> None:
    """Gauges of cells that were brought back."""
    for breaker, active in enumerate(shard.cells.active.tolist()):
        shard.counts[Count.BREAKERS_TRIPPED + breaker, 0] = active
    # What holds again is told of each instrument as soon as a message names it.
    shard.cells.held[HeldWord.LEFT] = len(shard.numbers) if shard.cells.active.any() else 0
    shard.cells.held[HeldWord.AT_ONCE] = shard.cells.held[HeldWord.LEFT] > 0
