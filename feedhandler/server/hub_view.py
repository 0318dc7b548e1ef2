"""What the hub sees of a server's engine, by looks that no kernel notices: counters, words of the
instruments' rows (each is read whole, a row may be half of the next tick), best prices.
"""

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.counters import CounterFile
from feedhandler.core.counts import Count
from feedhandler.core.events import (
    E9_PER_E4,
    FEED_SHIFT,
    SIGNAL,
    BreakerLevel,
    SignalKind,
    symbol_text,
)
from feedhandler.core.states import State
from feedhandler.server.books import BookWatch
from feedhandler.server.config import ServerConfig
from feedhandler.server.feeds import Feed
from feedhandler.server.hub_actions import SignalRow
from feedhandler.server.hub_analytics import AnalyticsView
from feedhandler.server.hub_messages import (
    BarRow,
    Breaker,
    Cancel,
    Code,
    CorrelationRow,
    FeedState,
    FunctionRow,
    HubError,
    Leg,
    Message,
    Order,
    Quote,
    Side,
    SymbolRow,
)
from feedhandler.server.hub_watchers import Matcher
from feedhandler.server.quotes import QuotePage, market_state
from feedhandler.server.tables import source_names

_COLUMN = {name: at for at, name in enumerate(SIGNAL.names or ())}
_SIDES: dict[int, Side] = {1: "buy", -1: "sell"}
_LEVEL_NAMES = {int(level): level.name.lower() for level in BreakerLevel}
_GOOD = (State.LIVE, State.ENDED)
_FEED_MASK = (1 << FEED_SHIFT) - 1
_COMMON = ("signal_id", "price_e9", "seq", "ts_exch_ns", "ts_rx_ns", "ts_signal_ns")
_PRICES = ("qty", "bid_price_e9", "bid_qty", "ask_price_e9", "ask_qty")


