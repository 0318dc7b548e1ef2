import numpy as np
import pytest

from adapters.nasdaq_itch.normalise import normalise_nb
from feedhandler.core.book.apply import (
    apply_tick_nb,
    prefetch_level_of_tick_nb,
    prefetch_tick_nb,
)
from feedhandler.core.book.kernels import Outcome
from feedhandler.core.book.layout import Book, allocate_book
from feedhandler.core.events import TICK, Flag
from tests.unit.feedhandler.core.support import (
    BOOK,
    add,
    cancel,
    delete,
    execute,
    execute_at,
    replace,
    system_event,
)


@pytest.fixture
def book() -> Book:
    return allocate_book(BOOK)


def apply(book: Book, message: bytes):
    """(outcome, completed tick) of one message."""
    ticks = np.zeros(1, TICK)
    block = np.frombuffer(len(message).to_bytes(2, "big") + message, np.uint8)
    normalise_nb(block, 0, 1, ticks, np.zeros(1, np.int32))
    prefetch_tick_nb(book, ticks, 0)
    prefetch_level_of_tick_nb(book, ticks, 0)
    outcome = Outcome(apply_tick_nb(book, ticks, 0))
    return outcome, ticks[0]


def test_tick_carries_the_best_prices_after_its_message(book: Book):
    apply(book, add(1, "B", 100, 9_900))
    outcome, tick = apply(book, add(2, "S", 50, 10_100))
    assert outcome == Outcome.OK
    assert (tick["bid_price_e9"], tick["bid_qty"]) == (990_000_000, 100)
    assert (tick["ask_price_e9"], tick["ask_qty"]) == (1_010_000_000, 50)
    assert tick["flags"] == Flag.BBO_CHANGED


def test_quote_behind_the_touch_changes_no_best_price(book: Book):
    apply(book, add(1, "B", 100, 9_900))
    assert apply(book, add(2, "B", 100, 9_800))[1]["flags"] == 0


@pytest.mark.parametrize("message", [execute(2, 5), cancel(2, 5)])
def test_what_names_an_order_gets_its_instrument_side_and_price(book: Book, message: bytes):
    apply(book, add(2, "S", 50, 10_100, locate=3))
    outcome, tick = apply(book, message)
    assert outcome == Outcome.OK
    assert (tick["instrument"], tick["side"]) == (3, -1)
    assert (tick["price_e9"], tick["qty"], tick["ask_qty"]) == (1_010_000_000, 5, 45)


def test_execution_at_another_price_keeps_that_price(book: Book):
    apply(book, add(2, "B", 50, 10_100))
    tick = apply(book, execute_at(2, 5, 10_050))[1]
    assert (tick["price_e9"], tick["side"]) == (1_005_000_000, 1)


def test_delete_says_how_much_left(book: Book):
    apply(book, add(2, "B", 50, 10_100))
    apply(book, cancel(2, 20))
    tick = apply(book, delete(2, locate=15))[1]
    assert (tick["qty"], tick["price_e9"], tick["bid_qty"]) == (30, 1_010_000_000, 0)
    assert (tick["instrument"], tick["flags"]) == (1, Flag.BBO_CHANGED)


def test_order_decides_its_instrument_even_when_the_message_names_an_impossible_one(book: Book):
    apply(book, add(2, "B", 50, 10_100))
    assert apply(book, delete(2, locate=60_000))[0] == Outcome.OK
    assert apply(book, delete(2, locate=60_000))[0] == Outcome.UNKNOWN_REFERENCE


def test_replacement_stays_on_its_side(book: Book):
    apply(book, add(2, "S", 50, 10_100))
    outcome, tick = apply(book, replace(2, 3, 70, 10_200))
    assert (outcome, tick["side"]) == (Outcome.OK, -1)
    assert (tick["ask_price_e9"], tick["ask_qty"]) == (1_020_000_000, 70)


def test_replacement_at_an_impossible_price_leaves_the_book_as_it_was(book: Book):
    apply(book, add(2, "S", 50, 10_100))
    assert apply(book, replace(2, 3, 70, 2**31))[0] == Outcome.BAD_PRICE
    assert apply(book, delete(2))[1]["qty"] == 50


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        (add(1, "B", 1, 2**31), Outcome.BAD_PRICE),
        (add(1, "B", 0, 1), Outcome.BAD_QTY),
        (add(1, "X", 1, 1), Outcome.BAD_SIDE),
        (add(1, "B", 1, 1, locate=16), Outcome.BAD_INSTRUMENT),
        (delete(9), Outcome.UNKNOWN_REFERENCE),
    ],
)
def test_message_that_cannot_be_applied_says_why(book: Book, message: bytes, outcome: Outcome):
    found, tick = apply(book, message)
    assert found == outcome
    assert bool(tick["flags"] & Flag.UNKNOWN_REFERENCE) == (outcome == Outcome.UNKNOWN_REFERENCE)
    assert not book.ladders["count"].any()


def test_other_messages_pass_the_book_by(book: Book):
    apply(book, add(1, "B", 100, 9_900, locate=0))
    outcome, tick = apply(book, system_event(5))
    assert (outcome, tick["bid_qty"], tick["flags"]) == (Outcome.OK, 100, 0)
