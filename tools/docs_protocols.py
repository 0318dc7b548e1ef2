"""Writes the tables and state diagrams of docs/protocols/*.md: `python -m tools.docs_protocols`.

Layouts come from the tables in `spec.py`, diagrams from the transition tables of the sessions. A
test compares the pages with what this writes, so they cannot fall behind.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import TypeVar

from protocols.glimpse import session as glimpse
from protocols.glimpse import splice
from protocols.glimpse.spec import END_OF_SNAPSHOT
from protocols.message import Message
from protocols.moldudp64 import receiver, sender
from protocols.moldudp64.spec import DOWNSTREAM_HEADER, REQUEST
from protocols.soupbintcp import resume, session
from protocols.soupbintcp import spec as soup
from tools.marked_page import fill_in_parts

States = TypeVar("States", bound=Enum)
Steps = TypeVar("Steps", bound=Enum)
FOLDER = Path(__file__).resolve().parent.parent / "docs" / "protocols"


def parts_by_page() -> dict[str, dict[str, str]]:
    """What stands between the markers of each page, by the page's name and the marker's."""
    return {
        "moldudp64.md": {
            "layouts": layouts((DOWNSTREAM_HEADER, REQUEST)),
            "receiver-states": state_diagram(receiver.TRANSITIONS),
            "sender-states": state_diagram(sender.TRANSITIONS),
        },
        "soupbintcp.md": {
            "packets": packet_table(soup.PACKETS),
            "layouts": layouts(soup.MESSAGES),
            "session-states": state_diagram(session.TRANSITIONS),
            "link-states": state_diagram(resume.LINK_TRANSITIONS),
        },
        "glimpse.md": {
            "layouts": layouts((END_OF_SNAPSHOT,)),
            "snapshot-states": state_diagram(glimpse.TRANSITIONS),
            "splice-states": state_diagram(splice.TRANSITIONS),
        },
    }


def fill_in(name: str, page: str) -> str:
    """`page` with its generated parts written anew."""
    return fill_in_parts(page, parts_by_page()[name], f"docs/protocols/{name}")


def layouts(messages: Iterable[Message]) -> str:
    """A table of fields for each message."""
    lines = []
    for message in messages:
        lines += [
            f"**{message.name}**, {message.length} bytes, section {message.section}",
            "",
            "| field | offset | size | type | notes |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| `{item.name}` | {item.offset} | {item.size_bytes} | {item.type} | {item.note} |"
            for item in message.fields
        ]
        lines.append("")
    return "\n".join(lines)


def packet_table(packets: Iterable[soup.PacketType]) -> str:
    """A row for each packet."""
    lines = [
        "| type | packet | from | length field | since | section | notes |",
        "|---|---|---|---|---|---|---|",
    ]
    for packet in packets:
        lengths = ", ".join(map(str, packet.lengths)) or "any"
        version = f"{packet.since // 100}.{packet.since % 100:02}"
        lines.append(
            f"| `{chr(packet.code)}` | {packet.name} | {packet.sender.value} | {lengths} "
            f"| {version} | {packet.section} | {packet.note} |"
        )
    return "\n".join(lines) + "\n"


def state_diagram(transitions: Mapping[States, Mapping[Steps, States]]) -> str:
    """A transition table as a Mermaid diagram; a step that changes nothing is left out."""
    first = next(iter(transitions))
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {first.name}"]
    lines += [
        f"    {state.name} --> {after.name} : {step.name}"
        for state, steps in transitions.items()
        for step, after in steps.items()
        if after is not state
    ]
    return "\n".join([*lines, "```", ""])


if __name__ == "__main__":
    for page_name in parts_by_page():
        path = FOLDER / page_name
        path.write_text(fill_in(page_name, path.read_text(encoding="utf-8")), encoding="utf-8")
