"""What the counter rows of a server mean: one specification for each row of
`feedhandler.core.counts`, in the same order, and after them the rows that the control plane writes.
"""

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import TypeVar

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from feedhandler.core.counters import CounterSpec, HistogramSpec, Labels, Part
from feedhandler.core.counts import (
    COUNT_ROWS,
    FUNCTIONS_MAX,
    HISTOGRAM_ROWS,
    LANES_MAX,
    Count,
    Histogram,
    SnapshotFault,
)
from feedhandler.server.config import RESPONSE_LABEL, RESPONSE_NAMES
from oms_out.contract import OmsCount, OmsGauge

LINE_NAMES = ("a", "b", "recovery")


class ControlCount(IntEnum):
    """Rows that the control plane's thread writes, counted from CONTROL_FIRST."""

    SIGNALS_PUBLISHED = 0
    HTTP_REJECTED = 1
    SNAPSHOT_FAILURES = 2
    SESSIONS_UP = 3
    SIGNALS_UNSTORED = 4
    SIGNALS_MALFORMED = 5
    FIX_CONNECTIONS_REFUSED = 6
    FIX_CONNECTIONS_CUT = 7
    FIX_LOGONS = 8
    FIX_MESSAGES_REPLAYED = 9
    FIX_REJECTS = 10
    FIX_GARBLED = 11
    EXECUTION_REPORTS = 12
    FEED_CONNECTS = 13
    FEED_LOSSES = 14
    HUB_CLIENTS = 15
    HUB_SUBSCRIPTIONS = 16
    HUB_SENT = 17
    HUB_CONFLATED = 18
    HUB_DROPPED = 19
    HUB_CUT = 20
    HUB_MISSED = 21
    HUB_CLIENTS_REFUSED = 22
    HUB_LAG = 23
    HUB_COMMANDS_OK = 24
    HUB_COMMANDS_REFUSED = 25
    HUB_COMMANDS_UNSUPPORTED = 26
    HUB_COMMANDS_TIMEOUT = 27
    HUB_COMMANDS_FAILED = 28
    HUB_ENDS_LEFT = 29
    HUB_ENDS_SLOW = 30
    HUB_ENDS_SILENT = 31
    HUB_ENDS_MALFORMED = 32
    HUB_ENDS_SHUTDOWN = 33
    RELOADS_OK = 34
    RELOADS_REFUSED = 35


class ControlHistogram(IntEnum):
    """Histograms that other threads than the shard's write, counted from HISTOGRAM_ROWS."""

    WIRE_TO_SIGNAL = 0
    HICCUP = 1
    GC_PAUSE = 2


CONTROL_FIRST = COUNT_ROWS

OMS_ROWS = {
    OmsCount.SIGNALS_PUBLISHED: ControlCount.SIGNALS_PUBLISHED,
    OmsCount.SIGNALS_UNSTORED: ControlCount.SIGNALS_UNSTORED,
    OmsCount.SIGNALS_MALFORMED: ControlCount.SIGNALS_MALFORMED,
    OmsCount.CONNECTIONS_REFUSED: ControlCount.FIX_CONNECTIONS_REFUSED,
    OmsCount.CONNECTIONS_CUT: ControlCount.FIX_CONNECTIONS_CUT,
    OmsCount.LOGONS: ControlCount.FIX_LOGONS,
    OmsCount.MESSAGES_REPLAYED: ControlCount.FIX_MESSAGES_REPLAYED,
    OmsCount.REJECTS: ControlCount.FIX_REJECTS,
    OmsCount.GARBLED: ControlCount.FIX_GARBLED,
    OmsCount.EXECUTION_REPORTS: ControlCount.EXECUTION_REPORTS,
    OmsGauge.SESSIONS_ACTIVE: ControlCount.SESSIONS_UP,
}
"""Row of what the OMS side reports under a name."""

