"""Pages that a tool wrote are what it would write now."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from protocols.itch50 import spec as itch50
from protocols.message import Message
from protocols.ouch42 import spec as ouch42
from tools.docs_tables import PAGES

PROJECT = Path(__file__).parents[3]
BY_PAGE = pytest.mark.parametrize("word", PAGES)


def tool(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.docs_tables", *words]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)


@BY_PAGE
def test_page_is_up_to_date(word: str):
    assert (PROJECT / "docs" / f"wire-{word}.md").read_text() == PAGES[word]()


@pytest.mark.parametrize(
    ("page", "messages"),
    [
        (PAGES["itch50"](), itch50.MESSAGES),
        (PAGES["ouch42"]().split("\n## Host to client")[0], ouch42.INBOUND),
        (PAGES["ouch42"]().split("\n## Host to client")[1], ouch42.OUTBOUND),
    ],
)
def test_page_names_every_field_with_its_offset_and_size(page: str, messages: Sequence[Message]):
    for message in messages:
        rest = page.split(f"## {message.type}: ")[1]
        section = re.split(r"\n###? ", rest, maxsplit=1)[0]
        assert section.startswith(message.name)
        for field in message.fields:
            assert f"| `{field.name}` | {field.offset} | {field.size_bytes} |" in section


@BY_PAGE
def test_tool_prints_the_page(word: str):
    assert tool(word).stdout == PAGES[word]()


@pytest.mark.parametrize("words", [(), ("itch40",), ("itch50", "ouch42")])
def test_tool_asks_for_the_page(words: tuple[str, ...]):
    done = tool(*words)
    assert done.returncode != 0
    assert "itch50|ouch42" in done.stderr
