"""The join of a snapshot and the live feed, against the rule read plainly."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import LocalProtocolError
from protocols.glimpse.splice import Splice, State


def packet(first: int, count: int) -> tuple[int, list[bytes]]:
    return first, [b"%d" % number for number in range(first, first + count)]


def test_messages_below_the_number_are_dropped_and_those_from_it_on_are_applied():
    splice = Splice(1 << 20)
    assert splice.live(*packet(5, 3)) == (0, [])
    assert splice.live(*packet(8, 2)) == (0, [])
    assert (splice.state, splice.missing) == (State.LOADING, None)
    assert splice.complete(7) == (7, [b"7", b"8", b"9"])
    assert splice.state is State.JOINED
    assert splice.live(*packet(9, 3)) == (10, [b"10", b"11"])
    assert splice.waiting_bytes == 0


def test_a_snapshot_beyond_the_live_feed_waits_for_it_without_a_gap():
    splice = Splice(1 << 20)
    splice.live(*packet(5, 3))
    assert splice.complete(12) == (12, [])
    assert (splice.state, splice.missing) == (State.JOINED, None)
    assert splice.live(*packet(8, 6)) == (12, [b"12", b"13"])


def test_a_live_feed_that_began_too_late_says_what_is_missing():
    splice = Splice(1 << 20)
    splice.live(*packet(10, 2))
    assert splice.complete(7) == (7, [])
    assert (splice.state, splice.missing) == (State.MISSING, (7, 10))
    assert splice.live(*packet(8, 2)) == (7, [])
    assert splice.missing == (7, 8)
    assert splice.live(*packet(7, 1)) == (7, [b"7", b"8", b"9", b"10", b"11"])
    assert (splice.state, splice.missing) == (State.JOINED, None)


def test_a_hole_in_the_live_feed_is_found_behind_the_join_too():
    splice = Splice(1 << 20)
    splice.complete(1)
    assert splice.live(*packet(2, 1)) == (1, [])
    assert splice.missing == (1, 2)
    assert splice.live(*packet(1, 1)) == (1, [b"1", b"2"])


def test_what_has_no_room_is_missing_and_not_forgotten():
    splice = Splice(30)
    for number in range(10, 30):
        splice.live(*packet(number, 1))
    assert splice.waiting_bytes <= 30
    assert splice.complete(20) == (20, [])
    first, end = splice.missing
    assert (first, end) == (20, 23)
    assert splice.live(*packet(20, 3)) == (20, [b"%d" % number for number in range(20, 30)])


def test_a_splice_joins_once():
    splice = Splice(1 << 20)
    splice.complete(1)
    with pytest.raises(LocalProtocolError, match="JOINED"):
        splice.complete(1)


@given(
    st.integers(0, 2**32),
    st.integers(1, 40),
    st.integers(1, 50),
    st.sampled_from([40, 200, 1 << 20]),
    st.sampled_from([0, 2**64 - 70]),
)
def test_every_message_from_the_number_on_is_applied_once_in_order(
    seed: int, number: int, turn: int, bytes_max: int, base: int
):
    """Packets in any order and often; what is missing at the end is asked for until nothing is."""
    rng = random.Random(seed)
    splice, applied, last = Splice(bytes_max), [], base + 60
    starts = [base + rng.randint(1, 60) for _ in range(50)]
    for at, first in enumerate(starts):
        count = min(rng.randint(1, 8), last - first + 1)
        start, found = splice.live(*packet(first, count))
        applied += list(enumerate(found, start))
        if at == turn:
            start, found = splice.complete(base + number)
            applied += list(enumerate(found, start))
    if turn >= len(starts):
        start, found = splice.complete(base + number)
        applied += list(enumerate(found, start))
    for _ in range(100):
        first = splice.next_sequence if splice.missing is None else splice.missing[0]
        if first > last:
            break
        start, found = splice.live(*packet(first, 1))
        applied += list(enumerate(found, start))
    expected = range(base + number, last + 1)
    assert applied == [(number, b"%d" % number) for number in expected]


def test_a_message_in_its_turn_needs_no_room():
    splice = Splice(4)
    splice.complete(1)
    assert splice.live(1, [bytes(1_000)]) == (1, [bytes(1_000)])
    assert splice.live(1, [bytes(1_000)]) == (2, [])
    assert splice.live(9, []) == (2, [])


def test_what_waits_for_a_missing_message_is_shed_from_the_other_end():
    splice = Splice(30)
    splice.complete(1)
    for number in range(3, 20):
        splice.live(*packet(number, 1))
    assert splice.waiting_bytes <= 30
    assert splice.missing == (1, 3)
    start, found = splice.live(*packet(1, 2))
    assert (start, len(found)) == (1, 11)
