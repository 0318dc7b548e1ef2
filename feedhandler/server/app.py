"""The server process: composition of engine, feed, OMS side and pages, and its life from start to
drain.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import structlog
import uvloop
from msgspec import structs
from prometheus_client import CONTENT_TYPE_LATEST

from feedhandler import __version__
from feedhandler.core.counters import CounterFile, default_counter_path
from feedhandler.core.counts import COUNT_ROWS, HISTOGRAM_ROWS
from feedhandler.core.events import FEED_SHIFT
from feedhandler.core.latency import summary
from feedhandler.core.recording import record_nb
from feedhandler.server.assemble import configs_by_feed, engine_count, prepare
from feedhandler.server.books import BookTop, BookWatch
from feedhandler.server.breakers import BreakerDesk
from feedhandler.server.config import ServerConfig
from feedhandler.server.configfile import load_config
from feedhandler.server.engine_actions import EngineActions
from feedhandler.server.errors import (
    ConfigError,
    ExitCode,
    UnavailableError,
    UserError,
    bind_error,
)
from feedhandler.server.feeds import Feed, totals_of_feed
from feedhandler.server.hiccup import HiccupMeter
from feedhandler.server.http import Handler, HttpServer, Response
from feedhandler.server.hub_service import HubService
from feedhandler.server.logs import configure_logging
from feedhandler.server.metrics import GcPauseMeter, MetricsPage
from feedhandler.server.off_file import add_off, off_path, read_off, remove_off
from feedhandler.server.ownership import own_counter_file
from feedhandler.server.priority import stage_priority
from feedhandler.server.quotes import QuotePage
from feedhandler.server.reload import Names, Reloader
from feedhandler.server.tables import (
    CONTROL_FIRST,
    OMS_ROWS,
    ControlCount,
    ControlHistogram,
    counter_specs,
    feed_first_row,
    feed_tables,
    histogram_specs,
    source_names,
)
from feedhandler.server.warmup import warm_up
from feedhandler.server.watchdog import Hung, Watchdog
from oms_out.server import OmsServer
from oms_out.store import StoreError

_JSON = "application/json"
_LIVE_WITHIN_NS = 2_000_000_000
_WATCH_S = 0.5
_LOOKS = 8
"""Looks at the workers within the time after which a function is taken to hang."""
_HUNG_JOIN_S = 1.0
_NAMES_ROOM_BYTES = 65_536
"""What the names of functions of later configurations may take in the counter file."""


class _OmsMetrics:
    """Counts of the OMS side: those with a row go to the counter file, every one is kept for the
    report.
    """

    def __init__(self, counters: CounterFile) -> None:
        self.counts: dict[str, int] = {}
        self._values = counters.values
        self._latency = counters.histograms[HISTOGRAM_ROWS + ControlHistogram.WIRE_TO_SIGNAL]

    def count(self, name: str, amount: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + amount
        if name in OMS_ROWS:
            self._values[CONTROL_FIRST + OMS_ROWS[name], 0] += amount

    def gauge(self, name: str, value: int) -> None:
        self.counts[name] = value
        if name in OMS_ROWS:
            self._values[CONTROL_FIRST + OMS_ROWS[name], 0] = value

    def record_signal_latency(self, latency_ns: int) -> None:
        record_nb(self._latency, latency_ns)


class Server:
    """One process. Everything that can fail for the user's reasons fails in the constructor or in
    `start`.
    """

    def __init__(self, config: ServerConfig, config_path: Path | None = None) -> None:
        """`config_path` is the file that a reload reads; without one there is none."""
        self._config = config
        self._config_path = config_path
        self._log = structlog.get_logger()
        self._off_path = off_path(config.off_file, config.oms.store_dir)
        off = read_off(self._off_path)
        path = Path(config.counters_file) if config.counters_file else default_counter_path()
        self._counter_lock = own_counter_file(path)
        self.counters = _make_counters(config, path)
        configs = configs_by_feed(config)
        self._tables = [
            [feed_tables(part, number) for part in self.counters.parts]
            for number in range(len(configs))
        ]
        self._feeds: list[Feed] = []
        every = prepare(config, self._tables)
        for number, prepared in enumerate(every):
            signal_fd = self._feeds[0].engines.signal_fd if self._feeds else None
            self._feeds.append(
                Feed(number, configs[number], prepared, self._count_control, signal_fd)
            )
        self._engines = self._feeds[0].engines
        self._reloader = Reloader(
            config,
            every[0].loaded,
            every[0].stages,
            [shard for feed in self._feeds for shard in feed.engines.shards],
            off,
            self._stage_priority,
        )
        self._reloader.on_names = self._name_functions
        self._metrics = _OmsMetrics(self.counters)
        self._oms = self._make_oms()
        self._quotes = QuotePage(self._engines.sequencer.quotes, [f.name for f in self._feeds])
        self._page = MetricsPage(self.counters)
        self._books = BookWatch(self._engines)
        self._breakers = BreakerDesk(config, self._feeds) if config.breakers else None
        self._hub = self._make_hub()
        self._oms.on_rows = self._hub.on_rows
        self._drain_s = config.drain_s
        routes: dict[str, Handler] = {
            "/metrics": lambda: (200, CONTENT_TYPE_LATEST, self._page.render()),
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/book": self._book,
            "/bbo": lambda: (200, _JSON, self._quotes.render()),
        }
        self._http = HttpServer(
            config.metrics.address, config.metrics.port, routes, self._on_http_reject
        )
        histograms = self.counters.histograms
        self._hiccup = HiccupMeter(histograms[HISTOGRAM_ROWS + ControlHistogram.HICCUP])
        self._gc = GcPauseMeter(histograms[HISTOGRAM_ROWS + ControlHistogram.GC_PAUSE])
        self._stop = asyncio.Event()
        self._hangup: asyncio.Task[None] | None = None
        self._hung = False

    # -- parts ------------------------------------------------------------------------------------

    def _stage_priority(self, config: ServerConfig) -> None:
        """Have all engines go over to the rules of another configuration."""
        shards = [shard for feed in self._feeds for shard in feed.engines.shards]
        stage_priority(shards, config.priority, config.groups)

    def _make_oms(self) -> OmsServer:
        """The OMS side, fed by the rings of every shard."""
        oms = self._config.oms
        rings = [shard.signals for feed in self._feeds for shard in feed.engines.shards]
        if len(rings) > 1:
            # An outlet has room for one thread that sends.
            oms = structs.replace(oms, send_from="loop")
        breakers = [breaker.name for breaker in self._config.breakers]
        sources = source_names(self._config.pattern_names, breakers)
        signal_fd = self._engines.signal_fd
        return OmsServer(oms, self._symbol_of, sources, rings, signal_fd, self._metrics)

    def _make_hub(self) -> HubService:
        """The hub, which looks at the feeds and ends the server when it is told to."""
        shards = [shard for feed in self._feeds for shard in feed.engines.shards]
        actions = EngineActions(shards, self._shut_down, self._reload, self._enable, self._breakers)
        shown = (self._feeds, self.counters, self._quotes, self._books)
        return HubService(self._config, *shown, actions)

    def _name_functions(self, names: Names) -> None:
        """Other patterns have the numbers of signals and counters from now on."""
        config = self._reloader.config
        feeds = [feed.name for feed in self._feeds]
        self._oms.name_sources(source_names(names.senders, names.breakers))
        self._hub.name_functions(config, names)
        fits = self.counters.describe(
            counter_specs(feeds[0], names.breakers, names.patterns, feeds[1:]),
            histogram_specs(feeds, names.breakers, names.patterns),
        )
        if not fits:
            self._log.warning("counter_names_too_long", file=str(self.counters.path))

    def _count_control(self, row: ControlCount) -> None:
        self.counters.values[CONTROL_FIRST + row, 0] += 1

    def _symbol_of(self, instrument: int) -> str:
        """Name of an instrument as a signal has it, its feed's number above its own."""
        feed = self._feeds[instrument >> FEED_SHIFT]
        return feed.symbol_of(instrument & ((1 << FEED_SHIFT) - 1))

    def _on_http_reject(self, _reason: str) -> None:
        self._count_control(ControlCount.HTTP_REJECTED)

    # -- health -----------------------------------------------------------------------------------

    def _livez(self) -> Response:
        ages: dict[str, int] = {}
        for feed in self._feeds:
            prefix = f"{feed.name} " if len(self._feeds) > 1 else ""
            ages |= {prefix + name: age for name, age in feed.engines.ages_ns().items()}
        alive = self._broken is None and all(age < _LIVE_WITHIN_NS for age in ages.values())
        body = msgspec.json.encode({"alive": alive, "agent_age_ns": ages})
        return (200 if alive else 503, _JSON, body)

    def _readyz(self) -> Response:
        ready = all(feed.is_ready() for feed in self._feeds) and not self._stop.is_set()
        states = {feed.name: feed.state.name for feed in self._feeds}
        parts = {
            "feed": self._feeds[0].state.name,
            **({"feeds": states} if len(states) > 1 else {}),
            "books_suspect": bool(self.counters.value("books_suspect")),
            "oms_sessions": {item.target_comp_id: item.state for item in self._oms.statuses()},
        }
        return (200 if ready else 503, _JSON, msgspec.json.encode({"ready": ready, **parts}))

    @property
    def _broken(self) -> BaseException | None:
        """What ended a thread of any feed before its time."""
        return next((f.engines.broken for f in self._feeds if f.engines.broken is not None), None)

    async def _book(self) -> Response:
        """Top of the busiest instrument's book (or of the configured one)."""
        instrument = self._engines.busiest(self._config.watch_symbol)
        top = await self._books.look(instrument)
        if top is None:
            return 503, _JSON, b'{"error":"the engine did not answer in time"}'
        return 200, _JSON, msgspec.json.encode(self._book_body(instrument, top))

    def _book_body(self, instrument: int, top: BookTop) -> dict[str, Any]:
        names = ("price_e4", "qty", "orders")
        bids, asks = (
            [dict(zip(names, row, strict=True)) for row in side.tolist()]
            for side in (top.bids, top.asks)
        )
        return {
            "symbol": self._symbol_of(instrument),
            "next_seq": top.next_seq,
            "state": top.state.name,
            "bids": bids,
            "asks": asks,
        }

    # -- life -------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Start, serve until told to stop, drain; the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        oms = self._config.oms
        try:
            await self._oms.start()
        except StoreError as error:
            raise UserError(f"oms.store_dir: {error}", ExitCode.CANNOT_WRITE) from None
        except OSError as error:
            raise bind_error(error, "oms", oms.address, oms.port) from None
        self._engines.shards[0].signal_count[0] = self._oms.last_signal_id
        await self._http.start()
        await self._hub.start()
        self._hiccup.start()
        self._gc.start()
        if self._breakers is not None:
            self._breakers.load()
            self._breakers.start()
        sender = self._oms.sender()
        for feed in self._feeds:
            feed.start(sender)
        self._log.info(
            "started",
            version=__version__,
            pid=os.getpid(),
            oms_port=self._oms.port,
            metrics_port=self._http.port,
            hub_port=self._hub.port,
            topology=self._config.engine.topology,
            shards=self._config.engine.shards,
        )
        watcher = loop.create_task(self._watch())
        await self._stop.wait()
        watcher.cancel()
        return await self._drain()

    def _on_hangup(self) -> None:
        """SIGHUP: a reload, unless one has been asked for that has not begun to read yet."""
        if self._hangup is None or self._hangup.done():
            self._hangup = asyncio.get_running_loop().create_task(self._reload_by_signal())

    async def _reload_by_signal(self) -> None:
        with contextlib.suppress(UserError):  # which is in the log
            await self._reload()

    async def _reload(self) -> dict[str, Any]:
        """Read the configuration again; what has changed. UserError when it is refused."""
        try:
            if self._stop.is_set():
                raise UnavailableError("the server is ending; start it with the new configuration")
            result = await self._reloader.reload(self._read_again)
        except UserError as error:
            self._count_control(ControlCount.RELOADS_REFUSED)
            self._log.error("reload_refused", reason=str(error))
            raise
        self._count_control(ControlCount.RELOADS_OK)
        return result

    def _read_again(self) -> tuple[ServerConfig, frozenset[str]]:
        if self._config_path is None:
            raise ConfigError("this server was not started from a file; restart it")
        config = load_config(self._config_path, ServerConfig, environ=os.environ)
        return config, read_off(self._off_path)

    async def _enable(self, name: str) -> None:
        """Have a function called again that is off. UserError where there is none."""
        await self._reloader.enable(name)
        remove_off(self._off_path, name)

    def _shut_down(self, drain_s: int | None) -> int:
        """Begin to drain, as SIGTERM does; how many seconds OMS sessions have to log out."""
        self._drain_s = drain_s or self._drain_s
        self._log.info("shutdown_asked", drain_s=self._drain_s)
        self._stop.set()
        return self._drain_s

    async def _watch(self) -> None:
        """Log each channel's state whenever a look at it finds another one: what comes and goes
        between two looks is in the counters only.
        """
        workers = [each for feed in self._feeds for each in feed.engines.workers(feed.name)]
        limit_ms = self._config.engine.watchdog_ms
        watchdog = Watchdog(workers, lambda: self._reloader.functions, limit_ms)
        while True:
            for feed in self._feeds:
                feed.log_state()
            hung = watchdog.look()
            if hung is not None:
                self._give_up(hung)
                return
            await asyncio.sleep(min(_WATCH_S, max(limit_ms, _LOOKS) / 1_000 / _LOOKS))

    def _give_up(self, hung: Hung) -> None:
        """A thread will never come back: say whose fault it is, note the function down so that the
        next start does without it, and end.
        """
        self._hung = True
        fault = {"worker": hung.worker, "stage": hung.stage, "function": hung.name}
        self._log.critical(
            "function_hung",
            **fault,
            place=hung.place,
            stood_ms=hung.stood_ms,
            off_file=str(self._off_path),
            remedy=f"mend it, then feedhandler ctl enable {hung.name} or delete its line there",
        )
        try:
            add_off(self._off_path, hung.name, "it did not return", hung.place)
        except UserError as error:
            self._log.critical("off_file_not_written", reason=str(error))
        self._stop.set()

    async def _drain(self) -> int:
        """Stop receiving, finish every tick, hand every signal over, log out; then report."""
        self._log.info("draining")
        started_ns = time.monotonic_ns()
        self._hub.drain()
        most_s = _HUNG_JOIN_S if self._hung else None
        await asyncio.gather(*(feed.stop(most_s) for feed in self._feeds))
        if self._breakers is not None:
            await self._breakers.stop()
        await self._oms.stop(self._drain_s)
        await self._hub.stop()
        await self._http.stop()
        self._hiccup.stop()
        self._gc.stop()
        for feed in self._feeds:
            feed.close()
        self._write_report()
        took_ms = (time.monotonic_ns() - started_ns) // 1_000_000
        self._log.info("stopped", drain_ms=took_ms)
        if self._broken is not None:
            raise self._broken
        return ExitCode.FUNCTION_HUNG if self._hung else ExitCode.OK

    def report(self) -> dict[str, Any]:
        """What the server has done, for whoever compares it with the truth. After its end."""
        totals = self.counters.totals()
        histograms = self.counters.histogram_totals()
        feeds = [
            feed.report(self._counts_of(feed.number), totals_of_feed(self._tables[feed.number]))
            for feed in self._feeds
        ]
        report = {
            **feeds[0],
            "signals_published": self._oms.published_count,
            "last_signal_id": self._oms.last_signal_id,
            "oms": self._metrics.counts,
            "control": {row.name.lower(): int(totals[CONTROL_FIRST + row]) for row in ControlCount},
            "signal_latency_ns": summary(
                histograms[HISTOGRAM_ROWS + ControlHistogram.WIRE_TO_SIGNAL]
            ),
            "hiccup_ns": summary(histograms[HISTOGRAM_ROWS + ControlHistogram.HICCUP]),
            "gc_pause_ns": summary(histograms[HISTOGRAM_ROWS + ControlHistogram.GC_PAUSE]),
        }
        if len(feeds) > 1:
            names = [feed.name for feed in self._feeds]
            report["feeds"] = dict(zip(names, feeds, strict=True))
            report["quotes"] = self._quotes.differences()
        return report

    def _counts_of(self, number: int) -> list[int]:
        """Counters of one feed, its engines together."""
        first = feed_first_row(number)
        return [int(value) for value in self.counters.totals()[first : first + COUNT_ROWS]]

    def _write_report(self) -> None:
        if not self._config.report_file:
            return
        path = Path(self._config.report_file)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_bytes(msgspec.json.encode(self.report()))
        partial.replace(path)


