import hashlib

from feedhandler.core.book.kernels import add_order_nb
from feedhandler.core.book.layout import allocate_book
from feedhandler.core.book.views import books_digest, levels, live_instruments, orders
from tests.unit.feedhandler.core.support import BOOK


def filled_book():
    book = allocate_book(BOOK)
    for instrument, is_ask, price_e4, ref, qty in (
        (2, 0, 100, 7, 10),
        (2, 0, 101, 2**63 - 1, 20),
        (2, 0, 101, 3, 30),
        (2, 1, 105, 9, 40),
        (2, 1, 104, -1, 50),
        (0, 1, 5, 1, 60),
    ):
        add_order_nb(book, 2 * instrument + is_ask, -price_e4 if is_ask else price_e4, ref, qty)
    return book


def test_orders_come_by_instrument_side_price_and_reference():
    assert [row.item() for row in orders(filled_book())] == [
        (0, b"S", 5, 1, 60),
        (2, b"B", 101, 3, 30),
        (2, b"B", 101, 2**63 - 1, 20),
        (2, b"B", 100, 7, 10),
        (2, b"S", 104, 2**64 - 1, 50),
        (2, b"S", 105, 9, 40),
    ]


def test_digest_is_that_of_the_order_records():
    book = filled_book()
    assert books_digest(book) == hashlib.sha256(orders(book).tobytes()).hexdigest()
    assert orders(book).dtype.itemsize == 19
    add_order_nb(book, 0, 1, 1_000, 1)
    assert books_digest(book) != books_digest(filled_book())


def test_empty_books_have_the_digest_of_nothing():
    assert books_digest(allocate_book(BOOK)) == hashlib.sha256(b"").hexdigest()


def test_levels_come_best_first_with_quantity_and_orders():
    book = filled_book()
    assert list(levels(book, 2, 1)) == [(101, 50, 2), (100, 10, 1)]
    assert list(levels(book, 2, -1)) == [(104, 50, 1), (105, 40, 1)]
    assert list(levels(book, 1, 1)) == []


def test_instruments_with_a_price_on_either_side_are_live():
    assert live_instruments(filled_book()).tolist() == [0, 2]
