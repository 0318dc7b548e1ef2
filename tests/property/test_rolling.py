"""Rolling windows against numpy over the same samples."""

import math
from fractions import Fraction
from math import isqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedhandler.core.rolling import (
    LENGTH_MAX,
    PAIR_HEAD,
    SAMPLE_LIMIT,
    WINDOW_HEAD,
    beta_e9_nb,
    correlation_e9_nb,
    pair_add_nb,
    root_nb,
    window_add_nb,
    window_clear_nb,
    window_deviation_e3_nb,
    window_is_full_nb,
    window_mean_e3_nb,
    window_sample_nb,
    window_spread_nb,
    window_sum_of_samples_nb,
    window_z_e3_nb,
)

AT, SIZE = 3, 5
small = st.integers(-50, 50)
returns = st.one_of(small, st.integers(-SAMPLE_LIMIT, SAMPLE_LIMIT), st.sampled_from([77, 78]))
extremes = st.sampled_from([-SAMPLE_LIMIT, SAMPLE_LIMIT, SAMPLE_LIMIT - 1])
lengths = st.integers(2, 9)


def pair_of(pairs: list[tuple[int, int]], length: int) -> Any:
    state = np.zeros(AT + PAIR_HEAD + length + 1, np.int64)
    state[-1] = 5
    for a, b in pairs:
        pair_add_nb(state, AT, length, a, b)
    assert state[-1] == 5
    assert not state[:AT].any()
    return state


def exact(pairs: list[tuple[int, int]]) -> tuple[Fraction, Fraction, Fraction]:
    """(covariance, variance of the first, of the second), without rounding."""
    a, b = ([Fraction(each) for each in column] for column in zip(*pairs, strict=True))
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    both = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True)) / len(a)
    variances = (
        sum((x - mean) ** 2 for x in each) / len(a) for each, mean in ((a, mean_a), (b, mean_b))
    )
    return (both, *variances)


@given(st.lists(st.tuples(st.one_of(returns, extremes), returns), max_size=30), lengths)
def test_correlation_and_beta_are_exact_over_any_window(pairs: list[tuple[int, int]], length: int):
    state, window = pair_of(pairs, length), pairs[-length:]
    correlation, beta = correlation_e9_nb(state, AT) / 1e9, beta_e9_nb(state, AT) / 1e9
    both, of_a, of_b = exact(window) if window else (Fraction(0),) * 3
    if of_a and of_b:
        expected = float(both) / math.sqrt(of_a) / math.sqrt(of_b)
        assert correlation == pytest.approx(expected, rel=0, abs=1e-9)
    else:
        assert correlation == 0
    expected = max(-1e6, min(float(both / of_b), 1e6)) if of_b else 0
    assert beta == pytest.approx(expected, rel=1e-12, abs=1e-9)


@pytest.mark.parametrize(("length", "slope"), [(20, 0.8), (256, -0.3), (LENGTH_MAX, 1.5)])
def test_correlation_and_beta_are_those_of_numpy_all_day(length: int, slope: float):
    chance = np.random.default_rng(length)
    first = chance.normal(0, 20_000, 3 * length).astype(np.int64)
    second = (slope * first + chance.normal(5_000, 15_000, 3 * length)).astype(np.int64)
    state = np.zeros(PAIR_HEAD + length, np.int64)
    for i in range(3 * length):
        pair_add_nb(state, 0, length, int(first[i]), int(second[i]))
        if i % 7 == 0 and i > 1:
            window = slice(max(i + 1 - length, 0), i + 1)
            expected = np.cov(first[window], second[window])
            correlation = np.corrcoef(first[window], second[window])[0, 1]
            assert correlation_e9_nb(state, 0) / 1e9 == pytest.approx(correlation, rel=0, abs=1e-9)
            beta = expected[0, 1] / expected[1, 1]
            assert beta_e9_nb(state, 0) / 1e9 == pytest.approx(beta, rel=0, abs=1e-9)


