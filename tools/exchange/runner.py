"""`exchange run`: sockets, the sender's thread, the TCP services, status and report.

main thread (uvloop)   GLIMPSE, logins, signals, status file   sets STOP, LEAVE, SNAPSHOT_WANTED
sender thread          one call of `run_slice_nb` to the end   sets PHASE, SNAPSHOT_TAKEN, figures
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from feedhandler.server.errors import ExitCode, UserError, bind_error, send_error
from tools.exchange import lines, rerequests
from tools.exchange import sender as sending
from tools.exchange.config import ExchangeConfig, Line
from tools.exchange.day import NS_PER_S
from tools.exchange.desk import allocate_desk
from tools.exchange.generate import make_market, profiles_of
from tools.exchange.glimpse_server import GlimpseServer
from tools.exchange.history import allocate_history
from tools.exchange.layout import FlowSettings, allocate_engine
from tools.exchange.market.layout import Market
from tools.exchange.market.scenario import Scenario
from tools.exchange.market.trouble import rolls_of, windows_of
from tools.exchange.market.truth import market_truth
from tools.exchange.order_entry import OrderDesk
from tools.exchange.services import Services, allocate_services
from tools.exchange.sessions import allocate_sessions, told_sessions
from tools.exchange.snapshot import allocate_snapshot
from tools.exchange.tape import Tape, tape_engine, tape_history, truth_so_far
from tools.exchange.truth import summary

WAITING_SLICE_NS = 2_000_000
"""How long the sender's thread stays in its kernel before Python has a look whether the session may
begin: it begins that much later at most.
"""
STATUS_S = 0.25
WATCH_S = 0.02
WAIT_LIMIT_S = 1.2
"""Time for the closing messages to be made, and again for what the lines hold back to leave."""
ENDS_S = 0.25
_NEVER_NS = 1 << 62
_LONG = ("cross_orders", "asked")
"""What of a market's truth the report leaves out."""
_PR_SET_TIMERSLACK = 29
_TIMER_SLACK_NS = 1_000
_SEND_BUFFER_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Sockets:
    """The sockets of a run: two connected ones for the lines, a bound one for requests."""

    line_a: socket.socket
    line_b: socket.socket
    rerequest: socket.socket


@contextlib.contextmanager
def open_sockets(config: ExchangeConfig) -> Iterator[Sockets]:
    """The sockets that `config` asks for; UserError when the request port cannot be had, or a line
    cannot be sent to.
    """
    with contextlib.ExitStack() as stack:
        line_a = stack.enter_context(_line_socket("line_a", config.line_a))
        line_b = stack.enter_context(_line_socket("line_b", config.line_b))
        rerequest = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        place = config.rerequest
        try:
            rerequest.bind((place.address, place.port))
        except OSError as error:
            raise bind_error(error, "rerequest", place.address, place.port) from None
        rerequest.setblocking(False)
        yield Sockets(line_a, line_b, rerequest)


def _line_socket(name: str, line: Line) -> socket.socket:
    connected = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        connected.connect((line.address, line.port))
    except OSError as error:
        connected.close()
        raise send_error(error, name, line.address, line.port) from None
    return connected


def flow_settings(config: ExchangeConfig) -> FlowSettings:
    """What decides the bytes of the session."""
    flow = config.flow
    return FlowSettings(
        seed=flow.seed,
        symbols=flow.symbols,
        simulated_rate=flow.simulated_rate,
        messages=flow.total,
        orders_per_symbol=flow.orders_per_symbol,
        halt_interval_ms=flow.halt_interval_ms,
    )


