from typing import Any

from feedhandler.core.events import Kind
from feedhandler.core.price_stats import (
    STATS_WORDS,
    PriceStats,
    allocate_price_stats,
    clear_price_stats_nb,
    price_stats_nb,
    price_stats_of,
)
from tests.unit.feedhandler.core.support import blank_ticks

E9 = 100_000
SECOND = 1_000_000_000


def take(stats: Any, ts_ns: int, price_e4: int, **values: int) -> None:
    shown = {"kind": Kind.TRADE, "qty": 1, "price_e9": price_e4 * E9, **values}
    price_stats_nb(stats, STATS_WORDS, blank_ticks(ts_exch_ns=ts_ns, **shown), 0)


def test_statistics_are_of_the_printed_trades_of_one_instrument():
    stats = allocate_price_stats(2)
    for ts_ns, price_e4 in ((100, 50), (160, 30), (150, 90), (170, 31)):
        take(stats, ts_ns, price_e4)
    take(stats, 900, 1, kind=Kind.ADD)
    assert price_stats_of(stats, 1) == PriceStats(30 * E9, 90 * E9, 5_025_000, 4, 70)
    assert price_stats_of(stats, 0) is None


def test_they_begin_anew_when_asked_and_with_a_new_day():
    stats = allocate_price_stats(2)
    take(stats, 100 * SECOND, 50)
    clear_price_stats_nb(stats, STATS_WORDS)
    assert price_stats_of(stats, 1) is None
    take(stats, 100 * SECOND, 60)
    take(stats, 91 * SECOND, 70)
    assert price_stats_of(stats, 1).trades == 2
    take(stats, 90 * SECOND, 80)
    assert price_stats_of(stats, 1) == PriceStats(80 * E9, 80 * E9, 80 * E9, 1, 0)
