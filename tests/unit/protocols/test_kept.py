"""Messages that are kept, against a list that keeps everything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import LocalProtocolError
from protocols.kept import KeptMessages


@given(st.integers(1, 9), st.integers(0, 40), st.sampled_from([1, 7, 2**64 - 20]))
def test_the_newest_messages_are_found_by_number(capacity: int, count: int, first: int):
    kept = KeptMessages(capacity, first)
    for number in range(first, first + count):
        kept.append(str(number).encode())
    assert kept.next_sequence == first + count
    assert kept.first_kept == first + max(0, count - capacity)
    for number in range(kept.first_kept, kept.next_sequence):
        assert kept[number] == str(number).encode()
    for number in (kept.first_kept - 1, kept.next_sequence):
        with pytest.raises(LocalProtocolError, match="is not kept"):
            kept[number]


def test_nothing_can_not_be_kept():
    with pytest.raises(LocalProtocolError, match="at least one"):
        KeptMessages(0)
