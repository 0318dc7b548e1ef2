"""Prints docs/wire-itch50.md: `python -m tools.docs_tables > docs/wire-itch50.md`.

A test compares the page with what this prints, so the page cannot fall behind the table.
"""

from collections.abc import Iterator

from protocols.itch50.spec import MESSAGES
from protocols.message import Field, Message

_TITLE = """\
# TotalView-ITCH 5.0 on the wire

Written by `python -m tools.docs_tables` from `protocols/itch50/spec.py`; do not edit.

Integers are unsigned and big-endian. `alpha` is ASCII, left justified, padded with spaces.
`price4` and `price8` are 4 and 8 bytes with as many implied decimals; offsets and sizes are bytes.
Sections are those of the 2023 edition. `blank` is a field of spaces.
"""


def itch50_page() -> str:
    """The whole page: an overview, then one table a message."""
    parts = [_TITLE, "\n".join(_overview()), *("\n".join(_message(item)) for item in MESSAGES)]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _overview() -> Iterator[str]:
    yield "| type | length | name | section |"
    yield "|---|---|---|---|"
    for message in MESSAGES:
        yield f"| `{message.type}` | {message.length} | {message.name} | {message.section} |"


def _message(message: Message) -> Iterator[str]:
    yield f"## {message.type}: {message.name} ({message.length} bytes, section {message.section})"
    yield ""
    if message.note:
        yield message.note
        yield ""
    yield "| field | offset | size | type | values | notes |"
    yield "|---|---|---|---|---|---|"
    for field in message.fields:
        cells = (
            f"`{field.name}`",
            str(field.offset),
            str(field.size_bytes),
            field.type,
            _values(message, field),
            field.note,
        )
        yield "| " + " | ".join(cells) + " |"


def _values(message: Message, field: Field) -> str:
    values = (message.type,) if field.name == "message_type" else field.values
    return " ".join(f"`{value}`" if value else "blank" for value in values)


if __name__ == "__main__":
    print(itch50_page(), end="")
