"""Best prices for the hub: those that are watched are looked at, one after the other, again and
again; what differs from the last look is published. Nothing is asked for that nobody watches.
"""

import asyncio
from collections.abc import Sequence

from feedhandler.server.config import HubConfig
from feedhandler.server.hub import Hub
from feedhandler.server.hub_actions import QuoteSource, View
from feedhandler.server.hub_messages import Quote
from feedhandler.server.hub_watchers import Event, Filter

_TURN_SYMBOLS = 32
_AFTER_SILENCE_S = 0.5


class QuotePoller:
    """Keeps `hub.latest_quotes`; at most `[hub] quote_symbols`, the first that were wanted."""

    def __init__(self, hub: Hub, view: View, source: QuoteSource, config: HubConfig) -> None:
        self._hub = hub
        self._view = view
        self._source = source
        self._interval_s = config.quote_ms / 1_000
        self._symbols_max = config.quote_symbols
        self._wanted: dict[str, None] = {}
        self._task: asyncio.Task[None] | None = None
        hub.on_quotes_wanted = self.choose
        hub.left_out = self.left_out

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(report_fault)

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def choose(self) -> None:
        """Find anew what is wanted: after a subscription came or went, or a symbol was learnt."""
        wanted: dict[str, None] = {}
        for takes in self._hub.quote_filters():
            wanted.update(dict.fromkeys(self._view.names(takes.symbols)))
        kept = [symbol for symbol in self._wanted if symbol in wanted]
        new = [symbol for symbol in wanted if symbol not in self._wanted]
        self._wanted = dict.fromkeys((*kept, *new)[: self._symbols_max])
        for symbol in self._hub.latest_quotes.keys() - self._wanted.keys():
            del self._hub.latest_quotes[symbol]

    def left_out(self, takes: Filter) -> int:
        """Symbols that are wanted and not looked at, as there are too many."""
        return sum(symbol not in self._wanted for symbol in self._view.names(takes.symbols))

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + self._interval_s
            try:
                await self._look_at(list(self._wanted))
            except TimeoutError:
                due_s = loop.time() + _AFTER_SILENCE_S
            await asyncio.sleep(max(due_s - loop.time(), 0))

    async def _look_at(self, symbols: Sequence[str]) -> None:
        """One look at each; TimeoutError when the engine does not answer."""
        for count, symbol in enumerate(symbols, 1):
            quote = await self._source.read(symbol)
            if quote is not None:
                self._take(quote)
            if count % _TURN_SYMBOLS == 0:
                await asyncio.sleep(0)

    def _take(self, quote: Quote) -> None:
        """Publish it unless it says what the last one said."""
        latest = self._hub.latest_quotes
        if quote.symbol not in self._wanted or _news(latest.get(quote.symbol)) == _news(quote):
            return
        latest[quote.symbol] = quote
        self._hub.publish(Event("quote", quote.symbol, quote))


def report_fault(task: "asyncio.Task[None]") -> None:
    """Have the log tell at once of a task that should have gone on for ever."""
    if not task.cancelled() and (error := task.exception()) is not None:
        context = {"message": "a task of the hub failed", "exception": error}
        task.get_loop().call_exception_handler(context)


def _news(quote: Quote | None) -> tuple[object, ...]:
    """What makes a quote another one: all but the time of the look."""
    if quote is None:
        return ()
    prices = (quote.bid_price_e9, quote.bid_qty, quote.ask_price_e9, quote.ask_qty)
    return (*prices, quote.bid_feeds, quote.ask_feeds, quote.in_doubt)
