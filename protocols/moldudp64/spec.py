"""MoldUDP64 1.00 as data: the 20-byte header, the message block and the request packet.

Source: MoldUDP64 protocol specification 1.00. All integers are unsigned and big-endian. A
        downstream packet is the header and then `message_count` blocks, each a u16 length and that
        many bytes; a request has the same 20 bytes, and only its direction tells it apart.
"""

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
SEQUENCE_LIMIT = 1 << 62
"""Sequence numbers from here on are refused: no session gets there, and sums with a count stay
inside a signed 64-bit integer.
"""
