"""What the hub shows of bars, price statistics and correlations, by looks that no kernel notices:
every row is read whole.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.away import leg_text
from feedhandler.core.bars import BAR_WORDS, COMPLETED, Bar, bars_of
from feedhandler.core.events import symbol_text
from feedhandler.core.functions import Bound, Functions, Meta
from feedhandler.core.patterns.correlation import correlation_of
from feedhandler.core.price_stats import PriceStats, price_stats_of
from feedhandler.core.shard import Control, Shard
from feedhandler.core.summaries import EVERY_INSTRUMENT, Length
from feedhandler.server.config import ServerConfig
from feedhandler.server.feeds import Feed
from feedhandler.server.hub_messages import (
    BarMessage,
    BarRow,
    Code,
    CorrelationRow,
    HubError,
)
from feedhandler.server.hub_watchers import Matcher
from feedhandler.server.snapshots import read_control_nb, write_control_nb

By = Literal["time", "volume"]
Place = tuple[int, int]
"""(feed, instrument)."""
_POLL_S = 0.001
_POLLS = 1_000
_KINDS: tuple[tuple[By, Length], ...] = (("time", Length.BAR_NS), ("volume", Length.BAR_SHARES))


class _Pair(NamedTuple):
    """A pair of a correlation, and where its state begins."""

    symbols: tuple[str, str]
    state_at: int


class AnalyticsView:
    """Reads what the shards of the feeds keep; nothing that was not configured."""

    def __init__(self, config: ServerConfig, feeds: Sequence[Feed]) -> None:
        """Compile or load what reads it, before a server's loop would wait for that."""
        self._feeds = list(feeds)
        self._feed_names = [feed.name for feed in feeds]
        first = len(config.pattern_names) - len(config.correlations)
        self._names = {first + i: each.name for i, each in enumerate(config.correlations)}
        self._completed: list[NDArray[np.int64]] | None = None
        bars_of(feeds[0].engines.shards[0].summaries.time_bars, 0)

    def _owner(self, place: Place) -> Shard:
        feed, instrument = place
        shard: Shard = self._feeds[feed].engines.owner_of(instrument)
        return shard

    # -- bars -------------------------------------------------------------------------------------

    def bars(self, symbol: str, places: Sequence[Place]) -> list[BarRow]:
        """Last and present bar of each kind that is kept, of a symbol wherever it is."""
        rows = []
        for place in places:
            name = self._feeds[place[0]].name
            for by, words in self._kept(self._owner(place)):
                pair = bars_of(words, place[1])
                rows += [
                    BarRow(symbol=symbol, feed=name, by=by, is_complete=complete, **bar._asdict())
                    for complete, bar in zip((True, False), pair, strict=True)
                    if bar is not None
                ]
        return rows

    @property
    def keeps_bars(self) -> bool:
        """Whether bars are kept at all."""
        return any(self._kept(self._feeds[0].engines.shards[0]))

    def forget_bars(self) -> None:
        """Nobody watches: bars that are completed meanwhile are no news later."""
        self._completed = None

    def new_bars(self) -> list[BarMessage]:
        """Bars that were completed since the last look; of several of one instrument the last."""
        counts: list[NDArray[np.int64]] = []
        news: list[BarMessage] = []
        for number, (feed, shard, by, words) in enumerate(self._every()):
            counts.append(words[COMPLETED::BAR_WORDS].copy())
            if self._completed is None:
                continue
            for at in np.flatnonzero(counts[-1] != self._completed[number]).tolist():
                last: Bar | None = bars_of(words, at)[0]
                if last is not None:
                    symbol = symbol_text(int(shard.instruments[at]["symbol"]), at)
                    message = BarMessage(symbol=symbol, feed=feed, by=by, **last._asdict())
                    news.append(message)
        self._completed = counts
        return news

    def _every(self) -> Iterator[tuple[str, Shard, By, NDArray[np.int64]]]:
        for feed in self._feeds:
            for shard in feed.engines.shards:
                for by, words in self._kept(shard):
                    yield feed.name, shard, by, words

    @staticmethod
    def _kept(shard: Shard) -> Iterator[tuple[By, NDArray[np.int64]]]:
        words = (shard.summaries.time_bars, shard.summaries.volume_bars)
        for (by, length), bars in zip(_KINDS, words, strict=True):
            if shard.summaries.lengths[length]:
                yield by, bars

    # -- price statistics -------------------------------------------------------------------------

    def stats_of(self, place: Place) -> PriceStats | None:
        """Price statistics of an instrument; None where none are kept, or nothing traded."""
        shard = self._owner(place)
        if not shard.summaries.lengths[Length.PRICE_STATS]:
            return None
        return price_stats_of(shard.summaries.price_stats, place[1])

    async def clear_stats(self, places: Sequence[Place] | None) -> None:
        """Have the price statistics of these instruments, or of all, begin anew; one after the
        other, as each shard hears one word at a time. HubError where none are kept.
        """
        shards = [shard for feed in self._feeds for shard in feed.engines.shards]
        if not shards[0].summaries.lengths[Length.PRICE_STATS]:
            text = "no price statistics are kept; set price_stats = true in [analytics]"
            raise HubError(Code.UNSUPPORTED, f"{text} and restart")
        asked = [(shard, EVERY_INSTRUMENT) for shard in shards]
        if places is not None:
            asked = [(self._owner(place), 1 + place[1]) for place in places]
        for shard, word in asked:
            await _until_clear(shard)
            write_control_nb(shard.control, Control.CLEAR_STATS, word)
        for shard, _ in asked:
            await _until_clear(shard)

    # -- correlations -----------------------------------------------------------------------------

    def correlations(self, names: Matcher, symbols: Matcher) -> list[CorrelationRow]:
        """A row for each pair of those that fit, on each feed that knows both; `symbols` must fit
        one of the pair.
        """
        return [row for feed in self._feeds for row in self._of_feed(feed, names, symbols)]

    def _of_feed(self, feed: Feed, names: Matcher, symbols: Matcher) -> Iterator[CorrelationRow]:
        for shard in feed.engines.shards:
            for number, pair in self._pairs(shard.patterns):
                name, (a, b) = self._names[number], pair.symbols
                if not names(name) or not (symbols(a) or symbols(b)):
                    continue
                found = correlation_of(shard.patterns.state, pair.state_at)
                # Of several shards the one that has samples: the others know the pair, but not its
                # ticks.
                if found.samples or len(feed.engines.shards) == 1:
                    yield CorrelationRow(
                        name=name, feed=feed.name, symbol_a=a, symbol_b=b, **found._asdict()
                    )

    def _pairs(self, functions: Functions) -> Iterator[tuple[int, _Pair]]:
        """(number of the pattern, pair) of every pair of a correlation."""
        if not self._names:
            return
        counts = np.diff(functions.first[: functions.meta[Meta.SYMBOLS] + 1])
        symbols = np.repeat(functions.symbols[: len(counts)], counts)
        of_leg = np.zeros(len(functions.legs), np.int64)
        of_leg[functions.cells[: len(symbols), 1]] = symbols
        for binding in functions.bindings:
            function, legs_at = int(binding[Bound.FUNCTION]), int(binding[Bound.LEGS_AT])
            if function in self._names and binding[Bound.LEGS]:
                at = int(binding[Bound.STATE_AT])
                a, b = (leg_text(int(of_leg[legs_at + i]), self._feed_names) for i in range(2))
                yield function, _Pair((a, b), at)


async def _until_clear(shard: Shard) -> None:
    """Wait until the thread that receives has done what was asked."""
    for _ in range(_POLLS):
        if read_control_nb(shard.control, Control.CLEAR_STATS) == 0:
            return
        await asyncio.sleep(_POLL_S)
    raise HubError(Code.TIMEOUT, "the engine did not answer in time; look whether it is done")
