"""Rolling windows: when samples are taken, and by hand what they come to."""

from typing import Any

import numpy as np
import pytest

from feedhandler.core.rolling import (
    ANEW,
    DUE,
    NOT_DUE,
    PAIR_HEAD,
    WINDOW_HEAD,
    PairWord,
    beta_e9_nb,
    correlation_e9_nb,
    pair_nb,
    sample_due_nb,
    window_add_nb,
    window_deviation_e3_nb,
    window_mean_e3_nb,
    window_z_e3_nb,
)

E9 = 100_000
SECOND = 1_000_000_000
LENGTH = 4


def test_a_sample_is_due_once_in_each_period_and_anew_far_back():
    state = np.zeros(3, np.int64)
    stamps = [(25, DUE), (29, NOT_DUE), (30, DUE), (31, NOT_DUE), (21, NOT_DUE), (777, DUE)]
    for ts_ns, expected in stamps:
        assert sample_due_nb(state, 1, ts_ns * SECOND, 10 * SECOND) == expected
    assert sample_due_nb(state, 1, 761 * SECOND, 10 * SECOND) == NOT_DUE
    assert sample_due_nb(state, 1, 760 * SECOND, 10 * SECOND) == ANEW
    assert sample_due_nb(state, 1, 769 * SECOND, 10 * SECOND) == NOT_DUE
    assert state.tolist() == [0, 770 * SECOND, 0]


class Two:
    """A pair whose prices come at a second each."""

    def __init__(self) -> None:
        self.state: Any = np.zeros(PAIR_HEAD + LENGTH, np.int64)
        self.now_ns = 0

    def show(self, price_a_e4: int, price_b_e4: int, step_ns: int = SECOND) -> int:
        self.now_ns += step_ns
        prices = (price_a_e4 * E9, price_b_e4 * E9)
        return int(pair_nb(self.state, 0, LENGTH, SECOND, self.now_ns, *prices))

    def sums(self) -> list[int]:
        return self.state[[PairWord.COUNT, PairWord.SUM_A, PairWord.SUM_B]].tolist()


def test_returns_are_those_between_the_samples():
    two = Two()
    assert two.show(10_000, 20_000) == 0
    assert two.show(50_000, 50_000, step_ns=1) == 0
    assert two.show(10_100, 20_100) == 1
    assert two.sums() == [1, 1_000_000, 500_000]


def test_a_price_that_is_missing_makes_one_return_over_the_gap():
    two = Two()
    two.show(10_000, 20_000)
    assert two.show(0, 20_000) == 0
    assert two.show(10_000, 0) == 0
    assert two.show(10_100, 20_200) == 1
    assert two.sums() == [1, 1_000_000, 1_000_000]


def test_no_return_is_taken_over_a_night():
    two = Two()
    two.show(10_000, 20_000, 3_600 * SECOND)
    assert two.show(15_000, 30_000, -3_000 * SECOND) == 0
    assert two.show(15_150, 30_300) == 1
    assert two.sums() == [1, 1_000_000, 1_000_000]


def test_returns_that_go_together_correlate_and_the_oldest_leave():
    two = Two()
    prices = [(10_000, 10_000), (10_100, 10_200), (10_000, 10_000), (10_300, 10_600)]
    for pair in prices:
        two.show(*pair)
    assert correlation_e9_nb(two.state, 0) > 990_000_000
    assert 400_000_000 < beta_e9_nb(two.state, 0) < 600_000_000
    for _ in range(LENGTH + 1):
        two.show(10_000, 10_000)
    assert correlation_e9_nb(two.state, 0) == beta_e9_nb(two.state, 0) == 0


def test_a_beta_has_a_limit():
    two = Two()
    for price_a, price_b in ((1, 2**31), (2**31, 2**31), (1, 2**31 + 22), (2**31, 2**31 + 22)):
        two.show(price_a, price_b)
    assert abs(int(beta_e9_nb(two.state, 0))) == 10**15


@pytest.mark.parametrize("values", [[], [5], [5, 5, 5]])
def test_without_two_values_that_differ_nothing_is_unusual(values: list[int]):
    state = np.zeros(WINDOW_HEAD + LENGTH, np.int64)
    for value in values:
        window_add_nb(state, 0, LENGTH, value)
    assert window_z_e3_nb(state, 0, 77) == window_deviation_e3_nb(state, 0) == 0
    assert window_mean_e3_nb(state, 0) == (5_000 if values else 0)


def test_a_score_is_in_deviations_of_the_window():
    state = np.zeros(WINDOW_HEAD + LENGTH, np.int64)
    for value in (999, 999, 10, 14, 10, 14):
        window_add_nb(state, 0, LENGTH, value)
    assert window_mean_e3_nb(state, 0) == 12_000
    assert window_deviation_e3_nb(state, 0) == 2_000
    assert window_z_e3_nb(state, 0, 18) == 3_000
    assert window_z_e3_nb(state, 0, -(2**63)) == -1_000_000
