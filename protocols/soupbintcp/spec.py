"""SoupBinTCP 3.00 to 4.10 as data: packet types, versions, and the layouts of the packets that have
fields.

Source: SoupBinTCP protocol specification 3.00, sections 2.1 (both ways), 2.2 (server to client),
        2.3 (client to server); what 4.00 and 4.10 added is marked. A packet is a u16 length, which
        counts what follows it, a type byte, and the rest. The tables start at the type byte. Text
        and numbers in ASCII come padded on either side in reality, so readers strip spaces from
        both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from types import MappingProxyType

from protocols.message import Field, Message

LENGTH_BYTES = 2
TYPE_BYTES = 1
FRAME_BYTES = LENGTH_BYTES + TYPE_BYTES
"""Bytes in front of a packet's payload."""
PACKET_BYTES_MAX = 0xFFFF
"""Largest value of the length field: type byte and payload."""


class Version(IntEnum):
    """Edition of the protocol that two sides agreed on; nothing on the wire says which."""

    V3_00 = 300
    V4_00 = 400
    """A server may send unsequenced data too."""
    V4_10 = 410
    """A login request may state a heartbeat timeout."""


class Sender(Enum):
    """Which side a packet comes from."""

    EITHER = "either side"
    SERVER = "server"
    CLIENT = "client"


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
_LOGIN_FIELDS = (
    _TYPE,
    Field("username", "alpha", "case-insensitive", 6),
    Field("password", "alpha", "case-insensitive", 10),
    Field("requested_session", "alpha", "blank for the current one", 10),
    Field(
        "requested_sequence_number",
        "alpha",
        "ASCII; 1 from the start, 0 from the most recent message",
        20,
    ),
)
LOGIN_REQUEST = Message("L", "Login Request", "2.3.1", 47, _LOGIN_FIELDS)
LOGIN_REQUEST_TIMEOUT = Message(
    "L",
    "Login Request with heartbeat timeout",
    "2.3.1",
    52,
    (
        *_LOGIN_FIELDS,
        Field("heartbeat_timeout", "alpha", "ASCII milliseconds of silence; since 4.10", 5),
    ),
)
MESSAGES = (LOGIN_ACCEPTED, LOGIN_REJECTED, LOGIN_REQUEST, LOGIN_REQUEST_TIMEOUT)
"""The packets that have fields."""

DEBUG = ord("+")
SEQUENCED_DATA = ord("S")
UNSEQUENCED_DATA = ord("U")
SERVER_HEARTBEAT = ord("H")
CLIENT_HEARTBEAT = ord("R")
END_OF_SESSION = ord("Z")
LOGOUT_REQUEST = ord("O")


@dataclass(frozen=True, slots=True)
class PacketType:
    """A packet: type byte, who sends it, the values that its length field may have (none listed:
    any) and the first version that has it.
    """

    code: int
    name: str
    section: str
    sender: Sender
    lengths: tuple[int, ...] = ()
    since: Version = Version.V3_00
    note: str = ""


PACKETS = (
    PacketType(DEBUG, "Debug", "2.1", Sender.EITHER, note="text for a human"),
    PacketType(ord("A"), LOGIN_ACCEPTED.name, "2.2.1", Sender.SERVER, (LOGIN_ACCEPTED.length,)),
    PacketType(
        ord("J"),
        LOGIN_REJECTED.name,
        "2.2.2",
        Sender.SERVER,
        (LOGIN_REJECTED.length,),
        note="the server then closes",
    ),
    PacketType(
        SEQUENCED_DATA,
        "Sequenced Data",
        "2.2.3",
        Sender.SERVER,
        note="one message; its number is implied, one more for each packet",
    ),
    PacketType(
        UNSEQUENCED_DATA,
        "Unsequenced Data",
        "2.2",
        Sender.SERVER,
        since=Version.V4_00,
        note="one message outside the sequence",
    ),
    PacketType(SERVER_HEARTBEAT, "Server Heartbeat", "2.2.4", Sender.SERVER, (TYPE_BYTES,)),
    PacketType(
        END_OF_SESSION,
        "End of Session",
        "2.2.5",
        Sender.SERVER,
        (TYPE_BYTES,),
        note="the connection is closed soon after",
    ),
    PacketType(ord("L"), LOGIN_REQUEST.name, "2.3.1", Sender.CLIENT, (LOGIN_REQUEST.length,)),
    PacketType(
        ord("L"),
        LOGIN_REQUEST_TIMEOUT.name,
        "2.3.1",
        Sender.CLIENT,
        (LOGIN_REQUEST_TIMEOUT.length,),
        since=Version.V4_10,
    ),
    PacketType(
        UNSEQUENCED_DATA,
        "Unsequenced Data",
        "2.3.2",
        Sender.CLIENT,
        note="one message; it may be lost with the connection",
    ),
    PacketType(CLIENT_HEARTBEAT, "Client Heartbeat", "2.3.3", Sender.CLIENT, (TYPE_BYTES,)),
    PacketType(LOGOUT_REQUEST, "Logout Request", "2.3.4", Sender.CLIENT, (TYPE_BYTES,)),
)
"""Every packet, in the order of the specification."""


def lengths_from(sender: Sender, version: Version) -> Mapping[int, tuple[int, ...]]:
    """Packet types that `sender` (EITHER: any side) may send in `version`, with the values that
    their length field may have; () where it varies.
    """
    table: dict[int, tuple[int, ...]] = {}
    for packet in PACKETS:
        is_theirs = Sender.EITHER in (sender, packet.sender) or packet.sender is sender
        if is_theirs and packet.since <= version:
            table[packet.code] = table.get(packet.code, ()) + packet.lengths
    return MappingProxyType(table)


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
