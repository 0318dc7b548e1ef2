"""One IP datagram put together the slow and obvious way: a dictionary of bytes."""

from collections.abc import Sequence


def slow_datagram(fragments: Sequence[tuple[int, bytes, bool]]) -> bytes | None:
    """The datagram after the fragments (first byte, bytes, whether more follow) in their order, up
    to the one that completes it; None when they do not, or contradict each other before.
    """
    known: dict[int, int] = {}
    total: int | None = None
    for start, part, more in fragments:
        stop = start + len(part)
        if stop > 65_535:
            return None
        if not more:
            if total not in (None, stop):
                return None
            total = stop
        for offset, byte in enumerate(part):
            if known.setdefault(start + offset, byte) != byte:
                return None
        if total is not None:
            if any(position >= total for position in known):
                return None
            if len(known) == total:
                return bytes(known[position] for position in range(total))
    return None
