"""Tables of fixed-width messages: a field, a message, and the checks that every table passes when
it is imported.

Widths follow from the type, offsets from the order, so a table cannot contradict itself; the length
that the specification states is written down beside it and compared.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType

from protocols.errors import LocalProtocolError, RemoteProtocolError

_INTEGER_WIDTHS = {"u8": 1, "u16": 2, "u32": 4, "u48": 6, "u64": 8, "price4": 4, "price8": 8}
_PRICE_DECIMALS = {"price4": 4, "price8": 8}

Value = int | str | Decimal


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its name as in the specification, type, meaning, and for `alpha` the width and the
    values that are stated.
    """

    name: str
    type: str
    note: str = ""
    width: int = 0
    values: tuple[str, ...] = ()
    offset: int = -1

    @property
    def size_bytes(self) -> int:
        """Bytes on the wire."""
        return self.width if self.type == "alpha" else _INTEGER_WIDTHS[self.type]

    @property
    def decimals(self) -> int:
        """Implied decimals of a price, 0 for anything else."""
        return _PRICE_DECIMALS.get(self.type, 0)

    def decode(self, data: bytes) -> Value:
        """Value of this field in a whole message: an integer, an exact Decimal for a price, or text
        without its padding.
        """
        raw = data[self.offset : self.offset + self.size_bytes]
        if self.type == "alpha":
            return raw.decode("latin-1").rstrip(" ")
        number = int.from_bytes(raw, "big")
        return Decimal(number).scaleb(-self.decimals) if self.decimals else number

    def encode(self, value: Value) -> bytes:
        """Wire bytes of `value`; LocalProtocolError when it does not fit."""
        if self.type == "alpha":
            return self._encode_text(str(value))
        try:
            number = Decimal(value).scaleb(self.decimals) if self.decimals else Decimal(value)
            fits = number == int(number) and 0 <= number < 1 << 8 * self.size_bytes
        except (ArithmeticError, ValueError):  # text, NaN, infinity
            fits = False
        if not fits:
            raise LocalProtocolError(f"{self.name}: {value!r} does not fit {self.type}")
        return int(number).to_bytes(self.size_bytes, "big")

    def _encode_text(self, text: str) -> bytes:
        try:
            raw = text.encode("latin-1")
        except UnicodeEncodeError:
            raise LocalProtocolError(f"{self.name}: {text!r} has a character above 255") from None
        if len(raw) > self.width:
            raise LocalProtocolError(
                f"{self.name}: {text!r} is longer than {self.width} characters"
            )
        return raw.ljust(self.width)


@dataclass(frozen=True, slots=True)
class Message:
    """One message: type byte, name, section of the specification, and fields with their offsets
    filled in.
    """

    type: str
    name: str
    section: str
    length: int
    fields: tuple[Field, ...]
    note: str = ""
    by_name: Mapping[str, Field] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Lay the fields out and hold the result against the stated length."""
        placed, offset = [], 0
        for item in self.fields:
            placed.append(Field(item.name, item.type, item.note, item.width, item.values, offset))
            offset += item.size_bytes
        if offset != self.length:
            raise ValueError(
                f"{self.type} {self.name}: fields make {offset} bytes, stated {self.length}"
            )
        object.__setattr__(self, "fields", tuple(placed))
        object.__setattr__(self, "by_name", MappingProxyType({item.name: item for item in placed}))
        if len(self.by_name) != len(placed):
            raise ValueError(f"{self.type} {self.name}: a field name occurs twice")

    def offset(self, field_name: str) -> int:
        """Byte offset of a field, for a kernel's constants."""
        return self.by_name[field_name].offset

    def decode(self, data: bytes) -> dict[str, Value]:
        """All fields by name; RemoteProtocolError when the length is not the stated one."""
        if len(data) != self.length:
            raise RemoteProtocolError(
                f"{self.type} {self.name}: {len(data)} bytes, specification says {self.length}"
            )
        return {item.name: item.decode(data) for item in self.fields}

    def encode(self, values: Mapping[str, Value]) -> bytes:
        """Wire bytes; the type byte is filled in, every other field must be named and no other."""
        given = {"message_type": self.type, **values}
        if given.keys() != self.by_name.keys():
            wrong = sorted(given.keys() ^ self.by_name.keys())
            raise LocalProtocolError(f"{self.type} {self.name}: missing or unknown fields {wrong}")
        if given["message_type"] != self.type:
            raise LocalProtocolError(
                f"{self.type} {self.name}: message_type is {given['message_type']!r}"
            )
        return b"".join(item.encode(given[item.name]) for item in self.fields)


def index_by_type(messages: Iterable[Message]) -> Mapping[str, Message]:
    """Messages by type byte; a type that occurs twice is an error in the table."""
    table: dict[str, Message] = {}
    for message in messages:
        if message.type in table:
            raise ValueError(
                f"type {message.type} occurs twice: {message.name}, {table[message.type].name}"
            )
        table[message.type] = message
    return MappingProxyType(table)
