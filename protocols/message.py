"""Tables of fixed-width messages: a field, a message, a protocol's codec, and the checks that every
table passes when it is imported.

Widths follow from the type, offsets from the order, so a table cannot contradict itself; the length
that the specification states is written down beside it and compared. Nothing here is on the hot
path, but files of millions of messages are shown through it: each message is read by one compiled
`struct` and only the fields that need it are converted.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from struct import Struct
from types import MappingProxyType
from typing import Any

from protocols.errors import LocalProtocolError, RemoteProtocolError, Status

_INTEGER_WIDTHS = {"u8": 1, "u16": 2, "u32": 4, "u48": 6, "u64": 8, "price4": 4, "price8": 8}
_PRICE_DECIMALS = {"price4": 4, "price8": 8}
_STRUCT_CODES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "price4": "I", "price8": "Q"}
_LETTERS = tuple(chr(code).rstrip(" ") for code in range(256))
"""Text of a field of one byte: blank is the empty text."""

Value = int | str | Decimal
Converter = Callable[[Any], Value]
"""What `struct` read of a field to the field's value."""


class MessageError(RemoteProtocolError):
    """Bytes that are no message of the table: `status` is UNKNOWN_TYPE or BAD_LENGTH, `offset` the
    byte of the message where it shows.
    """

    def __init__(self, text: str, status: Status, offset: int) -> None:
        super().__init__(text)
        self.status = status
        self.offset = offset


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

    @property
    def struct_code(self) -> str:
        """How `struct` reads the field: a number, or as bytes what it has no number for."""
        if self.type == "alpha" and self.width == 1:
            return "B"
        return _STRUCT_CODES.get(self.type, f"{self.size_bytes}s")

    def converter(self, *, shown: bool) -> Converter | None:
        """From what `struct` read to the value, None where that is the value already. A price
        becomes an exact Decimal, or with `shown` text of all its decimals.
        """
        if self.type == "alpha":
            return _LETTERS.__getitem__ if self.width == 1 else _text
        if self.type == "u48":
            return int.from_bytes
        if not self.decimals:
            return None
        return _price_texts(self.decimals) if shown else _prices(self.decimals)

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


def _text(raw: bytes) -> str:
    return raw.rstrip(b" ").decode("latin-1")


def _prices(decimals: int) -> Converter:
    return lambda number: Decimal(number).scaleb(-decimals)


def _price_texts(decimals: int) -> Converter:
    unit, form = 10**decimals, f"%d.%0{decimals}d"
    return lambda number: form % divmod(number, unit)


@dataclass(frozen=True, slots=True)
class Message:
    """One message: type byte, name, section of the specification, and fields with their offsets
    filled in. `key` is the name as an identifier: "Add Order (no MPID)" is `add_order_no_mpid`.
    """

    type: str
    name: str
    section: str
    length: int
    fields: tuple[Field, ...]
    note: str = ""
    key: str = field(init=False, compare=False)
    by_name: Mapping[str, Field] = field(init=False, repr=False, compare=False)
    _layout: Struct = field(init=False, repr=False, compare=False)
    _names: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _decoders: tuple[tuple[int, Converter], ...] = field(init=False, repr=False, compare=False)
    _renderers: tuple[tuple[int, Converter], ...] = field(init=False, repr=False, compare=False)

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
        self._set("fields", tuple(placed))
        self._set("key", re.sub(r"[^a-z0-9]+", "_", self.name.lower()).strip("_"))
        self._set("by_name", MappingProxyType({item.name: item for item in placed}))
        if len(self.by_name) != len(placed):
            raise ValueError(f"{self.type} {self.name}: a field name occurs twice")
        self._set("_layout", Struct(">" + "".join(item.struct_code for item in placed)))
        self._set("_names", tuple(item.name for item in placed))
        self._set("_decoders", _converters(placed, shown=False))
        self._set("_renderers", _converters(placed, shown=True))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def offset(self, field_name: str) -> int:
        """Byte offset of a field, for a kernel's constants."""
        return self.by_name[field_name].offset

    def decode(self, data: bytes) -> dict[str, Value]:
        """All fields by name: an integer, an exact Decimal for a price, or text without its padding
        on the right; MessageError when the length is not the stated one.
        """
        return self._read(data, self._decoders)

    def render(self, data: bytes) -> dict[str, Value]:
        """As `decode`, but a price is text with all the decimals that its type has ("8.0000"): what
        can be written as JSON, or for a person, without losing anything.
        """
        return self._read(data, self._renderers)

    def _read(self, data: bytes, converters: tuple[tuple[int, Converter], ...]) -> dict[str, Value]:
        if len(data) != self.length:
            raise self._length_error(len(data))
        values = list(self._layout.unpack(data))
        for index, convert in converters:
            values[index] = convert(values[index])
        return dict(zip(self._names, values, strict=True))

    def _length_error(self, size: int) -> MessageError:
        text = f"{self.type} {self.name}: {size} bytes, specification says {self.length}"
        if size < self.length:
            cut = next(item for item in self.fields if item.offset + item.size_bytes > size)
            text += f"; it ends at byte {size}, where {cut.name} lacks"
            text += f" {cut.offset + cut.size_bytes - size} of {cut.size_bytes}"
        else:
            text += f"; what follows from byte {self.length} on belongs to no field"
        return MessageError(text, Status.BAD_LENGTH, min(size, self.length))

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


def _converters(fields: Iterable[Field], *, shown: bool) -> tuple[tuple[int, Converter], ...]:
    """The fields that need one, by their place among the message's."""
    found = ((index, item.converter(shown=shown)) for index, item in enumerate(fields))
    return tuple((index, convert) for index, convert in found if convert is not None)


@dataclass(frozen=True, slots=True)
class Codec:
    """The messages that travel one way in one protocol; `name` is that of the protocol, as errors
    say it.
    """

    name: str
    by_type: Mapping[str, Message]
    _by_first_byte: dict[bytes, Message] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the messages as they are looked up."""
        by_first_byte = {code.encode("latin-1"): item for code, item in self.by_type.items()}
        object.__setattr__(self, "_by_first_byte", by_first_byte)

    def find(self, data: bytes) -> Message:
        """The entry of a message by its first byte; MessageError when there is none."""
        message = self._by_first_byte.get(data[:1])
        if message is not None:
            return message
        if not data:
            raise MessageError(
                f"a message of {self.name} has a type, this one 0 bytes", Status.BAD_LENGTH, 0
            )
        known = len(self.by_type)
        text = f"message type {data[:1]!r} at byte 0 is none of the {known} of {self.name}"
        raise MessageError(text, Status.UNKNOWN_TYPE, 0)

    def decode(self, data: bytes) -> tuple[Message, dict[str, Value]]:
        """The message's entry in the table and its values by field name (see `Message.decode`).

        Values that the specification does not list are passed on: venues add codes without notice.

        Raises:
            MessageError: empty, of a type that the table does not know, or not of its length.
        """
        message = self.find(data)
        return message, message.decode(data)

    def encode(self, message_type: str, values: Mapping[str, Value]) -> bytes:
        """Wire bytes of one message; every field but `message_type` has to be in `values`.

        Raises:
            LocalProtocolError: unknown type, a field missing or unknown, or a value that does not
                fit.
        """
        message = self.by_type.get(message_type)
        if message is None:
            raise LocalProtocolError(
                f"message type {message_type!r} is none of the {len(self.by_type)} of {self.name}"
            )
        return message.encode(values)


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
