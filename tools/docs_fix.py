"""Prints docs/protocols/fix-dictionaries.md: `python -m tools.docs_fix > …`.

A test compares the page with what this prints, so the page cannot fall behind the dictionaries.
"""

from collections.abc import Iterator
from dataclasses import fields

from protocols.fix.dictionary.check import ValidationRules
from protocols.fix.dictionary.load import VERSIONS, load_dictionary
from protocols.fix.dictionary.model import Dictionary, GroupDef, Member

_TITLE = """\
# FIX data dictionaries

Written by `python -m tools.docs_fix` from `protocols/fix/dictionary`; do not edit.

A data dictionary says which messages a version has, which fields and repeating groups are in each,
which of them are required, and what values look like. `load_dictionary("FIX.4.4")` gives one,
`check_message` holds a message against it, `read_tree` and `groups` give the entries of repeating
groups with the names of fields. Over FIXT.1.1, header, trailer and session messages come from
FIXT.1.1 and all others from FIX.5.0SP2. The [data files](../../protocols/fix/dictionary/data) are
one statement a line; their [source](../../protocols/fix/dictionary/data/README.md) and the tool
that makes them are named there.
"""

_COUNTS = """\
## Versions

A group is counted once by the field that counts its entries, however many messages have it. Depth
is how far groups nest.
"""

_REASONS = """\
## What is checked

The first fault of a message is told, with its SessionRejectReason (373) and RefTagID (371). First
comes what decoding finds, then an unknown MsgType, then fields out of order, then missing fields,
then everything else in the order of the wire.

| 373 | fault | 371 |
|---|---|---|
| 0 | a tag that no dictionary has, or that is no number | the tag |
| 1 | a required field is missing: of header, trailer, body, or an entry of a group | the field |
| 2 | a field of other messages, or of a group that it is outside of | the field |
| 3 | as 0 for a sound number, when `tell_undefined_from_invalid` is set | the tag |
| 4 | a field without a value | the field |
| 5 | a value that is none of those listed; each of several separated by spaces | the field |
| 6 | a value that does not look like its type, or data that do not fit their length | the field |
| 11 | a MsgType that no dictionary has, unless it starts with U (user-defined) | none |
| 13 | a field twice outside of a group | the field |
| 14 | header, body and trailer mixed, or the first three or CheckSum elsewhere | the late field |
| 15 | an entry that does not begin with its first field, or is in another order | the field |
| 16 | a group with more or fewer entries than its count says | the count |

A component that is optional asks for nothing: its required fields are required only where the
component is. A user-defined message has its header and trailer checked, and the values of fields
that the dictionary has.
"""

_RULES = """\
## Settings

`ValidationRules` switches checks off; the names are those of QuickFIX's settings.

| setting | default |
|---|---|
"""


def fix_dictionaries_page() -> str:
    """The whole page."""
    rules = [f"| `{item.name}` | {item.default} |\n" for item in fields(ValidationRules)]
    counts = "\n".join(_counts())
    return f"{_TITLE}\n{_COUNTS}\n{counts}\n\n{_REASONS}\n{_RULES}{''.join(rules)}"


def _counts() -> Iterator[str]:
    yield "| version | session messages | application messages | fields | values | groups | depth |"
    yield "|---|---|---|---|---|---|---|"
    for version in VERSIONS:
        dictionary = load_dictionary(version)
        admin_count = sum(item.is_admin for item in dictionary.messages.values())
        groups = list(_groups(dictionary))
        cells = (
            version,
            admin_count,
            len(dictionary.messages) - admin_count,
            len(dictionary.fields),
            sum(len(item.values) for item in dictionary.fields.values()),
            len({group.count_tag for group, _ in groups}),
            max(depth for _, depth in groups) if groups else 0,
        )
        yield "| " + " | ".join(map(str, cells)) + " |"


def _groups(dictionary: Dictionary) -> Iterator[tuple[GroupDef, int]]:
    """Groups of header, trailer and all messages, each with its depth from 1."""
    levels = [dictionary.header, dictionary.trailer]
    levels += [item.members for item in dictionary.messages.values()]
    for members in levels:
        yield from _nested(members, 1)


def _nested(members: tuple[Member, ...], depth: int) -> Iterator[tuple[GroupDef, int]]:
    for item in members:
        if item.group is not None:
            yield item.group, depth
            yield from _nested(item.group.members, depth + 1)


if __name__ == "__main__":
    print(fix_dictionaries_page(), end="")