class EngineView:
    """`hub_actions.View` of a server."""

    def __init__(self, config: ServerConfig, feeds: Sequence[Feed], counters: CounterFile) -> None:
        breakers = [stage.name for stage in config.breakers]
        self.name_functions(config, config.pattern_names, breakers)
        self.places: dict[str, list[tuple[int, int]]] = {}
        """Where each symbol that `learn` gave is: (feed, instrument)."""
        self.analytics = AnalyticsView(config, feeds)
        self._feeds = list(feeds)
        self._counters = counters
        self._known = [
            [np.zeros(len(column), np.int64) for column in self._columns(feed)] for feed in feeds
        ]

    def name_functions(
        self, config: ServerConfig, patterns: Sequence[str], breakers: Sequence[str]
    ) -> None:
        """These are there from now on, `patterns` by the numbers that signals have for them."""
        self._config = config
        self._by_number = source_names(patterns, breakers)
        self.sources: Sequence[str] = [*config.pattern_names, *breakers]

    # -- feeds and functions ----------------------------------------------------------------------

    def feeds(self) -> list[FeedState]:
        """Every feed as its receiving thread last exported it."""
        now_ns = time.time_ns()
        return [
            FeedState(
                feed=feed.name,
                state=feed.state.name,
                in_doubt=not feed.is_ready(),
                next_seq=int(feed.engines.sequencer.counts[Count.NEXT_SEQ, 0]),
                ts_ns=now_ns,
            )
            for feed in self._feeds
        ]

    def patterns(self) -> list[FunctionRow]:
        """Every pattern, and its signals over all feeds."""
        functions = [stage.function for stage in self._config.patterns]
        functions += ["definition"] * len(self._config.definitions)
        functions += ["correlation"] * len(self._config.correlations)
        return [
            FunctionRow(
                name=name, function=function, signals=self._value("pattern_signals", pattern=name)
            )
            for name, function in zip(self._config.pattern_names, functions, strict=True)
        ]

    def breakers(self) -> list[FunctionRow]:
        """Every breaker, its trips, and how many instruments are tripped, over all feeds."""
        return [
            FunctionRow(
                name=stage.name,
                function=stage.function,
                trips=self._value("breaker_trips", breaker=stage.name),
                tripped=self._value("breaker_state", breaker=stage.name),
            )
            for stage in self._config.breakers
        ]

    def _value(self, name: str, **labels: str) -> int:
        return self._counters.value(name, **labels)

    def counters(self, names: Matcher) -> dict[str, int]:
        """Counters and gauges whose names fit, as `name{label=value}`."""
        values = self._counters.totals()
        found: dict[str, int] = {}
        for row, spec in enumerate(self._counters.counter_specs):
            if not names(spec.name) or spec.spare:
                continue
            labels = ",".join(f"{key}={text}" for key, text in spec.labels)
            found[f"{spec.name}{{{labels}}}" if labels else spec.name] = int(values[row])
        return found

    # -- symbols ----------------------------------------------------------------------------------

    def symbols(self, names: Matcher, limit: int) -> list[SymbolRow]:
        """Rows of symbols that fit, by name, of each feed that has named them."""
        wanted = self.names(names)[:limit]
        return [self._row(name, *place) for name in wanted for place in self.places[name]][:limit]

    def names(self, names: Matcher) -> list[str]:
        """Symbols that fit, sorted."""
        among = self.places if names.is_open else names.exact & self.places.keys()
        return sorted(name for name in among if names(name))

    def learn(self, limit: int) -> list[str]:
        """Take up to `limit` instruments in whose symbol is new or another; those symbols."""
        found: list[str] = []
        for number, feed in enumerate(self._feeds):
            shards = len(feed.engines.shards)
            columns = zip(self._columns(feed), self._known[number], strict=True)
            for first, (column, known) in enumerate(columns):
                news = np.flatnonzero(column != known)[: limit - len(found)].tolist()
                found += [
                    self._enter((number, at * shards + first), known[at : at + 1], int(column[at]))
                    for at in news
                ]
        return found

    def _enter(self, place: tuple[int, int], known: NDArray[np.int64], symbol: int) -> str:
        """Note the symbol of a place in `known` i64[1], instead of another that it had."""
        instrument = place[1]
        if known[0]:
            before = symbol_text(int(known[0]), instrument)
            self.places[before].remove(place)
            if not self.places[before]:
                del self.places[before]
        known[0] = symbol
        name = symbol_text(symbol, instrument)
        self.places.setdefault(name, []).append(place)
        return name

    def _columns(self, feed: Feed) -> list[NDArray[np.int64]]:
        """Symbols of the instruments of each shard."""
        shards = feed.engines.shards
        return [shard.instruments["symbol"][i :: len(shards)] for i, shard in enumerate(shards)]

    def _row(self, symbol: str, feed: int, instrument: int) -> SymbolRow:
        row = self._feeds[feed].engines.owner_of(instrument).instruments[instrument]
        stats = self.analytics.stats_of((feed, instrument))
        return SymbolRow(
            symbol=symbol,
            feed=self._feeds[feed].name,
            messages=int(row["messages"]),
            halted=bool(row["halted"]),
            mid_e9=int(row["mid_e4"]) * E9_PER_E4,
            vwap_e9=int(row["vwap_e9"]),
            volume=int(row["volume"]),
            volatility_e9=int(row["volatility_e9"]),
            **(stats._asdict() if stats else {}),
        )

    # -- analytics --------------------------------------------------------------------------------

    def check_bars(self) -> None:
        """HubError where no bars are kept."""
        if not self.analytics.keeps_bars:
            text = "no bars are kept; set bar_ms or bar_shares in [analytics] and restart"
            raise HubError(Code.UNSUPPORTED, text)

    def bars(self, names: Matcher, limit: int) -> list[BarRow]:
        """Last and present bars of up to `limit` symbols that fit."""
        self.check_bars()
        wanted = self.names(names)[:limit]
        return [row for name in wanted for row in self.analytics.bars(name, self.places[name])]

    def correlations(self, names: Matcher, symbols: Matcher) -> list[CorrelationRow]:
        """Pairs of the configured correlations that fit, with a symbol that fits."""
        return self.analytics.correlations(names, symbols)

    async def clear_stats(self, names: Matcher) -> list[str]:
        """Have the price statistics of symbols that fit begin anew; which those are."""
        wanted = self.names(names)
        places = [place for name in wanted for place in self.places[name]]
        await self.analytics.clear_stats(places if names.names else None)
        return wanted

    # -- signals ----------------------------------------------------------------------------------

    def message_of(self, row: SignalRow) -> Message | None:
        """What a signal says; None for a kind, or a source, that there is not."""
        kind, source = row[_COLUMN["kind"]], row[_COLUMN["source"]]
        number = row[_COLUMN["instrument"]]
        is_known = source < len(self._by_number) and self._by_number[source]
        if not is_known or number >> FEED_SHIFT >= len(self._feeds):
            return None
        feed = self._feeds[number >> FEED_SHIFT]
        common = {
            "symbol": feed.symbol_of(number & _FEED_MASK),
            "feed": feed.name,
            "source": self._by_number[source],
            **{name: row[_COLUMN[name]] for name in _COMMON},
        }
        level = row[_COLUMN["level"]]
        if kind == SignalKind.BREAKER:
            return Breaker(**common, level=level, level_name=_LEVEL_NAMES.get(level, "?"))
        if kind == SignalKind.CANCEL:
            return Cancel(**common, level=level)
        if kind == SignalKind.ORDER:
            side = _SIDES.get(row[_COLUMN["side"]], "none")
            values = tuple(row[_COLUMN[f"value_{i}"]] for i in range(3))
            prices = {name: row[_COLUMN[name]] for name in _PRICES}
            count = max(row[_COLUMN["leg_count"]], 0)
            return Order(
                **common,
                **prices,
                side=side,
                level=level,
                values=values,
                confidence_bps=row[_COLUMN["confidence_bps"]],
                legs=tuple(self._leg(number) for number in row[_COLUMN["legs"]][:count]),
            )
        return None

    def _leg(self, number: int) -> Leg:
        """The instrument of a number that a signal has."""
        feed = self._feeds[number >> FEED_SHIFT]
        return Leg(feed.symbol_of(number & _FEED_MASK), feed.name)


