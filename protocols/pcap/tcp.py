"""TCP streams put together from captured segments, within fixed limits: every byte once and in its
place, or a hole that says how many are missing.

    segment ──► connection (ports; a SYN with another number begins a new one)
                 └─ half, one a direction:   ... delivered ...│next│ hole │ kept │ hole │ kept │

What comes in its turn goes out at once. What comes early is kept until the hole before it is
filled; the hole is given up when more is kept than the limits allow, or the connection or the
capture ends. Of bytes that come twice the first copy counts. A half whose SYN was not captured
starts at the lowest of its first segments, behind a hole of unknown size.
Source: RFC 9293; sequence numbers are compared modulo 2**32 (3.4). Checksums are not verified.
"""

from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

from protocols.pcap import spec
from protocols.pcap.flow import Chunk, FlowKey, Hole, Stream, flow_of_key, reverse_key

_SEQUENCE_SPACE = 1 << 32
_SEQUENCE_MASK = _SEQUENCE_SPACE - 1
_WINDOW_BYTES = 1 << 30
"""The largest window that TCP can offer (RFC 7323): further away is no part of the connection."""
_STRAYS_MAX = 4
"""After so many segments in a row from elsewhere, a SYN was missed: they are a new connection."""
_PIECE_BYTES = 128
"""What a kept piece costs besides its bytes."""
_CONTROL = spec.TCP_SYN | spec.TCP_FIN | spec.TCP_RST


@dataclass(frozen=True, slots=True)
class TcpLimits:
    """Bytes kept behind a hole of one half and of all, connections remembered (the one that was
    silent longest is forgotten first), and segments awaited before a half without SYN starts.
    """

    half_bytes: int = 16 << 20
    total_bytes: int = 256 << 20
    connections: int = 32_768
    start_segments: int = 8


@dataclass(slots=True)
class TcpCounts:
    """What was seen. `contradictions` are segments that repeat kept bytes with others in their
    place, `strays` segments too far from their stream; neither went into it.
    """

    segments: int = 0
    connections: int = 0
    forgotten_connections: int = 0
    repeated_bytes: int = 0
    contradictions: int = 0
    strays: int = 0
    holes: int = 0
    missing_bytes: int = 0


class Segment(NamedTuple):
    """A segment as captured: `cut_bytes` at the end of its payload were not kept by the capture."""

    ts_ns: int
    sequence: int
    flags: int
    data: bytes
    cut_bytes: int = 0


class _Piece(NamedTuple):
    """Bytes start .. stop - 1 of a half; `data` None where the capture cut them off."""

    start: int
    stop: int
    data: bytes | None
    ts_ns: int


class _Half:
    """One direction. Positions count bytes and do not wrap; the lower 32 bits are the sequence
    number. `first` is None until the half has started; `waiting` is what came until then. `seen` is
    the highest position that any segment told of, `end` that of a FIN or RST.
    """

    __slots__ = (
        "end",
        "first",
        "held_bytes",
        "isn",
        "next",
        "pieces",
        "seen",
        "starts",
        "stray",
        "strays",
        "stream",
        "ts_ns",
        "waiting",
    )

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.isn: int | None = None
        self.first: int | None = None
        self.next = 0
        self.end: int | None = None
        self.seen = 0
        self.ts_ns = 0
        self.waiting: list[Segment] = []
        self.pieces: list[_Piece] = []
        self.starts: list[int] = []
        self.held_bytes = 0
        self.stray = 0
        self.strays = 0

    def begin(self, position: int) -> None:
        """The first byte is the one at `position`."""
        self.first = self.next = self.seen = position


class _Connection:
    __slots__ = ("halves", "key")

    def __init__(self, key: FlowKey, number: int) -> None:
        self.key = key
        other = reverse_key(key)
        source, destination = flow_of_key(key)
        self.halves = {key: _Half(Stream(source, destination, number))}
        self.halves[other] = _Half(Stream(destination, source, number))


def _distance(sequence: int, position: int) -> int:
    """How far `sequence` is from `position`, the shorter way round."""
    return ((sequence - position + (1 << 31)) & _SEQUENCE_MASK) - (1 << 31)