_DROPPED: dict[int, str] = {
    Count.UNRECOVERED: "unrecovered_gap",
    Count.UNKNOWN_TYPE: "unknown_type",
    Count.BAD_LENGTH: "bad_length",
    Count.UNKNOWN_REFERENCE: "unknown_reference",
    Count.DUPLICATE_REFERENCE: "duplicate_reference",
    Count.BAD_VALUE: "bad_value",
    Count.CAPACITY: "capacity",
}
"""Every reason for which a message does not reach the books."""

_PLAIN: dict[Count, tuple[str, str, str]] = {
    Count.HEARTBEATS: ("heartbeats", "", "Heartbeats and end-of-session packets"),
    Count.WINDOW_STORED: ("packets_kept", "", "Packets that waited for an earlier one"),
    Count.WINDOW_FULL: ("packets_not_kept", "", "Packets dropped as the reorder window was full"),
    Count.APPLIED: ("messages_applied", "", "Messages applied to the books"),
    Count.RECOVERED: ("messages_recovered", "", "Messages that came by retransmission"),
    Count.COVERED_BY_SNAPSHOT: (
        "messages_covered_by_snapshot",
        "",
        "Messages not received themselves, whose effect a snapshot contained",
    ),
    Count.OVERFILL: ("overfills", "", "Messages that took more from an order than it had"),
    Count.GAPS: ("sequence_gaps", "", "Gaps found in the sequence"),
    Count.GAPS_UNRECOVERED: ("gap_unrecovered", "", "Gaps that nothing could fill"),
    Count.REQUESTS: ("rerequests_sent", "", "Re-requests sent"),
    Count.SNAPSHOTS: ("snapshots_loaded", "", "Snapshots loaded into the books"),
    Count.STREAM_BYTES: ("stream_received", "bytes", "Bytes of a feed over TCP"),
    Count.STREAM_MESSAGES: (
        "stream_messages",
        "",
        "Messages of a feed over TCP, those of the session itself included",
    ),
    Count.SESSION_CHANGES: ("session_changes", "", "Sessions of the feed that followed another"),
}

_GAUGES: dict[Count, tuple[str, str, str]] = {
    Count.GAP_OPEN: ("gap_open", "", "1 while messages are missing"),
    Count.STATE: (
        "channel_state",
        "",
        "0 down, 1 syncing, 2 live, 3 gap, 4 recovering, 5 stale, 6 ended",
    ),
    Count.NEXT_SEQ: ("next_sequence", "", "Sequence number of the next message"),
    Count.END_SEQ: ("end_sequence", "", "Sequence number after the last one of an ended session"),
    Count.LAST_PACKET_NS: (
        "feed_last_message_timestamp",
        "ns",
        "When the last packet of the session came, since the epoch",
    ),
}

_BARE: dict[Count, tuple[str, str, str, str]] = {
    Count.ORDERS_LIVE: ("orders_live", "", "Orders in the books", "gauge"),
    Count.BOOKS_SUSPECT: ("books_suspect", "", "1 while the books may be wrong", "gauge"),
    Count.POOL_WAITS: ("pool_waits", "", "Waits for a free tick", "counter"),
    Count.SHARD_WAITS: ("shard_waits", "", "Waits for a shard that is behind", "counter"),
    Count.TICKS: ("ticks", "", "Ticks that went through all stages", "counter"),
    Count.AWAY_QUOTES: (
        "away_quotes",
        "",
        "Changed best prices of other feeds that patterns were told",
        "counter",
    ),
    Count.SIGNALS: ("signals", "", "Signals handed to the publisher", "counter"),
    Count.SIGNALS_SUPPRESSED: (
        "signals_suppressed",
        "",
        "Signals held back: book in doubt, instrument halted, or breaker open",
        "counter",
    ),
    Count.SIGNALS_DROPPED: ("signals_dropped", "", "Signals lost to a full ring", "counter"),
}

_ACROSS: dict[int, str] = {
    Count.NEXT_SEQ: "least",
    Count.BOOKS_SUSPECT: "most",
    Count.RX_HEARTBEAT_NS: "least",
    Count.WORKER_HEARTBEAT_NS: "least",
}
"""What the engines of several shards say together where it is not the sum."""

