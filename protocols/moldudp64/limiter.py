"""How many bytes a source of requests may be sent: token buckets in integers, a bounded table.

A bucket is one number, the time at which it will be full again. Taking n bytes moves that time by
n / rate; it may lie at most burst / rate ahead of now.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes a second and bytes at once, for each source and for all of them together; at most
    `sources_max` sources are remembered.
    """

    source_bytes_per_s: int = 1_000_000
    source_burst_bytes: int = 200_000
    total_bytes_per_s: int = 10_000_000
    total_burst_bytes: int = 1_000_000
    sources_max: int = 1_024


class SourceLimiter:
    """Decides for each answer. When the table is full, only a source whose bucket is full again
    makes room: forgetting it gives it nothing. So no source gains by hiding behind others, and what
    a flood from any number of sources gets is bounded by the total.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._full_at_ns: OrderedDict[Hashable, int] = OrderedDict()
        self._total_full_at_ns: int | None = None

    @property
    def source_count(self) -> int:
        """Sources that are remembered."""
        return len(self._full_at_ns)

    def allows(self, source: Hashable, size_bytes: int, now_ns: int) -> bool:
        """Whether `source` may be sent `size_bytes` now; they are taken from its bucket, and from
        the total, when it may.
        """
        limits = self.limits
        if source not in self._full_at_ns and not self._has_room(now_ns):
            return False
        full_ns = _take(
            self._full_at_ns.get(source, now_ns),
            size_bytes,
            (limits.source_bytes_per_s, limits.source_burst_bytes),
            now_ns,
        )
        total_ns = _take(
            now_ns if self._total_full_at_ns is None else self._total_full_at_ns,
            size_bytes,
            (limits.total_bytes_per_s, limits.total_burst_bytes),
            now_ns,
        )
        if full_ns is None or total_ns is None:
            return False
        self._full_at_ns[source] = full_ns
        self._full_at_ns.move_to_end(source)
        self._total_full_at_ns = total_ns
        return True

    def _has_room(self, now_ns: int) -> bool:
        """Make room for one more source, by the one that was answered the longest ago."""
        if len(self._full_at_ns) < self.limits.sources_max:
            return True
        source, full_ns = next(iter(self._full_at_ns.items()))
        if full_ns > now_ns:
            return False
        del self._full_at_ns[source]
        return True


def _take(
    full_at_ns: int, size_bytes: int, rate_and_burst: tuple[int, int], now_ns: int
) -> int | None:
    """When the bucket is full again after `size_bytes` were taken, None when it does not hold
    them.
    """
    bytes_per_s, burst_bytes = rate_and_burst
    full_ns = max(full_at_ns, now_ns) + -(-size_bytes * _NS_PER_S // bytes_per_s)
    return full_ns if full_ns - now_ns <= burst_bytes * _NS_PER_S // bytes_per_s else None
