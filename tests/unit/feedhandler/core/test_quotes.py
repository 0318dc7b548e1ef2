"""The table of best prices: places, cells, what is consolidated, and readers beside a writer."""

import threading
from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from feedhandler.core.events import TICK, Flag, symbol_word
from feedhandler.core.quotes import (
    CELL_WORDS,
    Best,
    Cell,
    FeedWord,
    Quotes,
    allocate_quotes,
    cell_at_nb,
    consolidate_nb,
    place_of_nb,
    publish_quote_nb,
    read_cell_nb,
    show_feed_nb,
)

Quote = tuple[int, int, int, int]
SYMBOL = int.from_bytes(b"ARLO    ", "little")


def tick_of(feed: int, quote: tuple[int, int, int, int], flags: int = Flag.BBO_CHANGED):
    ticks = np.zeros(1, TICK)
    row = ticks[0]
    row["feed"], row["flags"], row["ts_rx_ns"] = feed, flags, 7
    for name, value in zip(
        ("bid_price_e9", "bid_qty", "ask_price_e9", "ask_qty"), quote, strict=True
    ):
        row[name] = value
    return ticks


def publish(quotes: Quotes, feed: int, quote: tuple[int, int, int, int], flags: int = 2) -> None:
    publish_quote_nb(quotes, np.zeros(1, np.int32), SYMBOL, tick_of(feed, quote, flags), 0)


def best_of(quotes: Quotes) -> list[int]:
    best = np.zeros(len(Best), np.int64)
    consolidate_nb(quotes, place_of_nb(quotes, SYMBOL), np.zeros(CELL_WORDS, np.int64), best)
    return best.tolist()


def history_of(quotes: Quotes, feed: int) -> int:
    return int(quotes.histories[feed, place_of_nb(quotes, SYMBOL)])


def slow_best(quotes: dict[int, tuple[int, int, int, int]]) -> list[int]:
    """The twin of `consolidate_nb`, over good feeds."""
    bids = [(bid, qty, feed) for feed, (bid, qty, _, _) in quotes.items() if qty]
    asks = [(ask, qty, feed) for feed, (_, _, ask, qty) in quotes.items() if qty]
    found = []
    for side, top in ((bids, max), (asks, min)):
        price = top((price for price, _, _ in side), default=0)
        there = [(qty, feed) for each, qty, feed in side if each == price]
        found += [price, sum(qty for qty, _ in there), sum(1 << feed for _, feed in there)]
    return [*found, 7 if quotes else 0, sum(1 << feed for feed in quotes)]


quote = st.tuples(st.integers(1, 5), st.integers(0, 3), st.integers(4, 9), st.integers(0, 3))


@given(st.dictionaries(st.integers(0, 3), quote), st.sets(st.integers(0, 3)))
def test_the_best_of_all_feeds_is_that_of_a_slow_search(found: dict[int, Quote], bad: set[int]):
    quotes = allocate_quotes(4, 4)
    for feed in range(4):
        show_feed_nb(quotes, feed, 1)
    for feed, each in found.items():
        publish(quotes, feed, each)
    for feed in bad:
        show_feed_nb(quotes, feed, 0)
    good = {feed: each for feed, each in found.items() if feed not in bad}
    assert best_of(quotes) == slow_best(good)


def test_halted_symbols_are_left_out():
    quotes = allocate_quotes(4, 2)
    for feed in range(2):
        show_feed_nb(quotes, feed, 1)
    publish(quotes, 0, (5, 1, 9, 1))
    publish(quotes, 1, (8, 1, 9, 1), Flag.BBO_CHANGED | Flag.HALTED)
    assert best_of(quotes)[:3] == [5, 1, 1]
    publish(quotes, 1, (8, 1, 9, 1), Flag.NONE)
    assert best_of(quotes)[:3] == [8, 1, 2]


@given(st.lists(quote, max_size=8), st.lists(quote, max_size=8))
def test_histories_are_equal_when_the_best_prices_were_always(
    first: list[Quote], second: list[Quote]
):
    quotes = allocate_quotes(4, 2)
    for feed, found in enumerate((first, second)):
        for each in found:
            publish(quotes, feed, each)
    # A price without a quantity means nothing.
    plain = [
        [(b if bq else 0, bq, a if aq else 0, aq) for b, bq, a, aq in found]
        for found in (first, second)
    ]
    assert (history_of(quotes, 0) == history_of(quotes, 1)) == (plain[0] == plain[1])
    assert history_of(quotes, 0) >> 32 == len(first)


def test_a_symbol_has_one_place_and_a_full_table_says_so():
    quotes = allocate_quotes(2, 1)
    words = [int.from_bytes(f"S{i:<7}".encode(), "little") for i in range(5)]
    places = [place_of_nb(quotes, word) for word in words]
    assert sorted(places[:4]) == [0, 1, 2, 3]
    assert places[4] == -1
    assert [place_of_nb(quotes, word) for word in words[:4]] == places[:4]
    known = np.zeros(1, np.int32)
    for _ in range(2):
        publish_quote_nb(quotes, known, words[4], tick_of(0, (1, 1, 2, 1)), 0)
    assert quotes.states[FeedWord.LOST] == 1


def test_an_instrument_without_a_symbol_is_not_shown():
    quotes = allocate_quotes(2, 1)
    publish_quote_nb(quotes, np.zeros(1, np.int32), 0, tick_of(0, (1, 1, 2, 1)), 0)
    assert not quotes.cells.any()


def test_a_number_with_another_symbol_leaves_the_cell_of_the_one_before():
    quotes, places = allocate_quotes(2, 1), np.zeros(4, np.int32)
    x, y = (symbol_word(name) for name in "XY")
    ticks = tick_of(0, (1, 2, 3, 4))

    def publish_as(instrument: int, symbol: int) -> None:
        ticks[0]["instrument"] = instrument
        publish_quote_nb(quotes, places, symbol, ticks, 0)

    def shown(symbol: int) -> list[int]:
        at = cell_at_nb(quotes, place_of_nb(quotes, symbol), 0)
        return quotes.cells[at + Cell.BID_E9 : at + Cell.TS_RX_NS].tolist()

    publish_as(1, x)
    publish_as(1, y)
    assert (shown(x), shown(y)) == ([0] * 4, [1, 2, 3, 4])
    # Two numbers change what they mean: who comes second empties nothing that the first has shown.
    publish_as(2, x)
    publish_as(1, x)
    publish_as(2, y)
    assert (shown(x), shown(y)) == ([1, 2, 3, 4], [1, 2, 3, 4])


def test_a_reader_beside_a_writer_sees_whole_quotes_only():
    quotes, places = allocate_quotes(1, 1), np.zeros(1, np.int32)
    random, stop = Random(1), threading.Event()
    rows = [tick_of(0, (n, n, n, n)) for n in random.sample(range(1, 1 << 40), 64)]
    publish_quote_nb(quotes, places, SYMBOL, rows[0], 0)

    def write() -> None:
        while not stop.is_set():
            for row in rows:
                publish_quote_nb(quotes, places, SYMBOL, row, 0)

    writer = threading.Thread(target=write)
    writer.start()
    out, seen = np.zeros(CELL_WORDS, np.int64), set()
    try:
        for _ in range(5_000):
            read_cell_nb(quotes, 0 + cell_at_nb(quotes, place_of_nb(quotes, SYMBOL), 0), out)
            values = set(out[Cell.BID_E9 : Cell.TS_RX_NS].tolist())
            assert len(values) == 1
            seen |= values
    finally:
        stop.set()
        writer.join()
    assert len(seen) > 1
