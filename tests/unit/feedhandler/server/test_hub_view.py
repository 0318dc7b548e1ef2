"""What the hub sees of an engine: symbols that come and change, figures, signals, best prices."""

from typing import Any, cast

import numpy as np
import pytest

from feedhandler.core.counts import FUNCTIONS_MAX
from feedhandler.core.events import FEED_SHIFT, SignalKind
from feedhandler.core.states import State
from feedhandler.server.books import BookTop, BookWatch
from feedhandler.server.hub_messages import Breaker, Cancel, Order, Quote
from feedhandler.server.hub_view import BookQuotes, EngineView
from feedhandler.server.hub_watchers import Matcher
from tests.unit.feedhandler.server.hub_feeds import FakeFeed, two_feeds, view_of, word
from tests.unit.feedhandler.server.hub_support import signal_row


@pytest.fixture
def feeds() -> list[FakeFeed]:
    return two_feeds()


@pytest.fixture
def view(feeds: list[FakeFeed]) -> EngineView:
    return view_of(feeds)


def test_symbols_are_learnt_once_and_so_many_at_a_time(view: EngineView, feeds: list[FakeFeed]):
    assert view.learn(100) == []
    for instrument in range(10):
        feeds[0].set(instrument, symbol=word(f"S{instrument}"))
    feeds[1].set(3, symbol=word("S3"))
    first = view.learn(4)
    rest = view.learn(100)
    assert len(first) == 4
    assert sorted(first + rest) == sorted([f"S{i}" for i in range(10)] + ["S3"])
    assert view.learn(100) == []
    assert sorted(view.places["S3"]) == [(0, 3), (1, 3)]
    assert view.names(Matcher(("S[12]", "S9", "X"))) == ["S1", "S2", "S9"]
    assert view.names(Matcher(("S9", "X"))) == ["S9"]


def test_instrument_that_gets_another_symbol_is_no_more_the_old_one(
    view: EngineView, feeds: list[FakeFeed]
):
    feeds[0].set(5, symbol=word("OLD"))
    feeds[0].set(6, symbol=word("OLD"))
    view.learn(100)
    feeds[0].set(5, symbol=word("NEW"))
    assert view.learn(100) == ["NEW"]
    assert (view.places["NEW"], view.places["OLD"]) == ([(0, 5)], [(0, 6)])
    feeds[0].set(6, symbol=word("NEW"))
    view.learn(100)
    assert list(view.places) == ["NEW"]


def test_figures_of_a_symbol_are_those_of_each_feed(view: EngineView, feeds: list[FakeFeed]):
    feeds[0].set(
        4, symbol=word("AAPL"), messages=9, halted=1, mid_e4=1_000_000, vwap_e9=7, volume=8
    )
    feeds[1].set(4, symbol=word("AAPL"), messages=2, volatility_e9=5)
    view.learn(100)
    rows = view.symbols(Matcher(("AA*",)), 10)
    assert [(row.feed, row.messages, row.halted) for row in rows] == [
        ("a", 9, True),
        ("b", 2, False),
    ]
    assert (rows[0].mid_e9, rows[0].vwap_e9, rows[0].volume) == (100_000_000_000, 7, 8)
    assert rows[1].volatility_e9 == 5
    assert len(view.symbols(Matcher(("*",)), 1)) == 1


def test_signals_become_messages_with_names(view: EngineView, feeds: list[FakeFeed]):
    feeds[1].set(7, symbol=word("IBM"))
    number = 7 + (1 << FEED_SHIFT)
    order = view.message_of(signal_row(5, instrument=number, side=-1, value_1=3, bid_qty=4))
    assert isinstance(order, Order)
    assert (order.symbol, order.feed, order.source, order.side) == ("IBM", "b", "sweep", "sell")
    assert (order.signal_id, order.values, order.bid_qty) == (5, (0, 3, 0), 4)
    row = signal_row(6, instrument=7, kind=SignalKind.BREAKER, source=FUNCTIONS_MAX, level=3)
    breaker = view.message_of(row)
    assert isinstance(breaker, Breaker)
    assert (breaker.source, breaker.level, breaker.level_name) == ("band", 3, "halted")
    cancel = view.message_of(
        signal_row(7, instrument=7, kind=SignalKind.CANCEL, source=FUNCTIONS_MAX, level=3)
    )
    assert isinstance(cancel, Cancel)
    assert (cancel.signal_id, cancel.symbol) == (7, "#7")


@pytest.mark.parametrize("changes", [{"kind": 77}, {"source": 9}, {"instrument": 5 << FEED_SHIFT}])
def test_signal_that_names_what_there_is_not_is_passed_over(
    view: EngineView, changes: dict[str, int]
):
    assert view.message_of(signal_row(1, **changes)) is None


class FakeBooks:
    """Books of the first feed."""

    def __init__(self, top: BookTop | None) -> None:
        self.top = top

    async def look(self, instrument: int) -> BookTop | None:
        assert instrument == 4
        return self.top


def levels(*rows: tuple[int, int, int]) -> Any:
    return np.array(rows, np.int64).reshape(-1, 3)


@pytest.mark.parametrize(
    ("bids", "asks", "state", "expected"),
    [
        (((100, 5, 1), (99, 1, 1)), ((101, 7, 1),), State.LIVE, (100, 5, 101, 7, "", False)),
        ((), ((101, 7, 1),), State.LIVE, (0, 0, 101, 7, "", False)),
        (((102, 5, 1),), ((101, 7, 1),), State.GAP, (102, 5, 101, 7, "crossed", True)),
        (((101, 5, 1),), ((101, 7, 1),), State.ENDED, (101, 5, 101, 7, "locked", False)),
    ],
)
async def test_best_prices_of_a_book_are_a_quote(
    view: EngineView,
    feeds: list[FakeFeed],
    bids: Any,
    asks: Any,
    state: State,
    expected: tuple[Any, ...],
):
    feeds[0].set(4, symbol=word("AAPL"))
    feeds[1].set(4, symbol=word("ELSE"))
    view.learn(10)
    books = FakeBooks(BookTop(levels(*bids), levels(*asks), state, 9))
    source = BookQuotes(view, cast("BookWatch", books))
    quote = await source.read("AAPL")
    assert isinstance(quote, Quote)
    found = (quote.bid_price_e9 // 100_000, quote.bid_qty, quote.ask_price_e9 // 100_000)
    assert (*found, quote.ask_qty, quote.market, quote.in_doubt) == expected
    assert await source.read("NONE") is None
    assert await source.read("ELSE") is None
    books.top = None
    with pytest.raises(TimeoutError, match="AAPL"):
        await source.read("AAPL")
