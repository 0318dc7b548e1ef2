"""Sums of the recent past in words of state, against lists of it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from feedhandler.core.patterns import window

AT, WINDOW_NS = 3, 800
PART_NS = WINDOW_NS // window.PARTS

steps = st.lists(
    st.tuples(st.integers(-50, 400), st.integers(0, window.CHANNELS - 1), st.integers(-9, 9)),
    max_size=60,
)


@given(steps)
def test_a_window_has_the_sums_of_its_eighths(events: list[tuple[int, int, int]]):
    state = np.zeros(AT + window.WINDOW_WORDS + 1, np.int64)
    now_ns, newest = 0, 0
    past: list[tuple[int, int, int]] = []
    for step_ns, channel, amount in events:
        now_ns = max(now_ns + step_ns, 0)
        before, newest = newest, max(newest, now_ns // PART_NS + 1)
        begun = window.roll_window_nb(state, AT, now_ns, WINDOW_NS)
        assert begun == min(newest - before, window.PARTS)
        window.add_to_window_nb(state, AT, channel, amount)
        past.append((newest, channel, amount))
        live = [each for each in past if each[0] > newest - window.PARTS]
        sums = [window.window_sum_nb(state, AT, i) for i in range(window.CHANNELS)]
        assert sums == [sum(n for _, at, n in live if at == i) for i in range(window.CHANNELS)]
    assert not state[:AT].any()
    assert state[-1] == 0


def test_a_window_that_is_cleared_counts_from_nothing():
    state = np.zeros(AT + window.WINDOW_WORDS, np.int64)
    window.roll_window_nb(state, AT, 1_000, WINDOW_NS)
    window.add_to_window_nb(state, AT, 1, 7)
    window.clear_window_nb(state, AT)
    assert window.window_sum_nb(state, AT, 1) == 0
    assert window.roll_window_nb(state, AT, 1_000, WINDOW_NS) == 0
    window.add_to_window_nb(state, AT, 1, 5)
    window.roll_window_nb(state, AT, 1_000 + 2 * WINDOW_NS, WINDOW_NS)
    assert window.window_sum_nb(state, AT, 1) == 0
