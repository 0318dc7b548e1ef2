"""`feedhandler bench`: the benchmark table of this machine."""

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.table import Table

from feedhandler.core.latency import Histogram, allocate_histogram, format_ns, summary
from feedhandler.server.errors import ExitCode, UserError
from feedhandler.server.hiccup import HiccupMeter
from tools.bench.benchmarks import BENCHMARKS
from tools.bench.callgrind import why_not
from tools.bench.day import DAY_MAX, DAY_MIN, MESSAGES_A_BATCH, Part, run_day
from tools.bench.instructions import count_instructions
from tools.bench.measure import (
    RUNS,
    Benchmark,
    NotInstalledError,
    Result,
    Workload,
    describe_machine,
    format_tenths,
    measure,
)
from tools.bench.scaling import (
    PREDICTED_SHARDS,
    Scaling,
    measure_scaling,
    measures,
    parse_shards,
)
from tools.bench.stages import (
    COUNTED_STAGES,
    Cost,
    costs,
    count_signals,
    time_stages,
    whole,
)
from tools.exchange.generate import generate_file
from tools.exchange.layout import FlowSettings
from tools.output import open_output

_MESSAGES = 10_000_000
_MESSAGES_QUICK = 1_000_000
_LOOPS = 20_000_000
_LOOPS_QUICK = 2_000_000
_PLAIN_WIDTH = 120
_DAY_MESSAGES = 300_000_000

app = App(name="bench", help="Measure what one operation of each part costs on this machine.")


