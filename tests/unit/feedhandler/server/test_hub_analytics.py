"""What the hub shows of bars, price statistics and correlations, of rows written by hand."""

import asyncio
from typing import Any

import numpy as np
import pytest

from feedhandler.core.away import leg_word
from feedhandler.core.events import Kind
from feedhandler.core.function_layout import allocate_functions
from feedhandler.core.functions import Fn, Use
from feedhandler.core.patterns.correlation import Shown
from feedhandler.core.shard import Control
from feedhandler.core.summaries import Length, clear_stats_nb, summarise_nb
from feedhandler.server import hub_analytics
from feedhandler.server.hub_messages import HubError
from feedhandler.server.hub_view import EngineView
from feedhandler.server.hub_watchers import Matcher
from tests.unit.feedhandler.core.support import blank_ticks
from tests.unit.feedhandler.server.hub_feeds import INSTRUMENTS, FakeFeed, two_feeds, view_of, word

EVERY = Matcher(())


def trade(feed: FakeFeed, instrument: int, ts_ns: int, price_e4: int, qty: int) -> None:
    """A trade as the shard of the instrument takes it in."""
    ticks = blank_ticks(
        kind=Kind.TRADE, ts_exch_ns=ts_ns, price_e9=price_e4 * 100_000, qty=qty,
        instrument=instrument,
    )  # fmt: skip
    summarise_nb(feed.engines.owner_of(instrument).summaries, ticks, 0)


@pytest.fixture
def feeds() -> list[FakeFeed]:
    return two_feeds()


@pytest.fixture
def view(feeds: list[FakeFeed]) -> EngineView:
    return view_of(feeds)


@pytest.fixture
def known(view: EngineView, feeds: list[FakeFeed]) -> EngineView:
    feeds[0].set(4, symbol=word("A"))
    feeds[1].set(7, symbol=word("A"))
    feeds[0].set(5, symbol=word("B"))
    view.learn(100)
    return view


def test_bars_of_a_symbol_are_those_of_each_feed_the_last_and_the_present(
    known: EngineView, feeds: list[FakeFeed]
):
    for ts_ns, price_e4, qty in ((12, 100, 70), (14, 120, 60), (23, 110, 10)):
        trade(feeds[0], 4, ts_ns, price_e4, qty)
    trade(feeds[1], 7, 31, 90, 5)
    rows = known.bars(Matcher(["A"]), 10)
    found = [(row.feed, row.by, row.is_complete, row.volume, row.close_e9) for row in rows]
    assert found == [
        ("a", "time", True, 130, 12_000_000),
        ("a", "time", False, 10, 11_000_000),
        ("a", "volume", True, 100, 12_000_000),
        ("a", "volume", False, 40, 11_000_000),
        ("b", "time", False, 5, 9_000_000),
        ("b", "volume", False, 5, 9_000_000),
    ]
    assert known.bars(Matcher(["B"]), 10) == []


def test_completed_bars_are_news_once_and_only_while_somebody_watches(
    known: EngineView, feeds: list[FakeFeed]
):
    analytics = known.analytics
    trade(feeds[0], 4, 12, 100, 100)
    assert analytics.new_bars() == []
    assert analytics.new_bars() == []
    trade(feeds[0], 4, 25, 110, 7)
    (bar,) = analytics.new_bars()
    assert (bar.symbol, bar.feed, bar.by, bar.number, bar.volume) == ("A", "a", "time", 1, 100)
    assert analytics.new_bars() == []
    analytics.forget_bars()
    trade(feeds[0], 4, 35, 110, 7)
    assert analytics.new_bars() == []


def test_price_statistics_stand_in_the_row_of_a_symbol(known: EngineView, feeds: list[FakeFeed]):
    for ts_ns, price_e4 in ((10, 100), (15, 130), (30, 70)):
        trade(feeds[0], 4, ts_ns, price_e4, 1)
    first, second = known.symbols(Matcher(["A"]), 10)
    assert (first.low_e9, first.high_e9, first.average_e9) == (7_000_000, 13_000_000, 10_000_000)
    assert (first.trades, first.duration_ns) == (3, 20)
    assert second.trades is None


