"""Single operations, and the corners that a random conversation seldom reaches."""

import pytest

from feedhandler.core.book.kernels import (
    NOT_FOUND,
    Outcome,
    _take_row_nb,
    add_order_nb,
    find_order_nb,
    order_word_nb,
    price_key_nb,
    reduce_order_nb,
    remove_order_nb,
    replace_order_nb,
    reset_book_nb,
    update_best_nb,
)
from feedhandler.core.book.layout import (
    ARENA_NEXT,
    BOOK_TICK_E9,
    KEY_MAX,
    LEVELS_FREE,
    ORDERS_LIVE,
    OVERFLOW_LIVE,
    PAGES_FREE,
    QTY_MASK,
    ROW_CLASSES,
    Book,
    BookCapacity,
    allocate_book,
)
from feedhandler.core.book.views import books_digest, levels

BID, ASK = 0, 1
CAPACITY = BookCapacity(
    instruments=2, order_pages=2, overflow_orders=8, levels=40, arena=512, references=1_024
)


def bid(book: Book, ref: int, key: int = 100, qty: int = 10) -> int:
    return int(add_order_nb(book, BID, key, ref, qty))


def cut(book: Book, ref: int, qty: int) -> int:
    return int(reduce_order_nb(book, find_order_nb(book, ref), ref, qty))


def test_order_is_found_by_its_reference_with_its_quantity():
    book = allocate_book(CAPACITY)
    assert bid(book, 5, qty=QTY_MASK) == Outcome.OK
    assert order_word_nb(book, find_order_nb(book, 5)) & QTY_MASK == QTY_MASK
    assert find_order_nb(book, 6) == NOT_FOUND
    assert find_order_nb(book, 2**40) == NOT_FOUND


@pytest.mark.parametrize("qty", [0, -1, QTY_MASK + 1])
def test_quantity_must_fit_an_order_word(qty: int):
    book = allocate_book(CAPACITY)
    assert bid(book, 1, qty=qty) == Outcome.BAD_QTY
    bid(book, 2)
    assert replace_order_nb(book, find_order_nb(book, 2), 2, 3, 100, qty) == Outcome.BAD_QTY
    assert list(levels(book, 0, 1)) == [(100, 10, 1)]


def test_reference_outside_the_directory_or_without_a_page_lives_in_the_overflow():
    book = allocate_book(CAPACITY)
    for ref in (0, 256):
        assert bid(book, ref) == Outcome.OK
    assert (book.meta[PAGES_FREE], book.meta[OVERFLOW_LIVE]) == (0, 0)
    for ref in (512, 2**40, -1):
        assert bid(book, ref) == Outcome.OK
        assert find_order_nb(book, ref) < NOT_FOUND
    assert book.meta[OVERFLOW_LIVE] == 3


def test_order_stays_in_the_overflow_when_a_page_for_its_neighbours_comes_free():
    book = allocate_book(CAPACITY)
    for ref in (0, 256, 512):
        bid(book, ref)
    remove_order_nb(book, find_order_nb(book, 0), 0)
    assert bid(book, 513) == Outcome.OK
    assert find_order_nb(book, 513) >= 0
    assert find_order_nb(book, 512) < NOT_FOUND
    assert bid(book, 512) == Outcome.DUPLICATE_REFERENCE
    assert find_order_nb(book, 514) == NOT_FOUND


def test_overflow_always_keeps_an_empty_cell_so_that_a_search_ends():
    book = allocate_book(CAPACITY._replace(order_pages=0))
    taken = [ref for ref in range(20) if bid(book, ref) == Outcome.OK]
    assert len(taken) == 6
    assert find_order_nb(book, 19) == NOT_FOUND
    assert book.meta[ORDERS_LIVE] == 6


def test_overflow_of_one_cell_takes_nothing():
    book = allocate_book(CAPACITY._replace(order_pages=0, overflow_orders=1))
    assert bid(book, 1) == Outcome.CAPACITY
    assert book.meta[LEVELS_FREE] == 40


def test_page_is_given_back_with_its_last_order():
    book = allocate_book(CAPACITY)
    bid(book, 1)
    bid(book, 2)
    cut(book, 1, 10)
    assert book.meta[PAGES_FREE] == 1
    cut(book, 2, 10)
    assert book.meta[PAGES_FREE] == 2
    assert not book.directory.any()


def test_order_without_room_leaves_no_empty_level_behind():
    book = allocate_book(CAPACITY._replace(order_pages=0, overflow_orders=2))
    assert bid(book, 1, key=100) == Outcome.OK
    assert bid(book, 2, key=101) == Outcome.CAPACITY
    assert bid(book, 3, key=100) == Outcome.CAPACITY
    assert list(levels(book, 0, 1)) == [(100, 10, 1)]
    assert book.meta[LEVELS_FREE] == 39


def test_order_is_refused_when_levels_are_used_up():
    book = allocate_book(CAPACITY._replace(levels=2))
    assert [bid(book, ref, key=ref) for ref in (1, 2, 3)] == [0, 0, Outcome.CAPACITY]
    assert bid(book, 4, key=1) == Outcome.OK


