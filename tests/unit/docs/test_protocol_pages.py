"""The protocol pages have the tables and diagrams of the code."""

import re

import pytest

from protocols.moldudp64.receiver import TRANSITIONS
from protocols.soupbintcp.spec import MESSAGES, PACKETS
from tools.docs_protocols import FOLDER, fill_in, parts_by_page, state_diagram
from tools.marked_page import fill_in_parts


@pytest.mark.parametrize("name", list(parts_by_page()))
def test_the_page_is_up_to_date(name: str):
    page = (FOLDER / name).read_text(encoding="utf-8")
    assert page == fill_in(name, page), "run python -m tools.docs_protocols"


def test_a_diagram_has_every_transition_that_leads_elsewhere():
    shown = set(
        re.findall(r"^    (\w+) --> (\w+) : (\w+)$", state_diagram(TRANSITIONS), re.MULTILINE)
    )
    assert shown == {
        (state.name, after.name, step.name)
        for state, steps in TRANSITIONS.items()
        for step, after in steps.items()
    }


def test_every_packet_and_every_field_of_soupbintcp_has_a_row():
    page = (FOLDER / "soupbintcp.md").read_text(encoding="utf-8")
    for packet in PACKETS:
        assert f"\n| `{chr(packet.code)}` | {packet.name} | {packet.sender.value} | " in page
    for message in MESSAGES:
        section = page.split(f"**{message.name}**")[1].split("**")[0]
        for field in message.fields:
            assert f"| `{field.name}` | {field.offset} | {field.size_bytes} |" in section


def test_a_page_without_its_markers_is_an_error():
    with pytest.raises(ValueError, match=r"page\.md: no marker <!-- begin x -->"):
        fill_in_parts("# A page\n", {"x": "text"}, "page.md")
