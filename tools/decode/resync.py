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

PACKET_LENGTHS = soup.lengths_from(soup.Sender.EITHER, max(soup.Version))
"""What the length field of a packet may say by its type byte, whoever sends it; () anything."""
SEARCHED_BYTES_MAX = 1 << 18
"""What shows no packet in so many bytes is something else, and is not searched to its end."""
_CHAIN_PACKETS = 4
_NO_PACKET = -1
_DEBUG_BYTES_MAX = 256


def _lengths(*tables: Iterable[Message]) -> frozenset[tuple[int, int]]:
    """(type byte, length) of every message."""
    return frozenset((ord(item.type), item.length) for table in tables for item in table)


_PAYLOADS = {
    soup.SEQUENCED_DATA: _lengths(ITCH50, (END_OF_SNAPSHOT,), OUTBOUND),
    soup.UNSEQUENCED_DATA: _lengths(ITCH50, INBOUND, OUTBOUND),
}


HEAD_BYTES = soup.FRAME_BYTES + 1
"""A packet's length, its type, and the type of the message in it."""


def packet_length(head: bytes | bytearray) -> int | None:
    """What the length field of a packet that begins with these HEAD_BYTES or fewer says; 0 when no
    packet does, None when that cannot be told yet.
    """
    if len(head) < soup.FRAME_BYTES:
        return None
    length, kind = int.from_bytes(head[:LENGTH_BYTES], "big"), head[LENGTH_BYTES]
    if kind in _PAYLOADS:
        if len(head) < HEAD_BYTES:
            return None
        known = (head[soup.FRAME_BYTES], length - soup.TYPE_BYTES) in _PAYLOADS[kind]
        return length if known else 0
    stated = PACKET_LENGTHS.get(kind)
    if stated == ():
        return length if length <= _DEBUG_BYTES_MAX else 0
    return length if stated and length in stated else 0


class PacketFinder:
    """Feed bytes until `find` gives what begins with the first packet; `skipped_bytes` lie before
    it, or have shown none so far.
    """

    def __init__(self) -> None:
        self.skipped_bytes = 0
        self._data = bytearray()

    def find(self, data: bytes, *, is_end: bool = False) -> bytes | None:
        """All from the first packet on; None while more bytes are needed, or there is none. At the
        end one whole packet is enough.
        """
        self._data += data
        at, enough = 0, 1 if is_end else _CHAIN_PACKETS
        while at < len(self._data) and self.skipped_bytes + at < SEARCHED_BYTES_MAX:
            packets = self._count_packets(at)
            if packets >= enough:
                self.skipped_bytes += at
                return bytes(self._data[at:])
            if packets != _NO_PACKET and not is_end:
                break
            at += 1
        else:
            at = len(self._data)
        del self._data[:at]
        self.skipped_bytes += at
        return None

    def _count_packets(self, at: int) -> int:
        """How many whole packets follow one another from `at` on, up to a chain of them; _NO_PACKET
        when something else does.
        """
        for count in range(_CHAIN_PACKETS):
            length = self._packet_length(at)
            if length == 0:
                return _NO_PACKET
            at += LENGTH_BYTES + (length or 0)
            if length is None or at > len(self._data):
                return count
        return _CHAIN_PACKETS

    def _packet_length(self, at: int) -> int | None:
        return packet_length(self._data[at : at + HEAD_BYTES])
