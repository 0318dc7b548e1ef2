"""The fast books against the slow ones, message by message, from the bytes of the wire on."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.nasdaq_itch.normalise import normalise_nb
from feedhandler.core.book.apply import apply_tick_nb
from feedhandler.core.book.kernels import Outcome
from feedhandler.core.book.layout import (
    LEVELS_FREE,
    ORDERS_LIVE,
    OVERFLOW_LIVE,
    PAGES_FREE,
    BookCapacity,
    allocate_book,
)
from feedhandler.core.book.views import books_digest, levels, live_instruments, orders
from feedhandler.core.events import TICK
from tests.reference import slow_itch
from tests.reference.slow_book import PRICE_MAX, SlowBook
from tests.unit.feedhandler.core import support

INSTRUMENTS = 3
# Six pages' worth inside the directory, and references of every height outside of it.
REFERENCES = (
    *(256 * part + offset for part in range(6) for offset in (0, 1, 255)),
    *(base + offset for base in (2**32, 2**62, 2**63, 2**64 - 4) for offset in range(4)),
)
PRICES = (*range(100, 125), 0, PRICE_MAX, PRICE_MAX + 1, 2**32 - 1)
QUANTITIES = (0, 1, 2, 5, 100, 2**32 - 1)

ROOMY = BookCapacity(
    instruments=INSTRUMENTS,
    order_pages=8,
    overflow_orders=32,
    levels=128,
    arena=512,
    references=2_048,
)
TINY = BookCapacity(
    instruments=INSTRUMENTS,
    order_pages=2,
    overflow_orders=8,
    levels=24,
    arena=96,
    references=2_048,
)

reference = st.sampled_from(REFERENCES)
quantity = st.sampled_from(QUANTITIES)
price = st.sampled_from(PRICES)
locate = st.integers(0, INSTRUMENTS - 1)
side = st.sampled_from("BSBSBSBSX")

adds = st.builds(
    lambda ref, side, qty, price, locate: support.add(ref, side, qty, price, locate=locate),
    reference,
    side,
    quantity,
    price,
    locate,
)
changes = st.one_of(
    st.builds(support.execute, reference, quantity),
    st.builds(support.execute_at, reference, quantity, price),
    st.builds(support.cancel, reference, quantity),
    st.builds(support.delete, reference),
    st.builds(support.replace, reference, reference, quantity, price),
)
halts = st.builds(support.trading_action, st.sampled_from("HT"))
conversations = st.lists(st.one_of(adds, adds, changes, halts), max_size=80)


class Pair:
    """A fast and a slow book that get the same messages and are compared after each."""

    def __init__(self, capacity: BookCapacity) -> None:
        self.fast = allocate_book(capacity)
        self.slow = SlowBook()
        self.ticks = np.zeros(1, TICK)
        self.slots = np.zeros(1, np.int32)
        self.refused = 0

    def apply(self, message: bytes) -> None:
        message_type, fields = slow_itch.decode(message)
        block = np.frombuffer(len(message).to_bytes(2, "big") + message, np.uint8)
        assert normalise_nb(block, 0, 1, self.ticks, self.slots) == len(block)
        outcome = apply_tick_nb(self.fast, self.ticks, 0)
        if outcome == Outcome.CAPACITY:
            self.refused += 1
            if message_type == "U":
                old = {"order_reference_number": fields["original_order_reference_number"]}
                self.slow.apply("D", old)
        else:
            self.check_outcome(outcome, lambda: self.slow.apply(message_type, fields))
        self.check_best()

    def check_outcome(self, outcome: int, apply_slow: Callable[[], None]) -> None:
        unknown_before, malformed_before = self.slow.unknown_references, self.slow.malformed.copy()
        apply_slow()
        expected = "ok"
        if self.slow.unknown_references > unknown_before:
            expected = "unknown_reference"
        faults = self.slow.malformed - malformed_before
        expected = next(iter(faults), expected)
        assert Outcome(outcome).name.lower() == expected

    def check_best(self) -> None:
        for instrument in range(INSTRUMENTS):
            best = self.fast.best[instrument]
            found = (
                int(best["bid_price_e9"]) // 100_000,
                int(best["bid_qty"]),
                int(best["ask_price_e9"]) // 100_000,
                int(best["ask_qty"]),
            )
            assert found == self.slow.best(instrument)

    def check_everything(self) -> None:
        for instrument in range(INSTRUMENTS):
            for sign, letter in ((1, "B"), (-1, "S")):
                fast = list(levels(self.fast, instrument, sign))
                assert fast == self.slow.levels(instrument, letter)
        resting = self.slow.orders()
        assert self.fast.meta[ORDERS_LIVE] == len(resting)
        assert set(live_instruments(self.fast)) == {order.locate for order in resting.values()}
        assert {int(row["order_ref"]) for row in orders(self.fast)} == set(resting)
        assert books_digest(self.fast) == self.slow.digest()

    def remove_all(self) -> None:
        for ref in self.slow.orders():
            self.apply(support.delete(ref))


def memory_is_all_given_back(book: Any, capacity: BookCapacity) -> bool:
    return (
        book.meta[LEVELS_FREE] == capacity.levels
        and book.meta[PAGES_FREE] == capacity.order_pages
        and book.meta[OVERFLOW_LIVE] == 0
        and not book.words.any()
        and not book.overflow_words.any()
        and not book.directory.any()
    )


@pytest.mark.parametrize("capacity", [ROOMY, TINY], ids=["roomy", "tiny"])
@given(messages=conversations)
def test_books_agree_with_the_slow_twin_after_every_message(
    capacity: BookCapacity, messages: list[bytes]
):
    pair = Pair(capacity)
    for message in messages:
        pair.apply(message)
    pair.check_everything()
    assert capacity is TINY or pair.refused == 0
    pair.remove_all()
    assert memory_is_all_given_back(pair.fast, capacity)


@given(
    st.permutations(range(5)),
    st.lists(st.integers(0, 2**64 - 1), min_size=5, max_size=5, unique=True),
)
def test_overflowing_references_survive_any_order_of_removal(order: list[int], refs: list[int]):
    capacity = TINY._replace(order_pages=1, references=256)
    refs = [ref if ref >= 256 else ref + 2**40 for ref in refs]
    pair = Pair(capacity)
    for ref in refs:
        pair.apply(support.add(ref, "B", 10, 100))
    for place in order:
        pair.apply(support.delete(refs[place]))
        pair.check_everything()
    assert memory_is_all_given_back(pair.fast, capacity)


def test_rows_grow_and_an_order_that_fits_neither_page_nor_overflow_is_refused():
    pair = Pair(TINY)
    for i in range(16):
        pair.apply(support.add(REFERENCES[i], "B", 5, 100 + i))
    in_two_pages, in_overflow = 6, 6
    assert pair.refused == 16 - in_two_pages - in_overflow
    assert pair.fast.rows[2]["size_class"] == 1
    pair.check_everything()
