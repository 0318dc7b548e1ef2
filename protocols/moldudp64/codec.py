"""MoldUDP64 packets as Python objects, for tools and tests: the cold path, written apart from the
kernels that it checks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.message import Value
from protocols.moldudp64.spec import (
    BLOCK_LENGTH_BYTES,
    DOWNSTREAM_HEADER,
    END_OF_SESSION,
    HEADER_BYTES,
    MESSAGES_MAX,
    REQUEST,
    REQUEST_BYTES,
    SEQUENCE_MAX,
)

_LENGTH_MAX = 0xFFFF


@dataclass(frozen=True, slots=True)
class Packet:
    """A downstream packet; one without messages is a heartbeat, or the end of the session when
    `ended`.
    """

    session: str
    sequence: int
    messages: tuple[bytes, ...] = ()
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """A request for `count` messages of `session` from `sequence` on."""

    session: str
    sequence: int
    count: int


def encode_packet(packet: Packet) -> bytes:
    """Wire bytes of `packet`; LocalProtocolError when it cannot be written."""
    if packet.ended and packet.messages:
        raise LocalProtocolError(
            "an end of session carries no messages: send them in packets before it"
        )
    if len(packet.messages) > MESSAGES_MAX:
        raise LocalProtocolError(
            f"{len(packet.messages)} messages in one packet, at most {MESSAGES_MAX} fit"
        )
    if packet.messages and packet.sequence + len(packet.messages) - 1 > SEQUENCE_MAX:
        raise LocalProtocolError(
            f"{len(packet.messages)} messages from number {packet.sequence} on: "
            "numbers end at 2**64 - 1"
        )
    count = END_OF_SESSION if packet.ended else len(packet.messages)
    return _encode_header(packet.session, packet.sequence, count) + _encode_blocks(packet.messages)


def decode_packet(data: bytes) -> Packet:
    """Packet in `data`; RemoteProtocolError unless its blocks end exactly where the data does."""
    if len(data) < HEADER_BYTES:
        raise RemoteProtocolError(
            f"packet of {len(data)} bytes: the header alone has {HEADER_BYTES}"
        )
    fields = DOWNSTREAM_HEADER.decode(data[:HEADER_BYTES])
    sequence, count = int(fields["sequence_number"]), int(fields["message_count"])
    ended = count == END_OF_SESSION
    if not ended and count and count - 1 > SEQUENCE_MAX - sequence:
        raise RemoteProtocolError(
            f"{count} messages from number {sequence} on: numbers end at 2**64 - 1"
        )
    messages, at = [], HEADER_BYTES
    for index in range(0 if ended else count):
        start = at + BLOCK_LENGTH_BYTES
        at = start + int.from_bytes(data[at:start], "big")
        if start > len(data) or at > len(data):
            raise RemoteProtocolError(f"block {index} of {count} ends at byte {at} of {len(data)}")
        messages.append(data[start:at])
    if at != len(data):
        raise RemoteProtocolError(f"{len(data) - at} bytes left over after {len(messages)} blocks")
    return Packet(str(fields["session"]), sequence, tuple(messages), ended)


def encode_request(request: Request) -> bytes:
    """Wire bytes of `request`; LocalProtocolError when a value does not fit its field."""
    return _encode_header(request.session, request.sequence, request.count)


def decode_request(data: bytes) -> Request:
    """Request in `data`, which is exactly one; RemoteProtocolError when it is not."""
    if len(data) != REQUEST_BYTES:
        raise RemoteProtocolError(f"request of {len(data)} bytes: it has {REQUEST_BYTES}")
    fields = REQUEST.decode(data)
    return Request(
        str(fields["session"]),
        int(fields["sequence_number"]),
        int(fields["requested_message_count"]),
    )


def _encode_header(session: str, sequence: int, count: int) -> bytes:
    """20 bytes, of a downstream packet or of a request: they have the same layout."""
    values: tuple[Value, ...] = (session, sequence, count)
    return b"".join(item.encode(value) for item, value in zip(REQUEST.fields, values, strict=True))


def _encode_blocks(messages: Sequence[bytes]) -> bytes:
    for message in messages:
        if len(message) > _LENGTH_MAX:
            raise LocalProtocolError(
                f"a message of {len(message)} bytes: a block holds {_LENGTH_MAX}"
            )
    return b"".join(
        len(message).to_bytes(BLOCK_LENGTH_BYTES, "big") + message for message in messages
    )
