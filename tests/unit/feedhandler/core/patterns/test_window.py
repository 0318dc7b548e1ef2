"""Sums of the recent past in words of state, against lists of it."""

from math import isqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedhandler.core.patterns import window

AT, WINDOW_NS, SIZE = 3, 800, 5
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


@given(st.lists(st.integers(-10_500_000, 10_500_000), max_size=30))
def test_a_ring_has_the_sum_and_deviation_of_its_last_samples(samples: list[int]):
    state = np.zeros(AT + window.RING_WORDS + SIZE + 1, np.int64)
    for number, sample in enumerate(samples, start=1):
        window.add_sample_nb(state, AT, SIZE, sample)
        last = samples[max(number - SIZE, 0) : number]
        assert window.ring_sum_nb(state, AT) == sum(last)
        assert window.ring_is_full_nb(state, AT, SIZE) == (number >= SIZE)
        if number >= SIZE:
            variance = sum((SIZE * each - sum(last)) ** 2 for each in last) // SIZE
            assert window.ring_deviation_nb(state, AT, SIZE) == isqrt(variance)
    assert state[-1] == 0


def test_the_largest_ring_of_the_largest_samples_stays_within_63_bits():
    size = 240
    state = np.zeros(window.RING_WORDS + size, np.int64)
    for number in range(2 * size):
        window.add_sample_nb(state, 0, size, 10_500_000 if number % 2 else -10_500_000)
    assert window.ring_deviation_nb(state, 0, size) == 10_500_000 * size


@given(st.one_of(st.integers(0, 2**63 - 1), st.integers(0, 2**31).map(lambda root: root * root)))
def test_a_root_is_exact(value: int):
    assert window.root_nb(np.int64(value)) == isqrt(value)


@pytest.mark.parametrize("value", [0, 1, 2, 3, 4, 2**62, 3_037_000_499**2, 2**63 - 1])
def test_a_root_at_the_ends_is_exact(value: int):
    assert window.root_nb(np.int64(value)) == isqrt(value)
