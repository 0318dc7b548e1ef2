"""From two samples of a counter file to a table: what happens now, what was lost, how late it was.

Pure functions: samples and their times come in, a rich renderable goes out. Nothing here knows a
particular counter; rows are grouped by words in their names, so a counter added tomorrow has its
place.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from feedhandler.core.counters import CounterFile, CounterSpec, HistogramSpec
from feedhandler.core.latency import format_ns, since, summary
from feedhandler.core.states import State

_NS_PER_S = 1_000_000_000
_CHANNEL_STATES = {int(state): state.name for state in State}

GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Lanes", ("lane_",)),
    ("Breakers", ("breaker",)),
    ("Signals and sessions", ("signal", "fix_", "oms_", "client_")),
    ("Gaps and recovery", ("gap", "recover", "lost", "line_", "dropped", "rejected", "snapshot")),
    ("Feed", ("channel_", "packets_", "bytes_", "messages_", "feed_", "book", "orders_")),
)
"""Titles, and the words in a name that put a row under them; the first that fits wins."""

_OTHER = "Other"


class Sample(NamedTuple):
    """A copy of a file's numbers and when it was taken (ns of one clock, since the epoch)."""

    time_ns: int
    values: NDArray[np.int64]
    histograms: NDArray[np.int64]


def take_sample(counter_file: CounterFile, time_ns: int) -> Sample:
    """Copy what the file says now."""
    return Sample(time_ns, counter_file.totals(), counter_file.histogram_totals())


def render_table(
    counter_file: CounterFile, now: Sample, before: Sample | None = None
) -> RenderableType:
    """A title, a table of the counters in groups, and one of the histograms.

    With `before`, rates and latencies are those between the two samples; without, rates are left
    out and latencies are those since the start.
    """
    uptime_s = max(0, now.time_ns - counter_file.start_time_ns) // _NS_PER_S
    title = Text(f"process {counter_file.pid} · up {uptime_s} s · {counter_file.path}", "bold")
    parts: list[RenderableType] = [title]
    if counter_file.counter_specs:
        parts.append(_counter_table(counter_file.counter_specs, now, before))
    if counter_file.histogram_specs:
        parts.append(_histogram_table(counter_file.histogram_specs, now, before))
    return Group(*parts)


def group_of(name: str) -> str:
    """Title of the table that a counter of this name belongs to."""
    for title, words in GROUPS:
        if any(word in name for word in words):
            return title
    return _OTHER


def format_count(value: int) -> str:
    """A whole number with its thousands apart."""
    return f"{value:,}"


def rate_per_s(now: int, before: int, elapsed_ns: int) -> int:
    """Whole events a second between two values; 0 when no time has passed."""
    return (now - before) * _NS_PER_S // elapsed_ns if elapsed_ns > 0 else 0


def format_value(spec: CounterSpec, value: int, now_ns: int) -> str:
    """A value as a person reads it: states as words, times as durations, points in time as ages."""
    if spec.name == "channel_state" and value in _CHANNEL_STATES:
        return _CHANNEL_STATES[value]
    if spec.unit != "ns":
        return format_count(value)
    if "timestamp" in spec.name:
        return f"{format_ns(max(0, now_ns - value))} ago" if value else "never"
    return format_ns(value)


def _labels(spec: CounterSpec | HistogramSpec) -> str:
    return " ".join(f"{key}={value}" for key, value in spec.labels)


def _counter_table(specs: Sequence[CounterSpec], now: Sample, before: Sample | None) -> Table:
    """Group by group: name, labels, value, and the rate of what only grows."""
    table = _table("counter", "labels")
    for heading in ("value", "a second"):
        table.add_column(heading, justify="right")
    for group in (*(title for title, _ in reversed(GROUPS)), _OTHER):
        rows = [row for row, spec in enumerate(specs) if group_of(spec.name) == group]
        if rows:
            table.add_row(Text(group, "bold"))
        for row in rows:
            spec, value, rate = specs[row], int(now.values[row]), ""
            if before is not None and spec.kind == "counter":
                elapsed_ns = now.time_ns - before.time_ns
                rate = format_count(rate_per_s(value, int(before.values[row]), elapsed_ns))
            shown = format_value(spec, value, now.time_ns)
            table.add_row(f"  {spec.name}", _labels(spec), shown, rate)
    return table


def _table(*headings: str) -> Table:
    """An empty table as wide as the screen, with a rule under its headings and no other."""
    return Table(*headings, box=box.SIMPLE_HEAD, expand=True, show_edge=False)


def _histogram_table(specs: Iterable[HistogramSpec], now: Sample, before: Sample | None) -> Table:
    """Count and percentiles of each histogram."""
    table = _table("latency", "labels")
    for heading in ("count", "p50", "p99", "p99.9", "max"):
        table.add_column(heading, justify="right")
    for row, spec in enumerate(specs):
        histogram = now.histograms[row]
        if before is not None:
            histogram = since(histogram, before.histograms[row])
        figures = summary(histogram)
        form = format_ns if spec.unit == "ns" else format_count
        cells = [form(figures[name]) for name in ("p50", "p99", "p999", "max")]
        table.add_row(spec.name, _labels(spec), format_count(figures["count"]), *cells)
    return table
