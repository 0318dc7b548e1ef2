"""A configuration read again while functions are called: what changes, what stays, what is refused
as a whole.
"""

import asyncio
import gc
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from feedhandler.core import calls
from feedhandler.core.counts import FUNCTIONS_MAX, Count
from feedhandler.core.functions import Bound, Fn, Off
from feedhandler.core.shard import Control
from feedhandler.server.config import (
    BreakerConfig,
    DefinedConfig,
    PatternConfig,
    ServerConfig,
)
from feedhandler.server.errors import ConfigError, UnavailableError
from tests.unit.feedhandler.core.support import add, trade
from tests.unit.feedhandler.server.hub_support import until
from tests.unit.feedhandler.server.reload_support import CONFIG, OWN, SMALL, Rig, define, running


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return path


def edit(own: Path, before: str, after: str) -> None:
    own.write_text(OWN.replace(before, after))


def told(own: Path, name: str = "told", value: int = 1, **more: Any) -> PatternConfig:
    params = {"value": value, "again": value}
    return PatternConfig(name=name, function=f"{own}:told", params=params, **more)


def pair(own: Path, *legs: tuple[str, str]) -> PatternConfig:
    return PatternConfig(name="pair", function=f"{own}:pair", legs=legs)


def with_patterns(*patterns: PatternConfig, **more: Any) -> ServerConfig:
    return structs.replace(CONFIG, patterns=patterns, **more)


async def test_new_parameters_hold_from_the_next_tick_on_and_the_state_stays(own: Path):
    async with running(with_patterns(told(own))) as rig:
        rig.engine.feed([trade(1, 5)])
        changes = await rig.reload(with_patterns(told(own, value=2)))
        rig.engine.feed([trade(1, 5)])
        assert rig.values() == [(0, 1, 1, 1), (0, 2, 2, 2)]
        assert changes == [
            "patterns[told].params.value: 1 -> 2",
            "patterns[told].params.again: 1 -> 2",
        ]


async def test_a_parameter_that_the_state_was_made_with_clears_it(own: Path):
    edit(own, '@pattern("value", "again"', '@pattern("value", "again", begins_anew=("again",)')
    base = told(own)
    async with running(with_patterns(base)) as rig:
        rig.engine.feed([trade(1, 5)])
        for again in (1, 2):
            params = {"value": 2, "again": again}
            await rig.reload(with_patterns(structs.replace(base, params=params)))
            rig.engine.feed([trade(1, 5)])
        assert [values[-1] for values in rig.values()] == [1, 2, 1]


async def test_a_reload_that_changes_nothing_says_so(own: Path):
    async with running(with_patterns(told(own))) as rig:
        assert await rig.reload(with_patterns(told(own))) == []


async def test_patterns_come_and_go_and_keep_their_numbers(own: Path):
    async with running(with_patterns(told(own, "a"), told(own, "b", 2))) as rig:
        await rig.reload(with_patterns(told(own, "b", 2), told(own, "c", 3)))
        assert rig.names[-1].patterns == ["", "b", "c"]
        assert rig.names[-1].senders == ["a", "b", "c"], "signals of a may be on their way"
        rig.engine.feed([trade(1, 5)])
        assert rig.values() == [(1, 2, 2, 1), (2, 3, 3, 1)]
        await rig.reload(with_patterns(told(own, "c", 3)))
        rig.engine.feed([trade(1, 5)])
        assert rig.values() == [(2, 3, 3, 2)]


async def test_who_gets_the_number_of_another_counts_and_remembers_from_the_beginning(own: Path):
    many = [told(own, f"p{i}", i) for i in range(FUNCTIONS_MAX)]
    async with running(with_patterns(*many)) as rig:
        rig.engine.feed([trade(1, 5)])
        assert rig.engine.count(Count.PATTERN_SIGNALS) == 1
        with pytest.raises(ConfigError, match="have been in use up to now"):
            await rig.reload(with_patterns(*many[1:], told(own, "new", 9)))
        await rig.reload(with_patterns(*many[1:]))
        await rig.reload(with_patterns(*many[1:], told(own, "new", 9)))
        assert rig.engine.count(Count.PATTERN_SIGNALS) == 0
        assert rig.engine.count(Count.PATTERN_SIGNALS + 1) == 1
        rig.engine.signals()
        rig.engine.feed([trade(1, 5)])
        assert rig.values()[0] == (0, 9, 9, 1)
        assert rig.names[-1].senders[0] == "new"


def word(symbol: str) -> int:
    return int.from_bytes(symbol.encode().ljust(8), "little")


