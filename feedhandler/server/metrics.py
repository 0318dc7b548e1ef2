"""The Prometheus page: every row of the counter file, and figures of the process itself.

    row (name, unit, kind)              exported as
    "packets_received", "", counter     feedhandler_packets_received_total
    "channel_state", "", gauge          feedhandler_channel_state
    "heartbeat_age", "ns", gauge        feedhandler_heartbeat_age_seconds
    "latency", "ns", histogram          feedhandler_latency_seconds_bucket, _sum, _count

Labels pass as they are. Histograms are summed up into fixed buckets, 1-2-5 from 1 us to 10 s: a
record in a fine bucket that a bound cuts through counts above the bound. Nanoseconds become
floating-point seconds here and nowhere else, because the format has no other number.
"""

import gc
import platform
import time
from collections.abc import Iterable, Iterator
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from feedhandler import __version__
from feedhandler.core.counters import CounterFile, CounterSpec, HistogramSpec
from feedhandler.core.latency import SUM, Histogram, allocate_histogram, cumulative_counts
from feedhandler.core.recording import record_nb

PREFIX = "feedhandler_"
_NS_PER_S = 1_000_000_000
_DECADE = (1, 2, 5)

BOUNDS_NS = np.array(
    [digit * 10**power for power in range(3, 10) for digit in _DECADE] + [10 * _NS_PER_S], np.int64
)
"""Upper bounds of the exported buckets of a histogram of times."""

BOUNDS_PLAIN = np.array([digit * 10**power for power in range(7) for digit in _DECADE], np.int64)
"""Upper bounds of the exported buckets of a histogram of anything else."""

_LE_NS = [str(bound / _NS_PER_S) for bound in BOUNDS_NS.tolist()]
_LE_PLAIN = [str(bound / 1) for bound in BOUNDS_PLAIN.tolist()]

Spec = CounterSpec | HistogramSpec


class MetricsPage:
    """Renders the page of one process; make one at start and call `render` for each request."""

    def __init__(self, counter_file: CounterFile) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._registry.register(CounterFileCollector(counter_file))

    def render(self) -> bytes:
        """The page now, in the format that `CONTENT_TYPE_LATEST` of prometheus_client names."""
        return generate_latest(self._registry)


class CounterFileCollector(Collector):
    """Turns the rows of a counter file into metric families, one family for each name."""

    def __init__(self, counter_file: CounterFile) -> None:
        self._file = counter_file
        self._specs: tuple[Any, Any] = ((), ())
        self._counters: list[list[tuple[int, Spec]]] = []
        self._histograms: list[list[tuple[int, Spec]]] = []

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering does not collect."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every family with its present values."""
        specs = (self._file.counter_specs, self._file.histogram_specs)
        if specs[0] is not self._specs[0] or specs[1] is not self._specs[1]:
            self._specs = specs
            self._counters, self._histograms = _group(specs[0]), _group(specs[1])
        yield self._build_info()
        yield GaugeMetricFamily(
            f"{PREFIX}start_time_seconds",
            "Start of the process, seconds since the epoch.",
            value=self._file.start_time_ns / _NS_PER_S,
        )
        values = self._file.totals().tolist()
        for rows in self._counters:
            yield _counter_family(rows, values)
        histograms = self._file.histogram_totals()
        for rows in self._histograms:
            yield _histogram_family(rows, histograms)

    @staticmethod
    def _build_info() -> Metric:
        family = GaugeMetricFamily(
            f"{PREFIX}build_info",
            "What runs; the value is 1.",
            labels=["version", "python", "numba"],
        )
        family.add_metric([__version__, platform.python_version(), numba.__version__], 1)
        return family


class GcPauseMeter:
    """Records into `histogram` how long each run of the garbage collector stops Python code."""

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._started_ns = 0

    def start(self) -> None:
        """Begin to record; compiles what it needs before the first collection."""
        record_nb(allocate_histogram(), 0)
        gc.callbacks.append(self._on_collection)

    def stop(self) -> None:
        """Record no more; harmless when it does not run."""
        if self._on_collection in gc.callbacks:
            gc.callbacks.remove(self._on_collection)

    def _on_collection(self, phase: str, _details: dict[str, int]) -> None:
        now_ns = time.perf_counter_ns()
        if phase == "start":
            self._started_ns = now_ns
        elif self._started_ns:
            record_nb(self._histogram, now_ns - self._started_ns)


def _group(specs: Iterable[Spec]) -> list[list[tuple[int, Spec]]]:
    """Rows of each name that somebody writes, names in order of their first row."""
    groups: dict[str, list[tuple[int, Spec]]] = {}
    for row, spec in enumerate(specs):
        if not spec.spare:
            groups.setdefault(spec.name, []).append((row, spec))
    return list(groups.values())


def _family_name(spec: Spec) -> str:
    """Name with prefix and base unit, as Prometheus asks for."""
    suffix = {"ns": "_seconds", "": ""}.get(spec.unit, f"_{spec.unit}")
    name = spec.name.removesuffix("_total").removesuffix(suffix)
    return f"{PREFIX}{name}{suffix}"


def _label_keys(spec: Spec) -> list[str]:
    return sorted(key for key, _ in spec.labels)


def _label_values(spec: Spec) -> list[str]:
    return [value for _, value in sorted(spec.labels)]


def _counter_family(rows: list[tuple[int, Spec]], values: list[int]) -> Metric:
    """Counters or gauges of one name."""
    first = rows[0][1]
    is_counter = isinstance(first, CounterSpec) and first.kind == "counter"
    family_type = CounterMetricFamily if is_counter else GaugeMetricFamily
    family: CounterMetricFamily | GaugeMetricFamily = family_type(
        _family_name(first), first.help, labels=_label_keys(first)
    )
    for row, spec in rows:
        value = values[row] / _NS_PER_S if spec.unit == "ns" else values[row]
        family.add_metric(_label_values(spec), value)
    return family


def _histogram_family(rows: list[tuple[int, Spec]], histograms: NDArray[np.int64]) -> Metric:
    """Histograms of one name."""
    first = rows[0][1]
    is_time = first.unit == "ns"
    bounds, names = (BOUNDS_NS, _LE_NS) if is_time else (BOUNDS_PLAIN, _LE_PLAIN)
    family = HistogramMetricFamily(_family_name(first), first.help, labels=_label_keys(first))
    for row, spec in rows:
        histogram = histograms[row]
        # The total comes from the same pass: the header's count may be a record ahead.
        *counts, total = cumulative_counts(histogram, np.append(bounds, np.iinfo(np.int64).max))
        buckets = [(name, int(count)) for name, count in zip(names, counts, strict=True)]
        total_value = int(histogram[SUM])
        family.add_metric(
            _label_values(spec),
            [*buckets, ("+Inf", int(total))],
            total_value / _NS_PER_S if is_time else total_value,
        )
    return family
