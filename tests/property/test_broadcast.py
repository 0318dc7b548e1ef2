"""A broadcast against the obvious one: a list of all that was put, and a place in it for each."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from feedhandler.core.broadcast import (
    Made,
    Taken,
    allocate_broadcast,
    broadcast_commit_nb,
    broadcast_drop_nb,
    broadcast_peek_nb,
    broadcast_reserve_nb,
    slowest_nb,
    taker_word_nb,
)

TAKERS_MAX = 5


class Broadcasting(RuleBasedStateMachine):
    """The twin keeps everything for ever."""

    @initialize(
        capacity=st.sampled_from([1, 2, 4, 8]),
        takers=st.integers(1, TAKERS_MAX),
        start=st.sampled_from([0, 1, 7, (1 << 62) - 3]),
    )
    def begin(self, capacity: int, takers: int, start: int):
        self.broadcast = allocate_broadcast(capacity, 8, takers)
        words = [Made.TAIL, Made.SLOWEST_SEEN]
        for taker in range(takers):
            words += [taker_word_nb(taker, word) for word in (Taken.HEAD, Taken.TAIL_SEEN)]
        self.broadcast.cursors[words] = start
        self.start, self.capacity = start, capacity
        self.made: list[int] = []
        self.taken = [0] * takers

    @rule(number=st.integers(-(2**60), 2**60))
    def put(self, number: int):
        place = broadcast_reserve_nb(self.broadcast)
        has_room = len(self.made) - min(self.taken) < self.capacity
        assert (place >= 0) == has_room
        if has_room:
            self.broadcast.entries[place]["seq"] = number
            broadcast_commit_nb(self.broadcast)
            self.made.append(number)

    @rule(which=st.integers(0, TAKERS_MAX - 1), count=st.integers(1, 9))
    def take(self, which: int, count: int):
        taker = which % len(self.taken)
        for _ in range(count):
            place = broadcast_peek_nb(self.broadcast, taker)
            assert (place >= 0) == (self.taken[taker] < len(self.made))
            if place < 0:
                break
            assert self.broadcast.entries[place]["seq"] == self.made[self.taken[taker]]
            broadcast_drop_nb(self.broadcast, taker)
            self.taken[taker] += 1

    @invariant()
    def both_know_the_slowest(self):
        if hasattr(self, "broadcast"):
            assert slowest_nb(self.broadcast) == self.start + min(self.taken)


TestBroadcasting = Broadcasting.TestCase
TestBroadcasting.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