async def answer(feeds: list[FakeFeed]) -> None:
    """Be the threads that receive."""
    while True:
        for feed in feeds:
            for shard in feed.engines.shards:
                asked = int(shard.control[Control.CLEAR_STATS])
                if asked:
                    clear_stats_nb(shard.summaries, asked if asked < 0 else asked - 1)
                    shard.control[Control.CLEAR_STATS] = 0
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("names", "left"), [(("A",), [None, 1]), ((), [None, None]), (("B",), [2, None])]
)
async def test_price_statistics_begin_anew_where_that_is_asked_for(
    known: EngineView, feeds: list[FakeFeed], names: tuple[str, ...], left: list[int | None]
):
    trade(feeds[0], 4, 10, 100, 1)
    trade(feeds[0], 4, 20, 100, 1)
    trade(feeds[0], 5, 10, 100, 1)
    engine = asyncio.create_task(answer(feeds))
    await known.clear_stats(Matcher(names))
    engine.cancel()
    found = [known.analytics.stats_of((0, instrument)) for instrument in (4, 5)]
    assert [stats and stats.trades for stats in found] == left


async def test_an_engine_that_does_not_answer_is_said(
    known: EngineView, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hub_analytics, "_POLLS", 2)
    with pytest.raises(HubError, match="did not answer"):
        await known.clear_stats(Matcher(["A"]))


async def test_what_is_not_kept_is_refused_with_the_key_to_set(
    known: EngineView, feeds: list[FakeFeed]
):
    for feed in feeds:
        for shard in feed.engines.shards:
            shard.summaries.lengths[: len(Length)] = 0
    with pytest.raises(HubError, match=r"bar_ms or bar_shares in \[analytics\]"):
        known.bars(EVERY, 10)
    with pytest.raises(HubError, match=r"price_stats = true in \[analytics\]"):
        await known.clear_stats(EVERY)
    assert known.analytics.stats_of((0, 4)) is None
    assert known.analytics.new_bars() == []


def show(functions: Any, binding: int, **words: int) -> None:
    row = functions.rows[1]
    at = row[Fn.STATE_AT] + binding * row[Fn.STRIDE]
    for name, value in words.items():
        functions.state[at + Shown[name.upper()]] = value


def test_correlations_are_told_by_name_and_by_symbol(known: EngineView, feeds: list[FakeFeed]):
    functions = feeds[0].engines.shards[1].patterns
    show(functions, 0, samples=9, correlation_e9=-5, beta_e9=7, ts_exch_ns=11)
    show(functions, 1, samples=1)
    rows = known.correlations(EVERY, EVERY)
    assert [(row.name, row.feed, row.symbol_a, row.symbol_b) for row in rows] == [
        ("pairs", "a", "A", "B"),
        ("pairs", "a", "C", "A"),
    ]
    (row,) = known.correlations(Matcher(["p*"]), Matcher(["B"]))
    assert (row.samples, row.correlation_e9, row.beta_e9, row.ts_exch_ns) == (9, -5, 7, 11)
    assert known.correlations(Matcher(["other"]), EVERY) == []
    assert np.all(functions.state[: functions.rows[1, Fn.STATE_AT]] == 0)


def test_a_correlation_over_feeds_names_the_other_one(known: EngineView, feeds: list[FakeFeed]):
    use = Use(40, bindings=((leg_word("A", 0), leg_word("A", 1)),))
    functions = allocate_functions((Use(), use), INSTRUMENTS, feed=0, away=1)
    feeds[0].engines.shards[1].patterns = functions
    show(functions, 0, samples=1)
    (row,) = known.correlations(EVERY, Matcher(["A"]))
    assert (row.feed, row.symbol_a, row.symbol_b) == ("a", "A", "A@b")
