"""What two configurations differ in, in the words of the file."""

from msgspec import structs

from feedhandler.server.config import (
    EngineConfig,
    FeedConfig,
    GlimpseConfig,
    LineConfig,
    PatternConfig,
    ServerConfig,
)
from feedhandler.server.config_changes import changes_between
from oms_out.config import OmsConfig

BASE = ServerConfig(
    feed=FeedConfig(line_a=LineConfig(port=1), glimpse=GlimpseConfig(port=2, password="a")),
    oms=OmsConfig(store_dir="store", allowed=("OMS1",)),
    patterns=(PatternConfig("one", "own.py:f", {"limit": 1}), PatternConfig("two", "own.py:g")),
)


def changes(**fields: object) -> list[str]:
    return [str(each) for each in changes_between(BASE, structs.replace(BASE, **fields))]


def test_nothing_differs_from_itself():
    assert changes() == []


def test_a_key_is_named_with_both_values():
    assert changes(drain_s=9) == ["drain_s: 4 -> 9"]
    assert changes(engine=EngineConfig(topology="pipelined")) == [
        "engine.topology: inline -> pipelined"
    ]


def test_a_pattern_goes_by_its_name_wherever_it_stands():
    one, two = BASE.patterns
    assert changes(patterns=(two, one)) == []
    louder = structs.replace(one, params={"limit": 2, "more": 3})
    assert changes(patterns=(two, louder)) == [
        "patterns[one].params.limit: 1 -> 2",
        "patterns[one].params.more: none -> 3",
    ]


def test_tables_that_come_and_go_are_one_change_each():
    one, two = BASE.patterns
    assert changes(patterns=(one,)) == ["patterns[two]: given -> none"]
    assert changes(patterns=()) == ["patterns[one]: given -> none", "patterns[two]: given -> none"]
    assert changes(groups={"energy": ("A", "B")}) == ["groups.energy: none -> ['A', 'B']"]
    three = PatternConfig("three", "own.py:h")
    assert changes(patterns=(one, two, three)) == ["patterns[three]: none -> given"]


def test_passwords_stay_out_of_the_log():
    feed = structs.replace(BASE.feed, glimpse=GlimpseConfig(port=2, password="b"))
    assert changes(feed=feed) == ["feed.glimpse.password: (hidden) -> (hidden)"]


def test_a_change_knows_its_table():
    one = BASE.patterns[0]
    (change,) = changes_between(BASE, structs.replace(BASE, patterns=(one,)))
    assert change.table == "patterns"
    (change,) = changes_between(BASE, structs.replace(BASE, drain_s=9))
    assert change.table == "drain_s"
