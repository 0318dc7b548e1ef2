"""`feedhandler demo`: runs the three processes, shows what happens, and says at the end whether all
was right.
"""

import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NoReturn

import msgspec
from cyclopts import App, Parameter
from rich.console import Console
from rich.live import Live
from rich.table import Table

from feedhandler.core.latency import format_ns
from feedhandler.core.states import State
from feedhandler.server.errors import ExitCode, UserError
from feedhandler.server.warmup import warm_up
from tools.demo.live import LiveTable
from tools.demo.processes import Processes, read_json
from tools.demo.setup import Options, Plan, make_plan
from tools.demo.verdict import judge

app = App(name="demo", help="Exchange, server and OMS client together, with a verdict at the end.")

_LOOK_S = 0.05
_STEP_NS = 500_000_000
_NS_PER_S = 1_000_000_000
_CATCH_UP_NS = 30 * _NS_PER_S
"""How long the server may go without a message once all are due; in all ten times that."""
_CATCH_UP_NS_MAX = 10 * _CATCH_UP_NS
_STOP_S = 10
_LINE_EVERY = 4
_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_SIGNALLED = 128
"""What a shell adds to the number of the signal that ended a command."""
_DEFAULTS = Options()


@app.default
def demo(
    options: Annotated[Options, Parameter(name="*")] = _DEFAULTS,
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    keep: Path | None = None,
) -> int:
    """Run the demo; the exit code is 0 only if the report is clean.

    Parameters
    ----------
    as_json
        Print the report as one JSON object on the last line.
    keep
        Folder for configurations, logs and reports, which are otherwise deleted; new, empty, or
        an earlier demo's.
    """
    warm_up()
    options = _as_long_as_its_tape(options)
    with _signals_unwind():
        if keep is not None:
            report = _run(make_plan(keep, options), is_quiet=as_json)
        else:
            with tempfile.TemporaryDirectory(prefix="feedhandler-demo-") as folder:
                report = _run(make_plan(Path(folder), options), is_quiet=as_json)
    if as_json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    else:
        _print_report(report)
    return ExitCode.OK if report["clean"] else ExitCode.VERIFICATION_FAILED


def _as_long_as_its_tape(options: Options) -> Options:
    """A demo of a tape lasts until its last message is due; UserError when nobody tells that."""
    if options.tape is None:
        return options
    beside = Path(f"{options.tape}.truth.json")
    messages = read_json(beside).get("messages")
    if not isinstance(messages, int):
        raise UserError(
            f"{beside}: does not say how many messages {options.tape} has; exchange generate makes"
            " both",
            ExitCode.DATA,
        )
    return replace(options, seconds=max(-(-messages // options.rate), 1))


@contextmanager
def _signals_unwind() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP leave by way of every context, so that children and files go."""

    def leave(number: int, _frame: object) -> NoReturn:
        for later in _ENDING_SIGNALS:
            signal.signal(later, signal.SIG_IGN)
        sys.exit(_SIGNALLED + number)

    before = {number: signal.signal(number, leave) for number in _ENDING_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(plan: Plan, *, is_quiet: bool) -> dict[str, Any]:
    options = plan.options
    with Processes(plan) as processes:
        if options.late_start_s:
            processes.start_exchange()
            time.sleep(options.late_start_s)
        else:
            processes.start_exchange(is_waiting=True)
        processes.start_server()
        processes.wait_for_server()
        processes.start_client()
        counters = processes.wait_for_client()
        if not options.late_start_s:
            processes.begin()
        if options.garbage:
            processes.start_garbage(options.garbage)
        table = LiveTable(plan, counters)
        _watch(plan, processes, table, is_quiet=is_quiet)
        exits: dict[str, int] = {}
        names = ["server", "oms-client", "exchange"]
        # The session has ended, so it need not wait for the others; the client must for the server.
        processes.ask_to_stop("exchange")
        for name in [*names, "garbage"] if options.garbage else names:
            exits[name], _took_ms = processes.stop(name, _STOP_S)
    reports = {name: read_json(plan.report(name)) for name in names}
    for name, found in reports.items():
        if not found:
            raise UserError(f"{name} left no report (exit code {exits[name]}); see --keep FOLDER")
    return judge(reports["exchange"], reports["server"], reports["oms-client"], exits)


def _watch(plan: Plan, processes: Processes, table: LiveTable, *, is_quiet: bool) -> None:
    """Show what happens until the session has ended on both sides, or nothing comes any more."""
    started_ns = time.monotonic_ns()
    console = Console(stderr=is_quiet)
    if console.is_terminal:
        with Live(console=console, refresh_per_second=4) as live:
            _follow(
                plan,
                processes,
                table,
                lambda elapsed_ns, _round: live.update(table.render(elapsed_ns), refresh=True),
            )
        return

    def show_line(elapsed_ns: int, round_number: int) -> None:
        if round_number % _LINE_EVERY == 0:
            console.print(table.line(elapsed_ns / 1e9), highlight=False, soft_wrap=True)

    _follow(plan, processes, table, show_line)
    show_line(time.monotonic_ns() - started_ns, 0)


def _follow(
    plan: Plan,
    processes: Processes,
    table: LiveTable,
    show: Callable[[int, int], None],
) -> None:
    started_ns = time.monotonic_ns()
    round_number = 0
    applied = 0
    due_ns = plan.options.seconds * _NS_PER_S
    patient_until_ns = due_ns + _CATCH_UP_NS
    while True:
        elapsed_ns = time.monotonic_ns() - started_ns
        if table.applied() != applied:
            applied = table.applied()
            patient_until_ns = max(elapsed_ns, due_ns) + _CATCH_UP_NS
        processes.check("server", "exchange", "oms-client")
        if elapsed_ns >= round_number * _STEP_NS:
            show(elapsed_ns, round_number)
            round_number = elapsed_ns // _STEP_NS + 1
        if _has_ended(plan, table) and not processes.is_running("garbage"):
            return
        if elapsed_ns > min(patient_until_ns, due_ns + _CATCH_UP_NS_MAX):
            return
        time.sleep(_LOOK_S)


def _has_ended(plan: Plan, table: LiveTable) -> bool:
    """The exchange has sent its last message and the server has it."""
    return read_json(plan.exchange_status).get("state") == "ended" and table.state() is State.ENDED


def _print_report(report: dict[str, Any]) -> None:
    console = Console()
    table = Table(title="report", show_header=False)
    for name in (
        "sent",
        "applied",
        "recovered",
        "covered_by_snapshot",
        "unexplained",
        "gaps",
        "books_equal",
        "orders_live",
        "signals_published",
        "signals_delivered",
        "signals_suppressed",
        "rate",
    ):
        value = report[name]
        table.add_row(
            name.replace("_", " "), f"{value:,}" if not isinstance(value, bool) else str(value)
        )
    if "orders_traded" in report:
        found = report["orders_traded"]
        table.add_row("orders traded", "   ".join(f"{key} {found[key]:,}" for key in found))
    for name in ("latency_ns", "signal_latency_ns", "tick_to_trade_ns", "hiccup_ns"):
        if name not in report:
            continue
        found = report[name]
        text = "   ".join(f"{key} {format_ns(found[key])}" for key in ("p50", "p99", "p999", "max"))
        table.add_row(name.removesuffix("_ns").replace("_", " "), text)
    console.print(table)
    for fault in report["faults"]:
        console.print(f"not clean: {fault}", style="bold red")
    if report["clean"]:
        console.print("clean: every message explained, books equal, every signal delivered")
