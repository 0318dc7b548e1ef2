"""What decoders give and readers make of it: the vocabulary of this command."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from protocols.errors import Status
from protocols.message import Codec, MessageError

UNKNOWN_TYPE = "unknown_type"
WRONG_LENGTH = "wrong_length"
MALFORMED_PACKET = "malformed_packet"
GARBLED = "garbled"

_FAULT_OF_STATUS = {Status.UNKNOWN_TYPE: UNKNOWN_TYPE, Status.BAD_LENGTH: WRONG_LENGTH}
_NS_PER_S = 1_000_000_000


class Row(NamedTuple):
    """A message as it is shown; `fault` names what is wrong with it or is "",
    `text` says it.
    """

    type: str
    name: str
    values: Mapping[str, Any]
    fault: str = ""
    text: str = ""


class SymbolFields(NamedTuple):
    """Where a protocol names the instrument: a field with the symbol, and fields by which messages
    without it mean the same instrument (a locate code, an order token).
    """

    symbol: str
    links: tuple[str, ...] = ()


class Reader(Protocol):
    """Knows the fields of a protocol's messages."""

    @property
    def symbol_fields(self) -> SymbolFields:
        """Where a message names its instrument."""

    def read(self, raw: bytes) -> Row:
        """The message in `raw`; what cannot be read is a row with a fault, never an exception."""

    def time(self, values: Mapping[str, Any]) -> str:
        """The message's own time as a person reads it, "" when it has none."""


class Entry(NamedTuple):
    """One message, or bytes that should have been one: its number where the protocol gives one,
    its offset in the stream or datagram, and who reads it.
    """

    seq: int | None
    offset: int
    raw: bytes
    reader: Reader


class Incomplete(NamedTuple):
    """What a stream ended in the middle of."""

    offset: int
    reason: str


class Decoder(Protocol):
    """Finds the messages of one flow."""

    @property
    def counts(self) -> Counter[str]:
        """What else was in it, by name."""

    def feed(self, data: bytes) -> list[Entry]:
        """The messages in a datagram, or those that are whole now in a stream."""

    def finish(self) -> tuple[list[Entry], Incomplete | None]:
        """What the end of the input reveals."""


class Fault:
    """The reader of bytes that no protocol explains."""

    symbol_fields = SymbolFields("")

    def __init__(self, name: str, text: str) -> None:
        self._row = Row("", name, {}, name, text)

    def read(self, raw: bytes) -> Row:  # noqa: ARG002 - what is wrong was known before
        """The fault, whatever the bytes."""
        return self._row

    def time(self, values: Mapping[str, Any]) -> str:  # noqa: ARG002 - a Reader
        """Nothing."""
        return ""


class TableReader:
    """The reader of a protocol that is a table of fixed-width messages, with the names of those
    fields that link a message to an instrument.
    """

    def __init__(self, codec: Codec, links: tuple[str, ...]) -> None:
        self.symbol_fields = SymbolFields("stock", links)
        self._codec = codec

    def read(self, raw: bytes) -> Row:
        """The message with its fields as the specification names them."""
        try:
            message = self._codec.find(raw)
            return Row(message.type, message.key, message.render(raw))
        except MessageError as error:
            fault = _FAULT_OF_STATUS[error.status]
            return Row(raw[:1].decode("latin-1"), fault, {}, fault, str(error))

    def matches(self, raw: bytes) -> bool:
        """Whether type and length are those of a message."""
        message = self._codec.by_type.get(raw[:1].decode("latin-1"))
        return message is not None and message.length == len(raw)

    def time(self, values: Mapping[str, Any]) -> str:
        """The field `timestamp`, nanoseconds since midnight, as a time of day."""
        return clock_text(values["timestamp"]) if "timestamp" in values else ""


def clock_text(ns: int) -> str:
    """Nanoseconds since midnight as hh:mm:ss and nine decimals."""
    seconds, rest = divmod(ns, _NS_PER_S)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{rest:09d}"
