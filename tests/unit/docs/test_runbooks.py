"""The runbooks speak of what is there: keys of the configuration, labels, events of the log."""

import re
from pathlib import Path

import msgspec
import pytest

from feedhandler.server.config import PatternConfig, ServerConfig
from feedhandler.server.tables import counter_specs

ROOT = Path(__file__).resolve().parents[3]
PAGES = {
    path.stem: path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "docs" / "runbooks").glob("*.md"))
}
SOURCES = "".join(
    path.read_text(encoding="utf-8")
    for folder in ("feedhandler", "oms_out")
    for path in (ROOT / folder).rglob("*.py")
)
LATENCY = PAGES["FeedHandlerLatencyBudgetBreached"]
SUSPECT = PAGES["FeedHandlerBookSuspect"]
LOSS = PAGES["FeedHandlerMessageLoss"]


def keys_of(struct: type[msgspec.Struct]) -> set[str]:
    return {field.name for field in msgspec.structs.fields(struct)}


def sections(struct: type[msgspec.Struct], prefix: str = "") -> dict[str, set[str]]:
    """Keys of every table of the configuration, by the table's full name."""
    found = {}
    for field in msgspec.structs.fields(struct):
        kinds = getattr(field.type, "__args__", (field.type,))
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
                name = f"{prefix}{field.name}"
                found |= {name: keys_of(kind)} | sections(kind, f"{name}.")
    return found


def label_values(name: str, label: str) -> set[str]:
    specs = counter_specs("itch", [], [])
    return {dict(spec.labels)[label] for spec in specs if spec.name == name}


@pytest.mark.parametrize("page", PAGES)
def test_tables_of_the_configuration_that_are_named_exist(page: str):
    named = set(re.findall(r"`\[([\w.]+)\]`", PAGES[page]))
    assert named <= set(sections(ServerConfig))


@pytest.mark.parametrize("page", PAGES)
def test_words_in_code_marks_are_keys_labels_states_or_events_that_exist(page: str):
    """A word with an underscore is a name of ours: of a key, a reason, an event of the log."""
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", PAGES[page]))
    foreign = {"scrape_timeout"}
    tables = (*sections(ServerConfig).values(), keys_of(ServerConfig), keys_of(PatternConfig))
    keys = {key for table in tables for key in table}
    unknown = {
        name
        for name in named - foreign - keys
        if f'"{name}"' not in SOURCES and not name.startswith("feedhandler_")
    }
    assert unknown == set()


def test_the_stages_of_the_latency_page_are_those_with_a_budget():
    stages = label_values("budget_overruns", "stage")
    means = LATENCY.split("## What it means")[1].split("## What to look at")[0]
    assert set(re.findall(r"`(\w+)`", means)) == stages
    keys = set(re.findall(r"`(\w+_ns)`", LATENCY))
    assert keys == sections(ServerConfig)["budgets"] == {f"{stage}_ns" for stage in stages}


def test_settings_that_the_latency_page_gives_are_accepted():
    given = dict(re.findall(r'`(\w+) = "(\w+)"`', LATENCY))
    assert given == {"idle": "spin", "topology": "pipelined"}
    sample = {"feed": {"line_a": {"port": 1}}, "oms": {"store_dir": "x", "allowed": ["OMS1"]}}
    config = msgspec.convert(sample | {"engine": given}, ServerConfig)
    assert (config.engine.idle, config.engine.topology) == ("spin", "pipelined")


def test_the_pages_of_lost_messages_know_every_reason_and_the_snapshot():
    reasons = label_values("messages_dropped", "reason")
    assert {reason for reason in reasons if f"`{reason}`" in LOSS} == reasons
    assert "feedhandler_messages_covered_by_snapshot_total" in LOSS


def test_the_page_of_suspect_books_names_the_drops_that_make_them_suspect_and_no_other():
    causes = SUSPECT.split("four causes:")[1].split("The books are")[0]
    assert set(re.findall(r"`(\w+)`", causes)) == {
        *("unrecovered_gap", "capacity"),
        *("unknown_reference", "duplicate_reference", "bad_value"),
    }
