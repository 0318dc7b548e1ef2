"""What a shard shows in the table of best prices: changes, halts, doubt, and books made anew."""

from typing import Any

import numpy as np

from feedhandler.core.counts import Count
from feedhandler.core.quotes import (
    CELL_WORDS,
    Best,
    FeedWord,
    Quotes,
    allocate_quotes,
    consolidate_nb,
    place_of_nb,
)
from tests.unit.feedhandler.core.support import NEVER, Engine, add, delete, packet, trading_action
from tests.unit.feedhandler.core.test_receive_snapshots import offer_snapshot

TEST = int.from_bytes(b"TEST    ", "little")
E9 = 100_000


def with_table(engine: Engine) -> Quotes:
    """Give an engine a table, as the only feed."""
    quotes = allocate_quotes(8, 1)
    engine.shard = engine.shard._replace(quotes=quotes)
    return quotes


def best(quotes: Quotes) -> list[int]:
    """Bid, quantity, ask, quantity over all feeds."""
    found = np.zeros(len(Best), np.int64)
    consolidate_nb(quotes, place_of_nb(quotes, TEST), np.zeros(CELL_WORDS, np.int64), found)
    words = (Best.BID_E9, Best.BID_QTY, Best.ASK_E9, Best.ASK_QTY)
    return [int(found[word]) for word in words]


def take(engine: Engine, seq: int, *messages: bytes) -> None:
    engine.take(packet(seq, list(messages)))
    engine.poll()


def test_changes_and_halts_are_shown_at_once():
    engine = Engine(stale_after_ns=NEVER)
    quotes = with_table(engine)
    take(engine, 1, add(1, "B", 100, 9_900), add(2, "S", 50, 10_000))
    assert best(quotes) == [9_900 * E9, 100, 10_000 * E9, 50]
    # One behind the best price changes nothing.
    before = quotes.cells.tolist()
    take(engine, 3, add(3, "B", 100, 9_800))
    assert quotes.cells.tolist() == before
    take(engine, 4, trading_action("H"))
    assert best(quotes) == [0, 0, 0, 0]
    take(engine, 5, trading_action("T"))
    assert best(quotes) == [9_900 * E9, 100, 10_000 * E9, 50]
    take(engine, 6, delete(1))
    assert best(quotes) == [9_800 * E9, 100, 10_000 * E9, 50]


def test_a_feed_in_doubt_is_left_out_until_a_snapshot_made_its_books_anew():
    options: dict[str, Any] = {"can_snapshot": 1, "reorder_ns": 0, "stale_after_ns": NEVER}
    engine = Engine(**options)
    quotes = with_table(engine)
    take(engine, 1, add(1, "B", 100, 9_900))
    take(engine, 10, add(10, "B", 100, 9_950))
    engine.poll()
    assert quotes.states[FeedWord.IS_GOOD] == 0
    assert best(quotes) == [0, 0, 0, 0]
    offer_snapshot(engine, [add(5, "S", 7, 10_000)], 10)
    engine.poll()
    engine.poll()
    assert engine.count(Count.SNAPSHOTS) == 1
    assert quotes.states[FeedWord.IS_GOOD] == 1
    # The snapshot's ask, and the bid of message 10, which waited.
    assert best(quotes) == [9_950 * E9, 100, 10_000 * E9, 7]
