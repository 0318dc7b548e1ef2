"""Books of stated price levels against the slow twin, in messages of several parts."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from feedhandler.core.book.apply import apply_part_nb
from feedhandler.core.book.kernels import Outcome
from feedhandler.core.book.layout import (
    BLOCKS_FREE,
    BookCapacity,
    allocate_book,
    set_price_step,
)
from feedhandler.core.book.views import levels
from feedhandler.core.events import TICK, Clear, Flag, Kind
from tests.reference.slow_levels import Range, SlowLevels

CAPACITY = BookCapacity(instruments=2, orders=512, overflow_orders=8, level_blocks=16, arena=512)
INSTRUMENT = 1
PRICES = st.integers(1, 12)
SIDES = st.sampled_from((1, -1))

states = st.tuples(
    st.just("state"),
    SIDES,
    PRICES,
    st.sampled_from((0, 0, 1, 5, 2**32 - 1, 2**32)),
    st.integers(0, 3),
    st.sampled_from((0, 0, 0, 1, 2, 3, 50)),
)
clears = st.tuples(
    st.just("clear"),
    st.sampled_from((0, 1, -1)),
    st.sampled_from(Range),
    PRICES,
    st.integers(1, 4),
)
adds = st.tuples(st.just("add"), st.integers(0, 3), SIDES, PRICES, st.integers(1, 9))
deletes = st.tuples(st.just("delete"), st.integers(0, 3))
messages = st.lists(
    st.lists(st.one_of(states, states, states, clears, adds, deletes), min_size=1, max_size=4),
    max_size=20,
)


class Pair:
    """A fast and a slow book that get the same parts."""

    def __init__(self, step_e9: int) -> None:
        self.fast, self.slow = allocate_book(CAPACITY), SlowLevels()
        set_price_step(self.fast, INSTRUMENT, step_e9)
        self.step_e9 = step_e9
        self.shown = (0, 0, 0, 0)

    def tick(self, part: tuple[Any, ...], flags: int) -> np.ndarray:
        ticks = np.zeros(1, TICK)
        tick = ticks[0]
        tick["instrument"], tick["flags"] = INSTRUMENT, flags
        what, rest = part[0], part[1:]
        if what == "state":
            tick["kind"] = Kind.SET_LEVEL
            tick["side"], price, tick["qty"], tick["aux"], tick["status"] = rest
        elif what == "clear":
            tick["kind"] = Kind.CLEAR_LEVELS
            tick["side"], tick["status"], price, tick["aux"] = rest
        elif what == "add":
            tick["kind"] = Kind.ADD
            tick["order_ref"], tick["side"], price, tick["qty"] = rest
        else:
            tick["kind"], tick["order_ref"], price = Kind.DELETE, rest[0], 0
        tick["price_e9"] = price * self.step_e9
        return ticks

    def apply(self, part: tuple[Any, ...], *, is_last: bool) -> None:
        ticks = self.tick(part, Flag.SETTLES if is_last else Flag.PART)
        outcome = Outcome(int(apply_part_nb(self.fast, ticks, 0))).name.lower()
        what, rest = part[0], part[1:]
        if what == "clear":
            side, which, price, place = rest
            self.slow.clear((side,) if side else (1, -1), which, price, place)
            expected = "ok"
        else:
            expected = getattr(self.slow, what)(*rest)
        assert outcome == expected
        before, now = self.shown, self.slow.best() if is_last else self.shown
        self.shown = now
        tick = ticks[0]
        fields = ("bid_price_e9", "bid_qty", "ask_price_e9", "ask_qty")
        found = tuple(int(tick[name]) for name in fields)
        assert found == (now[0] * self.step_e9, now[1], now[2] * self.step_e9, now[3])
        assert bool(tick["flags"] & Flag.BBO_CHANGED) == (now != before)


@given(messages, st.sampled_from((1, 100_000, 10**9)))
def test_levels_agree_with_the_slow_twin_after_every_message(
    conversation: list[list[tuple[Any, ...]]], step_e9: int
):
    pair = Pair(step_e9)
    for message in conversation:
        for number, part in enumerate(message, 1):
            pair.apply(part, is_last=number == len(message))
        for side in (1, -1):
            assert list(levels(pair.fast, INSTRUMENT, side)) == pair.slow.levels(side)
    is_empty = not pair.slow.levels(1) and not pair.slow.levels(-1)
    assert (pair.fast.meta[BLOCKS_FREE] == CAPACITY.level_blocks) == is_empty


def test_ranges_are_those_of_the_engine():
    assert [(each.name, each) for each in Range] == [(each.name, each) for each in Clear]
