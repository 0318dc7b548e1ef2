"""Rules of priority: as words at start, changed while an engine runs, and what an operator says."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from feedhandler.core.engine import take_rules_nb
from feedhandler.core.events import Kind
from feedhandler.core.priority import WATCHED_MAX, Extra, Rule
from feedhandler.core.shard import Control, Setting, Shard
from feedhandler.server import priority as module
from feedhandler.server.config import MoveStep, PriorityConfig, RegimeStep, SizeStep
from feedhandler.server.engine_actions import EngineActions
from feedhandler.server.errors import ConfigError
from feedhandler.server.hub_messages import Code, HubError, SetPriority
from feedhandler.server.priority import (
    NotTakenError,
    apply_priority,
    override_priority,
    overrides_of,
    rules_of,
    stage_priority,
)
from feedhandler.server.snapshots import write_control_nb
from tests.unit.feedhandler.core.support import Engine, add, make_shard, packet

A, B = "AAPL", "MSFT"
TEST = "TEST"
"""The symbol of the messages of `support`."""


@contextmanager
def receiving(*shards: Shard) -> Iterator[None]:
    """Take what is staged, as the threads that receive do."""
    done = threading.Event()

    def loop() -> None:
        while not done.is_set():
            for shard in shards:
                take_rules_nb(shard)
            time.sleep(0.0001)

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.fixture
def shard() -> Shard:
    made = make_shard()
    apply_priority(made, PriorityConfig(), {}, is_live=True)
    return made


def test_numbers_of_the_configuration_become_words():
    config = PriorityConfig(
        from_score=(200, 10),
        kinds={"trade": 7},
        default_score=3,
        deep_quote_score=-2,
        large_trade_qty=6,
        large_trade_notional=7,
        large_trade_score=8,
        moves=(MoveStep(bps=5, score=1), MoveStep(bps=9, score=2)),
        sizes=(SizeStep(times=4, score=11),),
        regimes=(RegimeStep(up_e9=30, down_e9=20, score=12),),
        regime_stay_ms=4,
        phases={"closing": 13},
        open_at="08:00:01",
        age_every=14,
        policies=("back-pressure", "conflate"),
        overload_ticks=15,
    )
    words = rules_of(config, {}, is_live=True)
    assert words[Rule.KIND_SCORE + Kind.TRADE] == 7
    assert words[Rule.KIND_SCORE + Kind.ADD] == 3
    assert words[Rule.KIND_SCORE + 32 + Kind.ADD] == 1
    assert words[Rule.KIND_SCORE + 32 + Kind.TRADE] == 7
    assert words[Rule.LARGE_TRADE_NOTIONAL_E4] == 70_000
    assert words[Rule.MOVE_SCORE : Rule.MOVE_SCORE + 10].tolist() == [0] * 5 + [1] * 4 + [2]
    assert words[Rule.SIZE_SCORE : Rule.SIZE_SCORE + 3].tolist() == [0, 0, 11]
    assert (words[Rule.REGIME_UP], words[Rule.REGIME_DOWN]) == (900, 400)
    assert words[Rule.REGIME_SCORE : Rule.REGIME_SCORE + 2].tolist() == [0, 12]
    assert words[Rule.STAY_NS] == 4_000_000
    assert words[Rule.PHASE_SCORE + 3] == 13
    assert words[Rule.OPEN_NS] == (8 * 3_600 + 1) * 10**9
    assert words[Rule.LANE_OF : Rule.LANE_OF + 256].tolist() == [2] * 10 + [1] * 190 + [0] * 56
    assert words[Rule.EXTRAS] == Extra.SIZE | Extra.REGIME | Extra.PHASE
    live = [words[rule] for rule in (Rule.AGE_EVERY, Rule.CONFLATE, Rule.OVERLOAD)]
    assert live == [14, 2, 15]
    replay = rules_of(config, {}, is_live=False)
    assert [replay[rule] for rule in (Rule.AGE_EVERY, Rule.CONFLATE)] == [0, 0]


def test_the_worker_hears_what_concerns_it(shard: Shard):
    found = [shard.settings[word] for word in (Setting.LANES, Setting.AGE_EVERY, Setting.CONFLATE)]
    assert found == [4, 64, 0]


@pytest.mark.parametrize(
    ("watch", "text"),
    [
        ({"group:NO": 1}, "no group is named 'NO' in \\[groups\\]; there is tech"),
        ({"NINECHARS": 1}, "priority.watch: 'NINECHARS' is no symbol: it has 1 to 8 characters"),
        ({f"S{i}": 1 for i in range(WATCHED_MAX + 1)}, f"{WATCHED_MAX + 1} symbols; at most"),
    ],
)
def test_a_watch_list_that_cannot_be_is_refused(watch: dict[str, int], text: str):
    with pytest.raises(ConfigError, match=text):
        rules_of(PriorityConfig(watch=watch), {"tech": (A,)}, is_live=True)


def lanes_of(engine: Engine) -> list[int]:
    lanes = [int(tick["priority"]) for tick in engine.ticks()]
    engine.work()
    return lanes


def test_a_change_holds_from_the_next_packet_on_and_is_logged():
    engine = Engine()
    apply_priority(engine.shard, PriorityConfig(), {}, is_live=True)
    other = PriorityConfig(watch={"group:all": 200}, kinds={"add": 60}, policies=("conflate",))
    with receiving(engine.shard), capture_logs() as logs:
        stage_priority([engine.shard], other, {"all": (TEST,)})
    assert engine.shard.control[Control.RULES] == 0
    (entry,) = logs
    assert (entry["event"], entry["version"]) == ("priority_changed", 1)
    assert "kinds.add 30 -> 60" in entry["changes"]
    assert "kinds.trade 60 -> 30" in entry["changes"]
    assert "kinds.execute 60 -> 30" in entry["changes"]
    assert "conflate 0 -> 1" in entry["changes"]
    assert f"watch.{TEST} 0 -> 200" in entry["changes"]
    assert engine.shard.settings[Setting.CONFLATE] == 1


def test_every_shard_is_waited_for(monkeypatch: pytest.MonkeyPatch, shard: Shard):
    monkeypatch.setattr(module, "_TAKEN_S", 0.02)
    other = make_shard()
    apply_priority(other, PriorityConfig(), {}, is_live=True)
    with receiving(shard), pytest.raises(NotTakenError, match="shard 1 of 2 does not answer"):
        stage_priority([shard, other], PriorityConfig(default_score=90), {})
    # It is taken as soon as that thread goes on.
    with receiving(shard, other):
        override_priority([shard, other], A, 1)
    for each in (shard, other):
        assert each.priority.rules[Rule.VERSION] == 2
        assert each.priority.rules[Rule.KIND_SCORE + Kind.ADD] == 90


def test_lanes_that_are_given_up_are_still_worked_on(shard: Shard):
    with receiving(shard):
        stage_priority([shard], PriorityConfig(from_score=(90,)), {})
    assert shard.settings[Setting.LANES] == 4
    assert shard.priority.rules[Rule.LANES] == 2


def feed_one(engine: Engine, ref: int) -> int:
    """The lane of a quote of TEST that is the new touch."""
    message = add(ref, "B", 10, 9_900 + ref)
    engine.take(packet(int(engine.channel["next_seq"]), [message]))
    engine.settle()
    return lanes_of(engine)[0]


def test_an_override_gives_all_ticks_of_a_symbol_a_lane_until_it_ends():
    engine = Engine()
    apply_priority(engine.shard, PriorityConfig(watch={TEST: 30}), {}, is_live=True)
    assert feed_one(engine, 1) == 1
    with receiving(engine.shard), capture_logs() as logs:
        override_priority([engine.shard], TEST, 0)
        assert (feed_one(engine, 2), overrides_of(engine.shard)) == (0, {TEST: 0})
        override_priority([engine.shard], TEST, 3)
        assert feed_one(engine, 3) == 3
        stage_priority([engine.shard], PriorityConfig(from_score=(90, 60)), {})
        assert feed_one(engine, 4) == 2
        override_priority([engine.shard], TEST, None)
        assert (feed_one(engine, 5), overrides_of(engine.shard)) == (2, {})
    first = {"symbol": TEST, "lane": 0, "for_ms": 0}
    assert first.items() <= logs[0].items()
    assert logs[0]["event"] == "priority_override"


def wait_for(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.001)


def test_an_override_for_a_time_ends_by_itself_unless_there_is_a_later_one(shard: Shard):
    with receiving(shard), capture_logs() as logs:
        override_priority([shard], B, 0, for_ms=200)
        override_priority([shard], B, 1)
        override_priority([shard], A, 0, for_ms=1)
        wait_for(lambda: A not in overrides_of(shard))
        time.sleep(0.3)
        assert overrides_of(shard) == {B: 1}
    assert [each["symbol"] for each in logs if each["event"] == "priority_override_ended"] == [A]


def test_an_end_that_no_engine_takes_is_tried_again(monkeypatch: pytest.MonkeyPatch, shard: Shard):
    monkeypatch.setattr(module, "_TAKEN_S", 0.02)
    with receiving(shard):
        override_priority([shard], A, 0, for_ms=20)
    write_control_nb(shard.control, Control.RULES, 1)
    with capture_logs() as logs:
        wait_for(lambda: bool(logs))
    assert logs[0]["event"] == "priority_override_ends_late"
    with receiving(shard):
        wait_for(lambda: overrides_of(shard) == {})


# -- the hub's command ----------------------------------------------------------------------------


async def say(shard: Shard, **arguments: Any) -> Any:
    nothing: Any = None
    actions = EngineActions([shard], lambda drain_s: drain_s or 0, nothing, nothing)
    return await actions.set_priority(SetPriority(id=1, **arguments))


async def test_set_priority_answers_with_all_lanes_that_were_given(shard: Shard):
    with receiving(shard):
        await say(shard, symbol=A, lane=1)
        answer = await say(shard, symbol=B, lane=0, for_ms=60_000)
        assert answer == {
            "symbol": B,
            "lane": 0,
            "for_ms": 60_000,
            "overrides": {A: 1, B: 0},
        }
        answer = await say(shard, symbol=A)
        assert answer["overrides"] == {B: 0}


async def test_set_priority_that_cannot_be_is_refused(
    monkeypatch: pytest.MonkeyPatch, shard: Shard
):
    async def code(**arguments: Any) -> tuple[Code, str]:
        with pytest.raises(HubError) as caught:
            await say(shard, **arguments)
        return caught.value.code, caught.value.text

    with receiving(shard):
        assert await code(symbol=A, lane=4) == (
            Code.BAD_ARGUMENT,
            "set_priority: lane 4 does not exist; there are 0 to 3",
        )
        assert (await code(symbol="NINECHARS", lane=1))[0] == Code.BAD_ARGUMENT
        many = {f"S{i}": 1 for i in range(WATCHED_MAX)}
        stage_priority([shard], PriorityConfig(watch=many), {})
        assert (await code(symbol=A, lane=1))[0] == Code.LIMIT
        assert await say(shard, symbol="S0", lane=1)
        with pytest.raises(ConfigError, match="symbols with the overrides"):
            stage_priority(
                [shard], PriorityConfig(watch={f"T{i}": 1 for i in range(WATCHED_MAX)}), {}
            )
    monkeypatch.setattr(module, "_TAKEN_S", 0.01)
    assert (await code(symbol="S1", lane=1))[0] == Code.TIMEOUT
