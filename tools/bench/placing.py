"""What idle strategy, CPU binding, real-time priority and locked memory do to latency:
`python -m tools.bench.placing` runs a demo with each in turn, several rounds, and prints medians.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

_DEMO = ("-m", "feedhandler.server", "demo", "--json")
_LIMIT_S = 300
VARIANTS: dict[str, tuple[str, ...]] = {
    "spin": ("--idle", "spin"),
    "spin, bound to CPU 0": ("--idle", "spin", "--receiver-cpu", "0"),
    "spin, memory locked": ("--idle", "spin", "--lock-memory"),
    "yield": ("--idle", "yield"),
    "backoff": ("--idle", "backoff"),
    "backoff, bound to CPU 0": ("--idle", "backoff", "--receiver-cpu", "0"),
    "backoff, priority 50": ("--idle", "backoff", "--realtime-priority", "50"),
    "spin, two threads": ("--idle", "spin", "--topology", "pipelined"),
}
FIGURES = (
    ("feed p50", "latency_ns", "p50"),
    ("feed p99", "latency_ns", "p99"),
    ("feed p99.9", "latency_ns", "p999"),
    ("signal p50", "signal_latency_ns", "p50"),
    ("signal p99", "signal_latency_ns", "p99"),
    ("hiccup p99.9", "hiccup_ns", "p999"),
)
"""Heading, and where the report of a demo has it."""


def run_demo(words: Sequence[str]) -> dict[str, Any]:
    """The report of a demo, which has to be clean."""
    done = subprocess.run(
        [sys.executable, *_DEMO, *words], capture_output=True, text=True, check=False,
        timeout=_LIMIT_S,
    )  # fmt: skip
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if not report["clean"]:
        raise SystemExit(f"demo {' '.join(words)}: {report['faults']}")
    return report


def medians(reports: Sequence[dict[str, Any]]) -> list[int]:
    """Of each of FIGURES over several reports, ns."""
    return [
        int(statistics.median(report[group][quantile] for report in reports))
        for _, group, quantile in FIGURES
    ]


def main() -> None:
    """Print a table in Markdown, in microseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    pace = ("--rate", str(chosen.rate), "--seconds", str(chosen.seconds))
    reports: dict[str, list[dict[str, Any]]] = {name: [] for name in VARIANTS}
    for _ in range(chosen.rounds):
        for name, words in VARIANTS.items():
            reports[name].append(run_demo((*pace, *words)))
    print("| variant |", *(f"{heading} |" for heading, _, _ in FIGURES))
    print("|---|" + "---:|" * len(FIGURES))
    for name, found in reports.items():
        print(f"| {name} |", *(f"{ns / 1_000:,.1f} |" for ns in medians(found)))


if __name__ == "__main__":
    main()
