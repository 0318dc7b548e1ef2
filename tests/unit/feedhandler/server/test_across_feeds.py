"""Patterns over several feeds: what a configuration may say, what is refused and with which words,
and what a reload does with them.
"""

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from feedhandler.core.away import AwayWord, leg_text, leg_word
from feedhandler.core.counts import Count
from feedhandler.core.events import FEED_SHIFT, symbol_word
from feedhandler.server.assemble import build_engines, build_feeds
from feedhandler.server.config import (
    BreakerConfig,
    CorrelationConfig,
    DefinedConfig,
    PatternConfig,
    PriorityConfig,
    ServerConfig,
)
from feedhandler.server.errors import ConfigError
from feedhandler.server.functions import bindings_of, build_stages, load_stages
from feedhandler.server.reload import Reloader
from tests.unit.feedhandler.core.support import add, trade
from tests.unit.feedhandler.server.reload_support import (
    CONFIG,
    OWN,
    SMALL,
    Rig,
    define,
    running,
)

FEEDS = ("nasdaq", "bx", "psx")
THREE = structs.replace(
    CONFIG,
    feed=structs.replace(CONFIG.feed, name=FEEDS[0]),
    feeds=tuple(structs.replace(CONFIG.feed, name=name) for name in FEEDS[1:]),
    groups={"two": ("A", "B")},
)
TWO = structs.replace(
    THREE, feeds=THREE.feeds[:1], engine=structs.replace(SMALL, keep_market="analytics")
)
MORE = """

@pattern(legs=0)
def any_number(ticks, slot, market, legs, params, state, out):
    return len(legs)
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.py"
    path.write_text(OWN + MORE)
    return path


def pattern(own: Path, function: str = "pair", **keys: Any) -> PatternConfig:
    params = {"value": 1, "again": 1} if function == "told" else {}
    return PatternConfig(name="mine", function=f"{own}:{function}", params=params, **keys)


def choices_of(config: ServerConfig) -> list[str]:
    return [" ".join(choice) for choice in bindings_of(config)]


# -- the configuration ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "keys", "choices"),
    [
        ("pair", {"instruments": ("A",), "across": FEEDS[:2]}, ["A@nasdaq A@bx"]),
        (
            "pair",
            {"instruments": ("A",), "across": FEEDS},
            ["A@nasdaq A@bx", "A@nasdaq A@psx", "A@bx A@psx"],
        ),
        (
            "pair",
            {"instruments": ("group:two",), "across": ("bx", "nasdaq")},
            ["A@bx A@nasdaq", "B@bx B@nasdaq"],
        ),
        ("any_number", {"instruments": ("A",), "across": FEEDS}, ["A@nasdaq A@bx A@psx"]),
        ("told", {"instruments": ("A",), "across": FEEDS[1:]}, ["A@bx", "A@psx"]),
        ("told", {"instruments": ("A@bx", "B")}, ["A@bx", "B"]),
        ("pair", {"legs": (("A@bx", "B@nasdaq"), ("A", "B"))}, ["A@bx B@nasdaq", "A B"]),
        (
            "pair",
            {"instruments": ("A",), "across": FEEDS[:2], "legs": (("A", "B"),)},
            ["A@nasdaq A@bx", "A B"],
        ),
        # A symbol with an @ of its own is named with its feed.
        ("told", {"instruments": ("A@@bx",)}, ["A@@bx"]),
    ],
)
def test_choices_may_name_feeds(own: Path, function: str, keys: dict[str, Any], choices: list[str]):
    config = structs.replace(THREE, patterns=(pattern(own, function, **keys),))
    assert choices_of(config) == choices


def test_definitions_and_correlations_may_name_feeds():
    config = structs.replace(
        THREE,
        definitions=(
            DefinedConfig("here", when="a.bid_qty > b.bid_qty", legs=("a", "b"),
                          instruments=("A",), across=FEEDS[:2]),
        ),
        correlations=(CorrelationConfig("kept", legs=(("A@psx", "B@bx"),)),),
    )  # fmt: skip
    assert choices_of(config) == ["A@nasdaq A@bx", "A@psx B@bx"]


def test_a_leg_is_shown_as_a_configuration_names_it():
    assert leg_text(leg_word("ABCDEFGH", 1), FEEDS) == "ABCDEFGH@bx"
    assert leg_text(symbol_word("A"), FEEDS) == "A"


@pytest.mark.parametrize(
    ("function", "keys", "reason"),
    [
        ("pair", {"legs": (("A@nasdaq", "A@byx"),)},
         "A@byx: no feed is named 'byx'; there is nasdaq, bx, psx"),
        ("pair", {"legs": (("A@nasdaq", "A@"),)}, "A@: no feed is named ''; there is nasdaq"),
        ("pair", {"instruments": ("A",), "across": ("nasdaq", "byx")}, "no feed is named 'byx'"),
        ("pair", {"legs": (("A@bx", "B"),)},
         "A@bx, B: say of each of them which feed it is on, as in A@nasdaq, or of none"),
        ("pair", {"legs": (("A", "B@bx"),)}, "as in A@nasdaq, or of none"),
        ("pair", {"legs": (("A@bx", "A@bx"),)}, "A@bx, A@bx: a symbol is named twice"),
        ("pair", {"instruments": ("A",), "across": ("bx", "bx")}, "A@bx: a symbol is named twice"),
        ("pair", {"across": FEEDS}, r"across: name the symbols by instruments = \[\.\.\.\]"),
        ("pair", {"legs": (("A", "B"),), "across": FEEDS}, "across: name the symbols by instr"),
        ("pair", {"instruments": ("A",), "across": FEEDS[:1]},
         "across: .*:pair looks at 2 feeds together; name so many of them or more"),
        ("pair", {"instruments": ("A@bx",), "across": FEEDS[:2]},
         "A@bx@nasdaq: it names two feeds; leave one out, and with across name the symbol alone"),
        ("pair", {"instruments": ("group:six",), "across": FEEDS}, "no group is named 'six'"),
        ("pair", {"legs": (("ABCDEFGHI@bx", "A@psx"),)},
         "'ABCDEFGHI' is no symbol: it has 1 to 8 characters"),
        ("pair", {"legs": (("@bx", "A@psx"),)}, "'' is no symbol: it has 1 to 8 characters"),
        ("told", {"instruments": ("ABCDEFGHI",)}, "'ABCDEFGHI' is no symbol"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(
    own: Path, function: str, keys: dict[str, Any], reason: str
):
    config = structs.replace(THREE, patterns=(pattern(own, function, **keys),))
    with pytest.raises(ConfigError, match=rf"^patterns\[0\] 'mine': .*{reason}"):
        load_stages(config)


def test_a_breaker_looks_at_one_feed(own: Path):
    for symbol, reason in (("A@bx", "name symbols without @FEED"), ("A@byx", "is named 'byx'")):
        quiet = BreakerConfig("b", f"{own}:quiet", {"limit": 1}, instruments=(symbol,))
        with pytest.raises(ConfigError, match=rf"^breakers\[0\] 'b': .*{reason}"):
            load_stages(structs.replace(THREE, breakers=(quiet,)))


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"sectors": {"tech": ("A@bx",)}}, "sectors: 'A@bx': a symbol is that of every feed"),
        ({"priority": PriorityConfig(watch={"A@bx": 5})}, "priority.watch: 'A@bx': .*; say 'A'"),
        (
            {"priority": PriorityConfig(watch={"group:two": 5}), "groups": {"two": ("A@bx",)}},
            "priority.watch: 'A@bx'",
        ),
    ],
)
def test_a_feed_is_named_only_where_patterns_choose(keys: dict[str, Any], reason: str):
    with pytest.raises(ValueError, match=reason):
        structs.replace(THREE, **keys)


def test_a_group_and_a_watched_symbol_of_one_name_are_two_things():
    keys = {"priority": PriorityConfig(watch={"two": 5}), "groups": {"two": ("A@bx",)}}
    assert structs.replace(THREE, **keys).groups["two"] == ("A@bx",)


def test_a_sector_of_what_is_no_symbol_is_refused():
    config = structs.replace(THREE, sectors={"tech": ("ABCDEFGHI",)})
    with pytest.raises(ConfigError, match=r"^sectors\.tech: 'ABCDEFGHI' is no symbol"):
        load_stages(config)


def test_a_server_with_one_feed_needs_no_memory_for_others(own: Path):
    config = structs.replace(CONFIG, patterns=(pattern(own, legs=(("A@itch", "B@itch"),)),))
    (shard,) = build_engines(config, load_stages(config))
    assert shard.away.words[AwayWord.ROOM] == 0
    assert shard.patterns.symbols[:2].tolist() == [symbol_word("A"), symbol_word("B")]


# -- a reload -------------------------------------------------------------------------------------


def with_patterns(*patterns: PatternConfig, config: ServerConfig = TWO) -> ServerConfig:
    return structs.replace(config, patterns=patterns)


def legs_told(rig: Rig, feed: int) -> list[tuple[int, ...]]:
    """Legs and how often the pattern was called for them, of every signal of a feed so far."""
    return [(*row["legs"][:2].tolist(), int(row["value_2"])) for row in rig.engines[feed].signals()]


def over_feeds(own: Path, *names: str, across: tuple[str, ...] = FEEDS[:2]) -> PatternConfig:
    return pattern(own, instruments=names, across=across)


def open_both(rig: Rig) -> None:
    """A and B on both feeds: instruments 1 and 2 of the first, 3 and 4 of the second."""
    for feed, first in ((1, 3), (0, 1)):
        for at, name in enumerate("AB", first):
            bid = add(at, "B", 1, 1_000_000, locate=at, symbol=name)
            rig.engines[feed].feed([define(name, at), bid])
            rig.engines[0].work()


THERE = 1 << FEED_SHIFT


async def test_a_reload_brings_a_choice_over_feeds_and_one_that_stays_keeps_its_state(own: Path):
    async with running(with_patterns(over_feeds(own, "A"))) as rig:
        here, there = rig.engines
        open_both(rig)
        calls = legs_told(rig, 0)[-1][-1]
        assert legs_told(rig, 1) == []
        await rig.reload(with_patterns(over_feeds(own, "B", "A")))
        # Nobody has named a symbol since: both are looked at as soon as something happens.
        here.feed([trade(1, 5, locate=1), trade(1, 5, locate=2)])
        found = legs_told(rig, 0)
        # The other feed's prices are known again, and nobody is told of what did not change.
        assert [row for row in found if row[0] == 1] == [(1, 3 + THERE, calls + 1)]
        assert {row[:2] for row in found if row[0] == 2} == {(2, 4 + THERE)}
        there.feed([trade(1, 5, locate=4)])
        here.work()
        assert {row[:2] for row in legs_told(rig, 0)} <= {(2, 4 + THERE)}
        assert legs_told(rig, 1) == []


async def test_a_choice_over_feeds_goes_by_a_reload_to_the_other_feeds_engine(own: Path):
    async with running(with_patterns(over_feeds(own, "A"))) as rig:
        here, there = rig.engines
        open_both(rig)
        legs_told(rig, 0)
        await rig.reload(with_patterns(over_feeds(own, "A", across=("bx", "nasdaq"))))
        told = here.count(Count.AWAY_QUOTES)
        there.feed([trade(1, 5, locate=3)])
        here.feed([trade(1, 5, locate=1)])
        assert legs_told(rig, 0) == []
        assert {row[:2] for row in legs_told(rig, 1)} == {(3 + THERE, 1)}
        assert here.count(Count.AWAY_QUOTES) == told
        await rig.reload(with_patterns())
        there.feed([trade(1, 5, locate=3)])
        assert legs_told(rig, 1) == []


async def test_a_symbol_that_looks_like_a_leg_on_another_feed_is_none(own: Path):
    async with running(with_patterns(over_feeds(own, "A"))) as rig:
        here = rig.engines[0]
        open_both(rig)
        calls = legs_told(rig, 0)[-1][-1]
        # No symbol of a configuration has such bytes; a feed may send any.
        here.shard.instruments[5]["symbol"] = leg_word("A", 1)
        await rig.reload(with_patterns(over_feeds(own, "C", "A")))
        here.feed([trade(1, 5, locate=5), trade(1, 5, locate=1)])
        assert legs_told(rig, 0) == [(1, 3 + THERE, calls + 1)]


async def test_what_there_is_no_room_for_is_refused_and_nothing_changes(own: Path):
    engine = structs.replace(TWO.engine, reload_bindings=1)
    config = structs.replace(TWO, engine=engine)
    # Room for one binding more, which is room for four legs on other feeds.
    five = pattern(own, "any_number", legs=(tuple(f"{name}@bx" for name in "CDEFG"),))
    nasdaq = structs.replace(five, legs=(("A@nasdaq", *five.legs[0]),))
    reason = (
        "no room for these functions: 5 instruments on other feeds are needed, there is room for 4;"
        " raise reload_bindings in .engine. and restart"
    )
    async with running(with_patterns(config=config)) as rig:
        await rig.reload(with_patterns(over_feeds(own, "A"), config=config))
        with pytest.raises(ConfigError, match=reason):
            await rig.reload(with_patterns(nasdaq, config=config))
        open_both(rig)
        assert {row[:2] for row in legs_told(rig, 0)} == {(1, 3 + THERE)}


async def test_several_shards_take_a_new_choice_only_where_it_has_one_leg_of_a_feed(own: Path):
    engine = structs.replace(TWO.engine, shards=2, topology="pipelined")
    config = structs.replace(TWO, engine=engine)
    loaded = load_stages(config)
    shards = [shard for made in build_feeds(config, loaded) for shard in made[1:]]
    reloader = Reloader(config, loaded, build_stages(loaded), shards, frozenset())
    for legs, is_good in (
        (("A@nasdaq", "A@bx"), True),
        (("A@bx", "B@nasdaq"), True),
        (("A@nasdaq", "B@nasdaq"), False),
        (("A", "B"), False),
    ):
        patterns = load_stages(structs.replace(config, patterns=(pattern(own, legs=(legs,)),)))
        if is_good:
            reloader._check_legs(patterns.patterns)
        else:
            with pytest.raises(ConfigError, match="no choice of several instruments of a feed can"):
                reloader._check_legs(patterns.patterns)
