"""The page of the replay has a row for everything that a replay counts."""

from dataclasses import fields
from pathlib import Path

from adapters.fix_md.layout import ID_BYTES, NAME_BYTES, Trouble
from tools.replay.fix import ORDERS_MAX, FixCounts

PAGE = (Path(__file__).parents[3] / "docs" / "replay.md").read_text(encoding="utf-8")


def first_cells(title: str) -> set[str]:
    """The names in the first column of the table with this title."""
    rows = PAGE.split(f"| {title} |", 1)[1].split("\n\n")[0].splitlines()[2:]
    return {name.strip(" `") for row in rows for name in row.split("|")[1].split(",")}


def test_every_count_of_fix_has_a_row():
    assert first_cells("key") == {field.name for field in fields(FixCounts)}


def test_every_trouble_has_a_row():
    assert first_cells("trouble") == {trouble.name.lower() for trouble in Trouble}


def test_limits_are_those_of_the_code():
    assert f"more than {NAME_BYTES} characters" in PAGE
    assert f"more than {ID_BYTES} characters" in PAGE
    assert f"beyond {ORDERS_MAX:,} live orders" in PAGE
