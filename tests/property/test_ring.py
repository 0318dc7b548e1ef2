import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from feedhandler.core.ring import (
    HEAD,
    TAIL,
    allocate_ring,
    ring_commit_nb,
    ring_pop_nb,
    ring_push_nb,
    ring_reserve_nb,
    ring_size_nb,
    ring_take_rows_nb,
)
from tests.reference.slow_ring import SlowRing

ROW = np.dtype([("number", "i8"), ("twice", "i8")])
capacities = st.sampled_from([1, 2, 4, 8])
# Positions near the largest power of two that a ring will ever count to behave as those near 0.
starts = st.sampled_from([0, 1, 7, (1 << 62) - 3])


class IntegerRing(RuleBasedStateMachine):
    """A ring of integers against a list."""

    @initialize(capacity=capacities, start=starts)
    def begin(self, capacity: int, start: int):
        self.ring = allocate_ring(capacity)
        self.ring.cursors[[TAIL, HEAD]] = start
        self.twin = SlowRing(capacity)

    @rule(value=st.integers(0, 2**31 - 1))
    def push(self, value: int):
        assert ring_push_nb(self.ring, value) == self.twin.push(value)

    @rule()
    def pop(self):
        assert ring_pop_nb(self.ring) == self.twin.pop()

    @invariant()
    def both_have_one_size(self):
        if hasattr(self, "ring"):
            assert ring_size_nb(self.ring) == self.twin.size()


class RowRing(RuleBasedStateMachine):
    """A ring of rows, filled in place and taken in batches, against a list."""

    @initialize(capacity=capacities, start=starts)
    def begin(self, capacity: int, start: int):
        self.ring = allocate_ring(capacity, ROW)
        self.ring.cursors[[TAIL, HEAD]] = start
        self.twin = SlowRing(capacity)
        self.reserved = -1

    @precondition(lambda self: self.reserved < 0)
    @rule(number=st.integers(-(2**60), 2**60))
    def reserve(self, number: int):
        self.reserved = ring_reserve_nb(self.ring)
        assert (self.reserved >= 0) == (self.twin.size() < self.twin.capacity)
        if self.reserved >= 0:
            self.number = number
            self.ring.cells[self.reserved] = (number, 2 * number)

    @precondition(lambda self: self.reserved >= 0)
    @rule()
    def commit(self):
        ring_commit_nb(self.ring)
        assert self.twin.push(self.number) == 1
        self.reserved = -1

    @rule(count=st.integers(1, 10))
    def take(self, count: int):
        out = np.zeros(count, ROW)
        taken = ring_take_rows_nb(self.ring, out)
        assert out["number"][:taken].tolist() == self.twin.take(count)
        assert (out["twice"] == 2 * out["number"]).all()

    @invariant()
    def both_have_one_size(self):
        if hasattr(self, "ring"):
            assert ring_size_nb(self.ring) == self.twin.size()


short = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestIntegerRing = IntegerRing.TestCase
TestIntegerRing.settings = short
TestRowRing = RowRing.TestCase
TestRowRing.settings = short