def _make_counters(config: ServerConfig, path: Path) -> CounterFile:
    """The counter file of a server that starts now."""
    breakers = [breaker.name for breaker in config.breakers]
    others = [feed.name for feed in config.feeds]
    return CounterFile.create(
        path,
        counter_specs(config.feed.name, breakers, config.pattern_names, others),
        histogram_specs([config.feed.name, *others], breakers, config.pattern_names),
        start_time_ns=time.time_ns(),
        parts=engine_count(config.engine),
        room_bytes=_NAMES_ROOM_BYTES,
    )


def run_server(config_path: Path) -> int:
    """`feedhandler serve`: the exit code."""
    config = load_config(config_path, ServerConfig, environ=os.environ)
    configure_logging("server")
    warm_up()
    code = uvloop.run(_serve(config, config_path))
    if code == ExitCode.FUNCTION_HUNG:
        # A thread still runs in the memory that the interpreter would take down now.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


async def _serve(config: ServerConfig, config_path: Path) -> int:
    return await Server(config, config_path).run()


def check_configuration(path: Path) -> str:
    """`feedhandler check-config`: one line that says that all is well, or the error that `serve`
    would give before it opens a socket, a store or its counter file.
    """
    config = load_config(path, ServerConfig, environ=os.environ)
    prepare(config)
    return f"{path}: good; {len(config.pattern_names)} patterns, {len(config.breakers)} breakers"
