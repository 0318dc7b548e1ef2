"""When messages are due."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tools.exchange.config import Flow
from tools.exchange.pace import allocate_pace, due_count_nb, due_ns_nb, elapsed_ns_nb, even_ns_nb

MS = 1_000_000
paces = st.builds(
    allocate_pace,
    st.integers(1, 10_000_000),
    st.integers(1, 20),
    st.integers(1, MS),
    st.integers(20 * MS, 50 * MS),
)


@pytest.mark.parametrize("rate", [1, 3, 1000, 999_983, 10_000_000])
def test_a_message_is_due_exactly_when_the_count_of_due_ones_reaches_it(rate: int):
    pace = allocate_pace(rate)
    assert due_count_nb(pace, -1) == 0
    assert due_count_nb(pace, 0) == 1
    for index in (1, 2, rate, 7 * rate + 5, 86_400 * rate):
        due_ns = due_ns_nb(pace, index)
        assert due_count_nb(pace, due_ns - 1) <= index
        assert due_count_nb(pace, due_ns + 1) >= index + 1
        assert abs(due_ns - index * 1_000_000_000 / rate) < 2


def test_a_burst_has_its_multiple_and_the_mean_stays():
    pace = allocate_pace(500_000, 10, MS, 20 * MS)
    for begin_ns in (0, 20 * MS, 86_400_000_000_000):
        before = due_count_nb(pace, begin_ns)
        assert before == begin_ns // 2_000 + 1
        assert due_count_nb(pace, begin_ns + MS) - before == 10 * 500
        assert due_count_nb(pace, begin_ns + 20 * MS) - before == 20 * 500


@given(paces, st.lists(st.integers(0, 200 * MS), min_size=2, max_size=50))
def test_what_is_due_never_shrinks_and_meets_the_even_rate_at_every_burst(
    pace: np.ndarray, times: list[int]
):
    found = [int(even_ns_nb(pace, each)) for each in sorted(times)]
    assert found == sorted(found)
    every_ns = int(pace[3]) or 7
    for number in range(5):
        assert even_ns_nb(pace, number * every_ns) == number * every_ns


@given(paces, st.integers(0, 200 * MS))
def test_the_way_back_is_the_first_time_that_has_as_many_due(pace: np.ndarray, even_ns: int):
    elapsed_ns = int(elapsed_ns_nb(pace, even_ns))
    assert even_ns_nb(pace, elapsed_ns) >= even_ns
    assume(elapsed_ns > 0)
    assert even_ns_nb(pace, elapsed_ns - 1) < even_ns or even_ns == 0


def test_a_burst_may_have_every_message():
    pace = allocate_pace(1_000_000, 20, MS, 20 * MS)
    assert due_count_nb(pace, MS - 1) == 20 * 1_000
    assert due_count_nb(pace, 20 * MS - 1) == 20 * 1_000
    assert due_ns_nb(pace, 20_000) == 20 * MS


def test_bursts_of_more_than_all_messages_are_refused():
    assert Flow(burst_factor=20).pace.tolist() == [100_000, 20, MS, 20 * MS, 0, 0]
    with pytest.raises(ValueError, match="make burst_every_ms longer"):
        Flow(burst_factor=21)
