"""The page on FIX dictionaries is what its tool would write now."""

import subprocess
import sys
from pathlib import Path

from protocols.fix.dictionary.load import VERSIONS, load_dictionary
from tools.docs_fix import fix_dictionaries_page

PROJECT = Path(__file__).parents[3]


def test_fix_page_is_up_to_date():
    page = PROJECT / "docs" / "protocols" / "fix-dictionaries.md"
    assert page.read_text() == fix_dictionaries_page()


def test_fix_page_counts_what_the_dictionaries_have():
    page = fix_dictionaries_page()
    for version in VERSIONS:
        row = next(line for line in page.splitlines() if line.startswith(f"| {version} |"))
        cells = [int(cell) for cell in row.split("|")[2:-1]]
        dictionary = load_dictionary(version)
        assert cells[0] + cells[1] == len(dictionary.messages)
        assert cells[2] == len(dictionary.fields)
        # By its name, a field that counts entries; some count fields are of no message's group.
        counts = [x for x in dictionary.fields.values() if x.name.startswith(("No", "Lines"))]
        assert cells[4] <= len(counts)
        assert cells[5] in range(1, 8)


def test_tool_prints_the_fix_page():
    command = [sys.executable, "-m", "tools.docs_fix"]
    output = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert output.stdout == fix_dictionaries_page()
