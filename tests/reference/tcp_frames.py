"""A TCP conversation as Ethernet frames, for captures that another program reads: test use only.

A handshake, then segments with data and right sequence numbers; what was sent is acknowledged by
the segments of the other side only.
"""

import struct

from protocols.pcap.writer import build_ethernet_frame

_CLIENT = (0x7F000001, 40_000)
_SERVER = (0x7F000002, 26_000)
SERVER_PORT = _SERVER[1]
_FIVE_WORDS = 0x5000
_SYN, _PUSH, _ACK = 0x02, 0x08, 0x10
_PROTOCOL_TCP = 6


class Conversation:
    """Both directions of one connection; each keeps its sequence number."""

    def __init__(self) -> None:
        self._next = {True: 1_000, False: 2_000}

    def handshake(self) -> list[bytes]:
        """The frames that open the connection."""
        return [
            self._frame(b"", _SYN, from_client=True),
            self._frame(b"", _SYN | _ACK, from_client=False),
            self._frame(b"", _ACK, from_client=True),
        ]

    def segment(self, payload: bytes, *, from_client: bool) -> bytes:
        """The frame of the next segment of one side."""
        return self._frame(payload, _PUSH | _ACK, from_client=from_client)

    def _frame(self, payload: bytes, flags: int, *, from_client: bool) -> bytes:
        sequence = self._next[from_client]
        self._next[from_client] += len(payload) + (1 if flags & _SYN else 0)
        (from_ip, from_port), (to_ip, to_port) = (
            (_CLIENT, _SERVER) if from_client else (_SERVER, _CLIENT)
        )
        acknowledged = self._next[not from_client] if flags & _ACK else 0
        words = _FIVE_WORDS | flags
        tcp = struct.pack(
            ">HHIIHHHH", from_port, to_port, sequence, acknowledged, words, 0xFFFF, 0, 0
        )
        size = 20 + len(tcp) + len(payload)
        ip = struct.pack(">BBHHHBBHII", 0x45, 0, size, 0, 0, 64, _PROTOCOL_TCP, 0, from_ip, to_ip)
        return build_ethernet_frame(ip + tcp + payload)