_CONTROL: dict[ControlCount, tuple[str, str]] = {
    ControlCount.SIGNALS_PUBLISHED: ("signals_published", "Signals given to OMS sessions"),
    ControlCount.HTTP_REJECTED: ("http_rejected", "HTTP requests refused"),
    ControlCount.SNAPSHOT_FAILURES: ("snapshot_failures", "Snapshots that failed"),
    ControlCount.SESSIONS_UP: ("fix_sessions_up", "OMS sessions logged on"),
    ControlCount.SIGNALS_UNSTORED: (
        "signals_unstored",
        "Signals that a session lost as its store could not be written",
    ),
    ControlCount.SIGNALS_MALFORMED: ("signals_malformed", "Signals that make no message"),
    ControlCount.FIX_CONNECTIONS_REFUSED: (
        "fix_connections_refused",
        "Connections closed before a Logon was accepted",
    ),
    ControlCount.FIX_CONNECTIONS_CUT: (
        "fix_connections_cut",
        "OMS sessions that ended without a Logout of both sides",
    ),
    ControlCount.FIX_LOGONS: ("fix_logons", "Logons accepted"),
    ControlCount.FIX_MESSAGES_REPLAYED: ("fix_messages_replayed", "Signals sent again on request"),
    ControlCount.FIX_REJECTS: ("fix_rejects", "Rejects sent or received"),
    ControlCount.FIX_GARBLED: ("fix_garbled", "Runs of bytes of a session that are no message"),
    ControlCount.EXECUTION_REPORTS: ("execution_reports", "ExecutionReports received"),
    ControlCount.FEED_CONNECTS: ("feed_connects", "Logins to a feed over TCP that were accepted"),
    ControlCount.FEED_LOSSES: ("feed_losses", "Connections of a feed over TCP that were lost"),
    ControlCount.HUB_CLIENTS: ("hub_clients", "Clients of the hub"),
    ControlCount.HUB_SUBSCRIPTIONS: ("hub_subscriptions", "Subscriptions of all clients"),
    ControlCount.HUB_SENT: ("hub_messages_sent", "Messages taken by watchers"),
    ControlCount.HUB_CONFLATED: (
        "hub_messages_conflated",
        "Messages that gave way to newer ones, as a watcher fell behind",
    ),
    ControlCount.HUB_DROPPED: ("hub_messages_dropped", "Messages that a watcher lost"),
    ControlCount.HUB_CUT: ("hub_subscriptions_cut", "Subscriptions cut as their queue was full"),
    ControlCount.HUB_MISSED: ("hub_signals_missed", "Signals that the hub passed over"),
    ControlCount.HUB_CLIENTS_REFUSED: ("hub_clients_refused", "Connections beyond the limit"),
    ControlCount.HUB_LAG: ("client_lag_messages", "Messages that wait for the slowest client"),
    **{
        row: ("hub_commands", "Commands by what became of them")
        for row in ControlCount
        if row.name.startswith("HUB_COMMANDS_")
    },
    **{
        row: ("clients_disconnected", "Clients that have gone, by reason")
        for row in ControlCount
        if row.name.startswith("HUB_ENDS_")
    },
    **{
        row: ("config_reloads", "Reloads of the configuration by what became of them")
        for row in ControlCount
        if row.name.startswith("RELOADS_")
    },
}

_CONTROL_GAUGES = (
    ControlCount.SESSIONS_UP,
    ControlCount.HUB_CLIENTS,
    ControlCount.HUB_SUBSCRIPTIONS,
    ControlCount.HUB_LAG,
)


def _control_labels(row: ControlCount) -> tuple[tuple[str, str], ...]:
    """Of the rows that are several of one name."""
    result = row.name.rpartition("_")[2].lower()
    if row.name.startswith(("HUB_COMMANDS_", "RELOADS_")):
        return (("result", result),)
    if row.name.startswith("HUB_ENDS_"):
        return (("sink", "hub"), ("reason", result))
    return (("sink", "hub"),) if row == ControlCount.HUB_LAG else ()


def _block(row: Count, names: Sequence[str]) -> dict[int, str]:
    return {int(row) + i: name for i, name in enumerate(names)}