async def test_bindings_change_and_those_that_stay_keep_their_state_and_instruments(own: Path):
    names = [define(name, number) for number, name in enumerate(("A", "B", "C", "D"), 1)]
    async with running(with_patterns(pair(own, ("A", "B"), ("C", "D")))) as rig:
        rig.engine.feed(names)
        rig.engine.feed([trade(1, 5, locate=1), trade(1, 5, locate=4)])
        assert rig.values()[-2:] == [(0, 1, 2, 2), (0, 3, 4, 2)]
        await rig.reload(with_patterns(pair(own, ("B", "C"), ("A", "B"))))
        # Nobody has named a symbol since, and both bindings are whole.
        rig.engine.feed([trade(1, 5, locate=2)])
        assert sorted(rig.values()) == [(0, 1, 2, 3), (0, 2, 3, 1)]
        rig.engine.feed([trade(1, 5, locate=4)])
        assert rig.values() == []


async def test_a_symbol_that_is_named_after_a_reload_is_bound_then(own: Path):
    engine = structs.replace(SMALL, keep_market="analytics")
    async with running(with_patterns(engine=engine)) as rig:
        await rig.reload(with_patterns(pair(own, ("A", "B")), engine=engine))
        rig.engine.feed([define("A", 1), define("B", 2), trade(1, 5, locate=1)])
        assert [row[1:3] for row in rig.values()] == [(1, 2), (1, 2)]


async def test_a_function_whose_file_was_edited_begins_anew(own: Path):
    async with running(with_patterns(told(own))) as rig:
        rig.engine.feed([trade(1, 5)])
        edit(own, "params[0]", "params[0] + 100")
        changes = await rig.reload(with_patterns(told(own)))
        assert changes == ["patterns[0] 'told': the function is another one"]
        rig.engine.feed([trade(1, 5)])
        assert rig.values() == [(0, 1, 1, 1), (0, 101, 1, 1)]


async def test_definitions_are_reloaded_as_patterns_are(own: Path):
    low = DefinedConfig(name="buys", when="qty > 4", legs=("a",))
    high = structs.replace(low, when="qty > 6")
    config = with_patterns(told(own), definitions=(low,))
    async with running(config) as rig:
        rig.engine.feed([add(1, "S", 9, 100)])
        rig.values()
        await rig.reload(structs.replace(config, definitions=(high,)))
        rig.engine.feed([trade(5, 5)])
        assert [row[0] for row in rig.values()] == [0]
        rig.engine.feed([trade(7, 5)])
        assert [row[0] for row in rig.values()] == [0, 1]


async def test_a_pattern_that_looks_at_what_is_not_kept_is_refused(own: Path):
    async with running(with_patterns(told(own))) as rig:
        with pytest.raises(ConfigError, match="set keep_market = 'prices' in"):
            await rig.reload(with_patterns(pair(own, ("A", "B"))))


GOOD_BREAKER = {"name": "quiet", "params": {"limit": 1}}


async def test_a_breakers_parameters_change_and_the_list_of_breakers_does_not(own: Path):
    breaker = BreakerConfig(function=f"{own}:quiet", **GOOD_BREAKER)
    config = structs.replace(CONFIG, breakers=(breaker,))
    async with running(config) as rig:
        changed = structs.replace(breaker, params={"limit": 5})
        await rig.reload(structs.replace(config, breakers=(changed,)))
        assert rig.engine.shard.breakers.params[0, 0] == 5
        with pytest.raises(ConfigError, match="a breaker cannot be removed while"):
            await rig.reload(CONFIG)


async def test_what_only_a_restart_can_change_is_refused_by_name_and_nothing_else_changes(
    own: Path,
):
    async with running(with_patterns(told(own))) as rig:
        engine = structs.replace(SMALL, ticks=262_144)
        with pytest.raises(ConfigError, match=r"ticks: 131072 -> 262144: this cannot change"):
            await rig.reload(with_patterns(told(own, value=2), engine=engine))
        rig.engine.feed([trade(1, 5)])
        assert rig.values() == [(0, 1, 1, 1)]
        assert rig.reloader.config == with_patterns(told(own))


@pytest.mark.parametrize("fault", ["params", "name", "room"])
async def test_a_configuration_that_is_wrong_changes_nothing(own: Path, fault: str):
    wrong = {
        "params": PatternConfig(name="x", function=f"{own}:told", params={"speed": 1}),
        "name": PatternConfig(name="x", function=f"{own}:nobody"),
        "room": told(own, "x"),
    }[fault]
    more = [told(own, f"more{i}") for i in range(9 if fault == "room" else 0)]
    words = {"params": "missing", "name": "has no function 'nobody'", "room": "reload_functions"}
    async with running(with_patterns(told(own))) as rig:
        with pytest.raises(ConfigError, match=words[fault]):
            await rig.reload(with_patterns(told(own, value=2), wrong, *more))
        rig.engine.feed([trade(1, 5)])
        assert rig.values() == [(0, 1, 1, 1)]
        assert rig.names == []