def test_order_is_refused_when_its_row_cannot_grow():
    book = allocate_book(CAPACITY._replace(arena=8))
    assert [bid(book, ref, key=ref) for ref in range(8)] == [0] * 8
    assert bid(book, 8, key=8) == Outcome.CAPACITY
    assert add_order_nb(book, ASK, -50, 9, 1) == Outcome.CAPACITY
    assert len(list(levels(book, 0, 1))) == 8


def test_no_row_grows_beyond_the_largest_class():
    assert _take_row_nb(allocate_book(CAPACITY), ROW_CLASSES) == NOT_FOUND


def test_stretch_that_a_growing_row_left_is_used_again():
    book = allocate_book(CAPACITY)
    for ref in range(9):
        bid(book, ref, key=ref)
    assert book.meta[ARENA_NEXT] == 8 + 16
    add_order_nb(book, ASK, -50, 100, 1)
    assert book.rows[ASK]["offset"] == 0
    assert book.meta[ARENA_NEXT] == 8 + 16
    assert [price for price, _, _ in levels(book, 0, 1)] == list(range(8, -1, -1))


def test_level_is_found_far_from_the_best_price_too():
    book = allocate_book(CAPACITY)
    for ref in range(30):
        bid(book, ref, key=10 * ref)
    for ref, key in ((100, 5), (101, 95), (102, 0), (103, 290)):
        assert bid(book, ref, key=key) == Outcome.OK
    prices = [price for price, _, _ in levels(book, 0, 1)]
    assert prices == sorted([*range(0, 300, 10), 5, 95], reverse=True)
    assert {(0, 20, 2), (290, 20, 2)} <= set(levels(book, 0, 1))


def test_taking_more_than_there_is_takes_the_order():
    book = allocate_book(CAPACITY)
    bid(book, 1)
    assert cut(book, 1, 4) == Outcome.OK
    assert cut(book, 1, 0) == Outcome.OK
    assert cut(book, 1, 7) == Outcome.OVERFILL
    assert (find_order_nb(book, 1), book.meta[ORDERS_LIVE]) == (NOT_FOUND, 0)


def test_replacement_may_keep_its_reference_but_not_take_a_live_one():
    book = allocate_book(CAPACITY)
    bid(book, 1)
    bid(book, 2)
    assert replace_order_nb(book, find_order_nb(book, 1), 1, 2, 90, 5) == 2
    assert replace_order_nb(book, find_order_nb(book, 1), 1, 1, 90, 5) == Outcome.OK
    assert list(levels(book, 0, 1)) == [(100, 10, 1), (90, 5, 1)]


def test_best_price_changes_with_price_or_quantity_only():
    book = allocate_book(CAPACITY)
    assert update_best_nb(book, BID) == 0
    bid(book, 1)
    assert (update_best_nb(book, BID), update_best_nb(book, BID)) == (1, 0)
    bid(book, 2, key=90)
    assert update_best_nb(book, BID) == 0
    cut(book, 1, 1)
    assert update_best_nb(book, BID) == 1
    add_order_nb(book, ASK, -110, 3, 7)
    assert (update_best_nb(book, ASK), update_best_nb(book, ASK)) == (1, 0)
    assert book.best[0].item() == (100 * 10**5, 9, 110 * 10**5, 7)
    cut(book, 3, 7)
    assert update_best_nb(book, ASK) == 1
    assert book.best[0].item() == (100 * 10**5, 9, 0, 0)


@pytest.mark.parametrize(
    ("price_e9", "key"),
    [
        (0, 0),
        (100_000, 1),
        (KEY_MAX * 100_000, KEY_MAX),
        ((KEY_MAX + 1) * 100_000, KEY_MAX + 1),
        (100_001, KEY_MAX + 1),
        (-100_000, KEY_MAX + 1),
    ],
)
def test_key_is_the_price_in_ten_thousandths_negated_for_asks(price_e9: int, key: int):
    assert price_key_nb(price_e9, 0, BOOK_TICK_E9) == key
    assert price_key_nb(price_e9, 1, BOOK_TICK_E9) == (-key if key <= KEY_MAX else key)


def test_book_after_a_reset_is_as_new():
    book, new = allocate_book(CAPACITY), allocate_book(CAPACITY)
    for ref in (0, 1, 256, 512, 2**40):
        bid(book, ref, key=ref % 97)
        add_order_nb(book, ASK, -200, ref + 2**50, 1)
        update_best_nb(book, BID)
        update_best_nb(book, ASK)
    reset_book_nb(book)
    for name in ("directory", "page_live", "words", "overflow_words", "free_rows", "best", "meta"):
        assert (getattr(book, name) == getattr(new, name)).all(), name
    for name in ("free_pages", "free_levels", "rows"):
        assert (getattr(book, name) == getattr(new, name)).all(), name
    assert books_digest(book) == books_digest(new)
    assert [bid(book, ref, key=ref) for ref in range(9)] == [0] * 9