_LANES = [str(lane) for lane in range(LANES_MAX)]
_FAULTS = [fault.name.lower() for fault in SnapshotFault if fault != SnapshotFault.NONE]

_BY_REASON: tuple[tuple[str, str, dict[int, str]], ...] = (
    (
        "packets_rejected",
        "Packets not used, by reason",
        {
            Count.REJECTED_MALFORMED: "malformed",
            Count.REJECTED_SESSION: "session",
            Count.DUPLICATE_PACKETS: "duplicate",
        },
    ),
    ("messages_dropped", "Messages that did not reach the books", _DROPPED),
    (
        "snapshot_dropped",
        "Messages of snapshots that did not reach the books",
        _block(Count.SNAPSHOT_DROPPED, _FAULTS),
    ),
)

_BY_PART: tuple[tuple[str, str, str, dict[int, str]], ...] = (
    (
        "budget_overruns",
        "Ticks over the stage's budget",
        "stage",
        {
            Count.BOOK_OVERRUNS: "book",
            Count.BREAKER_OVERRUNS: "breakers",
            Count.PATTERN_OVERRUNS: "patterns",
        },
    ),
    (
        "stage_results_refused",
        "Results of breakers that are no level, of patterns that are no side",
        "stage",
        _block(Count.STAGE_RESULTS_REFUSED, ("breakers", "patterns")),
    ),
    (
        "lane_ticks",
        "Ticks worked on, by lane",
        "lane",
        _block(Count.LANE_TICKS, _LANES),
    ),
    (
        "lane_conflated",
        "Ticks of these that no pattern saw, as a newer quote of the instrument waited",
        "lane",
        _block(Count.LANE_CONFLATED, _LANES),
    ),
    (
        "lane_aged",
        "Ticks of these that were taken before more urgent ones, so that no lane starves",
        "lane",
        _block(Count.LANE_AGED, _LANES),
    ),
)


_BY_FUNCTION: tuple[tuple[Count, str, str, str, str], ...] = (
    (Count.BREAKER_TRIPS, "breaker", "breaker_trips", "Trips", "counter"),
    (Count.BREAKERS_TRIPPED, "breaker", "breaker_state", "Instruments tripped", "gauge"),
    (Count.PATTERN_SIGNALS, "pattern", "pattern_signals", "Signals", "counter"),
    (
        Count.PATTERN_REPEATS,
        "pattern",
        "pattern_repeats",
        "Signals held back by cool-down",
        "counter",
    ),
)

_BY_EITHER: tuple[tuple[Count, str, str, str], ...] = (
    (
        Count.FUNCTION_OVERRUNS,
        "function_overruns",
        "Timed calls of a function over its own budget",
        "counter",
    ),
    (
        Count.FUNCTION_OFF,
        "function_off",
        "0 while a function is called, 1 after a wrong index, 2 when too slow, 3 as it hung",
        "gauge",
    ),
)


def _padded(names: Sequence[str]) -> list[str]:
    """FUNCTIONS_MAX names; a number may be nobody's, its name is empty then."""
    given = [*names, *([""] * (FUNCTIONS_MAX - len(names)))]
    return [name or f"(unused {i})" for i, name in enumerate(given)]


def _is_spare(names: Sequence[str], number: int) -> bool:
    return number >= len(names) or not names[number]


def source_names(patterns: Sequence[str], breakers: Sequence[str]) -> list[str]:
    """Names by the number that a signal has for its source: FUNCTIONS_MAX of patterns, empty for a
    number that nobody has, then those of the breakers.
    """
    return [*patterns, *([""] * (FUNCTIONS_MAX - len(patterns))), *breakers]


def _either(
    start: int, breakers: Sequence[str], patterns: Sequence[str]
) -> Iterator[tuple[int, Labels, bool]]:
    """Row, labels, and whether it is spare, of each breaker, each response and each pattern."""
    responses = [RESPONSE_LABEL + name for name in RESPONSE_NAMES] if breakers else []
    called = [*breakers, *responses]
    for stage, names in (("breaker", called), ("pattern", patterns)):
        for i, name in enumerate(_padded(names)):
            yield start + i, (("stage", stage), ("function", name)), _is_spare(names, i)
        start += FUNCTIONS_MAX


