"""SoupBinTCP 3.00 as data: packet types, and the layouts of the packets that have fields.

Source: SoupBinTCP protocol specification 3.00, sections 2.1 (both ways), 2.2 (server to client),
        2.3 (client to server). A packet is a u16 length, which counts what follows it, a type byte,
        and the rest. The tables start at the type byte. Text and numbers in ASCII come padded on
        either side in reality, so readers strip spaces from both.
"""

from protocols.message import Field, Message, index_by_type

LENGTH_BYTES = 2
TYPE_BYTES = 1
FRAME_BYTES = LENGTH_BYTES + TYPE_BYTES
"""Bytes in front of a packet's payload."""
PACKET_BYTES_MAX = 0xFFFF
"""Largest value of the length field: type byte and payload."""

_TYPE = Field("packet_type", "alpha", "type byte", 1)

LOGIN_ACCEPTED = Message(
    "A",
    "Login Accepted",
    "2.2.1",
    31,
    (
        _TYPE,
        Field("session", "alpha", "session that the client is now in, padded on the left", 10),
        Field(
            "sequence_number",
            "alpha",
            "ASCII number of the next sequenced message, padded on the left",
            20,
        ),
    ),
)
LOGIN_REJECTED = Message(
    "J",
    "Login Rejected",
    "2.2.2",
    2,
    (_TYPE, Field("reason", "alpha", "A not authorised, S session not available", 1, ("A", "S"))),
)
LOGIN_REQUEST = Message(
    "L",
    "Login Request",
    "2.3.1",
    47,
    (
        _TYPE,
        Field("username", "alpha", "case-insensitive", 6),
        Field("password", "alpha", "case-insensitive", 10),
        Field("requested_session", "alpha", "blank for the current one", 10),
        Field("requested_sequence_number", "alpha", "ASCII; 1 from the start, 0 from now", 20),
    ),
)
MESSAGES = (LOGIN_ACCEPTED, LOGIN_REJECTED, LOGIN_REQUEST)
BY_TYPE = index_by_type(MESSAGES)

DEBUG = ord("+")
SEQUENCED_DATA = ord("S")
UNSEQUENCED_DATA = ord("U")
SERVER_HEARTBEAT = ord("H")
CLIENT_HEARTBEAT = ord("R")
END_OF_SESSION = ord("Z")
LOGOUT_REQUEST = ord("O")

SERVER_LENGTHS = {
    ord(LOGIN_ACCEPTED.type): LOGIN_ACCEPTED.length,
    ord(LOGIN_REJECTED.type): LOGIN_REJECTED.length,
    DEBUG: 0,
    SEQUENCED_DATA: 0,
    UNSEQUENCED_DATA: 0,
    SERVER_HEARTBEAT: TYPE_BYTES,
    END_OF_SESSION: TYPE_BYTES,
}
"""Packets that come from a server and the value of their length field, 0 where it varies. U comes
from servers since 4.00.
"""
CLIENT_LENGTHS = {
    ord(LOGIN_REQUEST.type): LOGIN_REQUEST.length,
    DEBUG: 0,
    UNSEQUENCED_DATA: 0,
    CLIENT_HEARTBEAT: TYPE_BYTES,
    LOGOUT_REQUEST: TYPE_BYTES,
}
"""Packets that come from a client and the value of their length field, 0 where it varies."""

REJECT_NOT_AUTHORISED = "A"
REJECT_NO_SESSION = "S"

HEARTBEAT_INTERVAL_NS = 1_000_000_000
"""A side that sent nothing for this long sends a heartbeat."""
SILENCE_LIMIT_NS = 15_000_000_000
"""A peer that was silent for this long is taken for dead (customary, the specification leaves it
open).
"""
LOGIN_LIMIT_NS = 30_000_000_000
"""A client that has not logged in after this long may be dropped."""
