"""One direction of a TCP connection put together the slow and obvious way: a dictionary of bytes.

Whole connection at once and without limits, by the rules that `protocols.pcap.tcp` states.
"""

from collections.abc import Sequence

from protocols.pcap import spec
from protocols.pcap.flow import Hole
from protocols.pcap.tcp import Segment

_SPACE = 2**32


def merge(pieces: Sequence[bytes | Hole]) -> list[bytes | Hole]:
    """The same stretches with neighbours of one kind joined."""
    result: list[bytes | Hole] = []
    for piece in pieces:
        last = result[-1] if result else None
        if isinstance(piece, bytes) and isinstance(last, bytes):
            result[-1] = last + piece
        elif (
            isinstance(piece, Hole)
            and isinstance(last, Hole)
            and None
            not in (
                last.size_bytes,
                piece.size_bytes,
            )
        ):
            result[-1] = Hole(last.size_bytes + piece.size_bytes)
        else:
            result.append(piece)
    return result


def slow_stream(segments: Sequence[Segment], start_segments: int) -> list[bytes | Hole]:
    """What the segments of one direction hold, in order, with the holes."""
    syn = next((item for item in segments if item.flags & spec.TCP_SYN), None)
    if syn is not None:
        base = syn.sequence + 1
    else:
        first = _first_segments(segments, start_segments)
        if not first:
            return []
        reference = first[0].sequence
        base = reference + min(_signed(item.sequence - reference) for item in first)
    known: dict[int, int | None] = {}
    end, seen = None, 0
    for item in segments:
        sequence = item.sequence + 1 if item.flags & spec.TCP_SYN else item.sequence
        at = _signed(sequence - base)
        for offset, byte in enumerate((*item.data, *([None] * item.cut_bytes))):
            if at + offset >= 0:
                known.setdefault(at + offset, byte)
        stop = at + len(item.data) + item.cut_bytes
        if item.flags & (spec.TCP_FIN | spec.TCP_RST):
            end = stop
        seen = max(seen, stop if end is None else min(stop, end))
    top = max(known, default=-1) + 1
    if seen - top == 1 and end is None:
        seen = top
    pieces: list[bytes | Hole] = [] if syn else [Hole(None)]
    for position in range(max(top, seen)):
        byte = known.get(position)
        pieces.append(Hole(1) if byte is None else bytes((byte,)))
    return merge(pieces)


def _first_segments(segments: Sequence[Segment], count: int) -> list[Segment]:
    """The segments that a half without SYN waits for."""
    result = []
    for item in segments:
        ends = item.flags & (spec.TCP_FIN | spec.TCP_RST)
        if item.data or item.cut_bytes or (ends and result):
            result.append(item)
        if len(result) == count or (ends and result):
            break
    return result


def _signed(difference: int) -> int:
    return (difference + 2**31) % _SPACE - 2**31