def allocate_sender(
    config: ExchangeConfig,
    sockets: Sockets,
    tape: Tape | None = None,
    scenario: Scenario | None = None,
) -> sending.Sender:
    """All memory of a run, as large as the configuration, or the tape, makes it. UserError for a
    scenario that cannot be.
    """
    market: Market | None = None
    own_orders = 0 if config.order_entry is None else config.order_entry.orders_max
    pace = config.flow.pace
    history = allocate_history(config.rerequest.history_messages)
    if tape is not None:
        engine, history = tape_engine(tape), tape_history(tape)
    elif scenario is not None:
        market = make_market(scenario, profiles_of(scenario), config.flow.seed, own_orders)
        engine = market.engine
        pace = config.scenario.pace if config.scenario.speed else pace
    else:
        engine = allocate_engine(flow_settings(config), own_orders)
    try:
        sessions = allocate_sessions(config.session.id, rolls_of(scenario))
    except ValueError as error:
        raise UserError(str(error), ExitCode.CONFIG) from None
    seed = config.flow.seed
    streams = allocate_services(config, engine)
    faults_a = config.line_a.faults()._replace(windows=windows_of(scenario, "a"))
    faults_b = config.line_b.faults()._replace(windows=windows_of(scenario, "b"))
    return sending.Sender(
        market,
        allocate_desk(own_orders, len(history.offsets) if own_orders else 1, streams),
        engine,
        history,
        sessions,
        lines.allocate_line(sockets.line_a.fileno(), sessions, history, faults_a, (seed, 1)),
        lines.allocate_line(sockets.line_b.fileno(), sessions, history, faults_b, (seed, 2)),
        rerequests.allocate_rerequests(
            sockets.rerequest.fileno(), sessions, history, config.session.payload_bytes
        ),
        allocate_snapshot(engine),
        pace,
        streams,
        *sending.allocate_words(
            _NEVER_NS, config.session.heartbeat_ms * 10**6, config.session.payload_bytes
        ),
    )


