"""MoldUDP64 1.00 as data: the 20-byte header, the message block and the request packet.

Source: MoldUDP64 protocol specification 1.00. All integers are unsigned and big-endian. A
        downstream packet is the header and then `message_count` blocks, each a u16 length and that
        many bytes; a request has the same 20 bytes, and only its direction tells it apart.
"""

from enum import IntEnum

from protocols.message import Field, Message

DOWNSTREAM_HEADER = Message(
    "downstream",
    "Downstream packet header",
    "1.1",
    20,
    (
        Field("session", "alpha", "the session this packet belongs to", 10),
        Field(
            "sequence_number",
            "u64",
            "number of the first message; of the next one where there is none",
        ),
        Field("message_count", "u16", "blocks that follow; 0 heartbeat, 0xFFFF end of session"),
    ),
)
REQUEST = Message(
    "request",
    "Request packet",
    "1.2",
    20,
    (
        Field("session", "alpha", "session of the missed messages", 10),
        Field("sequence_number", "u64", "first message wanted"),
        Field("requested_message_count", "u16", "how many messages are wanted"),
    ),
)

HEADER_BYTES = DOWNSTREAM_HEADER.length
SESSION_BYTES = DOWNSTREAM_HEADER.by_name["session"].size_bytes
SESSION_AT = DOWNSTREAM_HEADER.offset("session")
SEQUENCE_AT = DOWNSTREAM_HEADER.offset("sequence_number")
COUNT_AT = DOWNSTREAM_HEADER.offset("message_count")
REQUEST_BYTES = REQUEST.length
BLOCK_LENGTH_BYTES = 2
"""Bytes of the length in front of every message; it doesn't count itself."""
HEARTBEAT = 0
"""message_count of a packet that only says which sequence number comes next."""
END_OF_SESSION = 0xFFFF
"""message_count of a packet that ends the session: never 65,535 messages."""
MESSAGES_MAX = 0xFFFE
"""Most messages in one packet: one more would read as an end of session."""
SEQUENCE_MAX = (1 << 64) - 1
"""Largest number that a header can hold. A heartbeat and an end of session carry the number of the
next message, so a session that announces its end has `SEQUENCE_MAX - 1` messages at most.
"""
SEQUENCE_LIMIT = (1 << 63) - (1 << 32)
"""Sequence numbers from here on are refused by the kernels: rows hold signed 64-bit integers, and
the 2**32 numbers below their end are room for sums with counts.
"""


class PacketKind(IntEnum):
    """What a downstream packet is to the receiver of one session; the numbers are those that
    `feedhandler.core.api.Packet` gives to every venue.
    """

    DATA = 0
    HEARTBEAT = 1
    END_OF_SESSION = 2
    WRONG_SESSION = 3
    MALFORMED = 4


class RequestCheck(IntEnum):
    """What a re-request server makes of a request; only `OK` is answered."""

    OK = 0
    MALFORMED = 1
    """Not 20 bytes, no message asked for, or (kernel) a number that no row holds."""
    OTHER_SESSION = 2
    UNKNOWN = 3
    """Not sent yet, or no longer kept."""
