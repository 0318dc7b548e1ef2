"""From the XML of a QuickFIX data dictionary to the lines that `protocols.fix.dictionary` reads.

Deterministic: the same file gives the same bytes. Everything that the checks of messages rely on is
made sure of here, so that they need not look again.
"""

import hashlib
import textwrap
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from itertools import pairwise
from types import MappingProxyType

from protocols.errors import LocalProtocolError
from protocols.fix.dictionary.formats import DATA_TYPES
from protocols.fix.dictionary.load import parse_dictionary
from protocols.fix.dictionary.model import Dictionary, Member

_LINE_LENGTH = 100
_OPEN_SET = "..."

CORRECTIONS: Mapping[str, tuple[Mapping[str, str], tuple[str, ...]]] = MappingProxyType(
    {
        "FIXT.1.1": (
            {"MsgTypeGrp": "384( 372 385 1130 1406 1131 1410 )"},
            (
                "field 384 NUMINGROUP NoMsgTypes",
                "field 385 CHAR MsgDirection R=RECEIVE S=SEND",
                "field 1410 BOOLEAN DefaultVerIndicator N=NO Y=YES",
            ),
        )
    }
)
"""(layouts of components that the XML leaves empty, fields that they need) by version.

Source: FIXT 1.1, Logon, component MsgTypeGrp.
"""


def convert(xml: bytes, file_name: str) -> str:
    """The data file; LocalProtocolError when the XML means something that it cannot say."""
    root = ET.fromstring(xml)  # noqa: S314 - a file that the developer names
    version = _version(root)
    layouts, more_fields = CORRECTIONS.get(version, ({}, ()))
    tags = {_name(item): item.attrib["number"] for item in _section(root, "fields")}
    tags |= {words[3]: words[1] for words in map(str.split, more_fields)}
    lines = [
        f"# Written by `python -m tools.fix_dictionary {file_name}`; do not edit.",
        f"# sha256 of {file_name}: {hashlib.sha256(xml).hexdigest()}",
        f"version {version}",
        " ".join(("header", *_layout(_section(root, "header"), tags))),
        " ".join(("trailer", *_layout(_section(root, "trailer"), tags))),
        " ".join(("data", *_data_pairs(root, tags))),
    ]
    for item in _section(root, "messages"):
        start = ("message", item.attrib["msgtype"], item.attrib["msgcat"], _name(item))
        lines.append(" ".join((*start, *_layout(item, tags))))
    for item in _section(root, "components"):
        layout = layouts.get(_name(item)) or " ".join(_layout(item, tags))
        lines.append(f"component {_name(item)} {layout}".rstrip())
    fields = [*map(_field, _section(root, "fields")), *more_fields]
    lines += sorted(fields, key=lambda line: int(line.split()[1]))
    text = "".join(f"{_wrap(line)}\n" for line in lines)
    check_unambiguous(parse_dictionary(text))
    return text


def check_unambiguous(dictionary: Dictionary) -> None:
    """LocalProtocolError unless a tag says by itself at which level of a message it stands.

    Within a message no tag occurs twice at a level, nor at a level and again in a group below it;
    none of header or trailer occurs in a body. So a group ends where a tag of a level above comes.
    """
    around = frozenset(item.tag for item in (*dictionary.header, *dictionary.trailer))
    _check_level(dictionary.begin_string, dictionary.header, frozenset())
    for message in dictionary.messages.values():
        _check_level(message.name, message.members, around)


def _check_level(where: str, members: tuple[Member, ...], above: frozenset[int]) -> None:
    tags = [item.tag for item in members]
    if len(set(tags)) < len(tags) or above.intersection(tags):
        raise LocalProtocolError(f"{where}: a tag occurs twice, so groups cannot be told apart")
    for item in members:
        if item.group is not None:
            _check_level(where, item.group.members, above.union(tags))


def _version(root: ET.Element) -> str:
    """BeginString, or the application version with its service pack."""
    attributes = root.attrib
    pack = attributes.get("servicepack", "0")
    suffix = "" if pack == "0" else f"SP{pack}"
    return f"{attributes['type']}.{attributes['major']}.{attributes['minor']}{suffix}"


def _section(root: ET.Element, name: str) -> ET.Element:
    """A part of the file, empty when it is not there."""
    found = root.find(name)
    return ET.Element(name) if found is None else found


def _name(item: ET.Element) -> str:
    return item.attrib["name"]


def _layout(parent: ET.Element, tags: Mapping[str, str]) -> Iterator[str]:
    """Words of a member list, as `Layouts` reads them."""
    for item in parent:
        mark = "!" if item.attrib["required"] == "Y" else ""
        if item.tag == "component":
            yield f"@{_name(item)}{mark}"
        elif item.tag == "group":
            yield f"{tags[_name(item)]}{mark}("
            yield from _layout(item, tags)
            yield ")"
        else:
            yield f"{tags[_name(item)]}{mark}"


def _data_pairs(root: ET.Element, tags: Mapping[str, str]) -> Iterator[str]:
    """Length and data tag of each data field, by the length tag: LocalProtocolError without one.

    The length stands just before the data; where no message has the two, it shares the name.
    """
    types = {_name(item): item.attrib["type"] for item in _section(root, "fields")}
    lengths: dict[str, str] = {}
    for section in ("header", "messages", "trailer", "components"):
        for parent in _section(root, section).iter():
            for before, item in pairwise(parent):
                lengths[_name(item)] = _name(before)
    pairs = []
    for name, type_name in types.items():
        if type_name in DATA_TYPES:
            candidates = (lengths.get(name, ""), f"{name}Len", f"{name}Length")
            found = [item for item in candidates if types.get(item) == "LENGTH"]
            if not found:
                raise LocalProtocolError(f"data field {name} has no length field")
            pairs.append((int(tags[found[0]]), tags[name]))
    for length_tag, data_tag in sorted(pairs):
        yield f"{length_tag} {data_tag}"


def _field(item: ET.Element) -> str:
    """One field with its values.

    A value with a space is no value but words for many ("ISO Country Code"): the set is open.
    """
    words = ["field", item.attrib["number"], item.attrib["type"], _name(item)]
    codes = {value.attrib["enum"]: value.attrib["description"] for value in item}
    words += [f"{code}={meaning}" for code, meaning in codes.items() if " " not in code]
    if any(" " in code for code in codes):
        words.append(_OPEN_SET)
    return " ".join(words)


def _wrap(line: str) -> str:
    """Lines of at most 100 characters; those that go on start with a space."""
    if line.startswith("#"):
        return line
    return textwrap.fill(
        line,
        _LINE_LENGTH,
        subsequent_indent=" ",
        break_long_words=False,
        break_on_hyphens=False,
    )