class Exchange:
    """One run, from its configuration to its report."""

    def __init__(
        self,
        config: ExchangeConfig,
        sockets: Sockets,
        *,
        is_waiting: bool = False,
        tape: Tape | None = None,
        scenario: Scenario | None = None,
    ) -> None:
        self.sender = allocate_sender(config, sockets, tape, scenario)
        self._tape = tape
        self._scenario = scenario
        self.glimpse = GlimpseServer(self.sender, config.session.id, config.glimpse.clients_max)
        self.services = Services(self.sender, config)
        self.faults: list[str] = []
        self.ports = {
            "rerequest": sockets.rerequest.getsockname()[1],
            "glimpse": config.glimpse.port,
        }
        self._config = config
        self._orders: OrderDesk | None = None
        if config.order_entry is not None:
            self._orders = OrderDesk(config.order_entry, self.sender.desk, self.sender.engine)
            self.ports["order_entry"] = config.order_entry.port
        self._stop_wanted = asyncio.Event()
        self._thread = threading.Thread(target=self._send, name="exchange-sender", daemon=True)
        self._may_begin = threading.Event()
        if not is_waiting:
            self._may_begin.set()
        self._stopped_early = False
        self._truth: dict[str, Any] = {}
        self._status_fault = ""

    def begin(self) -> None:
        """End the wait of an exchange that was told to: the first message is due `start_delay_ms`
        from now. Any thread's.
        """
        self._may_begin.set()

    def stop(self) -> None:
        """Close the session soon, or end the linger (a signal's handler)."""
        self._stop_wanted.set()

    async def run(self) -> dict[str, Any]:
        """Run until the session has ended and lingered, or `stop`; returns the report.

        `faults` then says which of its files are not what they should be.
        """
        await self.services.start()
        place = self._config.glimpse
        if self._tape is None:
            try:
                self.ports["glimpse"] = await self.glimpse.start(place.address, place.port)
            except OSError as error:
                await self.services.close()
                raise bind_error(error, "glimpse", place.address, place.port) from None
        self._open_order_entry()
        status = asyncio.create_task(self._write_status())
        await asyncio.to_thread(sending.load_kernels, self.sender)
        self._thread.start()
        try:
            await self.services.serve()
            await self._watch()
        finally:
            await self.services.stop()
            sending.publish_word_nb(self.sender.control, sending.LEAVE, 1)
            await asyncio.to_thread(self._thread.join)
            await self.services.close()
            status.cancel()
            if self._orders is not None:
                await self._orders.stop()
            if self._tape is None:
                await self.glimpse.stop()
        report = self.report()
        self.faults = [
            f"{key}: cannot write {path}: {fault}"
            for key, path, fault in (
                ("report_file", self._config.report_file, self._save_report(report)),
                ("status_file", self._config.status_file, self._save_status()),
            )
            if fault
        ]
        return report

    def _open_order_entry(self) -> None:
        place = self._config.order_entry
        if place is None or self._orders is None:
            return
        self._orders.load_kernels()
        try:
            self.ports["order_entry"] = self._orders.start()
        except OSError as error:
            raise bind_error(error, "order_entry", place.address, place.port) from None

    def _save_report(self, report: dict[str, Any]) -> str:
        try:
            write_json(self._config.report_file, report)
        except OSError as error:
            return error.strerror or str(error)
        return ""

    def _save_status(self) -> str:
        """What keeps the status file from being written, told when it changes: the session is more
        than what is said of it, so it goes on.
        """
        fault = ""
        try:
            write_json(self._config.status_file, self.status())
        except OSError as error:
            fault = error.strerror or str(error)
        if fault and fault != self._status_fault:
            path = self._config.status_file
            sys.stderr.write(f"exchange: status_file: cannot write {path}: {fault}; going on\n")
        self._status_fault = fault
        return fault

    def phase(self) -> int:
        """The sender's phase now."""
        return sending.read_word_nb(self.sender.control, sending.PHASE)

    def status(self) -> dict[str, Any]:
        """What the status file holds: figures now, and the truth once the session has ended."""
        progress = self.sender.progress
        return {
            "state": self._state(),
            "session": self._config.session.id,
            "sent": int(progress[sending.SENT]),
            "rate": self._rate_achieved(),
            "lateness_ns": int(progress[sending.LATENESS_NS]),
            "lateness_ns_max": int(progress[sending.LATENESS_NS_MAX]),
            **{f"{name}_port": port for name, port in self.ports.items()},
            **{f"{name}_port": port for name, port in self.services.ports.items()},
            **self._truth,
        }

    def report(self) -> dict[str, Any]:
        """What the run was; the counters of its lines and services, and its own final books."""
        progress = self.sender.progress
        return {
            **self.status(),
            "sessions": told_sessions(self.sender.sessions, int(progress[sending.SENT])),
            "late_messages": int(progress[sending.LATE_MESSAGES]),
            "seconds": round(self._elapsed_ns() / NS_PER_S, 3),
            "line_a": lines.counters_by_name(self.sender.line_a),
            "line_b": lines.counters_by_name(self.sender.line_b),
            "rerequest": rerequests.counters_by_name(self.sender.rerequests),
            "glimpse": dict(self.glimpse.counters),
            **self.services.counters(),
            "cpu_seconds": round(time.process_time(), 3),
            **({} if self._orders is None else {"order_entry": self._orders.report()}),
        }

    async def _watch(self) -> None:
        """Wait for the end of the session, then of the linger; a stop shortens both."""
        while self.phase() != sending.ENDED and not self._stop_wanted.is_set():
            await self._sleep_or_stop(WATCH_S)
        if self.phase() != sending.ENDED:
            self._stopped_early = True
            sending.publish_word_nb(self.sender.control, sending.STOP, 1)
            await _wait_until(lambda: self.phase() == sending.ENDED)
        # The books rest from here on: the sender only repeats the end of the session.
        self._truth = self._tell_truth()
        self._save_status()
        if not self._stop_wanted.is_set():
            await self._sleep_or_stop(self._config.session.end_linger_s)
        await asyncio.sleep(ENDS_S)
        await _wait_until(lambda: sending.lines_drained_nb(self.sender) == 1)

    def _tell_truth(self) -> dict[str, Any]:
        """What the session was; of a market without the orders of its crosses, which are many."""
        engine, market = self.sender.engine, self.sender.market
        if self._tape is not None:
            return truth_so_far(self._tape, engine)
        if market is None or self._scenario is None:
            return summary(engine)
        scenario = self._scenario
        truth = market_truth(market, scenario, profiles_of(scenario), self._config.flow.seed)
        return {name: value for name, value in truth.items() if name not in _LONG}

    async def _sleep_or_stop(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop_wanted.wait(), seconds)

    async def _write_status(self) -> None:
        while True:
            self._save_status()
            await asyncio.sleep(STATUS_S)

    def _send(self) -> None:
        """Body of the sender's thread."""
        # The default lets a sleep end 50 µs late: half of SLEEP_US_MIN.
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, _TIMER_SLACK_NS, 0, 0, 0)
        while not sending.read_word_nb(self.sender.control, sending.LEAVE):
            until_ns = time.monotonic_ns() + WAITING_SLICE_NS
            if self._may_begin.is_set():
                delay_ns = self._config.flow.start_delay_ms * 10**6
                self.sender.settings[sending.START_NS] = time.monotonic_ns() + delay_ns
                # To the end in one call: back in Python it would wait for the interpreter, which
                # a garbage collection of 100,000 orders keeps for a tenth of a second.
                until_ns = _NEVER_NS
            sending.run_slice_nb(self.sender, until_ns)

    def _state(self) -> str:
        if self._stopped_early:
            return "stopped"
        return {sending.STARTING: "starting", sending.RUNNING: "running"}.get(self.phase(), "ended")

    def _elapsed_ns(self) -> int:
        """From the due time of the first message to the sending of the latest one."""
        progress = self.sender.progress
        if progress[sending.SENT] == 0:
            return 0
        # Below 0 when it was stopped before its start.
        return max(0, int(progress[sending.LAST_SENT_NS] - self.sender.settings[sending.START_NS]))

    def _rate_achieved(self) -> float:
        """Messages a second, from the first message to the latest."""
        elapsed_ns = self._elapsed_ns()
        sent = int(self.sender.progress[sending.SENT])
        return round((sent - 1) * NS_PER_S / elapsed_ns, 1) if elapsed_ns > 0 else 0.0


