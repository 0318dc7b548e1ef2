"""Single operations, and the corners that a random conversation seldom reaches."""

import pytest

from feedhandler.core.book.kernels import (
    Outcome,
    add_order_nb,
    find_order_nb,
    order_word_nb,
    prefetch_level_nb,
    prefetch_order_nb,
    price_key_nb,
    reduce_order_nb,
    remove_order_nb,
    replace_order_nb,
    reset_book_nb,
    steps_nb,
    update_best_nb,
)
from feedhandler.core.book.ladders import _take_row_nb
from feedhandler.core.book.layout import (
    ARENA_NEXT,
    BLOCKS_FREE,
    BOOK_TICK_E9,
    KEY_MAX,
    LEVEL_QTY_MASK,
    ONE_ORDER,
    ORDERS_LIVE,
    OVERFLOW_LIVE,
    QTY_MASK,
    ROW_CLASSES,
    Book,
    BookCapacity,
    allocate_book,
)
from feedhandler.core.book.overflow import NOT_FOUND
from feedhandler.core.book.views import books_digest, levels

BID, ASK = 0, 1
CAPACITY = BookCapacity(instruments=2, orders=256, overflow_orders=8, level_blocks=40, arena=512)
BLOCK_KEYS = 6_400


def bid(book: Book, ref: int, key: int = 100, qty: int = 10) -> int:
    return int(add_order_nb(book, BID, key, ref, qty))


def cut(book: Book, ref: int, qty: int) -> int:
    return int(reduce_order_nb(book, find_order_nb(book, ref), qty))


def test_order_is_found_by_its_reference_with_its_quantity():
    book = allocate_book(CAPACITY)
    assert bid(book, 5, qty=QTY_MASK) == Outcome.OK
    assert order_word_nb(book, find_order_nb(book, 5)) & QTY_MASK == QTY_MASK
    assert find_order_nb(book, 6) == NOT_FOUND
    assert find_order_nb(book, 5 + 256) == NOT_FOUND


@pytest.mark.parametrize("qty", [0, -1, QTY_MASK + 1])
def test_quantity_must_fit_an_order_word(qty: int):
    book = allocate_book(CAPACITY)
    assert bid(book, 1, qty=qty) == Outcome.BAD_QTY
    bid(book, 2)
    assert replace_order_nb(book, find_order_nb(book, 2), 3, 100, qty) == Outcome.BAD_QTY
    assert list(levels(book, 0, 1)) == [(100, 10, 1)]


def test_order_whose_slot_another_one_has_lives_in_the_overflow():
    book = allocate_book(CAPACITY)
    assert bid(book, 7) == Outcome.OK
    for ref in (7 + 256, 7 + 2**40, 7 - 2**63):
        assert bid(book, ref) == Outcome.OK
        assert find_order_nb(book, ref) > book.order_mask
        assert bid(book, ref) == Outcome.DUPLICATE_REFERENCE
    assert book.meta[OVERFLOW_LIVE] == 3
    assert list(levels(book, 0, 1)) == [(100, 40, 4)]


def test_order_stays_in_the_overflow_when_its_slot_comes_free():
    book = allocate_book(CAPACITY)
    for ref in (0, 256):
        bid(book, ref)
    remove_order_nb(book, find_order_nb(book, 0))
    assert bid(book, 512) == Outcome.OK
    assert find_order_nb(book, 512) == 0
    assert find_order_nb(book, 256) > book.order_mask
    assert bid(book, 256) == Outcome.DUPLICATE_REFERENCE
    assert bid(book, 1) == Outcome.OK


def test_overflow_always_keeps_an_empty_cell_so_that_a_search_ends():
    book = allocate_book(CAPACITY._replace(orders=1))
    taken = [ref for ref in range(20) if bid(book, ref) == Outcome.OK]
    assert len(taken) == 1 + 6
    assert find_order_nb(book, 19) == NOT_FOUND
    assert book.meta[ORDERS_LIVE] == 7


def test_overflow_of_one_cell_takes_nothing():
    book = allocate_book(CAPACITY._replace(orders=1, overflow_orders=1))
    assert [bid(book, ref) for ref in (1, 2)] == [Outcome.OK, Outcome.CAPACITY]
    assert book.meta[BLOCKS_FREE] == 39


