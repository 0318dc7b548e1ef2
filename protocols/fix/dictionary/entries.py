"""A message as the tree that its dictionary makes of it: repeating groups as entries, and fields by
name.

Made for reading: a message with faults has a tree too, where no field is left out and each stands
at the level at which `check_message` looks at it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from protocols.errors import LocalProtocolError
from protocols.fix.dictionary.model import Dictionary
from protocols.fix.dictionary.tables import Slot, rulebook
from protocols.fix.message import FixMessage


class EntryField(NamedTuple):
    """One field of an entry; `entries` are those that it counts, if it counts any. `type` is its
    data type, NUMINGROUP if it counts entries here, and "" when no dictionary has the field.
    """

    tag: int
    name: str
    type: str
    value: bytes
    entries: tuple["Entry", ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """The fields of one entry of a group in the order of the wire, or of the top of a message."""

    fields: tuple[EntryField, ...]

    def get(self, tag: int) -> bytes:
        """Value of the first field with this tag, empty when there is none."""
        return next((item.value for item in self.fields if item.tag == tag), b"")

    def groups(self, tag: int) -> tuple["Entry", ...]:
        """Entries that the first field with this tag counts, none when there is no such field."""
        return next((item.entries for item in self.fields if item.tag == tag), ())


def read_tree(message: FixMessage, session: Dictionary, application: Dictionary) -> Entry:
    """A whole message: its top level, with groups to any depth.

    A field that no dictionary has is named by its number. When no dictionary has the message type,
    all fields stand at the top.
    """
    table = rulebook(session, application).table(message.msg_type)
    reader = _Reader(message.fields, session, application)
    return reader.read_top({} if table is None else table.slots)


def groups(
    message: FixMessage, tag: int, session: Dictionary, application: Dictionary
) -> tuple[Entry, ...]:
    """Entries of a group at the top of a message, none when the message lacks it.

    LocalProtocolError when messages of this type have no such group.
    """
    table = rulebook(session, application).table(message.msg_type)
    slot = None if table is None else table.slots.get(tag)
    if slot is None or slot.group is None:
        raise LocalProtocolError(f"message type {message.msg_type!r} has no group {tag}")
    return read_tree(message, session, application).groups(tag)


class _Reader:
    """Goes over the fields of one message once; `_above` are the levels that a group is within."""

    def __init__(
        self,
        fields: tuple[tuple[int, bytes], ...],
        session: Dictionary,
        application: Dictionary,
    ) -> None:
        self._fields = fields
        self._book = rulebook(session, application)
        self._above: list[Mapping[int, Slot]] = []
        self._at = 0

    def read_top(self, slots: Mapping[int, Slot]) -> Entry:
        """Every field of the message, those of groups below the field that counts them."""
        items = []
        while self._at < len(self._fields):
            items.append(self._take(slots))
        return Entry(tuple(items))

    def _take(self, slots: Mapping[int, Slot]) -> EntryField:
        """The next field, with the entries that it counts."""
        tag, value = self._fields[self._at]
        self._at += 1
        slot = slots.get(tag)
        if slot is None or slot.group is None:
            field = self._book.field(tag)
            known = (str(tag), "") if field is None else (field.name, field.type)
            return EntryField(tag, *known, value, ())
        self._above.append(slots)
        entries = self._read_entries(slot.group.slots)
        self._above.pop()
        return EntryField(tag, slot.field.name, slot.field.type, value, entries)

    def _read_entries(self, slots: Mapping[int, Slot]) -> tuple[Entry, ...]:
        """Entries up to a field of a level above.

        A member that an entry has already begins the next one. That is the delimiter where a
        message is as it should be; some venues begin their entries with another member.
        """
        entries: list[list[EntryField]] = []
        taken: set[int] = set()
        while self._at < len(self._fields):
            tag = self._fields[self._at][0]
            slot = slots.get(tag)
            if slot is None:
                if not entries or any(tag in above for above in self._above):
                    break
            elif not entries or tag in taken:
                entries.append([])
                taken.clear()
            taken.add(tag)
            entries[-1].append(self._take(slots))
        return tuple(Entry(tuple(items)) for items in entries)
