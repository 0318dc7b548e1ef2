"""Plays every scenario of tests/acceptance/fix in every version that it is meant for; the language
is described in conversation.py.
"""

from pathlib import Path

import pytest

from protocols.fix.versions import VERSIONS, Version
from tests.acceptance.conversation import Conversation, Scenario, read_scenarios

FOLDER = Path(__file__).parent / "fix"
FILES = {
    "FIX.4.2": ("all_versions", "fix_4_2"),
    "FIX.4.4": ("all_versions", "from_4_4", "fix_4_4"),
    "FIXT.1.1": ("all_versions", "from_4_4", "fixt_1_1"),
}
SCENARIOS_MIN = 70


def scenarios_of(version: Version) -> list[Scenario]:
    names = FILES[version.name]
    return [item for name in names for item in read_scenarios(FOLDER / f"{name}.txt")]


CASES = [(version, item) for version in VERSIONS.values() for item in scenarios_of(version)]


@pytest.mark.parametrize(
    ("version", "scenario"), CASES, ids=[f"{version.name} {item.title}" for version, item in CASES]
)
def test_session_follows_the_conversation(version: Version, scenario: Scenario):
    conversation = Conversation.of(scenario, version)
    for number, line in enumerate(scenario.lines, 1):
        try:
            conversation.play(line)
        except AssertionError as error:
            text = f"{scenario.title}, line {number}: {line}: {error}"
            raise AssertionError(text) from error
    assert not conversation.sent, f"left over: {list(conversation.sent)}"


def test_every_version_has_its_scenarios():
    for version in VERSIONS.values():
        titles = [item.title for item in scenarios_of(version)]
        assert len(titles) >= SCENARIOS_MIN
        assert len(set(titles)) == len(titles), "two scenarios with one title"


def test_every_file_is_played():
    assert {path.stem for path in FOLDER.iterdir()} == {
        n for names in FILES.values() for n in names
    }


def test_every_scenario_expects_something():
    for version, item in CASES:
        words = {line.split(" ")[0] for line in item.lines}
        assert words & {"<", "app", "closed", "open", "told"}, f"{version.name} {item.title}"


def test_every_kind_of_line_is_used():
    words = {line.split(" ")[0] for _, item in CASES for line in item.lines}
    assert words == {
        "set", "rule", "connect", "disconnect", "logged", ">", "<", "raw", "garbled", "send",
        "app", "told", "wait", "logout", "closed", "open",
    }  # fmt: skip
