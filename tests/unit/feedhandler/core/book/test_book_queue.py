import numpy as np
import pytest

from feedhandler.core.book.kernels import add_order_nb, find_order_nb, reduce_order_nb
from feedhandler.core.book.layout import Book, BookCapacity, allocate_book
from feedhandler.core.book.queue import best_levels_nb, depth_nb, queue_position_nb

CAPACITY = BookCapacity(instruments=1, orders=64, overflow_orders=16, level_blocks=16, arena=64)


def book_of(*orders: tuple[int, int, int]) -> Book:
    """A book of bids: (reference, key, quantity) each."""
    book = allocate_book(CAPACITY)
    for ref, key, qty in orders:
        assert add_order_nb(book, 0, key, ref, qty) == 0
    return book


def test_place_in_a_queue_counts_orders_and_quantity_ahead():
    book = book_of((1, 100, 10), (2, 100, 20), (3, 200, 5), (4, 100, 30))
    assert [queue_position_nb(book, ref) for ref in (1, 2, 3, 4)] == [
        (0, 0),
        (1, 10),
        (0, 0),
        (2, 30),
    ]


def test_who_came_later_is_behind_whatever_its_reference():
    book = book_of((40, 100, 10), (3, 100, 20), (40 + 64, 100, 1), (-7, 100, 2))
    assert [queue_position_nb(book, ref) for ref in (40, 3, 104, -7)] == [
        (0, 0),
        (1, 10),
        (2, 30),
        (3, 31),
    ]


def test_an_order_moves_up_with_what_leaves_ahead_of_it():
    book = book_of((1, 100, 10), (2, 100, 20), (3, 100, 30))
    reduce_order_nb(book, find_order_nb(book, 1), 4)
    assert queue_position_nb(book, 3) == (2, 26)
    reduce_order_nb(book, find_order_nb(book, 1), 6)
    assert queue_position_nb(book, 3) == (1, 20)


@pytest.mark.parametrize("ref", [9, -1, 1 + 64])
def test_an_order_that_is_not_live_has_no_place(ref: int):
    assert queue_position_nb(book_of((1, 100, 10)), ref) == (-1, -1)


def test_best_levels_come_from_both_grids_as_far_as_there_is_room():
    book = book_of(
        (1, 100, 1), (2, 163, 2), (3, 200, 3), (4, 12_800, 4), (5, 12_801, 5), (6, 200, 6)
    )
    out = np.zeros((10, 3), np.int64)
    expected = [[12_801, 5, 1], [12_800, 4, 1], [200, 9, 2], [163, 2, 1], [100, 1, 1]]
    assert best_levels_nb(book, 0, out) == 5
    assert out[:5].tolist() == expected
    assert best_levels_nb(book, 0, out[:2]) == 2
    assert best_levels_nb(book, 1, out) == 0


def test_depth_is_what_stands_at_the_best_levels_and_the_price_of_the_last():
    book = book_of(
        (1, 100, 1), (2, 163, 2), (3, 200, 3), (4, 12_800, 4), (5, 12_801, 5), (6, 200, 6)
    )
    expected = [(5, 12_801), (9, 12_800), (18, 200), (20, 163), (21, 100), (21, 0), (21, 0)]
    for count, (qty, price_e4) in enumerate(expected, 1):
        assert depth_nb(book, 0, count) == (qty, price_e4 * 100_000)
    assert depth_nb(book, 1, 1) == (0, 0)