def _of_functions(
    breakers: Sequence[str], patterns: Sequence[str]
) -> Iterator[tuple[int, str, str, str, Labels, bool]]:
    """Row, name, help, kind, labels, and whether it is spare, of all rows of functions."""
    for start, stage, name, help_text, kind in _BY_FUNCTION:
        names = breakers if stage == "breaker" else patterns
        for row, function in _block(start, _padded(names)).items():
            spare = _is_spare(names, row - start)
            yield row, name, help_text, kind, ((stage, function),), spare
    for start, name, help_text, kind in _BY_EITHER:
        for row, labels, spare in _either(start, breakers, patterns):
            yield row, name, help_text, kind, labels, spare


def counter_specs(
    channel: str, breakers: Sequence[str], patterns: Sequence[str], others: Sequence[str] = ()
) -> list[CounterSpec]:
    """Specification of every counter row: those of the first feed's engines, the control plane's,
    and those of the other feeds. Where there are `others`, each row of an engine has the name of
    its feed for a label.
    """
    specs = _specs_of_feed(channel, breakers, patterns)
    if not others:
        return specs
    first = [_of_channel(spec, channel) for spec in specs[:COUNT_ROWS]]
    for other in others:
        rows = _specs_of_feed(other, breakers, patterns)[:COUNT_ROWS]
        specs += [_of_channel(spec, other) for spec in rows]
    return first + specs[COUNT_ROWS:]


Spec = TypeVar("Spec", CounterSpec, HistogramSpec)


def _of_channel(spec: Spec, channel: str) -> Spec:
    """The same row with the feed's name among its labels."""
    if any(key == "channel" for key, _ in spec.labels):
        return spec
    return structs.replace(spec, labels=(*spec.labels, ("channel", channel)))


def feed_first_row(feed: int) -> int:
    """Where the counters of feed number `feed` begin."""
    return COUNT_ROWS + len(ControlCount) + (feed - 1) * COUNT_ROWS if feed else 0


