"""Commands of a client in this process: each of them, its deadline, and what it may not do."""

import asyncio
from typing import Any

import pytest

from feedhandler.core.events import SignalKind
from feedhandler.server import hub as hub_module
from feedhandler.server.errors import ConfigError, UnavailableError
from feedhandler.server.hub_actions import ServerActions
from feedhandler.server.hub_messages import (
    Answer,
    BarMessage,
    Behind,
    Enable,
    End,
    FeedState,
    GetBars,
    GetCorrelations,
    GetStats,
    HubError,
    List,
    Ping,
    Quote,
    Reload,
    Reset,
    ResetStats,
    SetPriority,
    Shutdown,
    Stats,
    Subscribe,
    Trip,
    Unsubscribe,
)
from feedhandler.server.hub_quotes import QuotePoller
from feedhandler.server.hub_watchers import Delivery, Event
from tests.unit.feedhandler.server.hub_support import Rig, signal_row, until

BREAKER = {"kind": SignalKind.BREAKER, "source": 2, "level": 1}


def fault(answer: Answer) -> tuple[str, str]:
    assert not answer.ok
    assert answer.error is not None
    return answer.error.code, answer.error.text


def messages(client: Any) -> list[Any]:
    items = client.take(10_000)
    return [item.event.message if isinstance(item, Delivery) else item for item in items]


def signal_ids(client: Any) -> list[int]:
    return [each.signal_id for each in messages(client) if hasattr(each, "signal_id")]


async def test_every_command_is_acknowledged_with_its_id():
    rig = Rig()
    client = rig.hub.connect("me")
    for command in (Ping(id=7), Ping(id="seven"), List(id=8, what="feeds")):
        answer = await client.call(command)
        assert (answer.id, answer.ok, answer.error) == (command.id, True, None)
    assert rig.hub.tally.commands == {"ok": 3}


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (Subscribe(id=1), [1, 2, 3, 4]),
        (Subscribe(id=1, symbols=("*",)), [1, 2, 3, 4]),
        (Subscribe(id=1, symbols=("SYM7",)), [1, 3]),
        (Subscribe(id=1, symbols=("SYM[89]", "SYM1?")), [2, 4]),
        (Subscribe(id=1, groups=("tech",)), [2]),
        (Subscribe(id=1, groups=("tech",), symbols=("SYM11",)), [2, 4]),
        (Subscribe(id=1, kinds=("breaker",)), [3]),
        (Subscribe(id=1, patterns=("sweep",)), [2]),
        (Subscribe(id=1, patterns=("*e*",), kinds=("order",)), [1, 2, 4]),
        (Subscribe(id=1, patterns=("price_band",)), [3]),
        (Subscribe(id=1, symbols=("NONE",)), []),
        (Subscribe(id=1, kinds=("feed",)), []),
    ],
)
async def test_subscription_gets_what_fits_all_that_it_names(
    command: Subscribe, expected: list[int]
):
    rig = Rig(groups={"tech": ("SYM8", "SYM9")})
    client = rig.hub.connect("me")
    assert (await client.call(command)).ok
    rig.signals(
        signal_row(1, instrument=7),
        signal_row(2, instrument=8, source=1),
        signal_row(3, **BREAKER),
        signal_row(4, instrument=11),
        signal_row(5, kind=99),
    )
    assert signal_ids(client) == expected


async def test_unsubscribe_ends_one_subscription_and_says_what_it_had():
    rig = Rig()
    client, other = rig.hub.connect("me"), rig.hub.connect("other")
    first = (await client.call(Subscribe(id=1, kinds=("order",)))).result.sub
    second = (await client.call(Subscribe(id=2, symbols=("SYM7",)))).result.sub
    rig.signals(signal_row(1))
    assert fault(await other.call(Unsubscribe(id=3, sub=first)))[0] == "not_found"
    assert len(client.take(100)) == 3
    totals = (await client.call(Unsubscribe(id=3, sub=first))).result
    assert (totals.sub, totals.matched, totals.delivered) == (first, 1, 1)
    code, text = fault(await client.call(Unsubscribe(id=4, sub=first)))
    assert (code, str(second) in text) == ("not_found", True)
    rig.signals(signal_row(2))
    assert signal_ids(client) == [2]
    await client.call(Unsubscribe(id=5, sub=second))
    rig.signals(signal_row(3))
    assert messages(client) == []
    assert not rig.hub._backlog, "with nobody there signals are not even put by"


