"""Changes, row by row; whole sessions against the slow twin are in the tests of the adapter."""

import numpy as np
import pytest

from feedhandler.core.book.changes import (
    BBO_ROWS,
    FAULTS,
    MESSAGES,
    Work,
    allocate_work,
    apply_changes_nb,
)
from feedhandler.core.book.kernels import Outcome
from feedhandler.core.book.layout import ORDERS_LIVE, QTY_MASK, Book, BookCapacity, allocate_book
from feedhandler.core.events import Kind

CAPACITY = BookCapacity(instruments=4, orders=64, overflow_orders=8, level_blocks=16, arena=64)
ADD = {"kind": Kind.ADD, "order_ref": 1, "qty": 10, "price_e4": 100, "side": 1, "instrument": 2}


@pytest.fixture
def book() -> Book:
    return allocate_book(CAPACITY)


@pytest.fixture
def work() -> Work:
    return allocate_work(0)


def apply(book: Book, work: Work, *changes: dict[str, int]) -> None:
    for i, change in enumerate(changes):
        work.changes[i] = np.zeros(1, work.changes.dtype)[0]
        for name, value in change.items():
            work.changes[i][name] = value
    apply_changes_nb(book, work, len(changes))


def test_a_change_of_a_best_price_or_its_quantity_gives_a_row(book: Book, work: Work):
    changes = [
        ADD | {"ts_exch_ns": 5},
        ADD | {"order_ref": 2, "price_e4": 90},
        ADD | {"order_ref": 3, "side": -1, "price_e4": 105, "ts_exch_ns": 7},
        {"kind": Kind.NONE},
        {"kind": Kind.EXECUTE, "order_ref": 1, "qty": 4, "ts_exch_ns": 8},
        {"kind": Kind.DELETE, "order_ref": 1, "qty": QTY_MASK, "ts_exch_ns": 9},
    ]
    apply(book, work, *changes)
    e9 = 100_000
    assert [row.item() for row in work.bbo[: work.totals[BBO_ROWS]]] == [
        (1, 5, 2, 100 * e9, 10, 0, 0),
        (3, 7, 2, 100 * e9, 10, 105 * e9, 10),
        (5, 8, 2, 100 * e9, 6, 105 * e9, 10),
        (6, 9, 2, 90 * e9, 10, 105 * e9, 10),
    ]
    assert work.totals[MESSAGES] == 6
    assert not work.totals[FAULTS:].any()


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        (ADD | {"instrument": 4}, Outcome.BAD_INSTRUMENT),
        (ADD | {"side": 0}, Outcome.BAD_SIDE),
        (ADD | {"price_e4": 2**31}, Outcome.BAD_PRICE),
        (ADD | {"qty": 0}, Outcome.BAD_QTY),
        (ADD | {"order_ref": 7}, Outcome.DUPLICATE_REFERENCE),
        ({"kind": Kind.CANCEL, "order_ref": 9}, Outcome.UNKNOWN_REFERENCE),
        ({"kind": Kind.EXECUTE, "order_ref": 7, "qty": 11}, Outcome.OVERFILL),
        (
            {"kind": Kind.REPLACE, "order_ref": 7, "new_ref": 8, "price_e4": 2**31, "qty": 1},
            Outcome.BAD_PRICE,
        ),
        ({"kind": Kind.REPLACE, "order_ref": 7, "new_ref": 8, "price_e4": 1}, Outcome.BAD_QTY),
    ],
)
def test_what_keeps_a_change_from_the_book_is_counted(
    book: Book, work: Work, change: dict[str, int], outcome: Outcome
):
    apply(book, work, ADD | {"order_ref": 7})
    apply(book, work, change)
    assert work.totals[FAULTS + outcome] == 1
    assert work.totals[FAULTS:].sum() == 1
    assert book.meta[ORDERS_LIVE] == (0 if outcome == Outcome.OVERFILL else 1)


def test_a_replacement_stays_on_its_side(book: Book, work: Work):
    apply(book, work, ADD | {"side": -1})
    replacement = {"order_ref": 1, "new_ref": 2, "price_e4": 120, "qty": 7}
    apply(book, work, replacement | {"kind": Kind.REPLACE, "instrument": 3, "side": 1})
    assert work.bbo[1].item()[2:] == (2, 0, 0, 12_000_000, 7)
