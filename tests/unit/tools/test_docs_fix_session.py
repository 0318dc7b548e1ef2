"""The page of the FIX session is what its tool would write now, and the diagram is the table."""

import re
import subprocess
import sys
from pathlib import Path

from protocols.fix.states import MEANINGS, TRANSITIONS, State, Step
from protocols.fix.versions import VERSIONS
from tools.docs_fix_session import fix_session_page

PROJECT = Path(__file__).parents[3]
PAGE = (PROJECT / "docs" / "protocols" / "fix-session.md").read_text(encoding="utf-8")


def test_page_is_up_to_date():
    assert fix_session_page() == PAGE


def test_tool_prints_the_page():
    command = [sys.executable, "-m", "tools.docs_fix_session"]
    output = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert output.stdout == PAGE


def test_the_diagram_has_every_transition_that_leads_somewhere_else():
    drawn = set(re.findall(r"^    (\w+) --> (\w+): (\w+)$", PAGE, re.MULTILINE))
    assert drawn == {
        (state.name, following.name, step.name)
        for state, steps in TRANSITIONS.items()
        for step, following in steps.items()
        if state is not following
    }


def test_every_state_and_step_says_what_it_means():
    assert set(MEANINGS) == {*State, *Step}


def test_every_version_has_its_column():
    assert PAGE.count("| " + " | ".join(item.name for item in VERSIONS.values()) + " |") == 2
