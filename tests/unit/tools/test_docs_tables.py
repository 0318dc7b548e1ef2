"""Pages that a tool wrote are what it would write now."""

import subprocess
import sys
from pathlib import Path

from protocols.itch50.spec import MESSAGES
from tools.docs_tables import itch50_page

PROJECT = Path(__file__).parents[3]


def test_itch_page_is_up_to_date():
    assert (PROJECT / "docs" / "wire-itch50.md").read_text() == itch50_page()


def test_itch_page_names_every_field_with_its_offset_and_size():
    page = itch50_page()
    for message in MESSAGES:
        section = page.split(f"\n## {message.type}: ")[1].split("\n## ")[0]
        for field in message.fields:
            assert f"| `{field.name}` | {field.offset} | {field.size_bytes} |" in section


def test_tool_prints_the_page():
    command = [sys.executable, "-m", "tools.docs_tables"]
    output = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert output.stdout == itch50_page()