def test_order_without_room_leaves_no_empty_block_behind():
    book = allocate_book(CAPACITY._replace(orders=1, overflow_orders=1))
    assert bid(book, 1, key=100) == Outcome.OK
    assert bid(book, 2, key=10 * BLOCK_KEYS) == Outcome.CAPACITY
    assert bid(book, 3, key=100) == Outcome.CAPACITY
    assert list(levels(book, 0, 1)) == [(100, 10, 1)]
    assert book.meta[BLOCKS_FREE] == 39


def test_order_is_refused_when_blocks_are_used_up():
    book = allocate_book(CAPACITY._replace(level_blocks=2))
    keys = (0, BLOCK_KEYS, 2 * BLOCK_KEYS)
    assert [bid(book, ref, key=key) for ref, key in enumerate(keys)] == [0, 0, Outcome.CAPACITY]
    assert bid(book, 4, key=BLOCK_KEYS + 100) == Outcome.OK
    assert find_order_nb(book, 2) == NOT_FOUND
    cut(book, 0, 10)
    assert bid(book, 5, key=2 * BLOCK_KEYS) == Outcome.OK


def test_order_is_refused_when_its_ladder_cannot_grow():
    book = allocate_book(CAPACITY._replace(arena=8))
    assert [bid(book, ref, key=ref * BLOCK_KEYS) for ref in range(8)] == [0] * 8
    assert bid(book, 8, key=8 * BLOCK_KEYS) == Outcome.CAPACITY
    assert add_order_nb(book, ASK, -50, 9, 1) == Outcome.CAPACITY
    assert len(list(levels(book, 0, 1))) == 8
    assert book.meta[BLOCKS_FREE] == 32


def test_stretch_that_a_growing_ladder_left_is_used_again():
    book = allocate_book(CAPACITY)
    for ref in range(9):
        bid(book, ref, key=ref * BLOCK_KEYS)
    assert book.meta[ARENA_NEXT] == 8 + 16
    add_order_nb(book, ASK, -100, 100, 1)
    assert book.ladders[2 * ASK]["offset"] == 0
    assert book.meta[ARENA_NEXT] == 8 + 16
    assert [price for price, _, _ in levels(book, 0, 1)] == [
        BLOCK_KEYS * i for i in range(8, -1, -1)
    ]


def test_no_stretch_grows_beyond_the_largest_class():
    assert _take_row_nb(allocate_book(CAPACITY), ROW_CLASSES) < 0


def test_level_that_can_hold_no_more_quantity_refuses_an_order_and_stays_as_it_is():
    book = allocate_book(CAPACITY)
    bid(book, 1, qty=1)
    level = order_word_nb(book, find_order_nb(book, 1)) >> 32
    book.levels[level] = ONE_ORDER + LEVEL_QTY_MASK - 4
    assert bid(book, 2, qty=5) == Outcome.CAPACITY
    assert bid(book, 3, qty=4) == Outcome.OK
    assert list(levels(book, 0, 1)) == [(100, LEVEL_QTY_MASK, 2)]


def test_level_of_too_many_orders_refuses_one():
    book = allocate_book(CAPACITY)
    bid(book, 1, qty=1)
    level = order_word_nb(book, find_order_nb(book, 1)) >> 32
    book.levels[level] = (2**20 - 1) * ONE_ORDER + 1
    assert bid(book, 2) == Outcome.CAPACITY
    assert list(levels(book, 0, 1)) == [(100, 1, 2**20 - 1)]


def test_prices_of_both_grids_and_all_blocks_come_in_order():
    book = allocate_book(CAPACITY)
    keys = (100, 101, 99, 6_300, 6_400, 6_401, 70_000, KEY_MAX, KEY_MAX - 47, 0, 163, 64)
    for ref, key in enumerate(keys):
        assert bid(book, ref, key=key, qty=ref + 1) == Outcome.OK
        assert add_order_nb(book, ASK, -key, 100 + ref, ref + 1) == Outcome.OK
        for side in (BID, ASK):
            update_best_nb(book, side)
        highest, lowest = max(keys[: ref + 1]), min(keys[: ref + 1])
        assert book.sides[BID]["price_e9"] == highest * 10**5
        assert book.sides[ASK]["price_e9"] == lowest * 10**5
    assert [price for price, _, _ in levels(book, 0, 1)] == sorted(keys, reverse=True)
    assert [price for price, _, _ in levels(book, 0, -1)] == sorted(keys)