async def test_a_function_that_is_off_stays_off_until_it_changes_or_somebody_says_so(own: Path):
    wrong = PatternConfig(name="wrong", function=f"{own}:wrong")
    config = with_patterns(wrong, told(own))
    async with running(config) as rig:
        rig.engine.feed([trade(1, 5)])
        row = rig.engine.shard.patterns.rows[0]
        assert row[Fn.OFF] == Off.FAULT
        await rig.reload(with_patterns(wrong, told(own, value=2)))
        assert row[Fn.OFF] == Off.FAULT
        await rig.reloader.enable("wrong")
        assert row[Fn.OFF] == Off.NO
        assert rig.engine.count(Count.FUNCTION_OFF + FUNCTIONS_MAX) == 0
        with pytest.raises(ConfigError, match="is named 'nobody'; there is told, wrong"):
            await rig.reloader.enable("nobody")


async def test_functions_of_the_off_file_are_not_called_until_they_are_out_of_it(own: Path):
    config = with_patterns(told(own))
    async with running(config, off=["told"]) as rig:
        rig.engine.feed([trade(1, 5)])
        assert rig.engine.count(Count.FUNCTION_OFF + FUNCTIONS_MAX) == Off.HUNG
        await rig.reload(config, off=["told"])
        rig.engine.feed([trade(1, 5)])
        assert rig.values() == []
        await rig.reload(config)
        rig.engine.feed([trade(1, 5)])
        assert rig.values() == [(0, 1, 1, 1)]
        assert rig.engine.count(Count.FUNCTION_OFF + FUNCTIONS_MAX) == Off.NO


async def test_a_worker_that_does_not_answer_is_named_and_takes_it_later(
    own: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("feedhandler.server.reload._ANSWER_S", 0.02)
    rig = Rig(with_patterns(told(own)))
    with pytest.raises(UnavailableError, match="worker 0 has not taken"):
        await rig.reload(with_patterns(told(own, value=2)))
    with pytest.raises(UnavailableError, match="worker 0 has not taken"):
        await rig.reload(with_patterns(told(own, value=3)))
    rig.engine.feed([trade(1, 5)])
    assert rig.values() == [(0, 2, 2, 1)]
    assert rig.engine.shard.control[Control.FUNCTIONS] == 0


async def test_no_tick_sees_half_of_a_configuration(own: Path):
    async with running(with_patterns(told(own))) as rig:
        seen = 0
        for value in range(2, 102):
            reload = asyncio.create_task(rig.reload(with_patterns(told(own, value=value))))
            while not reload.done():
                rig.engine.feed([trade(1, 5)])
                seen += 1
                await asyncio.sleep(0)
            await reload
            found = rig.values()
            assert all(one == other for _, one, other, _ in found)
            assert {one for _, one, _, _ in found} <= {value - 1, value}
        assert rig.engine.count(Count.TICKS) == seen


async def test_a_text_that_is_the_same_is_neither_loaded_nor_compiled_again(own: Path):
    async with running(with_patterns(told(own))) as rig:
        texts = ("params[0]", "params[0] + 1")
        for after in texts:
            edit(own, "params[0]", after)
            await rig.reload(with_patterns(told(own)))
        before = (len(sys.modules), len(gc.get_objects()))
        kept = len(getattr(calls, "_kept", ()))
        for value in range(60):
            edit(own, "params[0]", texts[value % 2])
            await rig.reload(with_patterns(told(own, value=value)))
        assert len(sys.modules) == before[0]
        assert len(getattr(calls, "_kept", ())) == kept
        gc.collect()
        assert len(gc.get_objects()) < before[1] + 500


async def test_a_number_that_a_symbol_lost_while_it_was_staged_is_not_bound(own: Path):
    config = with_patterns(pair(own, ("A", "B")))
    rig = Rig(config)
    rig.engine.feed([define("A", 1), define("B", 2)])
    reload = asyncio.create_task(rig.reload(with_patterns(pair(own, ("B", "A")))))
    await until(lambda: rig.engine.shard.control[Control.FUNCTIONS] == 1)
    # As a session that follows may do it.
    rig.engine.shard.instruments[1]["symbol"] = word("C")
    rig.engine.shard.instruments[3]["symbol"] = word("A")
    rig.engine.work()
    await reload
    patterns = rig.engine.shard.patterns
    assert patterns.legs[:2].tolist() == [2, -1]
    assert patterns.bindings[0, Bound.MISSING] == 1
    rig.engine.feed([trade(1, 5, locate=3)])
    assert patterns.legs[:2].tolist() == [2, 3]
    assert patterns.bindings[0, Bound.MISSING] == 0