def feed_tables(part: Part, feed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counters and histograms of one engine of feed number `feed` in a part of the file."""
    first, first_histogram = feed_first_row(feed), 0
    if feed > 0:
        first_histogram = HISTOGRAM_ROWS + len(ControlHistogram) + (feed - 1) * HISTOGRAM_ROWS
    return (
        part.values[first : first + COUNT_ROWS],
        part.histograms[first_histogram : first_histogram + HISTOGRAM_ROWS],
    )


def _specs_of_feed(
    channel: str, breakers: Sequence[str], patterns: Sequence[str]
) -> list[CounterSpec]:
    """Rows of one feed's engines, then those of the control plane."""
    at_channel = (("channel", channel),)
    specs: dict[int, CounterSpec] = {}

    def put(row: int, name: str, help_text: str, **rest: object) -> None:
        is_off = 0 <= row - Count.FUNCTION_OFF < 2 * FUNCTIONS_MAX
        across = "most" if is_off else _ACROSS.get(row, "sum")
        specs[row] = CounterSpec(
            name,
            str(rest.pop("unit", "")),
            help_text,
            across=across,  # type: ignore[arg-type]
            **rest,  # type: ignore[arg-type]
        )

    for start, name, help_text in (
        (Count.PACKETS, "packets_received", "Packets received"),
        (Count.WINS, "line_arbitration_wins", "Packets applied from this line"),
        (Count.LOST, "line_lost_messages", "Messages that this line did not bring in their turn"),
    ):
        for row, line in _block(start, LINE_NAMES).items():
            put(row, name, help_text, labels=(*at_channel, ("line", line)))
    for name, help_text, reasons in _BY_REASON:
        for row, reason in reasons.items():
            put(row, name, help_text, labels=(*at_channel, ("reason", reason)))
    for name, help_text, label, rows in _BY_PART:
        for row, part in rows.items():
            put(row, name, help_text, labels=((label, part),))
    for plain, (name, unit, help_text) in _PLAIN.items():
        put(plain, name, help_text, unit=unit, labels=at_channel)
    for gauge, (name, unit, help_text) in _GAUGES.items():
        put(gauge, name, help_text, unit=unit, kind="gauge", labels=at_channel)
    for bare, (name, unit, help_text, kind) in _BARE.items():
        put(bare, name, help_text, unit=unit, kind=kind)
    for row, agent in ((Count.RX_HEARTBEAT_NS, "receiver"), (Count.WORKER_HEARTBEAT_NS, "worker")):
        help_text = "When the agent last made a round, since the epoch"
        agent_labels = (("agent", agent),)
        put(row, "agent_heartbeat", help_text, unit="ns", kind="gauge", labels=agent_labels)
    for row, name, help_text, kind, labels, spare in _of_functions(breakers, patterns):
        put(row, name, help_text, kind=kind, labels=labels, spare=spare)
    for own, (name, help_text) in _CONTROL.items():
        kind = "gauge" if own in _CONTROL_GAUGES else "counter"
        put(CONTROL_FIRST + own, name, help_text, kind=kind, labels=_control_labels(own))
    return [specs[row] for row in range(COUNT_ROWS + len(ControlCount))]


def histogram_specs(
    channels: Sequence[str] = (), breakers: Sequence[str] = (), patterns: Sequence[str] = ()
) -> list[HistogramSpec]:
    """Specification of every histogram row; of several feeds, whose names are `channels`, as the
    counters.
    """
    specs = _histograms_of_feed(breakers, patterns)
    of_feed = specs[:HISTOGRAM_ROWS]
    for number, channel in enumerate(channels if len(channels) > 1 else ()):
        rows = [_of_channel(spec, channel) for spec in of_feed]
        specs = rows + specs[HISTOGRAM_ROWS:] if number == 0 else specs + rows
    return specs


def _histograms_of_feed(breakers: Sequence[str], patterns: Sequence[str]) -> list[HistogramSpec]:
    """Rows of one feed's engines, then those of the control plane."""
    stages = {
        Histogram.STAGE_RECEIVE: "receive",
        Histogram.STAGE_BOOK: "book",
        Histogram.STAGE_BREAKERS: "breakers",
        Histogram.STAGE_PATTERNS: "patterns",
    }
    specs = {
        int(Histogram.LATENCY): HistogramSpec(
            "latency", "ns", "Kernel receive stamp to the end of the last stage, every message"
        ),
        int(Histogram.SIGNAL_READY): HistogramSpec(
            "signal_ready", "ns", "Kernel receive stamp to the signal in its ring"
        ),
        HISTOGRAM_ROWS + ControlHistogram.WIRE_TO_SIGNAL: HistogramSpec(
            "wire_to_signal", "ns", "Kernel receive stamp to the send of the signal"
        ),
        HISTOGRAM_ROWS + ControlHistogram.HICCUP: HistogramSpec(
            "hiccup", "ns", "Oversleep of a 1 ms timer: the machine's own noise"
        ),
        HISTOGRAM_ROWS + ControlHistogram.GC_PAUSE: HistogramSpec(
            "gc_pause", "ns", "Garbage collections of the control plane"
        ),
    }
    for row, stage in stages.items():
        labels = (("stage", stage),)
        specs[int(row)] = HistogramSpec("stage_duration", "ns", "Time in a stage", labels)
    for lane in range(LANES_MAX):
        lane_row = int(Histogram.LANE_LATENCY) + lane
        specs[lane_row] = HistogramSpec(
            "lane_latency", "ns", "Kernel stamp to last stage, by lane", (("lane", str(lane)),)
        )
    for function_row, names, spare in _either(Histogram.FUNCTION, breakers, patterns):
        specs[function_row] = HistogramSpec(
            "function_duration", "ns", "Time of a call, of one tick in 64", names, spare
        )
    return [specs[row] for row in range(HISTOGRAM_ROWS + len(ControlHistogram))]