def test_blocks_that_share_a_place_of_near_are_all_found():
    book = allocate_book(CAPACITY)
    keys = [8 * BLOCK_KEYS * i for i in range(5)]
    for ref, key in enumerate(keys * 3):
        assert bid(book, ref, key=key) == Outcome.OK
    assert list(levels(book, 0, 1)) == [(key, 30, 3) for key in reversed(keys)]
    assert book.meta[BLOCKS_FREE] == 40 - len(keys)
    for ref in range(15):
        cut(book, ref, 10)
    assert book.meta[BLOCKS_FREE] == 40
    assert not book.near.any()


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
    assert replace_order_nb(book, find_order_nb(book, 1), 2, 90, 5) == 2
    assert replace_order_nb(book, find_order_nb(book, 1), 1, 90, 5) == Outcome.OK
    assert list(levels(book, 0, 1)) == [(100, 10, 1), (90, 5, 1)]


def test_replacement_in_the_overflow_may_keep_its_reference():
    book = allocate_book(CAPACITY)
    bid(book, 1)
    bid(book, 257)
    assert replace_order_nb(book, find_order_nb(book, 257), 257, 90, 5) == Outcome.OK
    assert book.meta[OVERFLOW_LIVE] == 1
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
    assert best(book) == (100 * 10**5, 9, 110 * 10**5, 7)
    cut(book, 3, 7)
    assert update_best_nb(book, ASK) == 1
    assert best(book) == (100 * 10**5, 9, 0, 0)


def best(book: Book) -> tuple[int, ...]:
    return tuple(int(book.sides[side][name]) for side in (BID, ASK) for name in ("price_e9", "qty"))


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


@pytest.mark.parametrize("sign", [1, -1])
def test_steps_are_exact_where_nothing_remains(sign: int):
    near_the_ends = (0, 1, 49, 63, 64, KEY_MAX // 100 - 1, KEY_MAX // 100)
    for steps in (*near_the_ends, *range(0, KEY_MAX // 100, 99_991)):
        assert steps_nb(sign * steps * 100) == sign * steps
        for rest in (1, 49, 50, 51, 99):
            assert steps_nb(sign * (steps * 100 + rest)) * 100 != sign * (steps * 100 + rest)


def test_asking_for_memory_ahead_changes_nothing_whatever_it_is_asked_for():
    book = allocate_book(CAPACITY)
    bid(book, 1)
    digest = books_digest(book)
    for ref in (1, 2, -1, 2**63 - 1):
        for side_idx in (BID, ASK, 3, 4, 2**32):
            for price_e4 in (100, 101, 2**32 - 1):
                prefetch_order_nb(book, ref, side_idx)
                prefetch_level_nb(book, 0, ref, side_idx, price_e4)
                prefetch_level_nb(book, 1, ref, side_idx, price_e4)
    assert books_digest(book) == digest


def test_book_after_a_reset_is_as_new():
    book, new = allocate_book(CAPACITY), allocate_book(CAPACITY)
    for ref in (0, 1, 256, 512, 2**40):
        bid(book, ref, key=ref % 97)
        add_order_nb(book, ASK, -BLOCK_KEYS * (ref % 31), ref + 2**50, 1)
        update_best_nb(book, BID)
        update_best_nb(book, ASK)
    reset_book_nb(book)
    for name in ("levels", "near", "free_blocks", "free_rows", "ladders", "sides", "meta"):
        assert (getattr(book, name) == getattr(new, name)).all(), name
    assert not book.orders["word"].any()
    assert books_digest(book) == books_digest(new)
    assert [bid(book, ref, key=ref) for ref in range(9)] == [0] * 9