class TcpAssembler:
    """All connections of a capture. Each call gives what can be read in order because of it."""

    def __init__(self, limits: TcpLimits | None = None) -> None:
        """No connection is known yet."""
        self._limits = limits or TcpLimits()
        self._connections: OrderedDict[FlowKey, _Connection] = OrderedDict()
        self._by_key: dict[FlowKey, _Connection] = {}
        self._holders: OrderedDict[_Half, None] = OrderedDict()
        self._held_bytes = 0
        self._out: list[Chunk] = []
        self.counts = TcpCounts()

    def add(self, key: FlowKey, segment: Segment) -> list[Chunk]:
        """Take the next segment of the capture."""
        self.counts.segments += 1
        connection = self._by_key.get(key)
        if connection is None:
            connection = self._open(key)
        else:
            self._connections.move_to_end(connection.key)
        half = connection.halves[key]
        if (
            half.first is not None
            and not half.pieces
            and segment.sequence == half.next & _SEQUENCE_MASK
            and not segment.flags & _CONTROL
            and not segment.cut_bytes
            and half.end is None
        ):
            # The plain case: the next bytes, and nothing waits behind them.
            half.strays = 0
            size = len(segment.data)
            half.next += size
            return [Chunk(segment.ts_ns, half.stream, segment.data)] if size else []
        self._take(connection, key, segment)
        self._shrink()
        return self._emitted()

    def finish(self) -> list[Chunk]:
        """The capture ends: all that is kept, with the holes in it."""
        for connection in list(self._connections.values()):
            self._close(connection)
        return self._emitted()

    def _emitted(self) -> list[Chunk]:
        out, self._out = self._out, []
        return out

    def _open(self, key: FlowKey) -> _Connection:
        if len(self._connections) >= self._limits.connections:
            self._close(next(iter(self._connections.values())))
            self.counts.forgotten_connections += 1
        connection = _Connection(key, self.counts.connections)
        self.counts.connections += 1
        self._connections[key] = connection
        for half_key in connection.halves:
            self._by_key[half_key] = connection
        return connection

    def _close(self, connection: _Connection) -> None:
        for half_key, half in connection.halves.items():
            self._flush(half)
            self._by_key.pop(half_key, None)
        del self._connections[connection.key]

    def _take(self, connection: _Connection, key: FlowKey, segment: Segment) -> None:
        half = connection.halves[key]
        if segment.flags & spec.TCP_SYN:
            if self._is_another_connection(half, segment.sequence):
                self._close(connection)
                half = self._open(key).halves[key]
            self._take_syn(half, segment)
            segment = segment._replace(sequence=segment.sequence + 1 & _SEQUENCE_MASK)
        if half.first is None:
            self._wait(half, segment)
            return
        distance = _distance(segment.sequence, half.next)
        if self._is_of_another_time(half, segment, distance):
            self.counts.strays += 1
            is_near = abs(_distance(segment.sequence, half.stray)) < _WINDOW_BYTES
            half.strays = half.strays + 1 if is_near and half.strays else 1
            half.stray = segment.sequence
            if half.strays < _STRAYS_MAX:
                return
            self.counts.strays -= 1
            self._close(connection)
            self._wait(self._open(key).halves[key], segment)
            return
        half.strays = 0
        self._take_near(half, segment, half.next + distance)

    def _is_another_connection(self, half: _Half, isn: int) -> bool:
        """Whether a SYN with the number `isn` is not the one of the connection that is known."""
        if half.isn is not None:
            return half.isn != isn
        first = isn + 1 & _SEQUENCE_MASK
        if half.first is not None:
            return half.first & _SEQUENCE_MASK != first
        return any(
            not 0 <= _distance(early.sequence, first) < _WINDOW_BYTES for early in half.waiting
        )

    def _take_syn(self, half: _Half, segment: Segment) -> None:
        half.isn = segment.sequence
        if half.first is None:
            # One lap up, so that positions before it are no negative numbers.
            half.begin(segment.sequence + 1 + _SEQUENCE_SPACE)
            self._take_waiting(half)

    def _is_of_another_time(self, half: _Half, segment: Segment, distance: int) -> bool:
        """Whether a segment is too far away, or holds data behind the end."""
        size = len(segment.data) + segment.cut_bytes
        if abs(distance) >= _WINDOW_BYTES:
            return True
        return half.end is not None and size > 0 and half.next + distance + size > half.end

    def _wait(self, half: _Half, segment: Segment) -> None:
        """Keep a segment of a half that has not started, and start it when there are enough."""
        ends = segment.flags & (spec.TCP_FIN | spec.TCP_RST)
        if segment.data or segment.cut_bytes or (ends and half.waiting):
            half.waiting.append(segment)
            self._hold(half, len(segment.data) + _PIECE_BYTES)
            if ends or len(half.waiting) >= self._limits.start_segments:
                self._start(half)

    def _start(self, half: _Half) -> None:
        """Start at the lowest of the segments that are waiting."""
        reference = half.waiting[0].sequence + _SEQUENCE_SPACE
        lowest = min(_distance(segment.sequence, reference) for segment in half.waiting)
        half.begin(reference + max(lowest, -_WINDOW_BYTES))
        self._out.append(Chunk(half.waiting[0].ts_ns, half.stream, Hole(None)))
        self.counts.holes += 1
        self._take_waiting(half)

    def _take_waiting(self, half: _Half) -> None:
        waiting, half.waiting = half.waiting, []
        self._hold(half, -sum(len(segment.data) + _PIECE_BYTES for segment in waiting))
        for segment in waiting:
            distance = _distance(segment.sequence, half.next)
            if self._is_of_another_time(half, segment, distance):
                self.counts.strays += 1
            else:
                self._take_near(half, segment, half.next + distance)

    def _take_near(self, half: _Half, segment: Segment, start: int) -> None:
        """Enter a segment that begins at the position `start` of its half."""
        captured = start + len(segment.data)
        stop = captured + segment.cut_bytes
        half.ts_ns = segment.ts_ns
        if segment.data:
            self._insert(half, _Piece(start, captured, segment.data, segment.ts_ns))
        if segment.cut_bytes:
            self._insert(half, _Piece(captured, stop, None, segment.ts_ns))
        if segment.flags & (spec.TCP_FIN | spec.TCP_RST) and half.end is None and stop >= half.next:
            half.end = stop
        # A FIN takes a number of its own, so what is sent after it is one ahead.
        half.seen = max(half.seen, stop if half.end is None else min(stop, half.end))
        self._drain(half, segment.ts_ns)
        while half.held_bytes > self._limits.half_bytes:
            self._give_up_hole(half)

    def _insert(self, half: _Half, piece: _Piece) -> None:
        """Keep what is new of a piece, in its place."""
        at = max(piece.start, half.next)
        self.counts.repeated_bytes += min(at, piece.stop) - piece.start
        index = bisect_right(half.starts, at) - 1
        if index >= 0 and half.pieces[index].stop > at:
            at = self._compare(half.pieces[index], piece, at)
        while at < piece.stop:
            index += 1
            known = half.pieces[index] if index < len(half.pieces) else None
            if known is None or at < known.start:
                free = min(piece.stop, known.start) if known else piece.stop
                data = piece.data and piece.data[at - piece.start : free - piece.start]
                half.pieces.insert(index, _Piece(at, free, data, piece.ts_ns))
                half.starts.insert(index, at)
                self._hold(half, len(data or b"") + _PIECE_BYTES)
                at = free
            else:
                at = self._compare(known, piece, at)

    def _compare(self, known: _Piece, piece: _Piece, at: int) -> int:
        """Count what `piece` repeats of `known` from `at` on; where that ends."""
        stop = min(known.stop, piece.stop)
        self.counts.repeated_bytes += stop - at
        if known.data and piece.data:
            before = known.data[at - known.start : stop - known.start]
            if before != piece.data[at - piece.start : stop - piece.start]:
                self.counts.contradictions += 1
        return stop

    def _hold(self, half: _Half, size_bytes: int) -> None:
        """Account for memory, of the half and of all."""
        half.held_bytes += size_bytes
        self._held_bytes += size_bytes
        if half.held_bytes:
            self._holders.setdefault(half)
        else:
            self._holders.pop(half, None)

    def _drain(self, half: _Half, ts_ns: int | None) -> None:
        """Give out what follows without a hole, at `ts_ns`, or each piece at its own time."""
        done = released = 0
        for piece in half.pieces:
            if piece.start != half.next:
                break
            half.next = piece.stop
            done += 1
            released += len(piece.data or b"") + _PIECE_BYTES
            data = piece.data or self._hole(piece.stop - piece.start)
            self._out.append(Chunk(piece.ts_ns if ts_ns is None else ts_ns, half.stream, data))
        if done:
            del half.pieces[:done]
            del half.starts[:done]
            self._hold(half, -released)

    def _hole(self, size_bytes: int) -> Hole:
        self.counts.holes += 1
        self.counts.missing_bytes += size_bytes
        return Hole(size_bytes)

    def _give_up_hole(self, half: _Half) -> None:
        """Nothing fills the first hole any more: say so, and go on behind it."""
        first = half.pieces[0]
        self._out.append(Chunk(first.ts_ns, half.stream, self._hole(first.start - half.next)))
        half.next = first.start
        self._drain(half, None)

    def _release(self, half: _Half) -> None:
        """Give out all that a half holds."""
        if half.waiting:
            self._start(half)
        while half.pieces:
            self._give_up_hole(half)

    def _flush(self, half: _Half) -> None:
        """Give out all that a half holds, and the hole at its end if there is one."""
        self._release(half)
        missing = half.seen - half.next
        # One byte that only an acknowledgement tells of is a FIN that was not captured.
        if missing > (half.end is None):
            self._out.append(Chunk(half.ts_ns, half.stream, self._hole(missing)))
            half.next = half.seen

    def _shrink(self) -> None:
        while self._held_bytes > self._limits.total_bytes:
            self._release(next(iter(self._holders)))