async def _wait_until(done: Callable[[], bool]) -> None:
    """Wait for another thread to get there, WAIT_LIMIT_S at most: it can set no event of a loop."""
    for _ in range(round(WAIT_LIMIT_S / WATCH_S)):
        if done():
            return
        await asyncio.sleep(WATCH_S)


def write_json(path: str, value: dict[str, Any]) -> None:
    """Replace the file at `path` in one step, so that a reader never sees half of it."""
    if not path:
        return
    beside = Path(f"{path}.{os.getpid()}.part")
    try:
        beside.write_bytes(msgspec.json.encode(value) + b"\n")
        beside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def _begin_on_input(exchange: Exchange) -> None:
    """Body of a thread: begin when standard input has something, ends, or cannot be read."""
    with contextlib.suppress(OSError):
        # Not sys.stdin: a reader that is still blocked in it breaks the interpreter's end.
        os.read(0, 1)
    exchange.begin()


async def run_exchange(
    config: ExchangeConfig,
    *,
    is_waiting: bool,
    tape: Tape | None = None,
    scenario: Scenario | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """Run an exchange until it's over or a SIGTERM or SIGINT comes; returns the report, and which
    of its files could not be written at the end. One that `is_waiting` begins when a line comes on
    standard input.
    """
    loop = asyncio.get_running_loop()
    with open_sockets(config) as sockets:
        exchange = Exchange(config, sockets, is_waiting=is_waiting, tape=tape, scenario=scenario)
        if is_waiting:
            threading.Thread(target=_begin_on_input, args=(exchange,), daemon=True).start()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, exchange.stop)
        try:
            return await exchange.run(), exchange.faults
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
