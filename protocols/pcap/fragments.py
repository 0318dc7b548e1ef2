"""IP datagrams put together from their fragments, within fixed limits.

A datagram is whole when its last fragment and every 8 bytes before it came, in any order. Parts
that came twice are ignored while they say the same; where they contradict each other, the datagram
is dropped whole (RFC 5722 asks for no less), because nobody can say which part is true. Fragments
that lead to nothing are counted in `dropped`.
Sources: RFC 791, 3.2; RFC 815; RFC 8200, 4.5; RFC 5722.
"""

from collections import OrderedDict
from dataclasses import dataclass

from protocols.pcap.layout import FRAGMENT_MORE_SHIFT, FRAGMENT_PROTOCOL_SHIFT, Column
from protocols.pcap.spec import DATAGRAM_BYTES_MAX, FRAGMENT_UNIT_BYTES, IPV4_MAPPED

_UNIT = FRAGMENT_UNIT_BYTES
_OFFSET_MASK = (1 << FRAGMENT_MORE_SHIFT) - 1
_IPV4_MASK = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class FragmentLimits:
    """Datagrams in progress, the bytes kept for them, and how long one may take, by capture time.

    30 s is what Linux waits; RFC 791 suggests 15, RFC 8200 asks for 60.
    """

    datagrams: int = 4_096
    size_bytes: int = 64 << 20
    timeout_ns: int = 30_000_000_000


class _Partial:
    """One datagram in progress: `units` has a bit for each 8 bytes that are there.

    When it is whole it is kept until its time is over, so that late copies of its fragments are
    known for what they are; when fragments contradicted each other too (`data` is then empty).
    """

    __slots__ = (
        "data",
        "first_ns",
        "fragments",
        "is_bad",
        "is_whole",
        "protocol",
        "total",
        "units",
    )

    def __init__(self, first_ns: int) -> None:
        self.first_ns = first_ns
        self.data = bytearray()
        self.units = 0
        self.total: int | None = None
        self.protocol = 0
        self.fragments = 0
        self.is_whole = False
        self.is_bad = False

    def agrees(self, start: int, part: bytes, more: int) -> bool:
        """Whether the fragment contradicts neither the length nor the bytes that are known."""
        stop = start + len(part)
        if stop > DATAGRAM_BYTES_MAX:
            return False
        if not more and (stop < len(self.data) or self.total not in (None, stop)):
            return False
        if self.total is not None and stop > self.total:
            return False
        known = self.units & _unit_bits(start, stop)
        first = start // _UNIT
        while known:
            unit = (known & -known).bit_length() - 1
            known &= known - 1
            at = (unit - first) * _UNIT
            if self.data[unit * _UNIT : (unit + 1) * _UNIT] != part[at : at + _UNIT]:
                return False
        return True

    def fill(self, start: int, part: bytes, more: int) -> None:
        """Enter a fragment that agrees."""
        stop = start + len(part)
        if stop > len(self.data):
            self.data += bytes(stop - len(self.data))
        self.data[start:stop] = part
        self.units |= _unit_bits(start, stop)
        if not more:
            self.total = stop
        if self.total is not None:
            self.is_whole = self.units == _unit_bits(0, self.total)


def _unit_bits(start: int, stop: int) -> int:
    units = -(-stop // _UNIT) - start // _UNIT
    return ((1 << units) - 1) << (start // _UNIT)


class FragmentAssembler:
    """Datagrams of a whole capture in progress. `dropped` counts fragments without a datagram."""

    def __init__(self, limits: FragmentLimits | None = None) -> None:
        """Nothing is in progress yet."""
        self._limits = limits or FragmentLimits()
        self._partials: OrderedDict[tuple[int, ...], _Partial] = OrderedDict()
        self._size_bytes = 0
        self.dropped = 0

    def add(self, row: list[int], part: bytes) -> tuple[int, bytes] | None:
        """Take the fragment of a FrameTable's row; (protocol, IP payload) when it completes one."""
        self._expire(row[Column.TS_NS])
        flags = row[Column.FLAGS]
        start = flags & _OFFSET_MASK
        more = flags >> FRAGMENT_MORE_SHIFT & 1
        key = _key(row)
        partial = self._partials.get(key)
        if partial is not None and partial.is_whole:
            if partial.agrees(start, part, more):
                self.dropped += 1
                return None
            # The number is used again, for another datagram.
            self._forget(key)
            partial = None
        if partial is None:
            partial = self._partials[key] = _Partial(row[Column.TS_NS])
        partial.fragments += 1
        if partial.is_bad:
            return None
        self._size_bytes -= len(partial.data)
        if not partial.agrees(start, part, more):
            partial.is_bad = True
            partial.data = bytearray()
            return None
        partial.fill(start, part, more)
        self._size_bytes += len(partial.data)
        if start == 0:
            partial.protocol = flags >> FRAGMENT_PROTOCOL_SHIFT
        result = (partial.protocol, bytes(partial.data)) if partial.is_whole else None
        self._shrink()
        return result

    def finish(self) -> None:
        """The capture ends: what is not whole never will be."""
        while self._partials:
            self._forget(next(iter(self._partials)))

    def _expire(self, now_ns: int) -> None:
        while self._partials:
            key, oldest = next(iter(self._partials.items()))
            # Times of a capture may go back; one that is far off in either direction is over.
            if abs(now_ns - oldest.first_ns) <= self._limits.timeout_ns:
                return
            self._forget(key)

    def _shrink(self) -> None:
        limits = self._limits
        while len(self._partials) > limits.datagrams or self._size_bytes > limits.size_bytes:
            self._forget(next(iter(self._partials)))

    def _forget(self, key: tuple[int, ...]) -> None:
        partial = self._partials.pop(key)
        self._size_bytes -= len(partial.data)
        if not partial.is_whole:
            self.dropped += partial.fragments


def _key(row: list[int]) -> tuple[int, ...]:
    """RFC 791: addresses, protocol, identification; RFC 8200 leaves the protocol out."""
    is_ipv4 = row[Column.SOURCE_HIGH] == 0 and row[Column.SOURCE_LOW] & ~_IPV4_MASK == IPV4_MAPPED
    return (
        row[Column.SOURCE_HIGH],
        row[Column.SOURCE_LOW],
        row[Column.TARGET_HIGH],
        row[Column.TARGET_LOW],
        row[Column.NUMBER],
        row[Column.FLAGS] >> FRAGMENT_PROTOCOL_SHIFT if is_ipv4 else -1,
    )
