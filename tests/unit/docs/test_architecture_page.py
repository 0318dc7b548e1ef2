"""What the architecture page lists is what the code has."""

import re
from pathlib import Path

from feedhandler.core.states import State
from feedhandler.server.tables import counter_specs
from oms_out.contract import SignalTag

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_the_table_of_states_is_complete():
    listed = re.findall(r"^\| ([A-Z]+) \| (\d+) \|", PAGE, re.MULTILINE)
    assert listed == [(state.name, str(int(state))) for state in State]


def test_states_that_a_row_leads_to_exist():
    rows = re.findall(r"^\| [A-Z]+ \| \d+ \|.*\|(.*)\|$", PAGE, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"\b[A-Z]{3,}\b", row)}
    assert named
    assert named <= {state.name for state in State}


def test_the_reasons_of_drops_are_those_that_are_counted():
    specs = counter_specs("itch", [], [])
    counted = {dict(spec.labels)["reason"] for spec in specs if spec.name == "messages_dropped"}
    sentence = PAGE.split("The reasons:")[1].split("The demo")[0]
    assert set(re.findall(r"`(\w+)`", sentence)) == counted


def test_every_tag_of_a_signal_is_listed():
    listed = {int(tag) for tag in re.findall(r"^\| (50\d\d) \|", PAGE, re.MULTILINE)}
    assert listed == {int(tag) for tag in SignalTag}


def test_files_that_are_named_exist():
    named = set(
        re.findall(r"`((?:core|server|adapters|oms_out|tools|protocols)/[\w/]+\.py)`", PAGE)
    )
    assert len(named) > 10
    for name in named:
        inside = ROOT / "feedhandler" / name if name.startswith(("core", "server")) else ROOT / name
        assert inside.is_file(), name
