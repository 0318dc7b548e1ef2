"""Corners of messages in parts and of stated levels that a conversation seldom reaches."""

import numpy as np
import pytest

from feedhandler.core.book.apply import apply_part_nb
from feedhandler.core.book.kernels import Outcome, add_order_nb, set_level_nb, update_best_nb
from feedhandler.core.book.layout import Book, BookCapacity, allocate_book, set_price_step
from feedhandler.core.book.views import books_digest, levels
from feedhandler.core.events import TICK, Clear, Flag, Kind

CAPACITY = BookCapacity(instruments=2, orders=512, overflow_orders=8, level_blocks=2, arena=64)


def apply(book: Book, **fields: int) -> tuple[Outcome, np.void]:
    """The outcome of a tick with these fields, and the tick."""
    ticks = np.zeros(1, TICK)
    for name, value in ({"flags": Flag.SETTLES} | fields).items():
        ticks[0][name] = value
    return Outcome(int(apply_part_nb(book, ticks, 0))), ticks[0]


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"kind": Kind.SET_LEVEL, "qty": 1, "aux": 1}, Outcome.BAD_SIDE),
        ({"kind": Kind.SET_LEVEL, "side": 1, "price_e9": 1, "qty": 1, "aux": 1}, Outcome.BAD_PRICE),
        ({"kind": Kind.SET_LEVEL, "side": 1, "qty": 1, "aux": 2**20}, Outcome.BAD_QTY),
        ({"kind": Kind.CLEAR_LEVELS, "status": Clear.FROM_PRICE, "price_e9": 1}, Outcome.BAD_PRICE),
        ({"kind": Kind.CLEAR_LEVELS, "status": Clear.PLACE}, Outcome.BAD_PRICE),
        ({"kind": Kind.STATISTIC, "instrument": 2}, Outcome.BAD_INSTRUMENT),
        ({"kind": Kind.DELETE, "order_ref": 7}, Outcome.UNKNOWN_REFERENCE),
        ({"kind": Kind.STATISTIC}, Outcome.OK),
    ],
)
def test_outcomes(fields: dict[str, int], outcome: Outcome):
    assert apply(allocate_book(CAPACITY), **fields)[0] == outcome


def test_a_level_that_does_not_fit_is_refused():
    book = allocate_book(CAPACITY)
    # A block of whole cents, one of finer prices, and no third one.
    outcomes = [int(set_level_nb(book, 0, key, 1, 1)) for key in (100, 101, 200, 100_000)]
    assert outcomes == [Outcome.OK, Outcome.OK, Outcome.OK, Outcome.CAPACITY]
    assert list(levels(book, 0, 1)) == [(200, 1, 1), (101, 1, 1), (100, 1, 1)]


def test_an_order_of_another_instrument_leaves_the_best_prices_of_this_one():
    book = allocate_book(CAPACITY)
    add_order_nb(book, 2, 100, 5, 10)
    update_best_nb(book, 2)
    outcome, tick = apply(book, kind=Kind.DELETE, order_ref=5, flags=Flag.PART)
    assert (outcome, tick["instrument"]) == (Outcome.OK, 1)
    assert list(levels(book, 1, 1)) == []


def test_a_refused_part_that_settles_shows_what_the_others_did():
    book = allocate_book(CAPACITY)
    state = {"kind": Kind.SET_LEVEL, "side": 1, "price_e9": 100_000, "qty": 5, "aux": 1}
    _, tick = apply(book, **state, flags=Flag.PART)
    assert (tick["bid_qty"], tick["flags"] & Flag.BBO_CHANGED) == (0, 0)
    outcome, tick = apply(book, kind=Kind.DELETE, order_ref=9)
    assert outcome == Outcome.UNKNOWN_REFERENCE
    assert tick["bid_qty"] == 5
    assert tick["flags"] & Flag.BBO_CHANGED


def test_a_step_is_set_while_the_book_is_empty():
    book = allocate_book(CAPACITY)
    set_price_step(book, 1, 10)
    state = {"kind": Kind.SET_LEVEL, "instrument": 1, "side": -1, "qty": 5, "aux": 2}
    outcome, tick = apply(book, price_e9=12_340, **state)
    assert (outcome, tick["ask_price_e9"]) == (Outcome.OK, 12_340)
    assert list(levels(book, 1, -1)) == [(1_234, 5, 2)]
    with pytest.raises(ValueError, match="has prices in steps of 10e-9"):
        set_price_step(book, 1, 100)


def test_digests_tell_stated_levels_and_steps_apart():
    books = [allocate_book(CAPACITY) for _ in range(4)]
    set_price_step(books[3], 0, 10)
    for book, orders in zip(books[1:], (1, 2, 1), strict=True):
        set_level_nb(book, 0, 7, 5, orders)
    assert len({books_digest(book) for book in books}) == 4
