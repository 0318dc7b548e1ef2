"""Sound FIX messages of any type, made from a dictionary, for tests that spoil them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from protocols.fix.dictionary.model import Dictionary, FieldDef, GroupDef, Member
from protocols.fix.message import FixMessage

_FLOATS = (b"0", b"-1.5", b"100.", b".25", b"0012.50")
_TEXTS = (b"X", b"two words", b"a=b", b"\xe9")
_DATES = (b"20240229", b"19991231")
SAMPLES: dict[str, tuple[bytes, ...]] = {
    "AMT": _FLOATS,
    "BOOLEAN": (b"Y", b"N"),
    "CHAR": (b"a", b" ", b"="),
    "COUNTRY": (b"DE",),
    "CURRENCY": (b"USD", b"USDT"),
    "DATA": (b"\x01raw\x01=\n", b"x"),
    "DAYOFMONTH": (b"1", b"09", b"31"),
    "EXCHANGE": (b"XNAS", b"N"),
    "FLOAT": _FLOATS,
    "INT": (b"0", b"-7", b"00023"),
    "LANGUAGE": (b"en",),
    "LENGTH": (b"1", b"70"),
    "LOCALMKTDATE": _DATES,
    "LOCALMKTTIME": (b"09:30:00",),
    "MONTHYEAR": (b"202412", b"202412w3", b"20241231"),
    "MULTIPLECHARVALUE": (b"a", b"a b"),
    "MULTIPLESTRINGVALUE": (b"AA", b"AA B"),
    "MULTIPLEVALUESTRING": (b"AA", b"AA B"),
    "NUMINGROUP": (b"0",),
    "PERCENTAGE": _FLOATS,
    "PRICE": _FLOATS,
    "PRICEOFFSET": _FLOATS,
    "QTY": _FLOATS,
    "SEQNUM": (b"0", b"18"),
    "STRING": _TEXTS,
    "TAGNUM": (b"35",),
    "TZTIMEONLY": (b"07:39Z", b"07:39:01+05:30", b"07:39-08"),
    "TZTIMESTAMP": (b"20060901-07:39Z", b"20060901-07:39:01.123-05"),
    "UTCDATE": _DATES,
    "UTCDATEONLY": _DATES,
    "UTCTIMEONLY": (b"23:59:60", b"00:00:00.123456789"),
    "UTCTIMESTAMP": (b"20240229-23:59:59", b"20231231-23:59:60.001"),
    "XID": (b"x1",),
    "XIDREF": (b"x1",),
    "XMLDATA": (b"<a>\x01</a>",),
}
"""Sound values by type."""

MALFORMED: dict[str, bytes] = (
    dict.fromkeys(("AMT", "FLOAT", "PERCENTAGE", "PRICE", "PRICEOFFSET", "QTY"), b"+1.0")
    | dict.fromkeys(("LENGTH", "SEQNUM", "NUMINGROUP"), b"-1")
    | dict.fromkeys(("LOCALMKTDATE", "UTCDATE", "UTCDATEONLY"), b"20230229")
    | dict.fromkeys(("LOCALMKTTIME", "UTCTIMEONLY", "TZTIMEONLY"), b"24:00:00")
    | dict.fromkeys(("TZTIMESTAMP", "UTCTIMESTAMP"), b"20240230-00:00:00")
    | dict.fromkeys(("MULTIPLESTRINGVALUE", "MULTIPLEVALUESTRING"), b"A  B")
    | {"BOOLEAN": b"y", "CHAR": b"ab", "DAYOFMONTH": b"32", "INT": b"1.0", "MONTHYEAR": b"202413"}
    | {"MULTIPLECHARVALUE": b"a bc", "TAGNUM": b"035"}
)
"""A value that is none of its type; text and data take any."""


@dataclass(frozen=True)
class Part:
    """One field of a message under construction, and what it is there: `depth` 0 outside of groups,
    `place` among its level's members.
    """

    tag: int
    value: bytes
    definition: FieldDef
    member: Member
    section: str
    depth: int
    place: int
    parent: GroupDef | None

    @property
    def is_delimiter(self) -> bool:
        """Whether it begins an entry."""
        return self.parent is not None and self.place == 0

    def with_value(self, value: bytes) -> "Part":
        """The same field with another value."""
        return replace(self, value=value)


class MessageMaker:
    """Makes sound messages of one session and application version; `random` decides."""

    def __init__(self, session: Dictionary, application: Dictionary, random: Random) -> None:
        self.session = session
        self.application = application
        self.random = random

    def types(self) -> list[bytes]:
        """Every MsgType of the pair."""
        return [*self.session.messages, *self.application.messages]

    def home(self, msg_type: bytes) -> Dictionary:
        """The dictionary that has the type."""
        return self.session if msg_type in self.session.messages else self.application

    def make(self, msg_type: bytes, fullness: float) -> list[Part]:
        """A sound message; of what is optional, `fullness` (0 to 1) says how much is there."""
        header = {item.tag: item for item in self.session.header}
        first = [header.pop(tag) for tag in (8, 9, 35)]
        rest = list(header.values())
        self.random.shuffle(rest)
        home = self.home(msg_type)
        body = list(home.messages[msg_type].members)
        self.random.shuffle(body)
        parts = [
            *self._level(self.session, (*first, *rest), "header", fullness),
            *self._level(home, body, "body", fullness),
            *self._level(self.session, self.session.trailer, "trailer", fullness),
        ]
        return [part.with_value(msg_type) if part.tag == 35 else part for part in parts]

    def _level(
        self,
        home: Dictionary,
        members: Sequence[Member],
        section: str,
        fullness: float,
        depth: int = 0,
        parent: GroupDef | None = None,
    ) -> Iterator[Part]:
        for place, member in enumerate(members):
            is_delimiter = parent is not None and place == 0
            if not (member.is_required or is_delimiter or self.random.random() < fullness):
                continue
            definition = home.fields[member.tag]
            entries: list[Part] = []
            value = self.value(definition)
            if member.group is not None:
                count = self._entry_count(definition, is_delimiter=is_delimiter)
                value = b"%d" % count
                for _ in range(count):
                    inner = fullness / 3
                    entries += self._level(
                        home, member.group.members, section, inner, depth + 1, member.group
                    )
            yield Part(member.tag, value, definition, member, section, depth, place, parent)
            yield from entries

    def _entry_count(self, definition: FieldDef, *, is_delimiter: bool) -> int:
        if definition.values:
            return int(self.random.choice(sorted(definition.values)))
        return 1 if is_delimiter else self.random.choice((0, 1, 1, 2, 3))

    def value(self, definition: FieldDef) -> bytes:
        """A sound value of a field."""
        if definition.values and definition.tag != 35:
            codes = sorted(definition.values)
            if definition.type.startswith("MULTIPLE"):
                picked = self.random.sample(codes, min(len(codes), self.random.randint(1, 3)))
                return b" ".join(picked)
            return self.random.choice(codes)
        return self.random.choice(SAMPLES[definition.type])


def all_tags(members: Sequence[Member]) -> set[int]:
    """Tags of a level and of all groups below it."""
    tags = {item.tag for item in members}
    for item in members:
        if item.group is not None:
            tags |= all_tags(item.group.members)
    return tags


def as_message(parts: Sequence[Part | tuple[int, bytes]]) -> FixMessage:
    """What decoding the parts gives."""
    fields = tuple((part.tag, part.value) if isinstance(part, Part) else part for part in parts)
    by_tag: dict[int, bytes] = {}
    for tag, value in fields:
        by_tag.setdefault(tag, value)
    return FixMessage(by_tag.get(35, b""), fields, None, by_tag)
