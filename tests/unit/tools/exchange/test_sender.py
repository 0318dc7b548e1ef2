"""When messages are due."""

import pytest

from tools.exchange.sender import due_count_nb, due_ns_nb


@pytest.mark.parametrize("rate", [1, 3, 1000, 999_983, 10_000_000])
def test_a_message_is_due_exactly_when_the_count_of_due_ones_reaches_it(rate: int):
    assert due_count_nb(rate, -1) == 0
    assert due_count_nb(rate, 0) == 1
    for index in (1, 2, rate, 7 * rate + 5, 86_400 * rate):
        due_ns = due_ns_nb(rate, index)
        assert due_count_nb(rate, due_ns - 1) <= index
        assert due_count_nb(rate, due_ns + 1) >= index + 1
        assert abs(due_ns - index * 1_000_000_000 / rate) < 2
