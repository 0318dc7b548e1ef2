"""Runs, medians and the machine that they were measured on. Times are integers: tenths of a ns."""

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

_ROOT = Path(__file__).resolve().parents[2]
_TENTHS_PER_S = 10_000_000_000

RUNS = 5
"""Runs of each benchmark that count, after one that does not."""


class NotInstalledError(Exception):
    """What a benchmark needs is not on this machine."""


class Timing(NamedTuple):
    """One run: how many operations, and how long they took together."""

    operations: int
    elapsed_ns: int


Run = Callable[[], Timing]


class Workload(NamedTuple):
    """What the benchmarks work on: a session of `messages` messages in `path`, a BinaryFILE, and a
    `folder` for files of their own. Loops without input make `loops` rounds.
    """

    folder: Path
    path: Path
    messages: int
    loops: int


class Benchmark(NamedTuple):
    """A benchmark: `prepare` makes from a workload the function that is run and timed. A peer is
    somebody else's work and may be missing.
    """

    name: str
    operation: str
    prepare: Callable[[Workload], Run]
    is_peer: bool = False


class Result(NamedTuple):
    """Tenths of a nanosecond an operation: median, lowest and highest of the runs."""

    name: str
    operation: str
    median: int
    lowest: int
    highest: int

    @property
    def operations_per_s(self) -> int:
        """Operations in a second, by the median."""
        return _TENTHS_PER_S // max(self.median, 1)

    def as_json(self) -> dict[str, Any]:
        """One entry of `benchmarks` in the JSON file."""
        return {
            "name": self.name,
            "operation": self.operation,
            "median_ns": self.median / 10,
            "lowest_ns": self.lowest / 10,
            "highest_ns": self.highest / 10,
            "operations_per_s": self.operations_per_s,
        }


class Surroundings:
    """What a benchmark's work is done in, besides the clock: nothing, unless a program that counts
    instructions puts its counter here.
    """

    context: AbstractContextManager[object] = nullcontext()


def timed(operations: int, work: Callable[[], Any]) -> Timing:
    """What so many operations took, all done by one call."""
    with Surroundings.context:
        started_ns = time.perf_counter_ns()
        work()
        elapsed_ns = time.perf_counter_ns() - started_ns
    return Timing(operations, elapsed_ns)


def measure(benchmark: Benchmark, workload: Workload, runs: int = RUNS) -> Result:
    """Run once to compile and to fill the caches, then `runs` times for the record."""
    run = benchmark.prepare(workload)
    run()
    costs = sorted(cost_tenths(run()) for _ in range(runs))
    median = statistics.median_low(costs)
    return Result(benchmark.name, benchmark.operation, median, costs[0], costs[-1])


def cost_tenths(timing: Timing) -> int:
    """Tenths of a nanosecond an operation."""
    return timing.elapsed_ns * 10 // timing.operations


def format_tenths(tenths: int) -> str:
    """Nanoseconds with one decimal, and separators."""
    sign = "-" if tenths < 0 else ""
    return f"{sign}{abs(tenths) // 10:,}.{abs(tenths) % 10}"


def describe_machine() -> dict[str, Any]:
    """Processor, cores that this process may use, time, versions, commit where git knows it."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "python": platform.python_version(),
        "numba": version("numba"),
        "kernel": platform.release().split("-")[0],
    }


def _cpu_model(path: Path = Path("/proc/cpuinfo")) -> str:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _commit(root: Path = _ROOT) -> str:
    """Short hash, with a + when files differ from it; empty where there is no git or repository."""
    try:
        hashed = _git(root, "rev-parse", "--short", "HEAD")
        return hashed + ("+" if _git(root, "status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(root: Path, *words: str) -> str:
    command = ("git", *words)
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()
