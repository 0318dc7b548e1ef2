"""Prints the pages of the wire formats that are tables: `python -m tools.docs_tables itch50` is
docs/wire-itch50.md, `ouch42` is docs/wire-ouch42.md.

A test compares the pages with what this prints, so a page cannot fall behind its table.
"""

import sys
from collections.abc import Callable, Iterable, Iterator

from adapters.fix_md import spec as fix_md
from protocols.itch50 import spec as itch50
from protocols.message import Field, Message
from protocols.ouch42 import spec as ouch42

_TYPES = """\
Integers are unsigned and big-endian. `alpha` is ASCII, left justified, padded with spaces.
`price4` and `price8` are 4 and 8 bytes with as many implied decimals; offsets and sizes are bytes.
"""

_ITCH50 = f"""\
# TotalView-ITCH 5.0 on the wire

Written by `python -m tools.docs_tables itch50` from `protocols/itch50/spec.py`; do not edit.

{_TYPES}Sections are those of the 2023 edition. `blank` is a field of spaces.
"""

_OUCH42 = f"""\
# OUCH 4.2 on the wire

Written by `python -m tools.docs_tables ouch42` from `protocols/ouch42/spec.py`; do not edit.

{_TYPES}Sections are the chapters of the edition of July 2019. Clients send SoupBinTCP Unsequenced
Data, the host sends Sequenced Data; a letter may be another message each way.
"""


_FIX_MD = f"""\
# Records of FIX market data

Written by `python -m tools.docs_tables fix_md` from `adapters/fix_md/spec.py`; do not edit.

{_TYPES}
A record is one change of one book, made from an entry of a W or X as [replay.md](replay.md) says.
Records travel in MoldUDP64 packets, behind their lengths, like the messages of any other venue;
`kind`, `flags` and `status` are the numbers of `Kind`, `Flag` and `Clear` in
`feedhandler/core/events.py`.
"""


def fix_md_page() -> str:
    """The page of the records that FIX market data becomes."""
    return _page(_FIX_MD, _message(fix_md.RECORD))


def itch50_page() -> str:
    """The page of ITCH 5.0: an overview, then one table a message."""
    return _page(_ITCH50, _overview(itch50.MESSAGES), *map(_message, itch50.MESSAGES))


def ouch42_page() -> str:
    """The page of OUCH 4.2: for each way an overview, then one table a message."""
    ways = (("Client to host", ouch42.INBOUND), ("Host to client", ouch42.OUTBOUND))
    parts: list[Iterable[str]] = []
    for title, messages in ways:
        parts += [(f"## {title}",), _overview(messages)]
        parts += [_message(item, "###") for item in messages]
    return _page(_OUCH42, *parts)


PAGES: dict[str, Callable[[], str]] = {
    "itch50": itch50_page,
    "ouch42": ouch42_page,
    "fix_md": fix_md_page,
}
"""What can be printed, by the word that asks for it; the page is docs/wire-<word>.md."""


def _page(title: str, *parts: Iterable[str]) -> str:
    texts = [title, *("\n".join(part) for part in parts)]
    return "\n".join(text.rstrip("\n") + "\n" for text in texts)


def _overview(messages: Iterable[Message]) -> Iterator[str]:
    yield "| type | length | name | section |"
    yield "|---|---|---|---|"
    for message in messages:
        yield f"| `{message.type}` | {message.length} | {message.name} | {message.section} |"


def _message(message: Message, rank: str = "##") -> Iterator[str]:
    title = f"{message.type}: {message.name} ({message.length} bytes, section {message.section})"
    yield f"{rank} {title}"
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
    if len(sys.argv) != 2 or sys.argv[1] not in PAGES:
        sys.exit(f"usage: python -m tools.docs_tables {'|'.join(PAGES)}")
    print(PAGES[sys.argv[1]](), end="")
