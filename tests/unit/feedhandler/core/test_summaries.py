"""What is kept for those who ask from outside, as the engine keeps it."""

import numpy as np
import pytest

from feedhandler.core.bars import bars_of
from feedhandler.core.price_stats import price_stats_of
from feedhandler.core.receive import clear_asked_stats_nb
from feedhandler.core.shard import Control, Setting
from feedhandler.core.summaries import (
    EVERY_INSTRUMENT,
    SummarySettings,
    allocate_summaries,
    clear_stats_nb,
)
from tests.unit.feedhandler.core.support import BOOK, CAPACITY, Engine, trade

KEPT = SummarySettings(bar_ns=10, bar_shares=100, price_stats=True)


def engine_with(settings: SummarySettings) -> Engine:
    engine = Engine(capacity=CAPACITY._replace(summaries=settings))
    engine.feed([trade(70, 10_000, locate=1, ts_ns=12), trade(60, 10_200, locate=1, ts_ns=14)])
    engine.feed([trade(9, 9_000, locate=2, ts_ns=15), trade(10, 10_100, locate=1, ts_ns=23)])
    return engine


def test_every_tick_is_taken_into_all_that_is_kept():
    summaries = engine_with(KEPT).shard.summaries
    last, present = bars_of(summaries.time_bars, 1)
    assert (last.volume, last.high_e9, present.volume) == (130, 1_020_000_000, 10)
    last, present = bars_of(summaries.volume_bars, 1)
    assert (last.volume, present.volume) == (100, 40)
    stats = price_stats_of(summaries.price_stats, 1)
    assert (stats.trades, stats.low_e9, stats.duration_ns) == (3, 1_000_000_000, 11)


@pytest.mark.parametrize("name", ["bar_ns", "bar_shares", "price_stats"])
def test_what_is_not_configured_takes_no_memory_and_nothing_is_kept(name: str):
    off = False if name == "price_stats" else 0
    kept = {"bar_ns": "time_bars", "bar_shares": "volume_bars", "price_stats": "price_stats"}
    summaries = engine_with(KEPT._replace(**{name: off})).shard.summaries
    for key, field in kept.items():
        words = getattr(summaries, field)
        whole = getattr(allocate_summaries(BOOK.instruments, KEPT), field)
        assert bool(words.any()) == (key != name)
        assert (len(words) == len(whole)) == (key != name)


def test_without_any_of_it_the_engine_does_not_even_ask():
    shard = engine_with(SummarySettings()).shard
    assert shard.settings[Setting.SUMMARIES] == 0
    assert not any(words.any() for words in shard.summaries)


@pytest.mark.parametrize(
    ("asked", "left"), [(0, [3, 1]), (1 + 1, [0, 1]), (1 + 2, [3, 0]), (EVERY_INSTRUMENT, [0, 0])]
)
def test_statistics_begin_anew_where_the_control_plane_says_so(asked: int, left: list[int]):
    shard = engine_with(KEPT).shard
    shard.control[Control.CLEAR_STATS] = asked
    clear_asked_stats_nb(shard)
    assert shard.control[Control.CLEAR_STATS] == 0
    found = [price_stats_of(shard.summaries.price_stats, number) for number in (1, 2)]
    assert [stats.trades if stats else 0 for stats in found] == left


def test_an_instrument_beyond_the_rows_is_passed_over():
    summaries = allocate_summaries(2, KEPT)
    clear_stats_nb(summaries, 7)
    assert not np.any(summaries.price_stats)