async def test_watcher_of_feeds_begins_with_what_is_and_hears_of_changes_only():
    rig = Rig()
    client = rig.hub.connect("me")
    await client.call(Subscribe(id=1, kinds=("feed",)))
    assert [each.state for each in messages(client)] == ["LIVE"]
    states = ("LIVE", "LIVE", "GAP", "GAP", "RECOVERING", "LIVE")
    for at, state in enumerate(states):
        rig.hub.show_feed(
            FeedState(feed="itch", state=state, in_doubt=False, next_seq=at, ts_ns=at)
        )
    assert [each.state for each in messages(client)] == ["LIVE", "GAP", "RECOVERING", "LIVE"]


async def test_answer_names_symbols_that_nobody_has_seen():
    rig = Rig()
    client = rig.hub.connect("me")
    answer = await client.call(Subscribe(id=1, symbols=("SYM1", "XX", "Y*")))
    assert answer.result.unknown_symbols == ("XX",)


@pytest.mark.parametrize(
    ("command", "code", "named"),
    [
        (Subscribe(id=1, groups=("nope",)), "not_found", "tech"),
        (Subscribe(id=1, patterns=("nope",)), "not_found", "imbalance"),
        (Subscribe(id=1, kinds=("quote",)), "bad_argument", '["*"]'),
        (Subscribe(id=1, queue=101), "limit", "[hub] queue"),
    ],
)
async def test_subscription_that_cannot_be_is_refused(command: Subscribe, code: str, named: str):
    rig = Rig(groups={"tech": ("SYM8",)}, queue=100)
    client = rig.hub.connect("me")
    found = fault(await client.call(command))
    assert (found[0], named in found[1]) == (code, True)
    assert rig.hub.subscription_count == 0


async def test_client_has_a_limit_of_subscriptions():
    rig = Rig(subscriptions=2)
    client = rig.hub.connect("me")
    answers = [await client.call(Subscribe(id=n)) for n in range(3)]
    assert [answer.ok for answer in answers] == [True, True, False]
    assert fault(answers[2])[0] == "limit"


@pytest.mark.parametrize(
    "other",
    [
        Subscribe(id=2, share="desk", kinds=("order",)),
        Subscribe(id=2, share="desk", symbols=("SYM1",)),
        Subscribe(id=2, share="desk", deal="message"),
    ],
)
async def test_share_is_about_one_thing(other: Subscribe):
    rig = Rig()
    client = rig.hub.connect("me")
    assert (await client.call(Subscribe(id=1, share="desk"))).result.members == 1
    assert (await client.call(Subscribe(id=1, share="desk"))).result.members == 2
    assert fault(await client.call(other))[0] == "mismatch"
    assert rig.hub.subscription_count == 2


async def test_stats_have_what_was_asked_for():
    rig = Rig()
    client = rig.hub.connect("me")
    await client.call(Subscribe(id=1))
    plain: Stats = (await client.call(GetStats(id=2))).result
    assert (plain.counters, plain.symbols, plain.state) == ({}, (), "serving")
    assert (plain.hub["clients"], plain.hub["subscriptions"], plain.hub["commands_ok"]) == (1, 1, 1)
    assert plain.feeds[0].feed == "itch"
    command = GetStats(id=3, counters=("pack*",), symbols=("SYM1", "SYM2?", "NONE"))
    stats: Stats = (await client.call(command)).result
    assert stats.counters == {"packets_received": 7}
    assert ([row.symbol for row in stats.symbols], stats.more) == (["SYM1"], False)


async def test_stats_show_no_more_symbols_than_they_may(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hub_module, "STATS_SYMBOLS_MAX", 5)
    client = Rig().hub.connect("me")
    stats: Stats = (await client.call(GetStats(id=3, symbols=("*",)))).result
    assert (len(stats.symbols), stats.more) == (5, True)


async def test_lists_show_what_there_is():
    rig = Rig(groups={"tech": ("SYM8",)})
    client, other = rig.hub.connect("me"), rig.hub.connect("other")
    await client.call(Subscribe(id=1, share="desk", symbols=("SYM7",), policy="cut"))
    rig.signals(signal_row(1))

    async def listed(what: Any) -> list[Any]:
        found: list[Any] = (await other.call(List(id=1, what=what))).result
        return found

    assert [row.name for row in await listed("patterns")] == ["imbalance", "sweep"]
    assert [row.name for row in await listed("breakers")] == ["price_band"]
    assert [row.feed for row in await listed("feeds")] == ["itch"]
    assert [(row.group, row.symbols) for row in await listed("groups")] == [("tech", ("SYM8",))]
    rows = [(row.name, row.subscriptions, row.queued) for row in await listed("clients")]
    assert rows == [("me", 1, 2), ("other", 0, 0)]
    (row,) = await listed("subscriptions")
    assert (row.client, row.symbols, row.share, row.policy) == (1, ("SYM7",), "desk", "cut")
    assert (row.queued, row.totals.matched) == (2, 2)


