"""FIX messages as objects of JSON: fields under the names of a dictionary, repeating groups as
lists of objects.

Which dictionary, BeginString says. Versions without one of their own are read by the next that has:
names do not change from version to version.
"""

from dataclasses import dataclass
from typing import Any

from protocols.fix.dictionary.entries import Entry, EntryField, read_tree
from protocols.fix.dictionary.formats import FORMATS
from protocols.fix.dictionary.load import load_dictionary
from protocols.fix.dictionary.tables import rulebook
from protocols.fix.message import FixMessage, decode

_PAIRS = {
    b"FIX.4.0": ("FIX.4.2", "FIX.4.2"),
    b"FIX.4.1": ("FIX.4.2", "FIX.4.2"),
    b"FIX.4.2": ("FIX.4.2", "FIX.4.2"),
    b"FIX.4.3": ("FIX.4.4", "FIX.4.4"),
    b"FIX.4.4": ("FIX.4.4", "FIX.4.4"),
    b"FIXT.1.1": ("FIXT.1.1", "FIX.5.0SP2"),
}
"""Dictionaries of session and application by BeginString."""
_WITHOUT_VERSION = (_PAIRS[b"FIX.4.4"], _PAIRS[b"FIXT.1.1"])
"""Those that are tried for a message without BeginString, or with one that nobody knows."""
_INTEGER_TYPES = frozenset({"INT", "LENGTH", "NUMINGROUP", "SEQNUM"})
_INTEGER_BYTES_MAX = 18
"""Longer numbers stay text: not every reader of JSON takes more than 64 bits."""


@dataclass(frozen=True, slots=True)
class NamedMessage:
    """A message by the names of its dictionary; `name` is "" for a type that it does not have.
    `problem` says which field has no value, or which group not as many entries as its count says.
    """

    message: FixMessage
    name: str
    values: dict[str, Any]
    problem: str


def read_named(raw: bytes) -> NamedMessage:
    """A message with SOH separators, with or without header and trailer.

    A group is under the name of the field that counts its entries. A field of type INT, LENGTH,
    SEQNUM or NUMINGROUP is an integer, any other the text of the wire, so that no price is rounded.
    A field that no dictionary has is called by its number; one that comes again at the same level
    has the list of its values.
    """
    pair = _PAIRS.get(raw[2 : raw.find(b"\x01")]) if raw.startswith(b"8=") else None
    message, pair = _decode(raw, (pair,) if pair else _WITHOUT_VERSION)
    session, application = (load_dictionary(name) for name in pair)
    defined = session.messages.get(message.msg_type) or application.messages.get(message.msg_type)
    problems: list[str] = []
    values = _object(read_tree(message, session, application), problems)
    name = defined.name if defined else ""
    return NamedMessage(message, name, values, problems[0] if problems else "")


def _decode(raw: bytes, pairs: tuple[tuple[str, str], ...]) -> tuple[FixMessage, tuple[str, str]]:
    """The message by the first of the pairs that leaves fewest of its fields without a place."""
    found = []
    for pair in pairs:
        session, application = (load_dictionary(name) for name in pair)
        tags = {**session.data_tag_of_length, **application.data_tag_of_length}
        message = decode(raw, tags)
        if len(pairs) == 1:
            return message, pair
        book = rulebook(session, application)
        strangers = sum(book.field(tag) is None for tag, _ in message.fields)
        is_unknown = book.table(message.msg_type) is None
        found.append(((is_unknown, strangers), message, pair))
    _, message, pair = min(found, key=lambda item: item[0])
    return message, pair


def _object(entry: Entry, problems: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    repeated = set()
    for item in entry.fields:
        value = _value(item, problems)
        if item.name not in values:
            values[item.name] = value
        elif item.name in repeated:
            values[item.name].append(value)
        else:
            repeated.add(item.name)
            values[item.name] = [values[item.name], value]
    return values


def _value(item: EntryField, problems: list[str]) -> Any:
    raw = item.value
    if not raw:
        problems.append(f"{item.name} ({item.tag}) has no value")
    if item.type not in _INTEGER_TYPES or len(raw) > _INTEGER_BYTES_MAX:
        number = None
    else:
        number = int(raw) if FORMATS[item.type](raw) else None
    if item.type == "NUMINGROUP" and (item.entries or number == 0):
        if number != len(item.entries):
            text = f"{item.name} ({item.tag}) is {fix_text(raw)}, there are {len(item.entries)}"
            problems.append(text)
        return [_object(entry, problems) for entry in item.entries]
    return fix_text(raw) if number is None else number


def fix_text(raw: bytes) -> str:
    """A value as text: UTF-8 where it is, else a character a byte."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
