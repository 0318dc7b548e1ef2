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
    ARRIVALS,
    BLOCKS_FREE,
    ORDERS_LIVE,
    OVERFLOW_LIVE,
    BookCapacity,
    allocate_book,
)
from feedhandler.core.book.queue import best_levels_nb, queue_position_nb
from feedhandler.core.book.views import books_digest, levels, live_instruments, orders
from feedhandler.core.events import TICK
from tests.reference import slow_itch
from tests.reference.slow_book import PRICE_MAX, SlowBook
from tests.unit.feedhandler.core import support

INSTRUMENTS = 3
# Many that want the same few slots, and references of every height.
REFERENCES = (
    *(256 * part + offset for part in range(6) for offset in (0, 1, 255)),
    *(base + offset for base in (2**32, 2**62, 2**63, 2**64 - 4) for offset in range(4)),
)
# Whole cents and parts of one side by side, across the edges of blocks, and nine blocks that share
# a place of `near`.
PRICES = (
    *range(6_360, 6_420, 4),
    *range(0, 9 * 8 * 6_400, 8 * 6_400),
    *range(6_200, 7_000, 100),
    1,
    PRICE_MAX,
    PRICE_MAX - 47,
    PRICE_MAX + 1,
    2**32 - 1,
)
QUANTITIES = (0, 1, 2, 5, 100, 2**32 - 1)

ROOMY = BookCapacity(
    instruments=INSTRUMENTS, orders=256, overflow_orders=64, level_blocks=128, arena=512
)
TINY = BookCapacity(instruments=INSTRUMENTS, orders=2, overflow_orders=8, level_blocks=8, arena=48)

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
            bid, ask = self.fast.sides[2 * instrument : 2 * instrument + 2]
            found = (
                int(bid["price_e9"]) // 100_000,
                int(bid["qty"]),
                int(ask["price_e9"]) // 100_000,
                int(ask["qty"]),
            )
            assert found == self.slow.best(instrument)

    def check_queues(self) -> None:
        """Every order's place in its queue."""
        resting = self.slow.orders()
        queues = {(order.locate, order.side, order.price) for order in resting.values()}
        for queue in queues:
            qty = 0
            for place, ref in enumerate(self.slow.queue(*queue)):
                signed = ref - 2**64 if ref >= 2**63 else ref
                assert queue_position_nb(self.fast, signed) == (place, qty)
                qty += resting[ref].shares

    def check_everything(self) -> None:
        for instrument in range(INSTRUMENTS):
            for sign, letter in ((1, "B"), (-1, "S")):
                slow = self.slow.levels(instrument, letter)
                assert list(levels(self.fast, instrument, sign)) == slow
                top = np.zeros((4, 3), np.int64)
                count = best_levels_nb(self.fast, 2 * instrument + (sign < 0), top)
                assert [tuple(row) for row in top[:count].tolist()] == slow[:4]
        resting = self.slow.orders()
        assert self.fast.meta[ORDERS_LIVE] == len(resting)
        assert set(live_instruments(self.fast)) == {order.locate for order in resting.values()}
        assert {int(row["order_ref"]) for row in orders(self.fast)} == set(resting)
        assert books_digest(self.fast) == self.slow.digest()
        self.check_queues()

    def remove_all(self) -> None:
        for ref in self.slow.orders():
            self.apply(support.delete(ref))


def memory_is_all_given_back(book: Any, capacity: BookCapacity) -> bool:
    return (
        book.meta[BLOCKS_FREE] == capacity.level_blocks
        and book.meta[OVERFLOW_LIVE] == book.meta[ORDERS_LIVE] == 0
        and not book.orders["word"].any()
        and not book.levels.any()
        and not book.near.any()
        and not book.ladders["count"].any()
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
    pair = Pair(TINY._replace(orders=1))
    for ref in refs:
        pair.apply(support.add(ref, "B", 10, 100))
    for place in order:
        pair.apply(support.delete(refs[place]))
        pair.check_everything()
    assert memory_is_all_given_back(pair.fast, TINY)


def test_an_order_that_fits_neither_its_slot_nor_the_overflow_is_refused():
    pair = Pair(TINY)
    for i in range(16):
        pair.apply(support.add(REFERENCES[i], "B", 5, 100 + i))
    in_slots, in_overflow = 2, 6
    assert pair.refused == 16 - in_slots - in_overflow
    pair.check_everything()


def test_ladders_grow_and_an_order_far_from_all_others_is_refused_without_a_block():
    pair = Pair(ROOMY._replace(level_blocks=20, arena=8 + 16 + 32))
    for i in range(30):
        pair.apply(support.add(i, "S", 5, 6_400 * (i * 7 % 30)))
    assert pair.refused == 10
    assert pair.fast.ladders[6]["size_class"] == 2
    pair.check_everything()


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=60))
def test_places_in_a_queue_are_right_when_the_count_of_arrivals_wraps(
    steps: list[tuple[int, bool]],
):
    pair = Pair(ROOMY._replace(orders=16))
    pair.fast.meta[ARRIVALS] = 2**32 - 20
    for ref, is_add in steps:
        pair.apply(support.add(ref, "B", ref + 1, 100) if is_add else support.delete(ref))
        pair.check_queues()
    assert queue_position_nb(pair.fast, 41) == (-1, -1)


@given(st.lists(st.tuples(st.integers(0, 999), st.booleans(), st.sampled_from("BS")), max_size=200))
def test_deep_books_agree_far_from_the_top(steps: list[tuple[int, bool, str]]):
    pair = Pair(ROOMY._replace(orders=1_024))
    for ref, is_add, side in steps:
        message = support.add(ref, side, 5, 10_000 + 100 * ref) if is_add else support.delete(ref)
        pair.apply(message)
    pair.check_everything()
    pair.remove_all()
    assert memory_is_all_given_back(pair.fast, ROOMY)