def test_the_longest_window_of_the_largest_samples_does_not_overflow():
    pairs = [(SAMPLE_LIMIT, -SAMPLE_LIMIT), (-SAMPLE_LIMIT, SAMPLE_LIMIT)] * LENGTH_MAX
    state = pair_of([*pairs, (2**40, -(2**40))], LENGTH_MAX)
    assert correlation_e9_nb(state, AT) == beta_e9_nb(state, AT) == -1_000_000_000
    alike = pair_of([(SAMPLE_LIMIT, -SAMPLE_LIMIT)] * LENGTH_MAX, LENGTH_MAX)
    assert correlation_e9_nb(alike, AT) == beta_e9_nb(alike, AT) == 0


values = st.one_of(small, st.integers(-(2**20), 2**20), st.integers(-(2**63), 2**63 - 1))


@given(st.lists(values, min_size=1, max_size=30), values, lengths, st.integers(-(2**50), 2**50))
def test_z_mean_and_deviation_are_exact_over_any_window(
    sequence: list[int], value: int, length: int, base: int
):
    state = np.zeros(AT + WINDOW_HEAD + length, np.int64)
    sequence = [base, *sequence]
    for each in sequence:
        window_add_nb(state, AT, length, each)
    limited = [max(-(2**50), min(each, 2**50)) for each in (*sequence, value)]
    offs = [max(-SAMPLE_LIMIT, min(each - base, SAMPLE_LIMIT)) for each in limited]
    window, off = offs[:-1][-length:], offs[-1]
    mean = Fraction(sum(window), len(window))
    variance = Fraction(sum((each - mean) ** 2 for each in window), len(window))
    deviation = math.sqrt(variance)
    assert window_mean_e3_nb(state, AT) == math.floor(1_000 * (base + mean))
    assert window_deviation_e3_nb(state, AT) == pytest.approx(1_000 * deviation, abs=1, rel=1e-12)
    score = float(off - mean) / deviation if deviation else 0.0
    expected = max(-1_000.0, min(score, 1_000.0)) * 1_000
    assert window_z_e3_nb(state, AT, value) == pytest.approx(expected, abs=1.001)


@given(st.lists(st.integers(-10_500_000, 10_500_000), max_size=30))
def test_a_window_has_the_sum_and_deviation_of_its_last_samples(samples: list[int]):
    state = np.zeros(AT + WINDOW_HEAD + SIZE + 1, np.int64)
    for number, sample in enumerate(samples, start=1):
        window_sample_nb(state, AT, SIZE, sample)
        last = samples[max(number - SIZE, 0) : number]
        assert window_sum_of_samples_nb(state, AT) == sum(last)
        assert window_is_full_nb(state, AT, SIZE) == (number >= SIZE)
        if number >= SIZE:
            variance = sum((SIZE * each - sum(last)) ** 2 for each in last) // SIZE
            assert window_spread_nb(state, AT, SIZE) == isqrt(variance)
    assert state[-1] == 0


def test_the_largest_window_of_the_largest_samples_stays_within_63_bits():
    size = 240
    state = np.zeros(WINDOW_HEAD + size, np.int64)
    for number in range(2 * size):
        window_sample_nb(state, 0, size, 10_500_000 if number % 2 else -10_500_000)
    assert window_spread_nb(state, 0, size) == 10_500_000 * size


@given(st.one_of(st.integers(0, 2**63 - 1), st.integers(0, 2**31).map(lambda root: root * root)))
def test_a_root_is_exact(value: int):
    assert root_nb(np.int64(value)) == isqrt(value)


@pytest.mark.parametrize("value", [0, 1, 2, 3, 4, 2**62, 3_037_000_499**2, 2**63 - 1])
def test_a_root_at_the_ends_is_exact(value: int):
    assert root_nb(np.int64(value)) == isqrt(value)


def test_a_window_that_is_cleared_keeps_when_it_is_due_and_begins_anew():
    state = np.zeros(AT + WINDOW_HEAD + SIZE, np.int64)
    state[AT] = 77
    for sample in range(7):
        window_sample_nb(state, AT, SIZE, sample)
    window_clear_nb(state, AT)
    assert not window_is_full_nb(state, AT, SIZE)
    for sample in (4, 5):
        window_sample_nb(state, AT, SIZE, sample)
    assert window_sum_of_samples_nb(state, AT) == 9
    assert state[AT] == 77