CHANGING = (
    Trip(id=1, breaker="price_band"),
    Reset(id=1, breaker="price_band"),
    SetPriority(id=1, symbol="SYM1", lane=0),
    Reload(id=1),
    Enable(id=1, name="sweep"),
    Shutdown(id=1),
)
RESET_STATS = ResetStats(id=1, symbols=("SYM1",))


async def test_actions_are_asked_and_their_result_is_the_answer():
    rig = Rig()
    client = rig.hub.connect("me")
    answer = await client.call(Trip(id=1, breaker="price_band", target="SYM1", level="caution"))
    assert answer.result == {"level": "caution"}
    assert rig.actions.asked[0].target == "SYM1"


async def test_actions_that_are_missing_say_what_is_missing_and_what_to_do():
    asked: list[int | None] = []

    def shut_down(drain_s: int | None) -> int:
        asked.append(drain_s)
        return drain_s or 4

    async def reload() -> dict[str, Any]:
        raise ConfigError("server.toml:3: wrong")

    async def enable(name: str) -> None:
        raise UnavailableError(f"{name}: nobody answers")

    rig = Rig()
    actions = ServerActions(shut_down, reload, enable)
    rig.hub = hub_module.Hub(rig.config, rig.view, actions, lambda: 0.0)
    client = rig.hub.connect("me")
    told = {Reload: "bad_config", Enable: "timeout"}
    for command in CHANGING[:-1]:
        code, text = fault(await client.call(command))
        assert code == told.get(type(command), "unsupported")
        assert type(command) in told or "restart" in text
    answer = await client.call(Shutdown(id=1, drain_s=9))
    assert (answer.result, asked) == ({"state": "draining", "drain_s": 9}, [9])


@pytest.mark.parametrize("kind", [GetBars, ResetStats])
async def test_a_symbol_that_no_message_has_named_is_refused_by_its_name(kind: Any):
    rig = Rig()
    client = rig.hub.connect("me")
    code, text = fault(await client.call(kind(id=1, symbols=("SYM1", "NOPE"))))
    assert code == "not_found"
    assert "'NOPE'" in text
    assert (await client.call(kind(id=1, symbols=("SYM1", "S*3")))).ok


async def test_bars_and_correlations_are_those_that_were_named():
    client = Rig().hub.connect("me")
    bars = (await client.call(GetBars(id=1, symbols=("SYM1?",)))).result
    assert [row.symbol for row in bars] == [f"SYM{number}" for number in range(10, 20)]
    rows = (await client.call(GetCorrelations(id=2, symbols=("SYM1",)))).result
    assert [(row.symbol_a, row.symbol_b) for row in rows] == [("SYM1", "SYM2")]
    assert (await client.call(GetCorrelations(id=3, names=("none",)))).result == []


async def test_bars_flow_to_those_who_named_their_symbol_and_kinds_do_not_replace_one_another():
    rig = Rig()
    client, other = rig.hub.connect("me"), rig.hub.connect("other")
    assert not rig.hub.watches("bar")
    assert (await client.call(Subscribe(id=1, kinds=("bar",), symbols=("SYM1",), queue=2))).ok
    assert (await other.call(Subscribe(id=1, kinds=("bar",), symbols=("SYM2",)))).ok
    assert rig.hub.watches("bar")
    words = dict.fromkeys(BarMessage.__struct_fields__, 1)
    for by in ("time", "volume", "time", "volume", "time"):
        bar = BarMessage(**(words | {"symbol": "SYM1", "feed": "itch", "by": by}))
        rig.hub.publish(Event("bar", "SYM1", bar, detail=("itch", by)))
    assert sorted(each.by for each in messages(client) if isinstance(each, BarMessage)) == [
        "time",
        "volume",
    ]
    assert messages(other) == []


async def test_what_changes_something_is_refused_where_the_hub_only_shows():
    rig = Rig(read_only=True)
    client = rig.hub.connect("me")
    for command in (*CHANGING, RESET_STATS):
        assert fault(await client.call(command))[0] == "forbidden"
    assert (await client.call(Subscribe(id=1))).ok
    assert rig.actions.asked == []


async def test_what_changes_something_is_refused_during_the_end():
    rig = Rig()
    rig.hub.is_draining = True
    client = rig.hub.connect("me")
    for command in (*CHANGING, RESET_STATS):
        assert fault(await client.call(command))[0] == "draining"
    assert (await client.call(GetStats(id=1))).result.state == "draining"


