"""Where a packet begins in a SoupBinTCP connection that was captured from its middle, or of which
the capture lost a piece.

Nothing in the stream marks the start of a packet, so the place is the first byte from which several
packets follow one another, each with a known type and the length that belongs to it; a byte chosen
at random passes one such test about once in 10,000 times, and four of them never.
"""

from collections.abc import Iterable

from protocols.framing import LENGTH_BYTES
from protocols.glimpse.spec import END_OF_SNAPSHOT
from protocols.itch50.spec import MESSAGES as ITCH50
from protocols.message import Message
from protocols.ouch42.spec import INBOUND, OUTBOUND
from protocols.soupbintcp import spec as soup

_CHAIN_PACKETS = 4
_DEBUG_BYTES_MAX = 256
_FIXED_LENGTHS = soup.CLIENT_LENGTHS | soup.SERVER_LENGTHS


def _lengths(*tables: Iterable[Message]) -> frozenset[tuple[int, int]]:
    """(type byte, length) of every message."""
    return frozenset((ord(item.type), item.length) for table in tables for item in table)


_PAYLOADS = {
    soup.SEQUENCED_DATA: _lengths(ITCH50, (END_OF_SNAPSHOT,), OUTBOUND),
    soup.UNSEQUENCED_DATA: _lengths(ITCH50, INBOUND, OUTBOUND),
}


class PacketFinder:
    """Feed bytes until `find` gives the first packet's place."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._skipped = 0

    def find(self, data: bytes, *, is_end: bool = False) -> tuple[int, bytes] | None:
        """How many bytes lie before the first packet, and what begins with it; None while more
        bytes are needed. At the end, what can't be told is taken for a packet.
        """
        self._data += data
        at = 0
        while at < len(self._data):
            is_start = self._begins_chain(at)
            if is_start or (is_start is None and is_end):
                return self._skipped + at, bytes(self._data[at:])
            if is_start is None:
                break
            at += 1
        del self._data[:at]
        self._skipped += at
        return (self._skipped, b"") if is_end else None

    def _begins_chain(self, at: int) -> bool | None:
        """Whether packets follow one another from `at` on; None while that cannot be told."""
        for _ in range(_CHAIN_PACKETS):
            length = self._packet_length(at)
            if not length:
                return None if length is None else False
            at += LENGTH_BYTES + length
        return True

    def _packet_length(self, at: int) -> int | None:
        """Length of the packet that may begin at `at`; 0 when none does, None when its first four
        bytes have not come.
        """
        head = self._data[at : at + soup.FRAME_BYTES + 1]
        if len(head) < soup.FRAME_BYTES:
            return None
        length, kind = int.from_bytes(head[:LENGTH_BYTES], "big"), head[LENGTH_BYTES]
        if kind in _PAYLOADS:
            if len(head) == soup.FRAME_BYTES:
                return None
            known = (head[soup.FRAME_BYTES], length - soup.TYPE_BYTES) in _PAYLOADS[kind]
            return length if known else 0
        stated = _FIXED_LENGTHS.get(kind)
        if stated == 0:
            return length if length <= _DEBUG_BYTES_MAX else 0
        return length if stated == length else 0
