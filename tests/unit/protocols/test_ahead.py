"""Messages ahead of their turn, against a dictionary."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.ahead import AheadMessages


def piece(first: int, count: int) -> list[bytes]:
    """Messages that say their number."""
    return [str(number).encode() for number in range(first, first + count)]


def held(ahead: AheadMessages) -> dict[int, bytes]:
    return {
        first + at: message
        for first, messages in zip(ahead._firsts, ahead._pieces, strict=True)
        for at, message in enumerate(messages)
    }


pieces = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8)), max_size=12)


@given(pieces, st.integers(0, 40))
def test_every_message_is_held_once_and_taken_in_order(added: list[tuple[int, int]], start: int):
    ahead, twin = AheadMessages(1 << 20), {}
    for first, count in added:
        new = {number: str(number).encode() for number in range(first, first + count)}
        assert ahead.add(first, piece(first, count)) == len(new.keys() - twin.keys())
        twin |= new
        assert held(ahead) == twin
        assert ahead.first == min(twin, default=None)
        assert ahead._firsts == sorted(ahead._firsts)
    expected = []
    while start in twin:
        expected.append(twin[start])
        start += 1
    assert ahead.take(start - len(expected)) == expected
    # What lies below went too, so that it can't stay for ever.
    assert ahead.first is None or ahead.first > start - len(expected)
    assert ahead.size_bytes == sum(len(message) + 2 for message in held(ahead).values())


@pytest.mark.parametrize(("sheds_oldest", "left"), [(False, [1, 2]), (True, [7, 9])])
def test_what_does_not_fit_is_shed_at_one_end(sheds_oldest: bool, left: list[int]):
    ahead = AheadMessages(6, sheds_oldest=sheds_oldest)
    kept = [ahead.add(number, piece(number, 1)) for number in (7, 2, 9, 1)]
    assert kept == ([1, 1, 0, 1] if not sheds_oldest else [1, 1, 1, 0])
    assert sorted(held(ahead)) == left
    assert ahead.size_bytes == 6


def test_a_piece_that_is_shed_half_counts_what_stays():
    ahead = AheadMessages(9)
    ahead.add(5, piece(5, 1))
    assert ahead.add(4, piece(4, 4)) == 1
    assert sorted(held(ahead)) == [4, 5]


def test_empty_messages_are_not_free():
    ahead = AheadMessages(20)
    assert ahead.add(1, [b""] * 10) == 10
    assert ahead.add(50, [b""]) == 0


def test_nothing_is_left_when_it_is_cleared():
    ahead = AheadMessages(20)
    ahead.add(1, piece(1, 3))
    ahead.clear()
    assert (ahead.first, ahead.size_bytes, ahead.take(1)) == (None, 0, [])