async def test_command_that_takes_too_long_is_ended_at_its_deadline():
    rig = Rig()
    client = rig.hub.connect("me")
    command = SetPriority(id=1, symbol="SYM1", lane=0, timeout_ms=30)
    assert fault(await client.call(command))[0] == "timeout"
    await until(lambda: not rig.hub._running)


async def test_action_that_does_not_stop_makes_nobody_wait_beyond_the_deadline():
    rig = Rig()
    client = rig.hub.connect("me")
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    assert fault(await client.call(Reload(id=1, timeout_ms=30)))[0] == "timeout"
    assert loop.time() - began_s < 0.25
    await until(lambda: not rig.hub._running)


async def test_command_that_waited_too_long_for_its_turn_is_not_begun():
    rig = Rig()
    client = rig.hub.connect("me")
    command = Trip(id=1, breaker="price_band", timeout_ms=1_000)
    answer = await rig.hub.execute(client, command, rig.hub.now_s() - 1.5)
    assert fault(answer)[0] == "timeout"
    assert rig.actions.asked == []


async def test_fault_in_an_action_is_an_answer_and_goes_to_the_log():
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    client = Rig().hub.connect("me")
    code, text = fault(await client.call(Reset(id=1, breaker="price_band")))
    assert (code, "log" in text) == ("failed", True)
    assert isinstance(reported[0]["exception"], RuntimeError)


