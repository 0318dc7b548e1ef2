"""What a data dictionary holds: fields with types and values, messages and repeating groups.

Everything is immutable. Components are resolved when a message is first looked at: a version has
more messages than a session uses, and those of FIX 5.0 SP2 hold 300,000 fields together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

from protocols.errors import LocalProtocolError


class FieldDef(NamedTuple):
    """One field. `values` gives the name of each value that is allowed, and is empty when any is;
    with `is_open` it names some of many.
    """

    tag: int
    name: str
    type: str
    values: Mapping[bytes, str]
    is_open: bool


class Member(NamedTuple):
    """A field at its place in a message or in an entry of a group; `group` when it counts one."""

    tag: int
    is_required: bool
    group: "GroupDef | None"


class GroupDef(NamedTuple):
    """A repeating group: the field that counts the entries, and the members of each in order."""

    count_tag: int
    members: tuple[Member, ...]

    @property
    def delimiter(self) -> int:
        """The first field of every entry."""
        return self.members[0].tag


class Layouts:
    """Member lists as the data file words them, resolved on demand.

    A list is words between spaces: `44` a field, `44!` a required one, `@Name` a component,
    `453( … )` a group. What a component asks for is required only where the component is.
    """

    def __init__(self, components: Mapping[str, str]) -> None:
        """Hold the text of every component by name."""
        self._components = components
        self._resolved: dict[str, tuple[Member, ...]] = {}
        self._open: list[str] = []

    def resolve(self, layout: str) -> tuple[Member, ...]:
        """Members of a list; LocalProtocolError when it is no list or names no component."""
        words = layout.split()
        members, end = self._read(words, 0)
        if end != len(words):
            raise LocalProtocolError(f"layout {layout[:60]!r}: a bracket closes that never opened")
        return members

    def _read(self, words: list[str], at: int) -> tuple[tuple[Member, ...], int]:
        """Members from word `at` to the bracket that closes them, and where that is."""
        members: list[Member] = []
        while at < len(words) and words[at] != ")":
            word = words[at]
            at += 1
            is_group = word.endswith("(")
            name = word.removesuffix("(")
            is_required = name.endswith("!")
            name = name.removesuffix("!")
            if name.startswith("@"):
                inner = self._component(name[1:])
                members += inner if is_required else [_optional(member) for member in inner]
                continue
            if not name.isdecimal():
                raise LocalProtocolError(f"layout: {word!r} is no field, component or group")
            group = None
            if is_group:
                inner, at = self._read(words, at)
                if at == len(words) or not inner:
                    raise LocalProtocolError(f"layout: group {name} is empty or never closed")
                at += 1
                group = GroupDef(int(name), inner)
            members.append(Member(int(name), is_required, group))
        return tuple(members), at

    def _component(self, name: str) -> tuple[Member, ...]:
        known = self._resolved.get(name)
        if known is not None:
            return known
        if name not in self._components or name in self._open:
            problem = "contains itself" if name in self._open else "is not defined"
            raise LocalProtocolError(f"layout: component {name} {problem}")
        self._open.append(name)
        try:
            members = self.resolve(self._components[name])
        finally:
            self._open.pop()
        self._resolved[name] = members
        return members


def _optional(member: Member) -> Member:
    return member._replace(is_required=False)


@dataclass(frozen=True, eq=False)
class MessageDef:
    """One message by its MsgType; `members` are those of the body, components resolved."""

    msg_type: bytes
    name: str
    is_admin: bool
    layout: str
    layouts: Layouts

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """Fields and groups of the body in order."""
        return self.layouts.resolve(self.layout)


@dataclass(frozen=True, eq=False)
class Dictionary:
    """One version: `fields` by tag, `messages` by MsgType, members of header and trailer.

    FIX 5.0 SP2 has neither header nor trailer: those are of its session protocol, FIXT.1.1. A data
    field may hold the separator, so the length field that stands before it says where it ends:
    `data_tag_of_length` has the one by the other.
    """

    begin_string: str
    fields: Mapping[int, FieldDef]
    messages: Mapping[bytes, MessageDef]
    header: tuple[Member, ...]
    trailer: tuple[Member, ...]
    data_tag_of_length: Mapping[int, int]

    @cached_property
    def by_name(self) -> Mapping[str, FieldDef]:
        """Fields by name."""
        return MappingProxyType({item.name: item for item in self.fields.values()})
