"""The rules of SlowBook, one test each: they are the contract of the fast book."""

import hashlib
import struct
from typing import Any

import pytest

from tests.reference.slow_book import SlowBook


def add(book: SlowBook, ref: int, side: str, price: int, shares: int, locate: int = 1) -> None:
    fields = {
        "order_reference_number": ref,
        "stock_locate": locate,
        "buy_sell_indicator": side,
        "price": price,
        "shares": shares,
    }
    book.apply("A", fields)


def replace(book: SlowBook, old: int, new: int, price: int, shares: int) -> None:
    fields = {
        "original_order_reference_number": old,
        "new_order_reference_number": new,
        "price": price,
        "shares": shares,
        "stock_locate": 999,
    }
    book.apply("U", fields)


def take(book: SlowBook, message_type: str, ref: int, shares: int) -> None:
    name = "cancelled_shares" if message_type == "X" else "executed_shares"
    book.apply(message_type, {"order_reference_number": ref, name: shares, "stock_locate": 999})


@pytest.fixture
def book() -> SlowBook:
    result = SlowBook()
    add(result, 10, "B", 1000, 5)
    add(result, 11, "B", 1000, 7)
    add(result, 12, "B", 990, 1)
    add(result, 13, "S", 1010, 3)
    add(result, 14, "S", 1020, 4)
    return result


def test_best_sums_the_orders_at_the_best_price(book: SlowBook):
    assert book.best(1) == (1000, 12, 1010, 3)
    assert book.best(2) == (0, 0, 0, 0)


def test_levels_come_best_first_with_their_order_counts(book: SlowBook):
    assert book.levels(1, "B") == [(1000, 12, 2), (990, 1, 1)]
    assert book.levels(1, "S") == [(1010, 3, 1), (1020, 4, 1)]


@pytest.mark.parametrize("message_type", ["E", "C", "X"])
def test_shares_are_taken_and_the_order_goes_at_zero(book: SlowBook, message_type: str):
    take(book, message_type, 10, 4)
    assert book.orders()[10].shares == 1
    take(book, message_type, 10, 1)
    assert 10 not in book.orders()
    assert not book.malformed


@pytest.mark.parametrize("message_type", ["E", "C", "X"])
def test_more_than_there_is_takes_what_is_there_and_is_malformed(book: SlowBook, message_type: str):
    take(book, message_type, 10, 6)
    assert 10 not in book.orders()
    assert book.malformed == {"overfill": 1}


def test_delete_takes_the_order_out(book: SlowBook):
    book.apply("D", {"order_reference_number": 13})
    assert book.best(1) == (1000, 12, 1020, 4)


def test_unknown_references_are_counted_and_ignored(book: SlowBook):
    before = book.digest()
    for message_type in "ECX":
        take(book, message_type, 99, 1)
    book.apply("D", {"order_reference_number": 99})
    replace(book, 99, 100, 0xFFFF_FFFF, 0)
    assert book.unknown_references == 5
    assert not book.malformed
    assert book.digest() == before


@pytest.mark.parametrize(
    ("ref", "side", "price", "shares", "fault"),
    [
        (10, "S", 1, 1, "duplicate_reference"),
        (20, "B", 1000, 0, "bad_qty"),
        (20, "B", 2**31, 1, "bad_price"),
        (20, "X", 1000, 1, "bad_side"),
    ],
)
def test_order_that_cannot_be_entered_is_counted_and_ignored(
    book: SlowBook, ref: int, side: str, price: int, shares: int, fault: str
):
    before = book.digest()
    add(book, ref, side, price, shares)
    assert book.malformed == {fault: 1}
    assert book.digest() == before


def test_replace_keeps_side_and_instrument_and_goes_to_the_back(book: SlowBook):
    replace(book, 10, 30, 1000, 9)
    assert book.queue(1, "B", 1000) == [11, 30]
    assert book.orders()[30].locate == 1
    assert book.best(1) == (1000, 16, 1010, 3)


def test_replace_may_keep_its_reference(book: SlowBook):
    replace(book, 10, 10, 1000, 9)
    assert book.queue(1, "B", 1000) == [11, 10]
    assert not book.malformed


@pytest.mark.parametrize(
    ("new", "price", "shares", "fault"),
    [
        (11, 1000, 9, "duplicate_reference"),
        (30, 1000, 0, "bad_qty"),
        (30, 2**31, 0, "bad_price"),
    ],
)
def test_replace_that_cannot_enter_its_new_order_changes_nothing(
    book: SlowBook, new: int, price: int, shares: int, fault: str
):
    before = book.digest()
    replace(book, 10, new, price, shares)
    assert book.malformed == {fault: 1}
    assert book.digest() == before


@pytest.mark.parametrize("message_type", list("SRHYLVWKJhPQBINO"))
def test_other_messages_leave_the_books_alone(book: SlowBook, message_type: str):
    before: Any = book.digest(), book.orders()
    book.apply(message_type, {"stock_locate": 1, "shares": 1, "order_reference_number": 10})
    assert (book.digest(), book.orders()) == before


def test_digest_covers_every_order_in_the_stated_order(book: SlowBook):
    add(book, 5, "B", 7, 2, locate=0)
    rows = [
        (0, b"B", 7, 5, 2),
        (1, b"B", 1000, 10, 5),
        (1, b"B", 1000, 11, 7),
        (1, b"B", 990, 12, 1),
        (1, b"S", 1010, 13, 3),
        (1, b"S", 1020, 14, 4),
    ]
    packed = b"".join(struct.pack("<HcIQI", *row) for row in rows)
    assert book.digest() == hashlib.sha256(packed).hexdigest()
    assert SlowBook().digest() == hashlib.sha256(b"").hexdigest()