async def test_signals_beyond_the_backlog_pass_unseen_and_that_is_told(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(hub_module, "BACKLOG_ROWS", 10)
    rig = Rig()
    client, feeds = rig.hub.connect("me"), rig.hub.connect("feeds")
    await client.call(Subscribe(id=1, kinds=("order",)))
    await feeds.call(Subscribe(id=1, kinds=("feed",)))
    rig.hub.take_signals([signal_row(n) for n in range(25)])
    rig.hub.deal_all()
    behind, *rest = client.take(100)
    assert behind == Behind(sub=1, conflated=0, dropped=0, missed=15)
    assert [item.event.message.signal_id for item in rest] == list(range(15, 25))  # type: ignore[union-attr]
    assert not any(isinstance(item, Behind) for item in feeds.take(100))


async def test_signals_are_dealt_out_behind_whoever_brought_them():
    rig = Rig()
    client = rig.hub.connect("me")
    await client.call(Subscribe(id=1, kinds=("order",)))
    rig.hub.take_signals([signal_row(n) for n in range(200)])
    assert client.queued == 0
    await until(lambda: client.queued == 200)
    rig.hub.take_signals([signal_row(200)])
    await until(lambda: client.queued == 201)


async def test_client_of_the_process_reads_a_stream_that_ends_with_the_hub():
    rig = Rig()
    client = rig.hub.connect("me")
    await client.call(Subscribe(id=1, kinds=("order",)))

    async def read() -> list[Any]:
        return [item async for item in client.items()]

    reader = asyncio.create_task(read())
    for number in range(3):
        rig.hub.take_signals([signal_row(number)])
        await asyncio.sleep(0.01)
    rig.hub.end_all("shutdown", "over")
    got: list[Any] = await asyncio.wait_for(reader, 2)
    assert [item.n for item in got[:-1]] == [1, 2, 3]
    assert isinstance(got[-1], End)


async def test_subscriptions_of_a_client_take_turns():
    rig = Rig()
    client = rig.hub.connect("me")
    for number in range(3):
        await client.call(Subscribe(id=number, kinds=("order",)))
    rig.signals(*(signal_row(n) for n in range(100)))
    subs = [{item.sub for item in client.take(50)} for _ in range(3)]  # type: ignore[union-attr]
    assert set.union(*subs) == {1, 2, 3}


# -- best prices ----------------------------------------------------------------------------------


class Prices:
    """A source whose prices the test sets."""

    def __init__(self) -> None:
        self.bids: dict[str, int] = {}
        self.reads: list[str] = []
        self.is_silent = False
        self.unknown: set[str] = set()

    async def read(self, symbol: str) -> Quote | None:
        self.reads.append(symbol)
        if self.is_silent:
            raise TimeoutError
        if symbol in self.unknown:
            return None
        bid = self.bids.get(symbol, 1)
        return Quote(
            symbol=symbol, bid_price_e9=bid, bid_qty=1, ask_price_e9=0, ask_qty=0, ts_ns=len(symbol)
        )


class Polled(Rig):
    """A hub with best prices."""

    def __init__(self, **config: Any) -> None:
        super().__init__(quote_ms=10, **config)
        self.prices = Prices()
        self.poller = QuotePoller(self.hub, self.view, self.prices, self.config)


def quotes(client: Any) -> list[tuple[str, int]]:
    return [(each.symbol, each.bid_price_e9) for each in messages(client)]


async def test_best_prices_are_looked_at_for_whoever_watches_and_sent_when_they_change():
    rig = Polled()
    rig.poller.start()
    client = rig.hub.connect("me")
    await asyncio.sleep(0.03)
    assert rig.prices.reads == []
    await client.call(Subscribe(id=1, symbols=("SYM1", "SYM2", "XX"), kinds=("quote",)))
    await until(lambda: client.queued == 2)
    assert sorted(quotes(client)) == [("SYM1", 1), ("SYM2", 1)]
    rig.prices.bids["SYM2"] = 7
    await until(lambda: client.queued)
    assert quotes(client) == [("SYM2", 7)]
    later = rig.hub.connect("later")
    await later.call(Subscribe(id=1, symbols=("SYM2",), kinds=("quote",)))
    assert quotes(later) == [("SYM2", 7)]
    assert quotes(client) == []
    client.close()
    later.close()
    await asyncio.sleep(0.02)
    rig.prices.reads.clear()
    await asyncio.sleep(0.05)
    assert rig.prices.reads == []
    assert rig.hub.latest_quotes == {}
    await rig.poller.stop()


async def test_symbols_that_come_later_are_looked_at_from_then_on():
    rig = Polled()
    rig.poller.start()
    client = rig.hub.connect("me")
    await client.call(Subscribe(id=1, symbols=("NEW*",), kinds=("quote",)))
    rig.view.known.append("NEW1")
    rig.poller.choose()
    await until(lambda: client.queued == 1)
    assert quotes(client) == [("NEW1", 1)]
    await rig.poller.stop()


async def test_symbol_without_prices_keeps_no_other_from_its_own():
    rig = Polled()
    rig.prices.unknown = {"SYM1"}
    rig.poller.start()
    client = rig.hub.connect("me")
    await client.call(Subscribe(id=1, symbols=("SYM1", "SYM2"), kinds=("quote",)))
    await until(lambda: client.queued == 1)
    rig.prices.unknown.clear()
    await until(lambda: client.queued == 2)
    assert sorted(quotes(client)) == [("SYM1", 1), ("SYM2", 1)]
    await rig.poller.stop()


async def test_symbols_that_any_command_learns_are_watched_by_whoever_wants_them():
    rig = Polled()
    rig.poller.start()
    client = rig.hub.connect("me")
    await client.call(Subscribe(id=1, symbols=("NEW*",), kinds=("quote",)))
    rig.view.coming = ["NEW1"]
    await client.call(GetStats(id=2, symbols=("X",)))
    await until(lambda: client.queued == 1)
    assert quotes(client) == [("NEW1", 1)]
    await rig.poller.stop()


async def test_fault_of_the_looks_is_told_at_once():
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    rig = Polled()
    rig.prices.bids = None  # type: ignore[assignment]
    rig.poller.start()
    client = rig.hub.connect("me")
    await client.call(Subscribe(id=1, symbols=("SYM1",), kinds=("quote",)))
    await until(lambda: reported)
    assert isinstance(reported[0]["exception"], AttributeError)
    await rig.poller.stop()


async def test_symbols_beyond_the_limit_are_left_out_and_that_is_said():
    rig = Polled(quote_symbols=3)
    client = rig.hub.connect("me")
    answer = await client.call(Subscribe(id=1, symbols=("SYM1", "SYM2"), kinds=("quote",)))
    assert answer.result.left_out == 0
    answer = await client.call(Subscribe(id=2, symbols=("*",), kinds=("quote",)))
    assert answer.result.left_out == 17
    assert {"SYM1", "SYM2"} < set(rig.poller._wanted)


async def test_engine_that_does_not_answer_is_not_asked_at_the_usual_pace():
    rig = Polled()
    rig.prices.is_silent = True
    rig.poller.start()
    client = rig.hub.connect("me")
    await client.call(Subscribe(id=1, symbols=("*",), kinds=("quote",)))
    await asyncio.sleep(0.2)
    assert len(rig.prices.reads) == 1
    assert client.queued == 0
    await rig.poller.stop()


def test_error_carries_what_its_answer_needs():
    error = HubError(hub_module.Code.LIMIT, "too many")
    assert (str(error), error.command_id) == ("too many", None)


def test_event_is_written_once():
    event = Event(
        "feed", "itch", FeedState(feed="i", state="L", in_doubt=False, next_seq=1, ts_ns=2)
    )
    assert event.wire is event.wire
