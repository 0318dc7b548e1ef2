"""Rows of a shard's counter table. Names, units and help of each are in
`feedhandler.server.tables`, in the same order.

Every row has one writer: those of the worker are WORKER_HEARTBEAT_NS to STAGE_RESULTS_REFUSED + 1
and LANE_CONFLATED to AWAY_QUOTES, the rest belong to the thread that receives.
"""

from enum import IntEnum

LANES_MAX = 16
FUNCTIONS_MAX = 64
"""Breakers, and as many patterns."""


class Count(IntEnum):
    """Row numbers; blocks of rows (per line, lane, function) start at the named one."""

    PACKETS = 0  # lines A, B, recovery
    WINS = 3
    LOST = 6
    HEARTBEATS = 9
    REJECTED_MALFORMED = 10
    REJECTED_SESSION = 11
    DUPLICATE_PACKETS = 12
    WINDOW_STORED = 13
    WINDOW_FULL = 14
    APPLIED = 15
    RECOVERED = 16
    COVERED_BY_SNAPSHOT = 17
    UNRECOVERED = 18
    UNKNOWN_TYPE = 19
    BAD_LENGTH = 20
    UNKNOWN_REFERENCE = 21
    DUPLICATE_REFERENCE = 22
    BAD_VALUE = 23
    CAPACITY = 24
    OVERFILL = 25
    GAPS = 26
    GAPS_UNRECOVERED = 27
    GAP_OPEN = 28
    REQUESTS = 29
    SNAPSHOTS = 30
    STATE = 31
    NEXT_SEQ = 32
    END_SEQ = 33
    LAST_PACKET_NS = 34
    ORDERS_LIVE = 35
    BOOKS_SUSPECT = 36
    POOL_WAITS = 37
    BOOK_OVERRUNS = 38
    RX_HEARTBEAT_NS = 39
    WORKER_HEARTBEAT_NS = 40
    TICKS = 41
    SIGNALS = 42
    SIGNALS_SUPPRESSED = 43
    SIGNALS_DROPPED = 44
    BREAKER_OVERRUNS = 45
    PATTERN_OVERRUNS = 46
    LANE_TICKS = 47
    BREAKER_TRIPS = 63
    BREAKERS_TRIPPED = 127
    PATTERN_SIGNALS = 191
    PATTERN_REPEATS = 255
    FUNCTION_OVERRUNS = 319  # breakers, patterns
    FUNCTION_OFF = 447  # breakers, patterns
    STAGE_RESULTS_REFUSED = 575  # breakers, patterns
    SNAPSHOT_DROPPED = 577  # as SnapshotFault, from UNKNOWN_TYPE on
    SHARD_WAITS = 583
    STREAM_BYTES = 584
    STREAM_MESSAGES = 585
    SESSION_CHANGES = 586
    LANE_CONFLATED = 587
    LANE_AGED = 603
    AWAY_QUOTES = 619


class SnapshotFault(IntEnum):
    """Why a message of a snapshot did not reach the books."""

    NONE = 0
    UNKNOWN_TYPE = 1
    BAD_LENGTH = 2
    UNKNOWN_REFERENCE = 3
    DUPLICATE_REFERENCE = 4
    BAD_VALUE = 5
    CAPACITY = 6


COUNT_ROWS = Count.AWAY_QUOTES + 1


class Histogram(IntEnum):
    """Rows of a shard's histogram table."""

    LATENCY = 0
    SIGNAL_READY = 1
    STAGE_RECEIVE = 2
    STAGE_BOOK = 3
    STAGE_BREAKERS = 4
    STAGE_PATTERNS = 5
    LANE_LATENCY = 6
    FUNCTION = 22  # breakers, patterns


HISTOGRAM_ROWS = Histogram.FUNCTION + 2 * FUNCTIONS_MAX
