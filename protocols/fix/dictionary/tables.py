"""What the checks look up for each field of a message: one small table a message type, made when a
message of that type is first seen.

A session is governed by two dictionaries: header, trailer and session messages come from that of
the session protocol, the rest from that of the application. Below FIX 5.0 the two are one.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from protocols.fix.dictionary.formats import FORMATS, MULTIPLE_TYPES, Check
from protocols.fix.dictionary.model import Dictionary, FieldDef, GroupDef, Member
from protocols.fix.spec import Tag

_HEADER_RANK, _BODY_RANK, _TRAILER_RANK = 3, 4, 5
_FIXED_RANKS: Mapping[int, int] = {
    Tag.BEGIN_STRING: 0,
    Tag.BODY_LENGTH: 1,
    Tag.MSG_TYPE: 2,
    Tag.CHECK_SUM: 6,
}
_USER_DEFINED = b"U"
_DICTIONARY_PAIRS_MAX = 16


class Slot(NamedTuple):
    """A field at the level where it may stand; `is_valid` says whether a value is sound.

    `rank` never falls along the fields of a message: the first three, header, body, trailer,
    CheckSum. Within an entry of a group it is the place of the field, from 0 for the delimiter.
    """

    rank: int
    is_valid: Check
    group: "GroupTable | None"
    field: FieldDef


class GroupTable(NamedTuple):
    """One repeating group. `required` leaves out the delimiter, which is asked for by itself."""

    slots: Mapping[int, Slot]
    required: frozenset[int]


class MessageTable(NamedTuple):
    """One message type: fields of its top level, and what must be there.

    `required_in_order` is how missing fields are named: header, trailer, body, each by tag.
    A user-defined type `is_open`: its body may hold anything.
    """

    slots: Mapping[int, Slot]
    required: frozenset[int]
    required_in_order: tuple[int, ...]
    is_open: bool


class Rulebook:
    """Tables of a pair of dictionaries. Their size is bounded by what the dictionaries hold."""

    def __init__(self, session: Dictionary, application: Dictionary) -> None:
        """Nothing is made before it is asked for."""
        self._session = session
        self._application = application
        self._tables: dict[bytes, MessageTable] = {}
        self._groups: dict[int, GroupTable] = {}
        self._user_defined = self._message_table(session, (), is_open=True)

    def table(self, msg_type: bytes) -> MessageTable | None:
        """Table of a message type, None when there is no such type."""
        table = self._tables.get(msg_type)
        if table is not None:
            return table
        for home in (self._session, self._application):
            message = home.messages.get(msg_type)
            if message is not None:
                table = self._message_table(home, message.members, is_open=False)
                self._tables[msg_type] = table
                return table
        return self._user_defined if msg_type.startswith(_USER_DEFINED) else None

    def field(self, tag: int) -> FieldDef | None:
        """A field of either version, None when neither has it."""
        return self._session.fields.get(tag) or self._application.fields.get(tag)

    def _message_table(
        self, home: Dictionary, body: tuple[Member, ...], *, is_open: bool
    ) -> MessageTable:
        header, trailer = self._session.header, self._session.trailer
        parts = (
            (self._session, header, _HEADER_RANK),
            (self._session, trailer, _TRAILER_RANK),
            (home, body, _BODY_RANK),
        )
        slots: dict[int, Slot] = {}
        required: list[int] = []
        for dictionary, members, rank in parts:
            for item in members:
                slots[item.tag] = self._slot(dictionary, item, _FIXED_RANKS.get(item.tag, rank))
            required += sorted(item.tag for item in members if item.is_required)
        return MessageTable(slots, frozenset(required), tuple(required), is_open)

    def _slot(self, home: Dictionary, member: Member, rank: int) -> Slot:
        field = home.fields[member.tag]
        if member.group is None:
            return Slot(rank, value_check(field), None, field)
        # FIX 4.2 calls the counts of its groups plain integers.
        field = field._replace(type="NUMINGROUP")
        return Slot(rank, value_check(field), self._group(home, member.group), field)

    def _group(self, home: Dictionary, group: GroupDef) -> GroupTable:
        """Messages share their components' groups, so most find theirs made.

        The dictionary keeps its groups alive, so an identity stays that of one group.
        """
        table = self._groups.get(id(group))
        if table is None:
            slots = {item.tag: self._slot(home, item, at) for at, item in enumerate(group.members)}
            required = frozenset(item.tag for item in group.members[1:] if item.is_required)
            table = self._groups[id(group)] = GroupTable(slots, required)
        return table


def value_check(field: FieldDef) -> Check:
    """Whether a value is one that the field may have, as one call."""
    if not field.values or field.is_open or field.tag == Tag.MSG_TYPE:
        return FORMATS[field.type]
    known = frozenset(field.values)
    if field.type in MULTIPLE_TYPES:
        return lambda value: known.issuperset(value.split(b" "))
    return known.__contains__


@lru_cache(maxsize=_DICTIONARY_PAIRS_MAX)
def rulebook(session: Dictionary, application: Dictionary) -> Rulebook:
    """The tables of a pair of dictionaries, shared by all sessions that it governs."""
    return Rulebook(session, application)
