"""What a replay found, and the object that `--json` prints of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from feedhandler.core.book.views import books_digest
from feedhandler.core.counts import Count
from feedhandler.core.engine import own_orders_nb
from feedhandler.core.shard import Shard
from protocols.binaryfile.reader import DataFileError
from tools.replay.fix import FixCounts

_NS_PER_S = 1_000_000_000
_NOT_UNDERSTOOD = (Count.UNKNOWN_TYPE, Count.BAD_LENGTH)
_MALFORMED = (
    *_NOT_UNDERSTOOD,
    Count.BAD_VALUE,
    Count.DUPLICATE_REFERENCE,
    Count.OVERFILL,
)
_PACKETS = {
    "line_a": Count.PACKETS,
    "line_b": Count.PACKETS + 1,
    "duplicate": Count.DUPLICATE_PACKETS,
    "early": Count.WINDOW_STORED,
    "heartbeats": Count.HEARTBEATS,
    "malformed": Count.REJECTED_MALFORMED,
    "other_session": Count.REJECTED_SESSION,
}


@dataclass(slots=True)
class Outcome:
    """Counts of one replay; `kernel_ns` is the time of the kernels alone.

    `missing_messages` are those that no line brought, in `gaps` stretches; a hole in a TCP stream
    counts as one, as nobody can say how many there were. `packets` (of a capture of datagrams),
    `streams` (of one of TCP), `fix` (of FIX market data) and `skipped_frames` (frames of neither)
    count by reason. `shard_messages` are the messages of each shard. `not_stored` orders did not
    fit the configured books, `signals_dropped` the ring. `fault` is what ended the file early.
    """

    messages: int
    types: dict[str, int]
    orders_live: int
    unknown_references: int
    malformed: int
    not_understood: int
    gaps: int
    missing_messages: int
    not_stored: int
    signals: int
    signals_dropped: int
    signals_digest: str
    kernel_ns: int
    books_digest: str
    packets: dict[str, int]
    shard_messages: list[int]
    skipped_frames: dict[str, int] = field(default_factory=dict)
    streams: dict[str, int] = field(default_factory=dict)
    fix: dict[str, Any] = field(default_factory=dict)
    fault: DataFileError | None = None

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        tenths = self.kernel_ns * 10 // max(self.messages, 1)
        result: dict[str, Any] = {
            "messages": self.messages,
            "types": self.types,
            "orders_live": self.orders_live,
            "unknown_references": self.unknown_references,
            "malformed": self.malformed,
            "not_stored": self.not_stored,
            "gaps": self.gaps,
            "missing_messages": self.missing_messages,
            "signals": self.signals,
            "signals_dropped": self.signals_dropped,
            "signals_digest": self.signals_digest,
            "messages_per_second": self.messages * _NS_PER_S // max(self.kernel_ns, 1),
            "ns_per_message": tenths / 10,
            "books_digest": self.books_digest,
        }
        if len(self.shard_messages) > 1:
            result["shard_messages"] = self.shard_messages
        if self.packets:
            result |= {"packets": self.packets, "skipped_frames": self.skipped_frames}
        if self.streams:
            result |= {"streams": self.streams, "skipped_frames": self.skipped_frames}
        if self.fix:
            result |= {"fix": self.fix, "skipped_frames": self.skipped_frames}
        return result

    def add_fix(self, types: dict[str, int], counts: FixCounts) -> None:
        """Of FIX the messages W and X count, not the entries that the engine saw."""
        self.messages, self.types = sum(types.values()), types
        self.gaps += counts.gaps
        self.missing_messages += counts.missing_messages
        self.malformed += counts.malformed
        self.fix = counts.as_json()


def read_outcome(shards: Sequence[Shard], *, is_capture: bool) -> dict[str, Any]:
    """The fields of an Outcome that the engines know, by name. Each shard counts the messages of
    its own instruments, and every packet and gap of the feed.
    """
    counts = np.sum([shard.counts[:, 0] for shard in shards], axis=0)
    of_feed = shards[0].counts[:, 0]
    types = np.sum([shard.types for shard in shards], axis=0)
    malformed = sum(int(counts[row]) for row in _MALFORMED)
    return {
        "messages": int(types.sum()),
        "types": {chr(code): int(types[code]) for code in types.nonzero()[0]},
        "orders_live": sum(int(own_orders_nb(shard)) for shard in shards),
        "unknown_references": int(counts[Count.UNKNOWN_REFERENCE]),
        "malformed": malformed + int(of_feed[Count.REJECTED_MALFORMED]),
        "not_understood": sum(int(counts[row]) for row in _NOT_UNDERSTOOD),
        # A hole that the other line fills a moment later is no gap of the recording.
        "gaps": int(of_feed[Count.GAPS_UNRECOVERED]),
        "missing_messages": int(of_feed[Count.UNRECOVERED]),
        "not_stored": int(counts[Count.CAPACITY]),
        "signals_dropped": int(counts[Count.SIGNALS_DROPPED]),
        "books_digest": books_digest(*(shard.book for shard in shards)),
        "packets": {name: int(of_feed[row]) for name, row in _PACKETS.items()}
        if is_capture
        else {},
        "shard_messages": [int(shard.types.sum()) for shard in shards],
    }
