"""The hub of a server: composition, looks at the engine, counters, and its part in the end."""

import asyncio
import time
from collections.abc import Sequence

from feedhandler.core.counters import CounterFile
from feedhandler.server.books import BookWatch
from feedhandler.server.config import ServerConfig
from feedhandler.server.feeds import Feed
from feedhandler.server.hub import Hub
from feedhandler.server.hub_actions import Actions, QuoteSource
from feedhandler.server.hub_messages import Code
from feedhandler.server.hub_quotes import QuotePoller, report_fault
from feedhandler.server.hub_server import HubServer
from feedhandler.server.hub_view import BookQuotes, EngineView, TableQuotes
from feedhandler.server.hub_watchers import Event
from feedhandler.server.quotes import QuotePage
from feedhandler.server.reload import Names
from feedhandler.server.tables import CONTROL_FIRST, ControlCount

_LOOK_S = 0.05
_LEARN_S = 1.0
_STOP_S = 2.0

_RESULTS = {
    "ok": ControlCount.HUB_COMMANDS_OK,
    Code.UNSUPPORTED: ControlCount.HUB_COMMANDS_UNSUPPORTED,
    Code.TIMEOUT: ControlCount.HUB_COMMANDS_TIMEOUT,
    Code.FAILED: ControlCount.HUB_COMMANDS_FAILED,
}
_ENDS = {
    "left": ControlCount.HUB_ENDS_LEFT,
    "slow": ControlCount.HUB_ENDS_SLOW,
    "silent": ControlCount.HUB_ENDS_SILENT,
    "slow_line": ControlCount.HUB_ENDS_SILENT,
    "idle": ControlCount.HUB_ENDS_SILENT,
    "shutdown": ControlCount.HUB_ENDS_SHUTDOWN,
}


class HubService:
    """`hub` is there for this process whether or not it listens; `on_rows` is for the publisher."""

    def __init__(
        self,
        config: ServerConfig,
        feeds: Sequence[Feed],
        counters: CounterFile,
        quotes: QuotePage,
        books: BookWatch,
        actions: Actions,
    ) -> None:
        self._counters = counters
        self._view = EngineView(config, feeds, counters)
        self.hub = Hub(config.hub, self._view, actions, time.monotonic)
        self.on_rows = self.hub.take_signals
        source: QuoteSource = TableQuotes(quotes)
        if not quotes.is_kept:
            source = BookQuotes(self._view, books)
        self._poller = QuotePoller(self.hub, self._view, source, config.hub)
        self._server = HubServer(config.hub, self.hub) if config.hub.port else None
        self._task: asyncio.Task[None] | None = None

    def name_functions(self, config: ServerConfig, names: Names) -> None:
        """Other patterns are there from now on."""
        self._view.name_functions(config, names.senders, names.breakers)

    @property
    def port(self) -> int:
        """The port listened on; 0: none."""
        return self._server.port if self._server is not None else 0

    async def start(self) -> None:
        """Listen, where that is configured; OsLimitError names an address that cannot be had."""
        if self._server is not None:
            await self._server.start()
        self._poller.start()
        self._task = asyncio.get_running_loop().create_task(self._look())
        self._task.add_done_callback(report_fault)

    def drain(self) -> None:
        """The server is ending: take no more clients, and no command that changes anything."""
        self.hub.is_draining = True
        if self._server is not None:
            self._server.refuse_new()

    async def stop(self) -> None:
        """Everything has happened: deliver what waits, say that it is the end, and close."""
        await self._poller.stop()
        self._show_feeds()
        self.hub.deal_all()
        await self.hub.settle(_STOP_S)
        self.hub.end_all("shutdown", "the server has ended")
        if self._server is not None:
            await self._server.stop(_STOP_S)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._count()

    async def _look(self) -> None:
        """Feeds and symbols, as long as somebody is there; counters always."""
        learnt_s = 0.0
        while True:
            if self.hub.clients:
                self._show_feeds()
                self._show_bars()
                now_s = time.monotonic()
                if now_s >= learnt_s + _LEARN_S:
                    learnt_s = 0.0 if self.hub.learn() else now_s
            self._count()
            await asyncio.sleep(_LOOK_S)

    def _show_feeds(self) -> None:
        for state in self._view.feeds():
            self.hub.show_feed(state)

    def _show_bars(self) -> None:
        analytics = self._view.analytics
        if not self.hub.watches("bar"):
            analytics.forget_bars()
            return
        for bar in analytics.new_bars():
            self.hub.publish(Event("bar", bar.symbol, bar, detail=(bar.feed, bar.by)))

    def _count(self) -> None:
        """Bring the counter file up to date."""
        hub, tally = self.hub, self.hub.tally
        rows = {
            ControlCount.HUB_CLIENTS: len(hub.clients),
            ControlCount.HUB_SUBSCRIPTIONS: hub.subscription_count,
            ControlCount.HUB_SENT: tally.sent,
            ControlCount.HUB_CONFLATED: tally.conflated,
            ControlCount.HUB_DROPPED: tally.dropped,
            ControlCount.HUB_CUT: tally.cut,
            ControlCount.HUB_MISSED: tally.missed,
            ControlCount.HUB_CLIENTS_REFUSED: tally.refused_clients,
            ControlCount.HUB_LAG: max((each.queued for each in hub.clients.values()), default=0),
        }
        for result, count in tally.commands.items():
            row = _RESULTS.get(result, ControlCount.HUB_COMMANDS_REFUSED)
            rows[row] = rows.get(row, 0) + count
        for reason, count in tally.disconnected.items():
            row = _ENDS.get(reason, ControlCount.HUB_ENDS_MALFORMED)
            rows[row] = rows.get(row, 0) + count
        for row, value in rows.items():
            self._counters.values[CONTROL_FIRST + row, 0] = value