class TableQuotes:
    """Best prices over all feeds, from the table that a server keeps whose hub listens, and one of
    several feeds.
    """

    def __init__(self, page: QuotePage) -> None:
        self._page = page

    async def read(self, symbol: str) -> Quote | None:
        """Those of a symbol; None where the table has no place for it."""
        row = self._page.find(symbol)
        if row is None:
            return None
        return Quote(
            symbol=symbol,
            bid_price_e9=row["bid_e9"],
            bid_qty=row["bid_qty"],
            ask_price_e9=row["ask_e9"],
            ask_qty=row["ask_qty"],
            ts_ns=time.time_ns(),
            bid_feeds=tuple(row["bid_feeds"]),
            ask_feeds=tuple(row["ask_feeds"]),
            market=row["state"],
            in_doubt=not self._page.is_good,
        )


class BookQuotes:
    """Best prices of the only feed where nobody can connect, for clients of this process: by a look
    at each book, about a thousand a second.
    """

    def __init__(self, view: EngineView, books: BookWatch) -> None:
        self._view = view
        self._books = books

    async def read(self, symbol: str) -> Quote | None:
        """Those of a symbol; None where no message has named it."""
        place = next((place for place in self._view.places.get(symbol, ()) if place[0] == 0), None)
        if place is None:
            return None
        top = await self._books.look(place[1])
        if top is None:
            raise TimeoutError(f"{symbol}: the engine shows no book")
        bid = top.bids[0].tolist() if len(top.bids) else (0, 0)
        ask = top.asks[0].tolist() if len(top.asks) else (0, 0)
        return Quote(
            symbol=symbol,
            bid_price_e9=bid[0] * E9_PER_E4,
            bid_qty=bid[1],
            ask_price_e9=ask[0] * E9_PER_E4,
            ask_qty=ask[1],
            ts_ns=time.time_ns(),
            market=market_state(bid[0], bid[1], ask[0], ask[1]),
            in_doubt=top.state not in _GOOD,
        )
