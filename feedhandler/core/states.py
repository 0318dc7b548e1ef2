"""States of a channel, as exported; readers of counters need no more than this."""

from enum import IntEnum


class State(IntEnum):
    """State of a channel, as exported."""

    DOWN = 0
    SYNCING = 1
    LIVE = 2
    GAP = 3
    RECOVERING = 4
    STALE = 5
    ENDED = 6
