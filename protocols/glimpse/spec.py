"""GLIMPSE 5.0: the one message that it adds to ITCH, and how a snapshot joins the live feed.

Source: Nasdaq GLIMPSE 5.0. Over SoupBinTCP, the client asks for sequence number 1. The server
        sends, each as one sequenced packet in the layout of TotalView-ITCH 5.0: S for the system
        events so far, R for every symbol, H with its trading state, Y with its short sale
        restriction, N and h where they apply, then A or F for every live order in time priority at
        each price, then exactly one G with the number N of the next live message.

The splice: keep the live feed's messages while the snapshot loads; on G with N drop those below N
and apply from N on. When the oldest kept is above N, the messages N up to it are missing: ask for
them again, or start over. Before that the book is not to be published.
"""

from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.message import Field, Message

END_OF_SNAPSHOT = Message(
    "G",
    "Snapshot",
    "3.9",
    21,
    (
        Field("message_type", "alpha", "type byte", 1),
        Field("sequence_number", "alpha", "ASCII: apply the live feed from this number on", 20),
    ),
)
END_OF_SNAPSHOT_TYPE = ord(END_OF_SNAPSHOT.type)
_DIGITS = END_OF_SNAPSHOT.by_name["sequence_number"].width


def encode_end_of_snapshot(sequence: int) -> bytes:
    """G with the number of the next live message, padded with zeros on the left."""
    if not 0 <= sequence < 10**_DIGITS:
        raise LocalProtocolError(f"sequence number {sequence} does not fit {_DIGITS} digits")
    return END_OF_SNAPSHOT.encode({"sequence_number": str(sequence).zfill(_DIGITS)})


def decode_end_of_snapshot(message: bytes) -> int:
    """Number in a G message, padded with spaces or zeros on either side of it (trailing zeros are
    digits of the number).
    """
    if message[:1] != END_OF_SNAPSHOT.type.encode():
        raise RemoteProtocolError(f"the end of a snapshot begins with G, not {message[:1]!r}")
    text = str(END_OF_SNAPSHOT.decode(message)["sequence_number"]).strip()
    if not (text.isascii() and text.isdigit()):
        raise RemoteProtocolError(
            f"sequence number {text!r} of a snapshot is not made of decimal digits"
        )
    return int(text)
