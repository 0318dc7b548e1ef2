"""Whole ITCH messages to and from named values, by the table: the cold path of tools and tests.

Source: TotalView-ITCH 5.0, edition 2023; the layouts are those of `spec.py`. Framing (MoldUDP64,
SoupBinTCP, BinaryFILE) is not part of a message. The hot path decodes the same table with kernels.
"""

from collections.abc import Mapping

from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.itch50.spec import BY_TYPE
from protocols.message import Message, Value


def decode(data: bytes) -> tuple[Message, dict[str, Value]]:
    """The message's entry in the table and its values by field name.

    Text comes without its padding, a price as an exact Decimal, everything else as an integer.
    Values that the specification does not list are passed on: venues add codes without notice.

    Raises:
        RemoteProtocolError: empty, of a type that the table does not know, or not of its length.
    """
    if not data:
        raise RemoteProtocolError("an ITCH message of 0 bytes has no type")
    message = BY_TYPE.get(chr(data[0]))
    if message is None:
        raise RemoteProtocolError(
            f"ITCH message type {data[:1]!r} is none of the {len(BY_TYPE)} of ITCH 5.0"
        )
    return message, message.decode(data)


def encode(message_type: str, values: Mapping[str, Value]) -> bytes:
    """Wire bytes of one message; every field but `message_type` has to be in `values`.

    Raises:
        LocalProtocolError: unknown type, a field missing or unknown, or a value that does not fit.
    """
    message = BY_TYPE.get(message_type)
    if message is None:
        raise LocalProtocolError(
            f"ITCH message type {message_type!r} is none of the {len(BY_TYPE)} of ITCH 5.0"
        )
    return message.encode(values)