@app.default
def bench(
    *names: str,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
    quick: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Run the benchmarks and print their table, with the machine's own hiccup below it.

    Parameters
    ----------
    names
        Benchmarks to run, all of them without a name.
    json_file
        File for the same results as one JSON object.
    quick
        A tenth of the work: 1 million messages instead of 10.
    """
    chosen = _choose(names)
    with ExitStack() as stack:
        output = stack.enter_context(open_output(json_file)) if json_file else None
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="feedhandler-bench-"))
        workload = _make_workload(Path(folder), quick=quick)
        with _hiccups() as hiccups:
            results, missing = _run_all(chosen, workload)
        report = _make_report(results, hiccups, quick=quick)
        report["not_installed"] = missing
        _print_table(results, report)
        if output:
            output.write(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    return ExitCode.OK


@app.command
def scaling(
    *,
    shards: str | None = None,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
    quick: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Replay by 1 to N shards, and fit the Universal Scalability Law to what they do.

    Parameters
    ----------
    shards
        1..N, the numbers of shards; up to the number of cores without it.
    json_file
        File for the same results as one JSON object.
    quick
        A tenth of the work: 1 million messages instead of 10.
    """
    cores = len(os.sched_getaffinity(0))
    most = parse_shards(shards, cores)
    with ExitStack() as stack:
        output = stack.enter_context(open_output(json_file)) if json_file else None
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="feedhandler-bench-"))
        workload = _make_workload(Path(folder), quick=quick)
        ways = measures(workload.path, workload.folder, workload.messages, most)
        with _hiccups() as hiccups:
            results = measure_scaling(ways, most, cores, RUNS)
        report = _make_report([], hiccups, quick=quick)
        del report["benchmarks"]
        report["scaling"] = [result.as_json() for result in results]
        _print_scaling(results, report)
        if output:
            output.write(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    return ExitCode.OK


@app.command(name="stages")
def time_of_stages(
    *,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
    quick: Annotated[bool, Parameter(negative=())] = False,
    instructions: bool = True,
) -> int:
    """Show where the time of a message goes, stage by stage, in ns and in instructions.

    Parameters
    ----------
    json_file
        File for the same results as one JSON object.
    quick
        A tenth of the work: 1 million messages instead of 10.
    instructions
        Count instructions too, which takes half a minute, two the first time, and valgrind.
    """
    with ExitStack() as stack:
        output = stack.enter_context(open_output(json_file)) if json_file else None
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="feedhandler-bench-"))
        workload = _make_workload(Path(folder), quick=quick)
        signals = count_signals(workload)
        with _hiccups() as hiccups:
            rounds = time_stages(workload)
        reason = why_not() if instructions else "not asked for"
        counts = None if reason else _count_stages()
        found = costs(rounds, Fraction(signals, workload.messages), counts)
        report = _make_report([], hiccups, quick=quick)
        del report["benchmarks"]
        report["signals"] = signals
        report["stages"] = [cost.as_json() for cost in found]
        report["whole"] = whole(rounds, counts).as_json()
        _print_stages([*found, whole(rounds, counts)], report)
        if reason:
            print(f"instructions not counted: {reason}")
        if output:
            output.write(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    return ExitCode.OK


@app.command(name="day")
def long_day(
    *,
    messages: Annotated[int, Parameter(validator=Number(gte=DAY_MIN, lte=DAY_MAX))] = _DAY_MESSAGES,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> int:
    """Make and work on the messages of a long day, and show that neither memory nor time grows.

    Parameters
    ----------
    messages
        In all; the default is 8 hours of 10,000 a second, which takes about a minute.
    json_file
        File for the same results as one JSON object.
    """
    with ExitStack() as stack:
        output = stack.enter_context(open_output(json_file)) if json_file else None
        with _hiccups() as hiccups:
            parts = run_day(messages)
        report = _make_report([], hiccups, quick=False)
        del report["benchmarks"]
        report["messages"] = sum(part.messages for part in parts)
        report["parts"] = [part.as_json() for part in parts]
        _print_day(parts, report)
        if output:
            output.write(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    return ExitCode.OK


def _print_day(parts: Sequence[Part], report: dict[str, Any]) -> None:
    console = Console() if sys.stdout.isatty() else Console(width=_PLAIN_WIDTH)
    table = Table(
        title=f"a day in {len(parts)} parts; ns a message, over {MESSAGES_A_BATCH:,} each"
    )
    headings = ("messages", "signals", "p50", "p99", "resident bytes", "page faults")
    for heading in headings:
        table.add_column(heading, justify="right")
    for part in parts:
        costs = (format_tenths(part.p50), format_tenths(part.p99))
        memory = (f"{part.resident_bytes:,}", f"{part.page_faults:,}")
        table.add_row(f"{part.messages:,}", f"{part.signals:,}", *costs, *memory)
    console.print(table)
    _print_machine(console, report)


def _count_stages() -> dict[str, int]:
    counts = count_instructions(list(COUNTED_STAGES.values()))
    return {stage: counts[name].hundredths for stage, name in COUNTED_STAGES.items()}


def _print_stages(found: Sequence[Cost], report: dict[str, Any]) -> None:
    console = Console() if sys.stdout.isatty() else Console(width=_PLAIN_WIDTH)
    table = Table(title=f"what a stage adds to a message: median of {RUNS} rounds, in ns")
    for heading in ("stage", "what it does"):
        table.add_column(heading)
    for heading in ("median", "lowest", "highest", "instructions"):
        table.add_column(heading, justify="right")
    for cost in found:
        shown = (format_tenths(each) for each in (cost.median, cost.lowest, cost.highest))
        counted = "" if cost.instructions is None else format_tenths(cost.instructions // 10)
        table.add_row(cost.name, cost.what, *shown, counted)
    console.print(table)
    console.print(f"signals: {report['signals']:,}", soft_wrap=True)
    _print_machine(console, report)


def _print_scaling(results: Sequence[Scaling], report: dict[str, Any]) -> None:
    console = Console() if sys.stdout.isatty() else Console(width=_PLAIN_WIDTH)
    table = Table(title=f"messages/s by shards: median of {RUNS} runs, lowest and highest")
    for heading in ("feed", "shards", "median", "lowest", "highest", "speed-up", "efficiency"):
        table.add_column(heading, justify="left" if heading == "feed" else "right")
    for result in results:
        for step in result.steps:
            shown = (f"{each:,}" for each in (step.median, step.lowest, step.highest))
            ratios = (f"{step.speed_up:.2f}", f"{step.speed_up / step.shards:.2f}")
            table.add_row(result.name, str(step.shards), *shown, *ratios)
    console.print(table)
    for result in results:
        law = result.law
        console.print(
            f"{result.name}: contention {law.contention:.4f}, coherency {law.coherency:.6f};"
            f" {PREDICTED_SHARDS} cores would do {law.throughput(PREDICTED_SHARDS):,.0f}"
            f" messages/s by this law, most at {law.peak() or 'no number of'} shards",
            soft_wrap=True,
        )
        if result.caution:
            console.print(f"{result.name}: {result.caution}", soft_wrap=True)
    _print_machine(console, report)


def _choose(names: Sequence[str]) -> list[Benchmark]:
    known = {benchmark.name: benchmark for benchmark in BENCHMARKS}
    unknown = [name for name in names if name not in known]
    if unknown:
        message = f"no benchmark is named {unknown[0]!r}; there is {', '.join(known)}"
        raise UserError(message, ExitCode.USAGE)
    return [benchmark for name, benchmark in known.items() if not names or name in names]


def _make_workload(folder: Path, *, quick: bool) -> Workload:
    messages = _MESSAGES_QUICK if quick else _MESSAGES
    path = folder / "session.bin"
    generate_file(FlowSettings(1, messages=messages), path)
    return Workload(folder, path, messages, _LOOPS_QUICK if quick else _LOOPS)


@contextmanager
def _hiccups() -> Iterator[Histogram]:
    """What the machine itself does to a sleeper while the benchmarks run."""
    histogram = allocate_histogram()
    meter = HiccupMeter(histogram)
    meter.start()
    try:
        yield histogram
    finally:
        meter.stop()


def _run_all(chosen: Sequence[Benchmark], workload: Workload) -> tuple[list[Result], list[str]]:
    """Results, and the names of the benchmarks for which something is not installed."""
    results: list[Result] = []
    missing: list[str] = []
    for benchmark in chosen:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\033[K{benchmark.name}")
        try:
            results.append(measure(benchmark, workload))
        except NotInstalledError:
            missing.append(benchmark.name)
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
    return results, missing


def _make_report(results: Sequence[Result], hiccups: Histogram, *, quick: bool) -> dict[str, Any]:
    noise = summary(hiccups)
    return {
        "machine": describe_machine(),
        "messages": _MESSAGES_QUICK if quick else _MESSAGES,
        "runs": RUNS,
        "hiccup_ns": {"p999": noise["p999"], "max": noise["max"]},
        "benchmarks": [result.as_json() for result in results],
    }


def _print_table(results: Sequence[Result], report: dict[str, Any]) -> None:
    table = Table(title=f"ns an operation: median of {RUNS} runs, lowest and highest")
    table.add_column("benchmark")
    table.add_column("operation")
    for heading in ("median", "lowest", "highest", "operations/s"):
        table.add_column(heading, justify="right")
    for result in results:
        costs = (result.median, result.lowest, result.highest)
        shown = (format_tenths(tenths) for tenths in costs)
        table.add_row(result.name, result.operation, *shown, f"{result.operations_per_s:,}")
    console = Console() if sys.stdout.isatty() else Console(width=_PLAIN_WIDTH)
    console.print(table)
    if report["not_installed"]:
        names = ", ".join(report["not_installed"])
        console.print(f"not installed (make peers): {names}", soft_wrap=True)
    _print_machine(console, report)


def _print_machine(console: Console, report: dict[str, Any]) -> None:
    noise = report["hiccup_ns"]
    console.print(
        f"the machine's own hiccup meanwhile: p99.9 {format_ns(noise['p999'])},"
        f" max {format_ns(noise['max'])}",
        soft_wrap=True,
    )
    machine = report["machine"]
    console.print(
        f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']};"
        f" Python {machine['python']}, Numba {machine['numba']};"
        f" {machine['date']}, commit {machine['commit'] or 'unknown'};"
        f" session of {report['messages']:,} messages",
        soft_wrap=True,
    )
